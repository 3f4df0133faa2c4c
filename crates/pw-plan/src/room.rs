//! Room on a disk: what is surely nobody's goes, before anybody's writes have to be stopped.
//!
//! Never a volume, never an image with a name, never one that a container uses or that anything of ours mentions: those
//! are somebody's.

use std::collections::BTreeMap;

use pw_model::unit::Share;

use crate::step::{Action, Plan, Step, Undo};

pub const OPERATION: &str = "make-room";

/// What is younger may be what somebody works with at this moment: a build between two steps, an image about to be named.
pub const SETTLED: u64 = 24 * 3600;
/// Seconds between two times; nothing becomes a day older in less.
const REST: u64 = 3600;

/// An image without a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unnamed {
    /// `sha256:…`
    pub identity: String,
    /// By which registries know it.
    pub digests: Vec<String>,
    /// Seconds since 1970.
    pub created: i64,
    /// True where a container was made from it, running or not.
    pub is_used: bool,
}

/// Folder of a commit's files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tree {
    pub path: String,
    /// Seconds since 1970.
    pub made: i64,
}

/// What lies there, and who might still want it.
#[derive(Debug, Clone)]
pub struct Wanted<'a> {
    pub project: &'a str,
    pub images: &'a [Unnamed],
    pub trees: &'a [Tree],
    /// Every file of ours that may mention one of them: releases, Compose files.
    pub mentions: &'a [String],
    /// Seconds since 1970.
    pub now: i64,
}

/// Steps that remove it.
pub fn plan(wanted: &Wanted<'_>) -> Plan {
    let settled = |since: i64| u64::try_from(wanted.now - since).is_ok_and(|age| age >= SETTLED);
    let is_mentioned = |name: &str| wanted.mentions.iter().any(|text| text.contains(name));
    let is_nobodys = |image: &&Unnamed| {
        let mut names = std::iter::once(&image.identity).chain(&image.digests);
        !image.is_used && settled(image.created) && !names.any(|name| is_mentioned(digest(name)))
    };
    let images: Vec<String> =
        wanted.images.iter().filter(is_nobodys).map(|image| image.identity.clone()).collect();
    let trees = wanted.trees.iter().filter(|tree| settled(tree.made) && !is_mentioned(&tree.path));
    let step = |does, because: &str| Step::new(does, Undo::Nothing, because);
    let mut steps = Vec::new();
    if !images.is_empty() {
        let because = "older than a day, without a name or a container, and no release mentions them";
        steps.push(step(Action::RemoveUnnamedImages { identities: images }, because));
    }
    steps
        .push(step(Action::ClearBuildCache { unused_seconds: SETTLED }, "a build makes anew what it misses"));
    steps.extend(trees.map(|tree| {
        let because = "left by a release that did not come to be; a commit can be checked out again";
        step(Action::RemoveTree { path: tree.path.clone() }, because)
    }));
    Plan {
        operation: OPERATION.to_owned(),
        project: wanted.project.to_owned(),
        environment: "host".to_owned(),
        basis: crate::hash(&format!("{wanted:?}")),
        steps,
        texts: BTreeMap::new(),
    }
}

/// What stays the same whatever stands before it: `shop@sha256:1a…` → `sha256:1a…`.
fn digest(name: &str) -> &str {
    name.rsplit_once('@').map_or(name, |(_, digest)| digest)
}

/// Why it is time; `None` while there is room, or it was done a moment ago, in seconds.
pub fn due(below: Share, free: f64, ago: Option<u64>) -> Option<String> {
    let is_rested = ago.is_none_or(|ago| ago >= REST);
    (free < below.part() && is_rested)
        .then(|| format!("{:.0} % of the disk is left, and `governor.room` is {below}", free * 100.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_000_000;
    const DAY: i64 = 24 * 3600;

    fn image(identity: &str) -> Unnamed {
        Unnamed { identity: identity.into(), digests: Vec::new(), created: NOW - DAY, is_used: false }
    }

    #[test]
    fn only_what_is_surely_nobodys_goes() {
        let images = [
            image("sha256:old"),
            Unnamed { created: NOW - DAY + 1, ..image("sha256:young") },
            Unnamed { created: NOW + 1, ..image("sha256:of-a-clock-set-back") },
            Unnamed { is_used: true, ..image("sha256:used") },
            image("sha256:released"),
            Unnamed { digests: vec!["db@sha256:pinned".into()], ..image("sha256:by-digest") },
            Unnamed { digests: vec!["db@sha256:replaced".into()], ..image("sha256:pulled") },
        ];
        let tree = |path: &str, made| Tree { path: path.into(), made };
        let trees = [tree("/t/kept", 0), tree("/t/left", 0), tree("/t/new", NOW)];
        let mentions = [
            r#"{"digests": {"web": "sha256:released"}, "tree": "/t/kept"}"#.to_owned(),
            "image: db:17@sha256:pinned".to_owned(),
        ];
        let wanted =
            Wanted { project: "shop", images: &images, trees: &trees, mentions: &mentions, now: NOW };
        let does: Vec<String> = plan(&wanted).steps.iter().map(|step| step.does.to_string()).collect();
        let expected = [
            "remove unnamed images old, pulled",
            "remove build cache that was not used for 24 h",
            "remove /t/left with all in it",
        ];
        assert_eq!(does, expected);
    }

    #[test]
    fn it_is_time_with_little_room_and_not_again_at_once() {
        let below = Share::percent(15);
        assert_eq!(due(below, 0.15, None), None);
        let why = due(below, 0.149, None);
        assert_eq!(why.as_deref(), Some("15 % of the disk is left, and `governor.room` is 15%"));
        assert_eq!(due(below, 0.01, Some(REST - 1)), None);
        assert!(due(below, 0.01, Some(REST)).is_some());
        assert_eq!(due(Share::percent(0), 0.0, None), None, "nobody wants it");
    }
}
