//! What a mask makes of a text, and which columns it fits.

use serde_json::Value;

use super::{Stream, noise, password, words};
use crate::catalogue::Column;

#[derive(Debug, Clone, PartialEq)]
pub enum Kind {
    Email,
    Username,
    Name,
    Phone,
    Address,
    Url,
    Ip,
    UserAgent,
    /// Words that say nothing, about as many characters.
    Text,
    /// Fresh random characters, as many; a known prefix such as `gho_` stays.
    Token,
    /// One known hash for everybody: the given one, or one of `development` in the form that is stored.
    Password(Option<String>),
    Null,
    /// Written as SQL reads it; any type.
    Constant(String),
    /// `{hash}` stands for 16 hex digits.
    Template(String),
    /// At most so many days, either way.
    Shift(i64),
    /// At most this share, either way.
    Noise(f64),
    Json(Vec<(Vec<String>, Kind)>),
    /// The column's own values, each in another row of the sample.
    Permute,
    /// An expression over the row, computed by the source.
    Sql(String),
    Keep,
}

pub(super) const NAMES: &[&str] = &[
    "email",
    "username",
    "name",
    "phone",
    "address",
    "url",
    "ip",
    "user_agent",
    "text",
    "token",
    "password",
    "permute",
    "null",
    "keep",
];
const FORMS: &[&str] = &["constant", "template", "shift", "noise", "json", "sql", "password"];

/// How much room a mask has, and whether two values may give one answer.
pub(super) struct Room {
    pub(super) limit: usize,
    pub(super) unique: bool,
}

impl Kind {
    /// Every word and form that may be written.
    pub fn known() -> impl Iterator<Item = &'static str> {
        NAMES.iter().chain(FORMS).copied()
    }

    /// # Errors
    /// What is wrong with it.
    pub fn parse(written: &Value) -> Result<Self, String> {
        match written {
            Value::String(name) => Self::named(name).ok_or_else(|| format!("there is no mask `{name}`")),
            Value::Null => Ok(Self::Null),
            Value::Object(map) if map.len() == 1 => {
                let (form, value) = map.iter().next().ok_or("the mask is empty")?;
                Self::formed(form, value)
            }
            _ => Err("a mask is a word, or one `form: value`".into()),
        }
    }

    fn named(name: &str) -> Option<Self> {
        Some(match name {
            "email" => Self::Email,
            "username" => Self::Username,
            "name" => Self::Name,
            "phone" => Self::Phone,
            "address" => Self::Address,
            "url" => Self::Url,
            "ip" => Self::Ip,
            "user_agent" => Self::UserAgent,
            "text" => Self::Text,
            "token" => Self::Token,
            "password" => Self::Password(None),
            "permute" => Self::Permute,
            "null" => Self::Null,
            "keep" => Self::Keep,
            _ => return None,
        })
    }

    fn formed(form: &str, value: &Value) -> Result<Self, String> {
        let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        match form {
            "constant" => Ok(Self::Constant(text)),
            "template" => Ok(Self::Template(text)),
            "sql" => Ok(Self::Sql(text)),
            "password" => Ok(Self::Password(Some(text))),
            "shift" => {
                let days = text.trim_end_matches("days").trim_end_matches('d').trim().parse().ok();
                days.filter(|days| (1..=36_500).contains(days))
                    .map(Self::Shift)
                    .ok_or("a shift is a number of days: `30 days`".into())
            }
            "noise" => {
                let share = text.strip_suffix('%').and_then(|number| number.trim().parse::<f64>().ok());
                share
                    .filter(|share| (0.0..=100.0).contains(share))
                    .map(|share| Self::Noise(share / 100.0))
                    .ok_or("noise is a share: `10%`".into())
            }
            "json" => Self::paths(value).map(Self::Json),
            other => Err(format!("there is no mask `{other}`")),
        }
    }

    fn paths(value: &Value) -> Result<Vec<(Vec<String>, Self)>, String> {
        let map = value.as_object().ok_or("`json` holds paths: { contact.email: email }")?;
        let read = |(path, kind): (&String, &Value)| {
            let kind = Self::parse(kind)?;
            let text = !matches!(
                kind,
                Self::Constant(_)
                    | Self::Shift(_)
                    | Self::Noise(_)
                    | Self::Json(_)
                    | Self::Sql(_)
                    | Self::Permute
            );
            let path = path.split('.').map(str::to_owned).collect();
            text.then_some((path, kind))
                .ok_or_else(|| "inside JSON a mask is a word or a template".to_owned())
        };
        map.iter().map(read).collect()
    }

    /// Separates the hashes of kinds: an e-mail and a token of the same text have nothing in common.
    pub(super) fn family(&self) -> &'static str {
        match self {
            Self::Email => "email",
            Self::Username => "username",
            Self::Name => "name",
            Self::Phone => "phone",
            Self::Address => "address",
            Self::Url => "url",
            Self::Ip => "ip",
            Self::Token => "token",
            _ => "other",
        }
    }

    /// A leak of these is searched for by default. Names and words also stand elsewhere by chance.
    pub fn is_proved(&self) -> bool {
        match self {
            Self::Json(paths) => paths.iter().any(|(_, kind)| kind.is_proved()),
            kind => matches!(
                kind,
                Self::Email | Self::Phone | Self::Url | Self::Token | Self::Password(_) | Self::Address
            ),
        }
    }

    pub(super) fn write(&self, stream: &mut Stream, text: &str, room: &Room) -> String {
        match self {
            Self::Email => fitted("user", stream, "@dev.local", room),
            Self::Username => fitted("user_", stream, "", room),
            Self::Name => name(stream, room),
            Self::Phone => cut(format!("+1555{:010}", stream.number() % 10_000_000_000), room),
            Self::Address => {
                cut(format!("{} {} Street", stream.number() % 999 + 1, pick(stream, &words::LAST)), room)
            }
            Self::Url => fitted("https://", stream, ".example", room),
            Self::Ip => ip(stream, text, room),
            Self::UserAgent => cut("Mozilla/5.0 (masked)".to_owned(), room),
            Self::Text => cut(prose(stream, text.chars().count()), room),
            Self::Token => token(stream, text, room),
            Self::Password(Some(hash)) => hash.clone(),
            Self::Password(None) => password::alike(text).to_owned(),
            Self::Template(form) => cut(form.replace("{hash}", &stream.hex(16)), room),
            _ => text.to_owned(),
        }
    }
}

/// Why a mask cannot be put on a column.
pub fn unfit(kind: &Kind, column: &Column) -> Option<String> {
    let base = column.masked_type();
    let json = matches!(base, "json" | "jsonb");
    let fits = match kind {
        Kind::Keep | Kind::Sql(_) | Kind::Constant(_) | Kind::Permute => true,
        Kind::Null => !column.not_null,
        Kind::Shift(_) => matches!(base, "date" | "timestamp" | "timestamptz"),
        Kind::Noise(_) => noise::TYPES.contains(&base),
        Kind::Json(_) => json,
        Kind::Ip => column.is_text() || json || matches!(base, "inet" | "cidr"),
        Kind::Token => column.is_text() || json || matches!(base, "bytea" | "uuid"),
        _ => column.is_text() || json,
    };
    let reason =
        if *kind == Kind::Null { "it is never null".into() } else { format!("its type is {}", column.kind) };
    (!fits).then_some(reason)
}

fn pick<'a>(stream: &mut Stream, list: &[&'a str; 16]) -> &'a str {
    list[usize::try_from(stream.number() % 16).unwrap_or_default()]
}

fn cut(text: String, room: &Room) -> String {
    if text.chars().count() <= room.limit { text } else { text.chars().take(room.limit).collect() }
}

/// As many digits between the two as there is room for, at most 16.
fn fitted(before: &str, stream: &mut Stream, after: &str, room: &Room) -> String {
    let digits = room.limit.saturating_sub(before.len() + after.len()).min(16);
    if digits < 4 {
        return stream.hex(room.limit.min(16));
    }
    format!("{before}{}{after}", stream.hex(digits))
}

fn name(stream: &mut Stream, room: &Room) -> String {
    let plain = format!("{} {}", pick(stream, &words::FIRST), pick(stream, &words::LAST));
    if room.unique { fitted(&format!("{plain} "), stream, "", room) } else { cut(plain, room) }
}

fn ip(stream: &mut Stream, text: &str, room: &Room) -> String {
    let number = stream.number().to_be_bytes();
    let shown = if text.contains(':') {
        format!("2001:db8::{:02x}{:02x}:{:02x}{:02x}", number[0], number[1], number[2], number[3])
    } else {
        format!("100.{}.{}.{}", 64 | (number[0] & 63), number[1], number[2])
    };
    cut(shown, room)
}

fn prose(stream: &mut Stream, length: usize) -> String {
    // No word is longer than seven letters.
    let mut text = String::with_capacity(length + 8);
    text.push_str(pick(stream, &words::TEXT));
    while text.len() < length {
        text.push(' ');
        text.push_str(pick(stream, &words::TEXT));
    }
    text.truncate(length);
    text.trim_end().to_owned()
}

fn token(stream: &mut Stream, text: &str, room: &Room) -> String {
    let length = text.chars().count().min(room.limit);
    let prefix = text.split_once('_').map(|(head, _)| head).filter(|head| head.len() <= 4 && head.is_ascii());
    let kept =
        prefix.map(|head| format!("{head}_")).filter(|head| head.len() + 8 <= length).unwrap_or_default();
    format!("{kept}{}", stream.hex(length - kept.len()))
}
