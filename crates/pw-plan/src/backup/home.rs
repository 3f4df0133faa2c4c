//! `restore --from`: the configuration of a project comes back onto a machine that has none of it.
//!
//! Data follows by `up` and `restore`, which need nothing else.

use std::collections::{BTreeMap, BTreeSet};

use crate::step::{Action, Plan, RepositoryPlace, Step, Stored, Undo};

pub const OPERATION: &str = "bring-home";

/// What comes back, and what of it is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    pub project: String,
    /// As it is opened now, with the key that the user gave.
    pub repository: RepositoryPlace,
    /// Where the project's commands look for the key.
    pub key: String,
    /// Backup → name in it → where the file goes.
    pub files: BTreeMap<String, BTreeMap<String, String>>,
    /// Paths that exist: they are compared, and stay.
    pub there: BTreeSet<String>,
}

/// Steps that bring the configuration back; files that are there must be the backup's own.
pub fn plan(wanted: &Wanted) -> Plan {
    let remove = |path: &String| Action::RemoveFile { path: path.clone() };
    let new = |path: &&String| !wanted.there.contains(*path);
    let key = Some(&wanted.key).filter(new).map(remove);
    let does = Action::CopyKey { from: wanted.repository.key.clone(), to: wanted.key.clone() };
    let mut steps =
        vec![Step::new(does, taken_back(key.into_iter().collect()), "nobody reads a backup without it")];
    for (backup, files) in &wanted.files {
        let (repository, backup) = (wanted.repository.clone(), backup.clone());
        let stored = Stored { repository, backup, part: "configuration".to_owned() };
        let undo = taken_back(files.values().filter(new).map(remove).collect());
        let does = Action::RestoreFiles { stored, files: files.clone() };
        steps.push(Step::new(does, undo, "an environment is made from its files"));
    }
    Plan {
        operation: OPERATION.to_owned(),
        project: wanted.project.clone(),
        environment: "configuration".to_owned(),
        basis: crate::hash(&format!("{wanted:?}")),
        steps,
        texts: BTreeMap::new(),
    }
}

fn taken_back(actions: Vec<Action>) -> Undo {
    if actions.is_empty() { Undo::Nothing } else { Undo::By { actions } }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_not_there_is_removed_again() {
        let repository = RepositoryPlace {
            path: "/mnt".into(),
            key: "/root/key".into(),
            lock: "/state/lock".into(),
            id: None,
        };
        let files =
            [("project/a".to_owned(), "/srv/a".to_owned()), ("project/b".to_owned(), "/srv/b".to_owned())];
        let wanted = Wanted {
            project: "shop".into(),
            repository,
            key: "/state/key".into(),
            files: [("20260101-000000".to_owned(), files.into())].into(),
            there: ["/srv/a".to_owned()].into(),
        };
        assert_eq!(
            plan(&wanted).to_string(),
            "1. copy the key /root/key to /state/key | undo: remove /state/key | nobody reads a backup without it\n\
             2. write /srv/a, /srv/b from backup 20260101-000000 | undo: remove /srv/b | an environment is made from its files\n"
        );
    }
}
