//! Scalars, amounts and lines of the file that is written.

use pw_model::unit::Bytes;

/// Comments begin at this column where the code leaves room.
const COLUMN: usize = 43;
/// Words that YAML or its readers take for something else than a text.
const TAKEN: &[&str] = &["true", "false", "null", "yes", "no", "on", "off", "y", "n", ".nan", ".inf"];

/// The text as a YAML scalar, quoted only where it must be.
pub(super) fn scalar(text: &str) -> String {
    let body = text.strip_prefix('.').unwrap_or(text);
    let plain = body.starts_with(|c: char| c.is_ascii_alphabetic())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-/".contains(&b))
        && !TAKEN.contains(&text.to_lowercase().as_str());
    if plain { text.to_owned() } else { serde_json::Value::from(text).to_string() }
}

pub(super) fn list<'a>(items: impl IntoIterator<Item = &'a String>) -> String {
    let items: Vec<String> = items.into_iter().map(|item| scalar(item)).collect();
    format!("[{}]", items.join(", "))
}

/// Rounded down: tenths of a GB, or whole MB below one.
pub(super) fn amount(bytes: Bytes) -> String {
    let tenths = bytes.0.saturating_mul(10) >> 30;
    match (tenths / 10, tenths % 10) {
        (0, _) => format!("{}MB", bytes.0 >> 20),
        (whole, 0) => format!("{whole}GB"),
        (whole, tenth) => format!("{whole}.{tenth}GB"),
    }
}

/// Code with a comment behind it.
pub(super) fn line(code: &str, comment: &str) -> String {
    if comment.is_empty() { format!("{code}\n") } else { format!("{code:<COLUMN$} # {comment}\n") }
}

/// Comma-separated words as comment lines of at most 100 columns.
pub(super) fn wrapped(head: &str, words: &[String]) -> String {
    let mut lines = vec![format!("# {head}")];
    let indent = format!("#   {}", " ".repeat(head.len() - head.trim_start().len()));
    for (index, word) in words.iter().enumerate() {
        let comma = if index + 1 < words.len() { "," } else { "" };
        let last = lines.last().map_or(0, |line| line.chars().count());
        if last + word.chars().count() + 2 > 100 {
            lines.push(format!("{indent}{word}{comma}"));
        } else if let Some(line) = lines.last_mut() {
            line.push_str(&format!(" {word}{comma}"));
        }
    }
    lines.join("\n") + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scalars_are_quoted_only_where_they_must_be() {
        for plain in ["web", ".env.prod", "dev/compose.yml", "php8.3-fpm"] {
            assert_eq!(scalar(plain), plain);
        }
        for odd in ["no", "8.3", "a: b", "", "8883:8883", "a b", "@x", ".1"] {
            assert!(scalar(odd).starts_with('"'), "{odd}");
        }
    }

    #[test]
    fn amounts_are_rounded_down() {
        assert_eq!(amount(Bytes(3 << 30)), "3GB");
        assert_eq!(amount(Bytes((3 << 30) + (1 << 29))), "3.5GB");
        assert_eq!(amount(Bytes(700 << 20)), "700MB");
    }
}
