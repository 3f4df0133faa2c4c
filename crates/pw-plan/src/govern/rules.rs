//! What the governor is held to.

use std::collections::BTreeMap;
use std::time::Duration;

use pw_model::config::{Class, Config, Mode};
use pw_model::name::EnvironmentName;
use pw_model::unit::{Bytes, Cpus};

use super::Moment;

/// Development's disks are never slower than this, in bytes a second.
pub(super) const LEAST_IO: f64 = 1024.0 * 1024.0;
/// Memory in bytes above what development uses when it is held: where the kernel knows no softer limit it ends the largest
/// process for the least that is asked for, and a healthcheck asks.
pub(super) const BREATH: f64 = 32.0 * 1024.0 * 1024.0;
/// A rate that no longer holds anybody.
pub(super) const MOST_IO: f64 = 2048.0 * 1024.0 * 1024.0;
/// Of the machine; no environment gets less CPU time while it is awake.
const LEAST_SHARE: f64 = 0.05;
/// The kernel counts CPU time in periods of 10 ms and hands out no less than one.
const LEAST_CPUS: f64 = 0.1;

/// The machine, and who is governed on it.
#[derive(Debug, Clone, PartialEq)]
pub struct Rules {
    pub mode: Mode,
    pub cpus: f64,
    /// Bytes.
    pub memory: f64,
    /// So long nothing presses before who is to sleep may wake.
    pub wake: Duration,
    pub subjects: BTreeMap<EnvironmentName, Subject>,
}

/// An environment and its budget.
#[derive(Debug, Clone, PartialEq)]
pub struct Subject {
    pub class: Class,
    pub cpus: Option<f64>,
    pub memory: Option<f64>,
    /// Bytes that it may keep on disk.
    pub disk: Option<f64>,
}

/// From which shares of waiting on production is under pressure, and by how much others are squeezed then.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Limits {
    pub(super) cpu: f64,
    pub(super) memory: f64,
    pub(super) io: f64,
    pub(super) factor: f64,
}

const GUARANTEE: Limits = Limits { cpu: 0.05, memory: 0.02, io: 0.10, factor: 0.5 };
const BALANCED: Limits = Limits { cpu: 0.10, memory: 0.05, io: 0.20, factor: 0.6 };
const INDULGENT: Limits = Limits { cpu: 0.30, memory: 0.10, io: 0.40, factor: 0.75 };
/// Of the objective; above, nobody is indulged.
const NEAR_THE_OBJECTIVE: f64 = 0.8;

impl Rules {
    /// For the environments of a project on a machine of this size.
    pub fn of(config: &Config, cpus: Cpus, memory: Bytes) -> Self {
        let subjects = config.environments.iter().map(|(name, environment)| {
            let budget = &environment.budget;
            let cpus = budget.cpus.map(Cpus::count);
            let memory = budget.memory.map(|bytes| bytes.0 as f64);
            let disk = budget.disk.map(|bytes| bytes.0 as f64);
            (name.clone(), Subject { class: environment.class(name), cpus, memory, disk })
        });
        Self {
            mode: config.governor.mode,
            cpus: cpus.count(),
            memory: memory.0 as f64,
            wake: config.governor.wake.0,
            subjects: subjects.collect(),
        }
    }

    /// Those that may be squeezed. The only place where levers come from.
    pub(super) fn squeezable(&self) -> impl Iterator<Item = (&EnvironmentName, &Subject)> {
        self.subjects.iter().filter(|(_, subject)| subject.class != Class::Production)
    }

    /// What each environment keeps at the least.
    pub fn least_cpus(&self) -> f64 {
        (self.cpus * LEAST_SHARE).max(LEAST_CPUS)
    }

    /// `objective`: what visitors get over what they were promised.
    pub(super) fn limits(&self, objective: Option<f64>, now: Moment) -> Limits {
        match (self.mode, now.office, objective) {
            (Mode::Guarantee, ..) | (Mode::OfficeHours, false, _) => GUARANTEE,
            (Mode::Balanced, ..) | (Mode::OfficeHours, true, None) => BALANCED,
            (Mode::OfficeHours, true, Some(ratio)) if ratio > NEAR_THE_OBJECTIVE => GUARANTEE,
            (Mode::OfficeHours, true, Some(_)) => INDULGENT,
        }
    }
}
