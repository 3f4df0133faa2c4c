//! Questions about a sample that is not made, and what bars making one.

use std::sync::{Arc, Mutex, PoisonError};

use pw_data::Halt;
use pw_data::sample::Reading;
use pw_model::config::{self, Seed, Vault};
use pw_model::diagnostic::Diagnostic;
use pw_model::source::SourceFile;

/// What a user wants to know of a sample.
#[derive(Debug, Clone)]
pub(crate) enum Question {
    /// Which columns look personal or secret and have no rule?
    Suggest,
    /// By which references would the row of a table with this key come along?
    Why(Vec<String>),
}

#[derive(Debug, Clone)]
pub(crate) enum Answer {
    /// A snippet of rules.
    Snippet(String),
    Chain(Vec<String>),
}

/// A question that a plan answers when it is carried out.
#[derive(Debug, Clone, Default)]
pub(crate) struct Asked {
    pub(crate) question: Option<Question>,
    answer: Arc<Mutex<Option<Answer>>>,
}

impl Asked {
    pub(crate) fn new(question: Question) -> Self {
        Self { question: Some(question), ..Self::default() }
    }

    pub(crate) fn answered(&self) -> Option<Answer> {
        self.answer.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Whether a row's way into the sample must be noted.
    pub(crate) fn wants_ways(&self) -> bool {
        matches!(self.question, Some(Question::Why(_)))
    }

    pub(crate) async fn put_to(&self, reading: &Reading) -> Result<(), Halt> {
        let Some(question) = &self.question else { return Ok(()) };
        let found = answer(reading, question).await?;
        *self.answer.lock().unwrap_or_else(PoisonError::into_inner) = Some(found);
        Ok(())
    }
}

pub(crate) async fn answer(reading: &Reading, question: &Question) -> Result<Answer, Halt> {
    Ok(match question {
        Question::Suggest => Answer::Snippet(reading.snippet(&reading.suspects().await?)),
        Question::Why(words) => {
            let word = |index: usize| words.get(index).map_or("", String::as_str);
            Answer::Chain(reading.why(word(0), word(1)).await?)
        }
    })
}

/// Columns that name files must say the same on both sides.
pub(crate) fn unreadable(reading: &Reading, rules: &SourceFile, seed: &Seed) -> Vec<Diagnostic> {
    let complaint = |(index, vault): (usize, &Vault)| {
        let place = rules.find_nearest(&["seed", "vault", &index.to_string(), "key"]);
        Some(reading.bars_reading(&vault.key)?.at(place))
    };
    seed.vault.iter().enumerate().filter_map(complaint).collect()
}

/// The same where only the rules are at hand.
pub(crate) fn readable(reading: &Reading, rules: &SourceFile) -> Result<(), Halt> {
    let seed = config::parse(rules).ok().and_then(|config| config.seed).unwrap_or_default();
    let found = unreadable(reading, rules, &seed);
    if found.is_empty() { Ok(()) } else { Err(Halt::Complaints(found)) }
}
