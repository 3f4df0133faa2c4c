//! What is: a snapshot of one environment on one host, taken once before planning.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::desired::{FirewallChain, GroupLimits};
use crate::unit::Cpus;

/// Everything a plan compares against. Only stable facts: two snapshots of an idle host are equal.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Observed {
    pub containers: Vec<Container>,
    /// Engine names that exist, of those that the environment could own.
    pub networks: BTreeSet<String>,
    pub volumes: BTreeSet<String>,
    pub images: BTreeSet<String>,
    /// Path → hash of its content, for files of ours that exist.
    pub files: BTreeMap<String, String>,
    pub folders: BTreeSet<String>,
    pub group: Option<GroupLimits>,
    pub firewall: Option<FirewallChain>,
    pub proxy: ObservedProxy,
    /// Names of the project's other environments that have files here, running or not.
    pub neighbours: BTreeSet<String>,
    /// Switch file → the address that it lets requests through to.
    pub open_switches: BTreeMap<String, String>,
    /// The project's folder that the environment was last brought up from; `None` for one that never was.
    pub folder: Option<RecordedFolder>,
    /// Service → aspect → hash, of the rendered file that is installed; empty when that is as desired.
    pub aspects: BTreeMap<String, BTreeMap<String, String>>,
}

/// A project's folder, as an environment remembers it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordedFolder {
    pub path: String,
    pub exists: bool,
}

/// A container that carries the labels of the environment's Compose project.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Container {
    pub id: String,
    pub name: String,
    pub service: String,
    pub number: u64,
    pub image: String,
    pub state: State,
    pub health: Health,
    pub config_hash: String,
    /// `partywall.project` and `partywall.environment`, as labelled; `None` for containers that Partywall did not make.
    pub owner: Option<(String, String)>,
    pub exit_code: Option<i64>,
    /// Engine names of the networks that it is on.
    pub networks: BTreeSet<String>,
    /// Path inside → path of the host, or name of the volume, that is mounted there.
    pub mounts: BTreeMap<String, String>,
    /// Paths inside whose mount is gone, so that what it covered shows.
    pub lost_mounts: BTreeSet<String>,
    pub origin: Origin,
    /// True when it sleeps by having [`THROTTLED`] in place of its own ceiling.
    pub throttled: bool,
}

/// What each container of an environment may use that sleeps and goes on: enough for a healthcheck and a timer.
pub const THROTTLED: Cpus = Cpus::from_thousandths(100);

/// Whose state a container was made from.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Origin {
    /// `partywall.state`: the identity of the state folder.
    pub state: Option<String>,
    /// The Compose file, as Compose noted it.
    pub compose_file: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    Created,
    Running,
    Paused,
    Restarting,
    Exited,
    Dead,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Health {
    /// No healthcheck is set.
    Unknown,
    Starting,
    Healthy,
    Unhealthy,
}

/// The proxy, as it runs.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ObservedProxy {
    pub running: bool,
    pub networks: BTreeSet<String>,
    /// True when Caddy runs the configuration that the site files, with ours as desired, make.
    pub current: bool,
    /// Of a container that is there, running or not.
    pub origin: Option<Origin>,
    /// Edge networks that exist, of every environment that its site files name.
    pub edges: BTreeSet<String>,
}

impl Container {
    /// True when the container does what it should: running and not unhealthy, or a job that ended well.
    pub fn is_up(&self) -> bool {
        self.state == State::Running && self.health != Health::Unhealthy
    }

    pub fn ended_well(&self) -> bool {
        self.state == State::Exited && self.exit_code == Some(0)
    }
}
