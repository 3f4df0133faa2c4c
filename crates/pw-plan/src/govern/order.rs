//! What the governor wants done.

use std::fmt;

use pw_model::name::EnvironmentName;
use pw_model::unit::{Bytes, Cpus};
use serde::{Deserialize, Serialize};

/// One thing to do to one environment, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Order {
    pub environment: EnvironmentName,
    pub amount: Amount,
    pub because: String,
}

/// What an environment is held to from now on; `None` is its budget.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Amount {
    Cpu(Option<Cpus>),
    Memory(Option<Bytes>),
    /// Bytes in a second, for reading and for writing each.
    Io(Option<Bytes>),
    /// Bytes in a second to and from other machines, each; one of [`super::NETWORK_RATES`].
    Network(Option<Bytes>),
    Frozen(bool),
    /// Whether it is to sleep. The front carries it out, for sleep is a plan.
    Asleep(bool),
    /// The container that holds most memory ends.
    Evicted,
}

/// What of an environment is held.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Resource {
    Cpu,
    Memory,
    Disk,
    Network,
    /// It stands still, or is to sleep.
    Everything,
}

impl Resource {
    pub const ALL: [Self; 5] = [Self::Cpu, Self::Memory, Self::Disk, Self::Network, Self::Everything];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Cpu => "cpu",
            Self::Memory => "memory",
            Self::Disk => "disk",
            Self::Network => "network",
            Self::Everything => "everything",
        }
    }
}

impl Amount {
    pub fn resource(self) -> Resource {
        match self {
            Self::Cpu(_) => Resource::Cpu,
            Self::Memory(_) => Resource::Memory,
            Self::Io(_) => Resource::Disk,
            Self::Network(_) => Resource::Network,
            Self::Frozen(_) | Self::Asleep(_) | Self::Evicted => Resource::Everything,
        }
    }

    /// True for what takes something away.
    pub fn is_squeeze(self) -> bool {
        match self {
            Self::Cpu(to) => to.is_some(),
            Self::Memory(to) | Self::Io(to) | Self::Network(to) => to.is_some(),
            Self::Frozen(taken) | Self::Asleep(taken) => taken,
            Self::Evicted => true,
        }
    }
}

impl fmt::Display for Order {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}, because {}", self.environment, self.amount, self.because)
    }
}

impl fmt::Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cpu(Some(cpus)) => write!(f, "at most {cpus} CPUs"),
            Self::Cpu(None) => write!(f, "CPUs as budgeted"),
            Self::Memory(Some(bytes)) => write!(f, "at most {bytes} of memory"),
            Self::Memory(None) => write!(f, "memory as budgeted"),
            Self::Io(Some(bytes)) => write!(f, "at most {bytes}/s of disk"),
            Self::Io(None) => write!(f, "disk as budgeted"),
            Self::Network(Some(bytes)) => write!(f, "at most {bytes}/s over the network"),
            Self::Network(None) => write!(f, "network as budgeted"),
            Self::Frozen(true) => write!(f, "stands still"),
            Self::Frozen(false) => write!(f, "goes on"),
            Self::Asleep(true) => write!(f, "is to sleep"),
            Self::Asleep(false) => write!(f, "may wake"),
            Self::Evicted => write!(f, "loses the container that holds most memory"),
        }
    }
}

/// In hundredths, rounded up: never below the least.
pub(super) fn cpus(ceiling: Option<f64>) -> Option<Cpus> {
    Cpus::from_number((ceiling? * 100.0 - 1e-6).ceil() / 100.0)
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "bounded and positive")]
pub(super) fn bytes(ceiling: Option<f64>) -> Option<Bytes> {
    ceiling.map(|bytes| Bytes(bytes as u64))
}
