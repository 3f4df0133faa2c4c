//! Variables that are used without a value: Compose takes them as empty, and only whispers.

use pw_model::diagnostic::Diagnostic;
use pw_model::name::EnvironmentName;
use pw_model::source::{Place, SourceFile};

use super::complain::between;

/// One variable of one environment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Unset {
    variable: String,
    place: Option<Place>,
    /// It is used in the value of another variable, where a `$` often belongs to a password.
    in_env_file: bool,
    /// The file to add it to.
    file: String,
}

/// What Compose warned about, in which environment.
#[derive(Debug, Clone)]
pub(crate) enum Warning {
    Unset(Unset),
    Other(Diagnostic),
}

impl Unset {
    /// `Compose files` and `env files` are searched for the line that uses the variable.
    pub(super) fn of(variable: &str, compose: &[SourceFile], env: &[SourceFile], file: &str) -> Self {
        let of_compose = compose.iter().rev().find_map(|source| reference(source, variable));
        let of_env = || env.iter().find_map(|source| Some(reference(source, variable)?.without_text()));
        let in_env_file = of_compose.is_none();
        let place = of_compose.or_else(of_env);
        Self {
            variable: variable.into(),
            in_env_file: in_env_file && place.is_some(),
            place,
            file: file.into(),
        }
    }

    pub(super) fn diagnostic(&self, environments: &[&EnvironmentName], files: &[&str]) -> Diagnostic {
        let variable = &self.variable;
        let names = listed(environments.iter().map(|name| name.as_str()));
        let plural = if environments.len() == 1 { "" } else { "s" };
        let add = format!("add `{variable}=…` to {}", listed(files.iter().copied()));
        let hint = if self.in_env_file {
            format!("where the `$` belongs to the value, put the value in single quotes; else {add}")
        } else {
            format!("{add}, or write `${{{variable}:-}}` where empty is meant")
        };
        Diagnostic::error(format!("the variable `{variable}` of environment{plural} {names} is not set"))
            .at(self.place.clone())
            .because("Compose would put an empty text in its place")
            .hint(hint)
    }
}

/// One complaint per variable and line, with all environments that lack it.
pub(crate) fn diagnostics(warnings: &[(EnvironmentName, Warning)]) -> Vec<Diagnostic> {
    let mut found: Vec<Diagnostic> = Vec::new();
    for (number, (_, warning)) in warnings.iter().enumerate() {
        let told = match warning {
            Warning::Other(diagnostic) => diagnostic.clone(),
            Warning::Unset(unset) if warnings[..number].iter().any(|(_, other)| same(other, unset)) => {
                continue;
            }
            Warning::Unset(unset) => {
                let all: Vec<(&EnvironmentName, &Unset)> = warnings[number..]
                    .iter()
                    .filter_map(|(name, other)| Some((name, as_unset(other, unset)?)))
                    .collect();
                let mut names: Vec<&EnvironmentName> = all.iter().map(|(name, _)| *name).collect();
                let mut files: Vec<&str> = all.iter().map(|(_, unset)| unset.file.as_str()).collect();
                names.dedup();
                files.dedup();
                unset.diagnostic(&names, &files)
            }
        };
        if !found.contains(&told) {
            found.push(told);
        }
    }
    found
}

fn same(warning: &Warning, unset: &Unset) -> bool {
    as_unset(warning, unset).is_some()
}

fn as_unset<'w>(warning: &'w Warning, unset: &Unset) -> Option<&'w Unset> {
    match warning {
        Warning::Unset(other) if other.variable == unset.variable && other.place == unset.place => {
            Some(other)
        }
        _ => None,
    }
}

/// `The "X" variable is not set.`
pub(super) fn unset(line: &str) -> Option<&str> {
    between(line, "The \"", "\" variable is not set")
}

/// The line that says `$NAME` or `${NAME…`; a doubled `$` is none, nor is what a comment says.
pub(super) fn reference(source: &SourceFile, variable: &str) -> Option<Place> {
    let lines = source.text.lines().enumerate().filter(|(_, line)| !line.trim_start().starts_with('#'));
    lines.into_iter().find_map(|(number, line)| {
        let at =
            line.match_indices(variable).map(|(at, _)| at).find(|at| is_reference(line, *at, variable))?;
        let column = line[..at].chars().count() + 1;
        Some(source.place(number + 1, column, variable.chars().count()))
    })
}

fn is_reference(line: &str, at: usize, variable: &str) -> bool {
    let before = line[..at].strip_suffix('{').unwrap_or(&line[..at]);
    let dollars = before.len() - before.trim_end_matches('$').len();
    let ends = !line[at + variable.len()..].starts_with(|c: char| c.is_alphanumeric() || c == '_');
    dollars % 2 == 1 && ends
}

fn listed<'t>(names: impl Iterator<Item = &'t str>) -> String {
    names.map(|name| format!("`{name}`")).collect::<Vec<_>>().join(" and ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> EnvironmentName {
        EnvironmentName::parse(text).expect("a name")
    }

    #[test]
    fn a_variable_is_found_where_it_is_used_and_not_where_a_word_looks_like_it() {
        let file = SourceFile::new("c.yml", "# $NOTE\na: NOTE\nb: $$NOTE ${NOTES} $NOTE_2\nc: x${NOTE:-}\n");
        let place = reference(&file, "NOTE").expect("a place");
        assert_eq!((place.line, place.column), (4, 7));
    }

    #[test]
    fn a_dollar_in_a_password_is_told_at_the_password() {
        let compose = [SourceFile::new("c.yml", "word: 1\n")];
        let env = [SourceFile::new(".env", "A=1\nPASSWORD=pa$word\n")];
        let told = Unset::of("word", &compose, &env, ".env")
            .diagnostic(&[&name("production")], &[".env"])
            .to_string();
        assert!(told.contains("--> .env:2:13") && !told.contains("pa$"), "{told}");
        assert!(
            told.contains("hint: where the `$` belongs to the value, put the value in single quotes"),
            "{told}"
        );
    }

    #[test]
    fn a_variable_that_both_environments_lack_is_told_once() {
        let compose = [SourceFile::new("c.yml", "a: $NOTE\n")];
        let of = |file: &str| Warning::Unset(Unset::of("NOTE", &compose, &[], file));
        let all = [
            (name("production"), of(".env.prod")),
            (name("production"), of(".env.prod")),
            (name("development"), of(".env.dev")),
        ];
        let told = diagnostics(&all);
        assert_eq!(told.len(), 1);
        let told = told[0].to_string();
        assert!(told.contains("`NOTE` of environments `production` and `development` is not set"), "{told}");
        assert!(told.contains("add `NOTE=…` to `.env.prod` and `.env.dev`"), "{told}");
    }
}
