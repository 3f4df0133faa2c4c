//! Columns that look personal or secret by name, type or content. Without a rule they stop the run.

use std::fmt::Write;

use pw_model::diagnostic::Diagnostic;

use crate::catalogue::{Catalogue, Column};
use crate::mask::array;
use crate::rules::Rules;

/// A column that wants a rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Suspect {
    pub table: usize,
    pub column: usize,
    pub why: String,
    /// What to write, as YAML.
    pub mask: &'static str,
}

/// Parts of names, and the mask each suggests. The first that fits is taken.
const NAMES: &[(&str, &str)] = &[
    ("email", "email"),
    ("e_mail", "email"),
    ("user_agent", "user_agent"),
    ("useragent", "user_agent"),
    ("password", "password"),
    ("passwd", "password"),
    ("token", "token"),
    ("secret", "token"),
    ("api_key", "token"),
    ("apikey", "token"),
    ("private_key", "token"),
    ("cert", "token"),
    ("registration_code", "token"),
    ("credential", "token"),
    ("phone", "phone"),
    ("mobile", "phone"),
    ("address", "address"),
    ("street", "address"),
    ("postcode", "address"),
    ("zip", "address"),
    ("location", "address"),
    ("birth", "{ shift: 180 days }"),
    ("real_name", "name"),
    ("first_name", "name"),
    ("last_name", "name"),
    ("full_name", "name"),
    ("fullname", "name"),
    ("surname", "name"),
    ("username", "username"),
    ("user_name", "username"),
    ("handle", "username"),
    ("login", "username"),
    ("iban", "token"),
    ("ssn", "token"),
    ("tax_id", "token"),
    ("card_number", "token"),
    ("ip", "ip"),
    ("website", "url"),
    ("homepage", "url"),
    ("bio", "text"),
    ("message", "text"),
    ("body", "text"),
    ("note", "text"),
];

/// Suspicion by name and type alone.
pub fn by_name(column: &Column) -> Option<(String, &'static str)> {
    if matches!(column.masked_type(), "inet" | "cidr") {
        return Some((format!("its type is {}", column.kind), "ip"));
    }
    let name = snake(&column.name);
    let words: Vec<&str> = name.split('_').collect();
    let holds = |part: &str| {
        let parts: Vec<&str> = part.split('_').collect();
        words
            .windows(parts.len())
            .any(|window| window.iter().zip(&parts).all(|(word, part)| same_word(word, part)))
    };
    let (part, mask) = NAMES.iter().find(|(part, _)| holds(part))?;
    let holds_text = column.is_text()
        || matches!(column.masked_type(), "bytea" | "json" | "jsonb" | "uuid")
        || column.array
        || column.as_text;
    let dated = column.masked_type() == "date" && mask.starts_with("{ shift");
    (dated || (holds_text && !mask.starts_with("{ shift")))
        .then(|| (format!("it is called `{part}`"), suggested(column, mask)))
}

fn same_word(word: &str, part: &str) -> bool {
    word == part || word.strip_suffix('s') == Some(part)
}

fn suggested(column: &Column, mask: &'static str) -> &'static str {
    match column.masked_type() {
        "bytea" | "uuid" => "token",
        "json" | "jsonb" | "inet" | "cidr" | "date" => mask,
        _ if column.is_text() => mask,
        _ if column.array && column.not_null => "{ constant: '{}' }",
        _ if column.as_text && column.not_null => "{ sql: 'ROW()' }",
        _ if column.array || column.as_text => "null",
        _ => mask,
    }
}

/// `playerName` and `Player-Name` as `player_name`.
fn snake(name: &str) -> String {
    let mut out = String::new();
    let mut lower = false;
    for letter in name.chars() {
        if letter.is_uppercase() && lower {
            out.push('_');
        }
        lower = letter.is_lowercase();
        out.extend(if letter.is_alphanumeric() { letter } else { '_' }.to_lowercase());
    }
    out
}

/// Suspicion by what a field holds.
pub fn by_content(column: &Column, value: &[u8]) -> Option<(String, &'static str)> {
    match array::items(value).filter(|_| column.array && !column.as_text) {
        Some(items) => items.into_iter().find_map(|item| by_value(column, item)),
        None => by_value(column, value),
    }
}

fn by_value(column: &Column, value: &[u8]) -> Option<(String, &'static str)> {
    let json = matches!(column.masked_type(), "json" | "jsonb");
    if !(column.is_text() || json || column.array || column.as_text) {
        return None;
    }
    let text = String::from_utf8_lossy(value);
    let words = || text.split(|letter: char| letter.is_whitespace() || "\"'<>(),;[]{}".contains(letter));
    let whole = !json && !text.trim().contains(char::is_whitespace);
    let or_text = |mask| {
        if json {
            "json"
        } else if whole {
            mask
        } else {
            "text"
        }
    };
    if words().any(is_email) {
        return Some(("it holds e-mail addresses".into(), suggested(column, or_text("email"))));
    }
    if text.contains("-----BEGIN ") {
        return Some(("it holds keys or certificates".into(), suggested(column, or_text("token"))));
    }
    if words().any(|word| word.parse::<std::net::Ipv4Addr>().is_ok()) {
        return Some(("it holds IP addresses".into(), suggested(column, or_text("ip"))));
    }
    words().any(is_phone).then(|| ("it holds telephone numbers".into(), suggested(column, or_text("phone"))))
}

fn is_email(word: &str) -> bool {
    word.split_once('@').is_some_and(|(user, host)| {
        !user.is_empty()
            && host.split_once('.').is_some_and(|(name, end)| !name.is_empty() && end.len() >= 2)
            && !word.contains("://")
    })
}

fn is_phone(word: &str) -> bool {
    word.strip_prefix('+')
        .is_some_and(|rest| rest.len() >= 8 && rest.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-'))
}

/// Everything suspicious by name in the tables that are taken and that no rule covers.
pub fn named(catalogue: &Catalogue, rules: &Rules, taken: impl Fn(usize) -> bool) -> Vec<Suspect> {
    let mut suspects = Vec::new();
    for (table, known) in catalogue.tables.iter().enumerate().filter(|(table, _)| taken(*table)) {
        for (column, kind) in known.columns.iter().enumerate() {
            if kind.generated || rules.mask(table, column).is_some() {
                continue;
            }
            suspects.extend(by_name(kind).map(|(why, mask)| Suspect { table, column, why, mask }));
        }
    }
    suspects
}

/// A `masks:` section that covers the suspects, ready to be edited.
pub fn snippet(catalogue: &Catalogue, suspects: &[Suspect]) -> String {
    let mut text = String::from("masks:\n");
    for suspect in suspects {
        let name = catalogue.shown(suspect.table, suspect.column);
        let mask = if suspect.mask == "json" { "{ json: { \"*\": text } }" } else { suspect.mask };
        let _ = writeln!(text, "  {name}: {mask}  # {}", suspect.why);
    }
    text
}

/// The complaint that stops a run.
pub fn complaint(catalogue: &Catalogue, suspects: &[Suspect]) -> Diagnostic {
    let count = suspects.len();
    let plural = if count == 1 { "column looks" } else { "columns look" };
    suspects
        .iter()
        .fold(
            Diagnostic::error(format!("{count} {plural} personal or secret and no rule speaks of them")),
            |told, one| told.because(format!("`{}`: {}", catalogue.shown(one.table, one.column), one.why)),
        )
        .hint(format!(
            "add a mask for each, or `keep` where it is harmless:\n{}",
            snippet(catalogue, suspects)
        ))
}
