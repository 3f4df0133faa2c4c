//! What is wrong, where it stands, why, and what to do: one shape for every complaint about a file.

use std::fmt;

use serde::Serialize;

use crate::source::Place;

/// How much a diagnostic weighs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Worth knowing; nothing is refused.
    Warning,
    /// The files can be read, but `check` and `up` refuse them.
    Error,
}

/// One complaint about what the user wrote.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Diagnostic {
    pub severity: Severity,
    /// Lower case, no final dot, names in backticks.
    pub message: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub place: Option<Place>,
    /// Causes, outermost first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub because: Vec<String>,
    /// A command to run or a line to change.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

impl Diagnostic {
    pub fn error(message: impl Into<String>) -> Self {
        Self {
            severity: Severity::Error,
            message: message.into(),
            place: None,
            because: Vec::new(),
            hint: None,
        }
    }

    pub fn warning(message: impl Into<String>) -> Self {
        Self { severity: Severity::Warning, ..Self::error(message) }
    }

    #[must_use]
    pub fn at(mut self, place: Option<Place>) -> Self {
        self.place = place.or(self.place);
        self
    }

    #[must_use]
    pub fn because(mut self, cause: impl Into<String>) -> Self {
        self.because.push(cause.into());
        self
    }

    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// The same complaint, as one that refuses nothing.
    #[must_use]
    pub fn softened(self) -> Self {
        Self { severity: Severity::Warning, ..self }
    }

    pub fn is_error(&self) -> bool {
        self.severity == Severity::Error
    }
}

impl fmt::Display for Diagnostic {
    /// The house style: message, place with the offending line, `because:` chain, `hint:`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = if self.is_error() { "error" } else { "warning" };
        write!(f, "{word}: {}", self.message)?;
        if let Some(place) = &self.place {
            write!(f, "\n  --> {}:{}:{}", place.file, place.line, place.column)?;
            if !place.text.is_empty() {
                let gutter = place.line.to_string();
                let space = " ".repeat(gutter.len());
                let indent = " ".repeat(place.column.saturating_sub(1));
                let marks = "^".repeat(place.length.max(1));
                write!(f, "\n {space} |\n {gutter} | {}\n {space} | {indent}{marks}", place.text)?;
            }
        }
        for cause in &self.because {
            write!(f, "\n  because: {}", cause.replace('\n', "\n           "))?;
        }
        match &self.hint {
            Some(hint) => write!(f, "\nhint: {hint}"),
            None => Ok(()),
        }
    }
}

/// The nearest of `known` to `written`, when it is near enough to be a slip of the hand.
pub fn nearest<'a>(written: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    known
        .into_iter()
        .map(|name| (strsim::damerau_levenshtein(written, name), name))
        .filter(|(distance, name)| *distance <= (name.len() / 3).max(1))
        .min()
        .map(|(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_diagnostic_reads_in_the_house_style() {
        let place = Place {
            file: "partywall.yaml".into(),
            line: 7,
            column: 5,
            length: 6,
            text: "    domian: x".into(),
        };
        let shown = Diagnostic::error("unknown key `domian`")
            .at(Some(place))
            .because("an environment knows `domain`")
            .hint("write `domain`")
            .to_string();
        assert_eq!(
            shown,
            "error: unknown key `domian`\n  --> partywall.yaml:7:5\n   |\n 7 |     domian: x\n   |     ^^^^^^\n  because: an environment knows `domain`\nhint: write `domain`"
        );
    }

    #[test]
    fn only_near_names_are_suggested() {
        assert_eq!(nearest("rouets", ["routes", "overlays"]), Some("routes"));
        assert_eq!(nearest("zzz", ["routes", "overlays"]), None);
    }
}
