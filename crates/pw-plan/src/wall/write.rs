//! Writes a model as a Compose file that YAML 1.1 and 1.2 readers read alike.
//!
//! Only words that no reader takes for anything but text stand bare; everything else is quoted as
//! JSON, of which YAML is a superset. Nothing is ever folded: long lines stay long.

use serde_json::{Map, Value};

/// The model as YAML.
pub fn yaml(model: &Value) -> String {
    let mut text = String::new();
    match model {
        Value::Object(map) if !map.is_empty() => mapping(&mut text, map, 0, false),
        other => {
            text.push_str(&flow(other));
            text.push('\n');
        }
    }
    text
}

/// The entries of a mapping; the first goes on the line that is already begun when `begun`.
fn mapping(text: &mut String, map: &Map<String, Value>, indent: usize, begun: bool) {
    for (index, (key, value)) in map.iter().enumerate() {
        if index > 0 || !begun {
            pad(text, indent);
        }
        text.push_str(&scalar(key));
        text.push(':');
        match value {
            Value::Object(inner) if !inner.is_empty() => {
                text.push('\n');
                mapping(text, inner, indent + 2, false);
            }
            other => entry(text, other, indent),
        }
    }
}

fn sequence(text: &mut String, items: &[Value], indent: usize) {
    for item in items {
        pad(text, indent);
        text.push('-');
        match item {
            Value::Object(inner) if !inner.is_empty() => {
                text.push(' ');
                mapping(text, inner, indent + 2, true);
            }
            Value::Array(inner) if !inner.is_empty() => {
                text.push('\n');
                sequence(text, inner, indent + 2);
            }
            other => entry(text, other, indent),
        }
    }
}

/// What follows `key:` or `-`, up to and with the line's end.
fn entry(text: &mut String, value: &Value, indent: usize) {
    match value {
        Value::Array(items) if !items.is_empty() => {
            text.push('\n');
            sequence(text, items, indent + 2);
        }
        Value::String(string) if is_block(string) => block(text, string, indent + 2),
        other => {
            text.push(' ');
            text.push_str(&flow(other));
            text.push('\n');
        }
    }
}

fn pad(text: &mut String, indent: usize) {
    text.extend(std::iter::repeat_n(' ', indent));
}

/// A value on one line: a scalar or an empty collection.
fn flow(value: &Value) -> String {
    match value {
        Value::String(string) => scalar(string),
        other => other.to_string(),
    }
}

fn scalar(string: &str) -> String {
    if is_plain(string) { string.to_owned() } else { quoted(string) }
}

/// JSON's quoting, with what YAML calls unprintable escaped as well.
fn quoted(string: &str) -> String {
    let json = Value::from(string).to_string();
    let mut text = String::with_capacity(json.len());
    for c in json.chars() {
        match c {
            _ if is_printable(c) => text.push(c),
            _ if u32::from(c) > 0xffff => text.push_str(&format!("\\U{:08x}", u32::from(c))),
            _ => text.push_str(&format!("\\u{:04x}", u32::from(c))),
        }
    }
    text
}

fn is_printable(c: char) -> bool {
    !c.is_control() && !matches!(c, '\u{2028}' | '\u{2029}' | '\u{feff}' | '\u{fffe}' | '\u{ffff}')
}

/// True for texts that stand for themselves without quotes in every YAML.
fn is_plain(string: &str) -> bool {
    let word = |c: char| c.is_ascii_alphanumeric() || "_-./@ ".contains(c);
    string.starts_with(|c: char| c.is_ascii_alphabetic() || matches!(c, '/' | '_'))
        && string.chars().all(word)
        && !string.ends_with(' ')
        && !is_taken(&string.to_ascii_lowercase())
}

/// Words that some YAML reads as a boolean, a number or nothing.
fn is_taken(lower: &str) -> bool {
    matches!(lower, "y" | "n" | "yes" | "no" | "on" | "off" | "true" | "false" | "null" | "nan" | "inf")
}

/// True when the text can stand line by line below its key.
fn is_block(string: &str) -> bool {
    let lines = string.trim_end_matches('\n');
    lines.contains('\n')
        && string.len() - lines.len() <= 1
        && !lines.starts_with([' ', '\t', '\n'])
        && lines.chars().all(|c| c == '\n' || is_printable(c))
        && lines.lines().all(|line| !line.ends_with(' '))
}

fn block(text: &mut String, string: &str, indent: usize) {
    text.push_str(if string.ends_with('\n') { " |\n" } else { " |-\n" });
    for line in string.lines() {
        if !line.is_empty() {
            pad(text, indent);
            text.push_str(line);
        }
        text.push('\n');
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_file_reads_as_people_write_it() {
        let model = json!({
            "services": {
                "web": {
                    "image": "app",
                    "command": ["sh", "-c", "echo a: b # c"],
                    "ports": [{"target": 80, "published": "3001"}],
                    "environment": {"EMPTY": null, "ON": "yes", "TEXT": "a\n\nb\n"},
                    "labels": {},
                }
            }
        });
        assert_eq!(
            yaml(&model),
            "services:\n  web:\n    image: app\n    command:\n      - sh\n      - \"-c\"\n      - \"echo a: b # c\"\n    ports:\n      - target: 80\n        published: \"3001\"\n    environment:\n      EMPTY: null\n      \"ON\": \"yes\"\n      TEXT: |\n        a\n\n        b\n    labels: {}\n"
        );
    }

    /// Texts that some YAML would take for something else.
    const AWKWARD: &str = concat!(
        "¶ ¶yes¶No¶on¶012¶1e3¶0x1f¶1_000¶12:30:45¶~¶null¶.inf¶-¶- a¶a: b¶a #b¶#¶a:¶'¶\"¶\\¶%¶@a¶",
        "`a¶{a}¶[a]¶*a¶&a¶!a¶|¶>¶?¶2026-01-01¶=¶<<¶a\nb¶a\nb\n¶a\n\n\nb¶\na¶ a\nb¶a\nb\n\n¶",
        "a \nb¶\ta\nb¶a\tb\nc¶a\r\nb¶\u{85}¶\u{7f}¶\u{2028}¶\u{feff}¶ü ☃ 🦀¶$$HOME¶key: |\n  x¶",
        "# not a comment\nreally¶---\na¶...\n¶a\n---\nb¶/path with blank¶trailing ¶nan¶y¶N",
    );

    #[test]
    fn every_text_is_read_back_as_it_was() {
        for text in AWKWARD.split('¶') {
            let model = json!({"k": text, "l": [text], text: 1});
            let read: Value = serde_saphyr::from_str(&yaml(&model))
                .unwrap_or_else(|e| panic!("{text:?}: {e}\n{}", yaml(&model)));
            assert_eq!(read, model, "{text:?} in\n{}", yaml(&model));
        }
    }

    #[test]
    fn lists_of_lists_and_empty_things_survive() {
        let model = json!({"a": [[1, [2]], {}, [], {"b": [{"c": null}]}], "d": [], "e": 1.5, "f": true});
        let read: Value = serde_saphyr::from_str(&yaml(&model)).expect("is YAML");
        assert_eq!(read, model);
        assert_eq!(yaml(&json!({})), "{}\n");
    }
}
