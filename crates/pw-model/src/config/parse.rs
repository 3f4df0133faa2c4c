//! Text of `partywall.yaml` → [`Config`], with every mistake shown where it stands.

use serde_saphyr::Error;

use super::file::Config;
use crate::diagnostic::{Diagnostic, nearest};
use crate::source::{Place, SourceFile};

/// Reads the text. The first mistake of the file's form is the only one reported, since what follows it cannot be trusted.
pub fn parse(source: &SourceFile) -> Result<Config, Box<Diagnostic>> {
    if source.text.trim().is_empty() {
        return Err(Box::new(
            Diagnostic::error(format!("`{}` is empty", source.name))
                .hint("run `partywall init` to write one"),
        ));
    }
    // Anchors and merge keys are welcome; a bomb of them is not: the library's default budget holds.
    serde_saphyr::from_str(&source.text).map_err(|error| Box::new(explain(source, error.without_snippet())))
}

/// The JSON Schema of the file, for editors.
pub fn schema() -> String {
    let schema = schemars::schema_for!(Config);
    // A schema is a JSON value made by us; it always serialises.
    serde_json::to_string_pretty(&schema).unwrap_or_default()
}

fn explain(source: &SourceFile, error: &Error) -> Diagnostic {
    let place =
        error.location().map(|location| place(source, location.line() as usize, location.column() as usize));
    match error {
        Error::SerdeUnknownField { field, expected, .. } => unknown(source, field, expected, place),
        Error::SerdeUnknownVariant { variant, expected, .. } => {
            let diagnostic =
                Diagnostic::error(format!("`{variant}` is not one of the values allowed here")).at(place);
            known_names(diagnostic, variant, expected)
        }
        Error::SerdeMissingField { field, .. } => Diagnostic::error(format!("the key `{field}` is missing"))
            .at(place)
            .hint(format!("add `{field}:`; see `partywall init --example`")),
        Error::DuplicateMappingKey { key, .. } => {
            let key = key.as_deref().unwrap_or("?");
            Diagnostic::error(format!("the key `{key}` is written twice"))
                .at(place)
                .hint("remove one of the two")
        }
        Error::AliasError { error, .. } | Error::WithSnippet { error, .. } => explain(source, error),
        other => {
            let (message, _) = split_location(&other.to_string());
            Diagnostic::error(format!("`{}` cannot be read", source.name))
                .at(place)
                .because(plain(&message))
                .hint("see `partywall init --example` for the form of each key")
        }
    }
}

/// What a number may be, in place of the name of a machine type.
fn plain(message: &str) -> String {
    match message.strip_prefix("invalid ") {
        Some("u16") => "a whole number from 0 to 65535 is wanted here".to_owned(),
        Some("u64" | "u32" | "u8" | "usize") => "a whole number is wanted here".to_owned(),
        Some("f64" | "f32") => "a number is wanted here".to_owned(),
        Some("bool" | "boolean") => "`true` or `false` is wanted here".to_owned(),
        _ => message.to_owned(),
    }
}

fn unknown(source: &SourceFile, field: &str, expected: &[&'static str], place: Option<Place>) -> Diagnostic {
    // The reported place can be that of the surrounding mapping; the key itself is what the user looks for.
    let line = place.as_ref().map_or(1, |place| place.line);
    let key = (line..=source.text.lines().count()).find_map(|number| key_on_line(source, number, field));
    known_names(Diagnostic::error(format!("unknown key `{field}`")).at(key.or(place)), field, expected)
}

fn key_on_line(source: &SourceFile, number: usize, field: &str) -> Option<Place> {
    let line = source.text.lines().nth(number - 1)?;
    let at = line.find(field).filter(|at| line[at + field.len()..].trim_start().starts_with(':'))?;
    Some(source.place(number, line[..at].chars().count() + 1, field.chars().count()))
}

fn known_names(diagnostic: Diagnostic, written: &str, expected: &[&'static str]) -> Diagnostic {
    let list = expected.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
    let diagnostic = diagnostic.because(format!("known here: {list}"));
    match nearest(written, expected.iter().copied()) {
        Some(name) => diagnostic.hint(format!("did you mean `{name}`?")),
        None => diagnostic.hint("remove it, or see `partywall init --example`"),
    }
}

fn place(source: &SourceFile, line: usize, column: usize) -> Place {
    let text = source.text.lines().nth(line.saturating_sub(1)).unwrap_or("");
    let word =
        text.chars().skip(column.saturating_sub(1)).take_while(|c| !c.is_whitespace() && *c != ':').count();
    source.place(line.max(1), column.max(1), word.max(1))
}

/// Takes the library's own ` at line 3, column 4` off, since the place is shown apart.
fn split_location(message: &str) -> (String, ()) {
    let cut = message.find(" at line ").or_else(|| message.find(" (line ")).unwrap_or(message.len());
    let text = message[..cut].trim();
    let text =
        text.split_once(": ").filter(|(head, _)| head.starts_with("line ")).map_or(text, |(_, rest)| rest);
    (text.to_owned(), ())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn complaint(text: &str) -> String {
        parse(&SourceFile::new("partywall.yaml", text)).expect_err("must be refused").to_string()
    }

    #[test]
    fn an_unknown_key_is_shown_with_the_nearest_known_one() {
        let text = "project: shop\nenvironments:\n  production:\n    rotues: { web: shop.example }\n";
        let shown = complaint(text);
        assert!(shown.starts_with("error: unknown key `rotues`\n  --> partywall.yaml:4:5\n"), "{shown}");
        assert!(shown.ends_with("hint: did you mean `routes`?"), "{shown}");
    }

    #[test]
    fn broken_yaml_is_shown_where_it_breaks() {
        let shown = complaint("project: shop\nenvironments:\n  production: [\n");
        assert!(shown.contains("partywall.yaml:"), "{shown}");
        assert!(shown.contains("because:") && shown.contains("hint:"), "{shown}");
    }

    #[test]
    fn a_wrong_amount_names_the_line() {
        let shown = complaint("project: shop\nenvironments:\n  development:\n    budget: { memory: lots }\n");
        assert!(shown.contains("partywall.yaml:4:"), "{shown}");
        assert!(shown.contains("`lots` is not an amount of memory"), "{shown}");
    }

    #[test]
    fn what_may_stand_there_is_said_in_words_of_the_file() {
        let proxy = complaint("project: shop\nenvironments: {}\nproxy: { http_port: 80000 }\n");
        assert!(proxy.contains("because: a whole number from 0 to 65535 is wanted here"), "{proxy}");
        let route = complaint(
            "project: shop\nenvironments: { production: { routes: { web: { host: a, port: x } } } }\n",
        );
        assert!(route.contains("because: a host name, or `{ host: NAME, port: NUMBER }`"), "{route}");
    }

    #[test]
    fn the_example_in_the_manual_loads() {
        parse(&SourceFile::new("partywall.example.yaml", super::super::EXAMPLE))
            .unwrap_or_else(|e| panic!("{e}"));
    }

    #[test]
    fn the_schema_describes_the_keys() {
        let schema: serde_json::Value = serde_json::from_str(&schema()).expect("the schema is JSON");
        assert!(schema["properties"]["environments"].is_object());
        assert_eq!(schema["additionalProperties"], serde_json::Value::Bool(false));
    }
}
