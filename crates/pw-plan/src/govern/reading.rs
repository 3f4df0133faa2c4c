//! What was seen in one look.

use std::collections::BTreeMap;

use pw_model::name::EnvironmentName;
use serde::{Deserialize, Serialize};

/// Everything that was seen since the last look. What has no sensor, or none that answers, is `None`.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Reading {
    /// Share of the time in which something of production waited for a processor, for memory, for a disk: 0 to 1.
    pub cpu: Option<f64>,
    pub memory: Option<f64>,
    pub io: Option<f64>,
    /// Production's latency over its objective: above 1 it is broken.
    pub latency: Option<f64>,
    /// Share of production's answers that failed, over its objective: above 1 it is broken.
    #[serde(default)]
    pub errors: Option<f64>,
    /// CPUs that production itself uses.
    #[serde(default)]
    pub own: Option<f64>,
    /// Share of the machine's processors that work.
    pub busy: Option<f64>,
    /// Share of the machine's memory that can be had.
    pub memory_free: Option<f64>,
    /// Share of the fullest disk that is free.
    pub disk_free: Option<f64>,
    /// Share of the machine's processors that its own host gave to somebody else.
    #[serde(default)]
    pub stolen: Option<f64>,
    /// Bytes a second to and from swap.
    #[serde(default)]
    pub swapped: Option<f64>,
    pub uses: BTreeMap<EnvironmentName, Use>,
}

/// What an environment uses.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct Use {
    pub cpus: Option<f64>,
    /// Of these, what production cannot have back the moment that it wants it.
    #[serde(default)]
    pub unyielding: Option<f64>,
    /// Bytes, without file pages that the kernel would give back at once.
    pub memory: Option<f64>,
    /// Bytes in a second, read and written.
    pub io: Option<f64>,
    /// Bytes in a second, to and from other machines.
    #[serde(default)]
    pub network: Option<f64>,
    /// Bytes that it keeps on disk; counted slowly.
    #[serde(default)]
    pub kept: Option<f64>,
}

impl Use {
    /// CPUs that production cannot have back at once; all of them where that is not known.
    pub(super) fn keeps_from_production(&self) -> Option<f64> {
        self.cpus.map(|cpus| self.unyielding.unwrap_or(cpus).min(cpus))
    }
}

impl Reading {
    /// Without figures that cannot be.
    pub(super) fn checked(&self) -> Self {
        let share = |value: Option<f64>| {
            value.filter(|value| (0.0..=1.05).contains(value)).map(|value| value.min(1.0))
        };
        let amount = |value: Option<f64>| value.filter(|value| value.is_finite() && *value >= 0.0);
        let checked = |used: &Use| Use {
            cpus: amount(used.cpus),
            unyielding: amount(used.unyielding),
            memory: amount(used.memory),
            io: amount(used.io),
            network: amount(used.network),
            kept: amount(used.kept),
        };
        Self {
            cpu: share(self.cpu),
            memory: share(self.memory),
            io: share(self.io),
            latency: amount(self.latency),
            errors: amount(self.errors),
            own: amount(self.own),
            busy: share(self.busy),
            memory_free: share(self.memory_free),
            disk_free: share(self.disk_free),
            stolen: share(self.stolen),
            swapped: amount(self.swapped),
            uses: self.uses.iter().map(|(name, used)| (name.clone(), checked(used))).collect(),
        }
    }
}
