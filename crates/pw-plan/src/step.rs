//! The plan: steps in order, each with what it does, how it is undone, and why.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

pub use crate::action::{Action, ComposeRun};
pub use crate::backup::step::{
    BackupRun, BaseRun, DrillRun, FolderPlace, Kept, LogHold, LogRun, PlayedLog, RepositoryPlace,
    ScratchServer, Stored, TableName,
};
pub use crate::promote::step::{
    Canary, Checkout, CommandRun, Containers, Drain, Generation, Hook, Probe, Watch, WatchedRoute,
};
pub use crate::prove::step::{BlastRun, ProbeRun};
pub use crate::rehearse::Rehearsal;
pub use crate::scratch::{CopyMethod, DatabaseCopy};
pub use crate::seed::step::{
    BackupOrigin, CachePlace, DatabasePlace, SampleRun, SourcePlace, TakeRun, VaultPlace, VaultRun,
};
use crate::words::list;

/// How a step is taken back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "undo", rename_all = "kebab-case")]
pub enum Undo {
    /// Nothing was changed, or what was changed harms nobody.
    Nothing,
    /// Taken in this order.
    By { actions: Vec<Action> },
    /// It cannot be taken back; `saved_as` says where what is lost can be found, if anywhere.
    Impossible { saved_as: Option<String> },
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    pub does: Action,
    pub undo: Undo,
    pub because: String,
}

/// What will be done, for one environment. Names are chosen here, never while executing.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// `up`, `down`, `destroy`, `seed`.
    pub operation: String,
    pub project: String,
    pub environment: String,
    /// Hash of what was desired and observed; `apply` refuses when the host has moved on.
    pub basis: String,
    pub steps: Vec<Step>,
    /// Texts by hash that steps install. Kept out of the journal, since Compose files hold secrets.
    #[serde(skip)]
    pub texts: BTreeMap<String, String>,
}

impl Step {
    pub fn new(does: Action, undo: Undo, because: impl Into<String>) -> Self {
        Self { does, undo, because: because.into() }
    }
}

impl Undo {
    pub fn by(action: Action) -> Self {
        Self::By { actions: vec![action] }
    }
}

/// A plan that must not be carried out; a mistake of the planner, not of the user.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("step {number} cannot be undone, and step {later} after it can")]
pub struct UnsafeOrder {
    number: usize,
    later: usize,
}

impl Plan {
    pub fn is_empty(&self) -> bool {
        self.steps.is_empty()
    }

    /// Refuses a plan in which a step that cannot be undone stands before one that changes something and can.
    pub fn lint(&self) -> Result<(), UnsafeOrder> {
        let lost = |step: &Step| matches!(step.undo, Undo::Impossible { saved_as: None });
        let Some(first) = self.steps.iter().position(lost) else { return Ok(()) };
        match self.steps.iter().skip(first).position(|step| matches!(step.undo, Undo::By { .. })) {
            Some(offset) => Err(UnsafeOrder { number: first + 1, later: first + offset + 1 }),
            None => Ok(()),
        }
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.steps.iter().enumerate().try_for_each(|(index, step)| writeln!(f, "{}. {step}", index + 1))
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} | undo: {} | {}", self.does, self.undo, self.because)
    }
}

impl fmt::Display for Undo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nothing => f.write_str("-"),
            Self::By { actions } => f.write_str(&list(actions, ", then ")),
            Self::Impossible { saved_as: None } => f.write_str("impossible"),
            Self::Impossible { saved_as: Some(place) } => write!(f, "impossible, saved as {place}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(steps: Vec<Step>) -> Plan {
        Plan {
            operation: "test".into(),
            project: "shop".into(),
            environment: "development".into(),
            basis: String::new(),
            steps,
            texts: BTreeMap::new(),
        }
    }

    #[test]
    fn what_is_lost_must_come_last() {
        let lose = Step::new(
            Action::RemoveVolumes { project: "p".into(), names: vec!["v".into()] },
            Undo::Impossible { saved_as: None },
            "asked for",
        );
        let keep = Step::new(
            Action::MakeFolder { path: "/f".into() },
            Undo::by(Action::RemoveFolder { path: "/f".into() }),
            "needed",
        );
        assert!(plan(vec![keep.clone(), lose.clone()]).lint().is_ok());
        assert!(plan(vec![lose, keep]).lint().is_err());
    }
}
