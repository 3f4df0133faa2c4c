//! Checked names. The only way in is `parse`, so that no other code validates again.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Why a text is not a name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not {what}: {rule}")]
pub struct NotAName {
    text: String,
    what: &'static str,
    rule: &'static str,
}

macro_rules! checked_name {
    ($(#[$doc:meta])* $name:ident, $what:literal, $rule:literal, $valid:expr) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
        #[serde(try_from = "String", into = "String")]
        #[schemars(with = "String")]
        pub struct $name(String);

        impl $name {
            /// Checks the text against the rule of this name.
            pub fn parse(text: &str) -> Result<Self, NotAName> {
                let valid: fn(&str) -> bool = $valid;
                if valid(text) {
                    Ok(Self(text.to_owned()))
                } else {
                    Err(NotAName { text: text.to_owned(), what: $what, rule: $rule })
                }
            }

            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl TryFrom<String> for $name {
            type Error = NotAName;
            fn try_from(text: String) -> Result<Self, NotAName> {
                Self::parse(&text)
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> Self {
                name.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

checked_name!(
    /// Name of one application under Partywall; part of every container, network and volume name.
    ProjectName,
    "a project name",
    "lower-case letters, digits, `-` and `_`, starting with a letter or digit, at most 40",
    |text| part_of_a_compose_name(text) && text.len() <= 40
);

checked_name!(
    /// Name of one environment of a project; no `_`, so that `project-environment` reads unambiguously in host names too.
    EnvironmentName,
    "an environment name",
    "lower-case letters, digits and `-`, starting with a letter, at most 30",
    |text| {
        part_of_a_compose_name(text)
            && text.len() <= 30
            && !text.contains('_')
            && text.starts_with(|c: char| c.is_ascii_lowercase())
    }
);

checked_name!(
    /// Name of a service as Compose knows it.
    ServiceName,
    "a service name",
    "letters, digits, `.`, `-` and `_`",
    |text| {
        !text.is_empty()
            && text.bytes().all(|b| b.is_ascii_alphanumeric() || b".-_".contains(&b))
    }
);

fn part_of_a_compose_name(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit())
        && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'_')
}

/// Makes a project name from any text, such as a folder's name; `None` when nothing usable is left.
pub fn project_name_from(text: &str) -> Option<ProjectName> {
    let cleaned: String = text
        .to_lowercase()
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() || c == '-' || c == '_' { c } else { '-' })
        .collect();
    let trimmed: String = cleaned.trim_matches(['-', '_']).chars().take(40).collect();
    ProjectName::parse(&trimmed).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_follow_their_rules() {
        assert!(EnvironmentName::parse("production").is_ok());
        for bad in ["", "Production", "a_b", "1st", "-x", "ümlaut", "a b"] {
            assert!(EnvironmentName::parse(bad).is_err(), "{bad}");
        }
        assert!(ServiceName::parse("web.v2_x-1").is_ok());
        assert!(ServiceName::parse("web/1").is_err());
    }

    #[test]
    fn a_folder_name_becomes_a_project_name() {
        let name = project_name_from("My App (2)").expect("something is left");
        assert_eq!(name.as_str(), "my-app--2");
        assert_eq!(project_name_from("___"), None);
    }
}
