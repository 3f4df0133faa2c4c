//! What is on the host.

use std::collections::{BTreeMap, BTreeSet};

use pw_model::desired::{FirewallChain, GroupLimits};
use pw_model::observed::{Health, State};

/// All that plans can change. Two hosts in the same state are equal.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct World {
    /// By name.
    pub containers: BTreeMap<String, FakeContainer>,
    pub networks: BTreeSet<String>,
    /// Name → what is in it. A volume that is made anew is `fresh`, so lost data shows.
    pub volumes: BTreeMap<String, String>,
    pub images: BTreeSet<String>,
    /// Path → hash of the content.
    pub files: BTreeMap<String, String>,
    pub folders: BTreeSet<String>,
    pub groups: BTreeMap<String, GroupLimits>,
    /// Chain name → chain.
    pub firewall: BTreeMap<String, FirewallChain>,
    /// Switch file → address.
    pub switches: BTreeMap<String, String>,
    /// Folder or admin address of a proxy → the site files as it last read them.
    pub loaded: BTreeMap<String, BTreeMap<String, String>>,
    /// Admin addresses of proxies that the user runs.
    pub external_proxies: BTreeSet<String>,
    /// `PROJECT/SERVICE` → database → what is in it.
    pub databases: BTreeMap<String, BTreeMap<String, String>>,
    /// `PROJECT/SERVICE` → numbered database of a Redis → what is in it.
    pub caches: BTreeMap<String, BTreeMap<u32, String>>,
    /// Folder → files that rows name.
    pub vaults: BTreeMap<String, FakeVault>,
}

/// A folder of files that rows name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FakeVault {
    pub files: BTreeSet<String>,
    /// Copied and not in place yet.
    pub staged: Option<BTreeSet<String>>,
    /// What was in place before.
    pub aside: Option<BTreeSet<String>>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FakeContainer {
    pub project: String,
    pub service: String,
    pub number: u64,
    pub image: String,
    pub config_hash: String,
    pub state: State,
    pub health: Health,
    pub exit_code: Option<i64>,
    pub networks: BTreeSet<String>,
    pub volumes: BTreeSet<String>,
    pub mounts: BTreeSet<String>,
    pub group: Option<String>,
    pub owner: Option<(String, String)>,
    pub throttled: bool,
}

impl World {
    pub(super) fn of<'a>(
        &'a self,
        project: &'a str,
        service: &'a str,
    ) -> impl Iterator<Item = &'a FakeContainer> {
        self.containers
            .values()
            .filter(move |container| container.project == project && container.service == service)
    }

    pub(super) fn members(&self, network: &str) -> BTreeSet<&String> {
        let on = self.containers.iter().filter(|(_, container)| container.networks.contains(network));
        on.map(|(name, _)| name).collect()
    }

    /// What is below the folder: files, folders, switches.
    pub(super) fn below(&self, folder: &str) -> Vec<String> {
        let paths = self.files.keys().chain(&self.folders).chain(self.switches.keys());
        paths.filter(|path| is_below(path, folder)).cloned().collect()
    }

    /// How this differs from what was before a plan that was taken back; empty when it does not.
    ///
    /// Jobs may have run again, or lost the container of their last run; new images, new volumes and new networks without members may stay: they harm nobody, and the undo of
    /// what made them is `-`. Nothing that was there may be gone or other than it was.
    pub fn differs_from(&self, before: &Self) -> Vec<String> {
        if self == before {
            return Vec::new();
        }
        let mut now = self.clone();
        now.images.retain(|image| before.images.contains(image));
        now.volumes.retain(|volume, _| before.volumes.contains_key(volume));
        // A job that ran again and ended well again, or was cut off when the container of its last run was gone, has
        // changed nothing else.
        let ended = |one: &FakeContainer| one.exit_code == Some(0);
        for (name, then) in before.containers.iter().filter(|(_, then)| ended(then)) {
            if now.containers.get(name).is_none_or(ended) {
                now.containers.insert(name.clone(), then.clone());
            }
        }
        now.networks.retain(|network| before.networks.contains(network) || !self.members(network).is_empty());
        now.differences(before)
    }

    /// Every difference, one line each.
    pub fn differences(&self, other: &Self) -> Vec<String> {
        if self == other {
            return Vec::new();
        }
        let mut lines = Vec::new();
        maps("container", &self.containers, &other.containers, &mut lines);
        sets("network", &self.networks, &other.networks, &mut lines);
        maps("volume", &self.volumes, &other.volumes, &mut lines);
        sets("image", &self.images, &other.images, &mut lines);
        maps("file", &self.files, &other.files, &mut lines);
        sets("folder", &self.folders, &other.folders, &mut lines);
        maps("group", &self.groups, &other.groups, &mut lines);
        maps("firewall chain", &self.firewall, &other.firewall, &mut lines);
        maps("switch", &self.switches, &other.switches, &mut lines);
        maps("loaded sites", &self.loaded, &other.loaded, &mut lines);
        maps("databases of", &self.databases, &other.databases, &mut lines);
        maps("cache", &self.caches, &other.caches, &mut lines);
        maps("vault", &self.vaults, &other.vaults, &mut lines);
        lines
    }
}

pub(super) fn is_below(path: &str, folder: &str) -> bool {
    path.strip_prefix(folder).is_some_and(|rest| rest.starts_with('/'))
}

fn sets(what: &str, now: &BTreeSet<String>, then: &BTreeSet<String>, lines: &mut Vec<String>) {
    lines.extend(now.difference(then).map(|name| format!("{what} {name} is new")));
    lines.extend(then.difference(now).map(|name| format!("{what} {name} is gone")));
}

fn maps<V: PartialEq + std::fmt::Debug>(
    what: &str,
    now: &BTreeMap<String, V>,
    then: &BTreeMap<String, V>,
    lines: &mut Vec<String>,
) {
    let names: BTreeSet<&String> = now.keys().chain(then.keys()).collect();
    for name in names.into_iter().filter(|name| now.get(*name) != then.get(*name)) {
        lines.push(format!("{what} {name} is {:?}, was {:?}", now.get(name), then.get(name)));
    }
}
