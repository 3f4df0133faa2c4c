//! `drift`: where what is described, what runs, and the other environment do not agree, and what mends it.
//!
//! [`running`] holds one environment's rendered files against its containers; [`models`] holds two environments'
//! Compose models against each other; [`schema`] their databases. All of them compare values that were read before:
//! the same input gives the same list in the same order.

pub mod models;
pub mod running;
pub mod schema;

use serde::Serialize;

/// One thing that is not the same on two sides.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Difference {
    pub part: Part,
    /// Where it is: `services.web.environment.DEBUG`, `database.main.column.public.users.email`. `accept:` names it.
    pub path: String,
    /// How it stands on the left: as described, or in the first environment. Never a value that may be a secret.
    pub left: String,
    /// How it stands on the right: as it runs, or in the second environment.
    pub right: String,
    /// The command or the change that makes both sides the same.
    pub repair: String,
    /// True: an overlay of one environment, or a variable, says it on purpose.
    pub deliberate: bool,
}

/// What is held against what.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Part {
    Running,
    Model,
    Database,
}

impl Difference {
    pub fn new(part: Part, path: impl Into<String>, sides: (&str, &str), repair: impl Into<String>) -> Self {
        Self {
            part,
            path: path.into(),
            left: sides.0.to_owned(),
            right: sides.1.to_owned(),
            repair: repair.into(),
            deliberate: false,
        }
    }
}

/// True when a pattern of `accept:` covers a path: segment by segment, `*` for any one, and everything below.
///
/// A name with dots in it counts as several segments on both sides.
pub fn accepts(pattern: &str, path: &str) -> bool {
    let (mut pattern, mut path) = (pattern.split('.'), path.split('.'));
    pattern.all(|wanted| path.next().is_some_and(|found| wanted == "*" || wanted == found))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_covers_a_path_and_what_is_below() {
        assert!(accepts("services.web", "services.web.command"));
        assert!(accepts("services.*.environment.LOG_LEVEL", "services.web.environment.LOG_LEVEL"));
        assert!(!accepts("services.web.command", "services.web"));
        assert!(!accepts("services.we", "services.web"));
        assert!(!accepts("services.*.image", "services.web.command"));
    }
}
