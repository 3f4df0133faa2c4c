//! What is tried, by whom, and within which bounds.

use std::collections::BTreeSet;
use std::fmt;
use std::net::IpAddr;

use pw_model::unit::Bytes;
use serde::{Deserialize, Serialize};

/// A container from whose inside something is tried.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attacker {
    pub id: String,
    pub name: String,
}

/// Every probe from every attacker; each control once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProbeRun {
    /// Name of the control groups that hold what tries.
    pub group: String,
    pub from: Vec<Attacker>,
    pub probes: Vec<Probe>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Probe {
    pub kind: Kind,
    /// As a person says it: `db at 172.18.0.3:5432`.
    pub what: String,
    pub attempt: Attempt,
    /// Why it may succeed; `None` for what must fail.
    pub allowed: Option<String>,
    pub control: Control,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// An address and port of production.
    Address,
    /// A name that leads to production.
    Name,
    /// A port of the host.
    HostPort,
    Metadata,
    Docker,
    ProxyAdmin,
    /// What production keeps.
    Data,
    Secret,
    /// What production reads and somebody else must not change.
    Configuration,
    Processes,
    Devices,
    Capabilities,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "try", rename_all = "kebab-case")]
pub enum Attempt {
    /// A TCP connection that is established.
    Connect { address: IpAddr, port: u16 },
    /// A name that resolves to one of these addresses.
    Resolve { name: String, addresses: BTreeSet<IpAddr> },
    /// This file or folder of the host, under whatever path: the very same, by device and inode.
    Read { path: String },
    /// The same, and not read-only.
    Write { path: String },
    /// This socket of the host, under whatever path: connected to.
    Socket { path: String },
    /// A process of one of these PID namespaces in `/proc`.
    Processes { namespaces: BTreeSet<u64> },
    /// A disk in `/dev` that opens.
    Devices,
    /// A capability of the container that reaches the host.
    Capabilities,
}

/// Where the same attempt must succeed, or the probe proves nothing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Control {
    /// Inside this container of production.
    Container(Attacker),
    /// On the host.
    Host,
    /// On the host; where it fails there too, there is nothing that could be reached.
    HostIfThere,
}

/// What development does to its neighbour.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Blast {
    Cpu,
    Memory,
    Fork,
    Cache,
    Direct,
    Disk,
    Bandwidth,
}

/// No blast goes beyond.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bounds {
    /// Of all attackers together.
    pub memory: Bytes,
    /// Of each file that one writes; it has no name and goes with who wrote it.
    pub disk: Bytes,
    /// Of each attacker.
    pub processes: u64,
}

/// A web page, and how it is reached.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Site {
    pub service: String,
    pub address: IpAddr,
    pub port: u16,
    /// The `Host` header.
    pub host: String,
    pub path: String,
    /// True when the proxy hands it on, as for visitors.
    pub proxied: bool,
}

/// One blast in rounds: alone, blast, alone, blast, …, alone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BlastRun {
    pub group: String,
    pub blast: Blast,
    pub from: Vec<Attacker>,
    /// Production's containers: nobody in them may die of it.
    pub guarded: Vec<Attacker>,
    /// What of production is asked.
    pub site: Site,
    /// What of development's own the hog asks for.
    pub own_site: Option<Site>,
    pub rounds: u32,
    /// Of each measurement.
    pub seconds: u32,
    pub rate: u32,
    pub bounds: Bounds,
}

impl ProbeRun {
    /// Names of the containers that must run.
    pub fn containers(&self) -> impl Iterator<Item = &str> {
        self.from.iter().map(|one| one.name.as_str())
    }
}

impl BlastRun {
    /// Names of the containers that must run.
    pub fn containers(&self) -> impl Iterator<Item = &str> {
        self.from.iter().map(|one| one.name.as_str())
    }
}

impl Blast {
    pub const ALL: [Self; 7] =
        [Self::Cpu, Self::Memory, Self::Fork, Self::Cache, Self::Direct, Self::Disk, Self::Bandwidth];

    pub fn name(self) -> &'static str {
        match self {
            Self::Cpu => "cpu",
            Self::Memory => "memory",
            Self::Fork => "fork",
            Self::Cache => "cache",
            Self::Direct => "direct",
            Self::Disk => "disk",
            Self::Bandwidth => "bandwidth",
        }
    }

    pub fn because(self) -> &'static str {
        match self {
            Self::Cpu => "a loop for every processor, in each container",
            Self::Memory => "memory is taken until none is given, again and again",
            Self::Fork => "processes that start processes",
            Self::Cache => "files are written and read through the page cache",
            Self::Direct => "files are written past the page cache",
            Self::Disk => "a file that grows, is written out, and begins again",
            Self::Bandwidth => "its own pages through the proxy that both share, as fast as they come",
        }
    }
}

impl Kind {
    pub fn title(self) -> &'static str {
        match self {
            Self::Address => "production's addresses",
            Self::Name => "production's names",
            Self::HostPort => "ports of the host",
            Self::Metadata => "metadata of the machine",
            Self::Docker => "Docker",
            Self::ProxyAdmin => "the proxy's administration",
            Self::Data => "production's data",
            Self::Secret => "production's secrets",
            Self::Configuration => "what production reads",
            Self::Processes => "production's processes",
            Self::Devices => "disks of the host",
            Self::Capabilities => "capabilities",
        }
    }
}

impl fmt::Display for Control {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Container(inside) => f.write_str(&inside.name),
            Self::Host => f.write_str("the host"),
            Self::HostIfThere => f.write_str("the host, where it is there"),
        }
    }
}

impl fmt::Display for Probe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let expected = self.allowed.as_ref().map_or("must fail".into(), |why| format!("allowed: {why}"));
        write!(f, "{}: {} | {expected} | control: {}", self.kind.title(), self.what, self.control)
    }
}

impl fmt::Display for ProbeRun {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = self.containers().collect();
        write!(f, "try {} ways out of each of {}", self.probes.len(), names.join(", "))
    }
}

impl fmt::Display for BlastRun {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = self.containers().collect();
        write!(
            f,
            "blast `{}` from {}: {} rounds of {} s, {} requests a second to {}",
            self.blast.name(),
            names.join(", "),
            self.rounds,
            self.seconds,
            self.rate,
            self.site.host
        )
    }
}
