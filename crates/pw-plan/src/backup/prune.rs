//! `backups --prune`: only what `backup.keep` says stays.

use std::collections::BTreeMap;

use crate::step::{Action, Kept, Plan, RepositoryPlace, Step, Undo};

/// What is there of an environment, and how much of it stays.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    pub repository: RepositoryPlace,
    pub project: String,
    pub environment: String,
    pub kept: Kept,
    /// Names of those that go.
    pub surplus: Vec<String>,
}

/// One step, of which nothing is to be undone and which can be done again.
pub fn plan(wanted: &Wanted) -> Plan {
    let does = Action::ForgetBackups {
        repository: wanted.repository.clone(),
        project: wanted.project.clone(),
        environment: wanted.environment.clone(),
        kept: wanted.kept.clone(),
        prune: true,
    };
    let because = match wanted.surplus.as_slice() {
        [] => "`backup.keep` keeps all that there are".to_owned(),
        gone => format!("`backup.keep` keeps all but {}", gone.join(", ")),
    };
    Plan {
        operation: "prune".to_owned(),
        project: wanted.project.clone(),
        environment: wanted.environment.clone(),
        basis: crate::hash(&format!("{wanted:?}")),
        steps: vec![Step::new(does, Undo::Nothing, because)],
        texts: BTreeMap::new(),
    }
}
