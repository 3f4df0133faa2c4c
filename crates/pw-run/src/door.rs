//! The two doors to the world.

use std::error::Error;

use pw_model::desired::Desired;
use pw_model::observed::Observed;
use pw_plan::Action;

/// An action or observation that did not work. It says its own part only; the cause is its source.
#[derive(Debug, thiserror::Error)]
#[error("{what}")]
pub struct Failure {
    /// `could not start web`
    pub what: String,
    /// A command to run or a line to change.
    pub hint: Option<String>,
    #[source]
    pub source: Option<Box<dyn Error + Send + Sync>>,
}

impl Failure {
    pub fn new(what: impl Into<String>) -> Self {
        Self { what: what.into(), hint: None, source: None }
    }

    #[must_use]
    pub fn because(mut self, source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

/// Eyes: takes one snapshot.
pub trait Observe {
    async fn observe(&self, desired: &Desired) -> Result<Observed, Failure>;
}

/// Hands: does one thing. Every action is idempotent, for it may run again after a crash and its undo may meet a step that half ran.
pub trait Perform {
    /// Keeps a text under its hash, so that `InstallFile` finds it. Called for all texts of a plan before the plan is journalled.
    async fn stage(&mut self, hash: &str, text: &str) -> Result<(), Failure>;
    async fn perform(&mut self, action: &Action) -> Result<(), Failure>;
}
