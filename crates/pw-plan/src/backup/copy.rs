//! The copy of a repository elsewhere: a plan of its own, for a backup is whole without it.

use std::collections::BTreeMap;

use crate::step::{Action, Plan, RepositoryPlace, Step, Undo};

/// One step, which can be done again and leaves the copy usable wherever it is cut off.
pub fn plan(repository: &RepositoryPlace, (project, environment): (&str, &str), to: &str) -> Plan {
    let does = Action::CopyRepository { repository: repository.clone(), to: to.to_owned() };
    Plan {
        operation: "copy".to_owned(),
        project: project.to_owned(),
        environment: environment.to_owned(),
        basis: crate::hash(&format!("{repository:?}{to}")),
        steps: vec![Step::new(does, Undo::Nothing, "what takes this machine must not take it")],
        texts: BTreeMap::new(),
    }
}
