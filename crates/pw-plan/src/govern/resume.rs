//! Going on from what a governor before left in the kernel.

use std::collections::BTreeMap;
use std::time::Duration;

use pw_model::name::EnvironmentName;

use super::freeze::Ice;
use super::leave::Leave;
use super::lever::Lever;
use super::yields::Yields;
use super::{Levers, Rules, State};

/// What an environment is found held to, beyond its budget.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Found {
    pub cpus: Option<f64>,
    pub memory: Option<f64>,
    pub io: Option<f64>,
    pub network: Option<f64>,
    pub frozen: bool,
}

impl State {
    /// The kernel is the memory: what was squeezed stays so, and is let go as if it had been squeezed just now.
    pub fn resumed(rules: &Rules, found: &BTreeMap<EnvironmentName, Found>, now: Duration) -> Self {
        let lever = |ceiling: Option<f64>| {
            let sane = ceiling.filter(|ceiling| ceiling.is_finite() && *ceiling > 0.0);
            sane.map(Lever::found).unwrap_or_default()
        };
        let levers = |found: &Found| Levers {
            yields: Yields::default(),
            cpu: lever(found.cpus),
            memory: lever(found.memory),
            io: lever(found.io),
            network: lever(found.network),
            ice: if found.frozen { Ice::found(now) } else { Ice::default() },
            leave: Leave::default(),
        };
        let subjects =
            rules.squeezable().filter_map(|(name, _)| Some((name.clone(), levers(found.get(name)?))));
        Self { subjects: subjects.collect(), ..Self::default() }
    }
}
