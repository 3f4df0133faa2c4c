//! What should be: one environment, rendered and ready to compare with what is.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::config::{Class, Goals, Promote};
use crate::name::{EnvironmentName, ProjectName};
use crate::role::Role;
use crate::unit::{Bytes, Cpus};

/// One environment as it should be. Everything that a plan needs, and nothing that changes with time.
#[derive(Debug, Clone, PartialEq)]
pub struct Desired {
    pub project: ProjectName,
    pub environment: EnvironmentName,
    pub class: Class,
    /// Compose project, such as `shop-production`.
    pub compose_project: String,
    /// The rendered Compose file.
    pub compose_file: FileText,
    /// Beside the rendered file, where Compose reads it by itself: what `secrets` and `configs` take from variables.
    pub variable_file: Option<FileText>,
    /// Holds the project's folder, so that a second copy of the project is not taken for the first.
    pub folder_file: FileText,
    /// Identity of the state folder.
    pub state: String,
    /// True when the user says that the environment is to move to this folder and this state.
    pub moved: bool,
    /// In the order of the model; keyed by service name.
    pub services: BTreeMap<String, DesiredService>,
    /// Engine names of networks and volumes that belong to this environment alone.
    pub networks: Vec<String>,
    pub volumes: Vec<String>,
    /// The environment's own folder in the state of the host; `destroy` removes it.
    pub state_folder: String,
    /// Where the texts of its files are kept; `destroy` removes it.
    pub store_folder: String,
    /// Folders of the host and volumes of others in which its services keep data; `destroy` leaves them.
    pub kept_data: Vec<String>,
    /// Folders of the host that must exist before containers mount them.
    pub folders: Vec<String>,
    /// Files of the host that are filled with a fresh random value when they do not exist.
    pub generated_secrets: Vec<String>,
    pub group: Option<GroupLimits>,
    /// Holds what is built, for whatever environment.
    pub build_group: Option<GroupLimits>,
    /// `None` where the host's firewall cannot be set.
    pub firewall: Option<FirewallChain>,
    /// `None` when nothing is routed.
    pub proxy: Option<DesiredProxy>,
    pub routes: Vec<DesiredRoute>,
    /// Where it would say which release runs.
    pub release_path: String,
    /// Says which release runs; `None` where the project's folder itself is what runs.
    pub release: Option<FileText>,
    /// How a new generation comes to serve.
    pub promote: Promote,
    pub goals: Goals,
}

/// A file of ours, whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileText {
    pub path: String,
    pub text: String,
}

impl Desired {
    /// The same with these services and what they need, and no visitors.
    #[must_use]
    pub fn only(mut self, services: &BTreeSet<String>) -> Self {
        let (mut kept, mut left) = (BTreeSet::new(), services.clone());
        while let Some(name) = left.pop_first() {
            let needs = self.services.get(&name).map(|one| one.needs.clone()).unwrap_or_default();
            if kept.insert(name) {
                left.extend(needs);
            }
        }
        self.services.retain(|name, _| kept.contains(name));
        (self.routes, self.proxy) = (Vec::new(), None);
        self
    }

    /// Absolute folder of the project.
    pub fn folder(&self) -> &str {
        self.folder_file.text.trim_end()
    }
}

#[derive(Debug, Clone, PartialEq)]
pub struct DesiredService {
    pub role: Role,
    /// `docker compose config --hash` of the service in the rendered file.
    pub config_hash: String,
    pub scale: u64,
    pub image: String,
    pub built: bool,
    /// Names of services that must be there first.
    pub needs: Vec<String>,
    pub has_healthcheck: bool,
    /// The most that each of its containers may use.
    pub cpus: Option<Cpus>,
    /// Engine names of the networks that its containers must be on.
    pub networks: BTreeSet<String>,
    /// Path inside → path of the host, or engine name of the volume, to be mounted there.
    pub mounts: BTreeMap<String, String>,
    /// What of it can differ → hash of the value, never the value.
    pub aspects: BTreeMap<String, String>,
}

/// The parent control group of an environment and what it holds the containers to.
///
/// Field by field the same on cgroup v1 and v2; `pw-host` translates.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupLimits {
    /// As Docker's `cgroup_parent` takes it: `/partywall/shop/production`, or a `.slice` under systemd.
    pub path: String,
    /// Share of CPU under contention, 1–10000; the kernel's default is 100.
    pub cpu_weight: u64,
    /// True: runs only when nobody else wants the CPU (`cpu.idle`).
    pub cpu_idle: bool,
    pub cpu_ceiling: Option<Cpus>,
    pub memory_ceiling: Option<Bytes>,
    /// Memory that is not reclaimed while others have some to give.
    pub memory_protection: Option<Bytes>,
    pub process_ceiling: Option<u64>,
}

/// Groups of the host, each of which holds every environment of one class, as their paths begin. Under systemd they are
/// slices with `_` in place of `-`.
///
/// The kernel weighs a group against its neighbours only. Each of these is therefore as heavy as what it holds: production goes
/// before all that is not ours, such as the kernel's own threads that write what development left in memory; and what is idle is idle
/// against everything.
pub const PRODUCTION_GROUP: &str = "/partywall";
pub const STAGING_GROUP: &str = "/partywall-beside";
pub const IDLE_GROUP: &str = "/partywall-idle";

impl GroupLimits {
    /// The group of the host that holds it, which weighs the same or is idle too; `None` for one that stands by itself.
    pub fn above(&self) -> Option<String> {
        let path = self.path.trim_start_matches('/');
        match path.strip_suffix(".slice") {
            Some(slice) => slice.split_once('-').map(|(top, _)| format!("{top}.slice")),
            None => path.split_once('/').map(|(top, _)| format!("/{top}")),
        }
    }
}

/// A chain of the host's firewall that drops packets between an environment and all other containers.
///
/// Reached from `FORWARD` of the table `mangle`, which Docker does not touch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FirewallChain {
    pub name: String,
    /// In order, as `iptables -S` prints them after the chain's name.
    pub rules: Vec<String>,
    /// True: the same rules hold for IPv6.
    pub ipv6: bool,
}

/// The one Caddy, as this project needs it.
#[derive(Debug, Clone, PartialEq)]
pub struct DesiredProxy {
    /// Compose project and container name of the proxy.
    pub name: String,
    pub container: String,
    /// The proxy's folder in the state of the host, and those below it that must exist before it starts.
    pub folder: String,
    pub folders: Vec<String>,
    pub compose_file: FileText,
    /// Routes of all environments of this project, one file per project.
    pub site_file: FileText,
    /// Networks that the proxy must join for this environment.
    pub networks: Vec<String>,
    /// Admin address of a Caddy that the user runs; `None` for ours.
    pub external_admin: Option<String>,
}

/// A service that the proxy may hand requests to.
#[derive(Debug, Clone, PartialEq)]
pub struct DesiredRoute {
    pub service: String,
    pub hosts: Vec<String>,
    /// The file that lets requests through; the proxy reads it with each request.
    pub switch: String,
    /// What stands in the file: `name:port`, as the proxy dials it.
    pub address: String,
    /// Where the proxy and the service meet; `None` where it reaches the service by a port of the host, and where
    /// the service has no network of its own. Without one, there can be no two generations side by side.
    pub edge: Option<String>,
    /// The file that leads requests on the candidates' socket to a generation that no visitor meets yet.
    pub candidate: String,
    /// Where visitors come in.
    pub entrance: Entrance,
    /// The file that leads a part of the visitors to a generation while it is tried.
    pub canary: String,
    /// The file that leads requests for assets which the generation that serves lacks to the one before it.
    pub before: String,
    /// Where other services of the environment reach it; `None` where none would.
    pub calls: Option<DesiredCalls>,
}

/// Where visitors of a service come in, as a program of this host reaches it, and how it gets past the generation that serves.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entrance {
    /// `address:port` of the proxy.
    pub address: String,
    pub tls: bool,
    /// The file that leads requests which know the word in it to a generation that no visitor meets yet.
    pub warming: String,
}

/// A network on which a service that is flipped is called by others of its environment.
///
/// A new generation joins it only when it is healthy, so that no call meets one that is not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DesiredCalls {
    pub network: String,
    /// Names by which the others call it.
    pub aliases: Vec<String>,
}
