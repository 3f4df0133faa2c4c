//! Facts of the machine, gathered by `pw-host` and judged here and in `pw-plan`.

use serde::{Deserialize, Serialize};

use crate::unit::{Bytes, Cpus};

/// What a host has. Filled from `/proc`, the filesystem and the Docker Engine.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct HostFacts {
    pub cpus: Cpus,
    pub memory: Bytes,
    pub disk_total: Bytes,
    pub disk_free: Bytes,
    pub cgroup: CgroupVersion,
    pub cgroup_driver: CgroupDriver,
    /// The engine's version, `None` when no engine answers.
    pub docker: Option<String>,
    pub compose: Option<String>,
    /// TCP and UDP ports on which something listens.
    pub listening: Vec<Listener>,
    /// Compose projects that run here.
    pub compose_projects: Vec<String>,
    /// True when we may create control groups ourselves.
    pub writes_cgroups: bool,
    /// True when we may set rules of the host's firewall.
    pub writes_firewall: bool,
    /// True where containers go on while Docker's daemon restarts.
    pub live_restore: bool,
    /// What the governor cannot do here, each with its reason.
    pub lacks: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum CgroupVersion {
    #[serde(rename = "v1")]
    V1,
    #[serde(rename = "v2")]
    V2,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CgroupDriver {
    Cgroupfs,
    Systemd,
}

/// Something that listens on a port of the host.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Listener {
    pub address: String,
    pub port: u16,
    pub protocol: String,
}
