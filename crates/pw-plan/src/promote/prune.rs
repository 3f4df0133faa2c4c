//! Which releases stay listed, and what goes with those that do not.

use std::collections::{BTreeMap, BTreeSet};

use pw_model::release::Release;

use crate::step::{Action, Plan, Step, Undo};

pub const OPERATION: &str = "prune-releases";

/// The releases of one environment, and what others still need.
#[derive(Debug, Clone, Copy)]
pub struct Wanted<'a> {
    pub project: &'a str,
    pub environment: &'a str,
    /// The oldest first.
    pub all: &'a [Release],
    /// The number of the one that runs.
    pub current: u64,
    pub keep: usize,
    /// Folder of the list.
    pub folder: &'a str,
    /// Of the project's other environments.
    pub elsewhere: &'a [Release],
}

/// Steps that forget what is no longer kept, its images and its files. Empty when everything is kept.
///
/// The release that runs, and the one that it brings back, always stay.
pub fn plan(wanted: Wanted<'_>) -> Plan {
    let newest: BTreeSet<u64> = wanted.all.iter().rev().take(wanted.keep).map(|one| one.number).collect();
    let brought = wanted.all.iter().find(|one| one.number == wanted.current).and_then(|one| one.of);
    let stays = |one: &&Release| {
        newest.contains(&one.number) || one.number == wanted.current || Some(one.number) == brought
    };
    let (kept, gone): (Vec<&Release>, Vec<&Release>) = wanted.all.iter().partition(stays);
    let needed: Vec<&Release> = kept.into_iter().chain(wanted.elsewhere).collect();
    let is_needed = |image: &&String| needed.iter().any(|one| one.images.values().any(|tag| tag == *image));
    let images: BTreeSet<String> =
        gone.iter().flat_map(|one| one.images.values()).filter(|tag| !is_needed(tag)).cloned().collect();
    let trees: BTreeSet<&String> =
        gone.iter().map(|one| &one.tree).filter(|tree| needed.iter().all(|one| one.tree != **tree)).collect();
    let step =
        |does| Step::new(does, Undo::Nothing, "`promote.keep` keeps newer ones; a commit can be built again");
    let mut steps: Vec<Step> = gone
        .iter()
        .map(|one| step(Action::RemoveFile { path: format!("{}/{}.json", wanted.folder, one.number) }))
        .collect();
    if !images.is_empty() {
        steps.push(step(Action::RemoveImages { names: images.into_iter().collect() }));
    }
    steps.extend(trees.into_iter().map(|path| step(Action::RemoveTree { path: path.clone() })));
    Plan {
        operation: OPERATION.to_owned(),
        project: wanted.project.to_owned(),
        environment: wanted.environment.to_owned(),
        basis: crate::hash(&format!("{wanted:?}")),
        steps,
        texts: BTreeMap::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn release(number: u64, of: Option<u64>) -> Release {
        Release {
            number,
            of,
            tree: format!("/t/{number}"),
            images: BTreeMap::from([("web".into(), format!("i:{number}"))]),
            ..Release::default()
        }
    }

    #[test]
    fn what_runs_and_what_others_run_stays() {
        let mut all: Vec<Release> = (1..=5).map(|number| release(number, None)).collect();
        all.push(release(6, Some(2)));
        let elsewhere = [release(3, None)];
        let plan = plan(Wanted {
            project: "shop",
            environment: "production",
            all: &all,
            current: 6,
            keep: 2,
            folder: "/r",
            elsewhere: &elsewhere,
        });
        let does: Vec<String> = plan.steps.iter().map(|step| step.does.to_string()).collect();
        let wanted = [
            "remove /r/1.json",
            "remove /r/3.json",
            "remove /r/4.json",
            "remove images i:1, i:4",
            "remove /t/1 with all in it",
            "remove /t/4 with all in it",
        ];
        assert_eq!(does, wanted);
    }
}
