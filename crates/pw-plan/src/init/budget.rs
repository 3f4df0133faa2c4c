//! How the host is shared out.

use std::collections::BTreeMap;

use pw_model::compose::ComposeModel;
use pw_model::config::Class;
use pw_model::host::HostFacts;
use pw_model::unit::Bytes;

use super::write::{amount, line};
use crate::fit::written;

/// Share of the memory for one environment beside production, and for each of two.
const ONE: f64 = 0.4;
const OF_TWO: f64 = 0.25;
const DISK: f64 = 0.2;
/// Kernel, engine and proxy live on this.
const RESERVE: f64 = 0.05;
const LEAST_RESERVE: Bytes = Bytes(256 << 20);

/// What each environment gets.
pub(super) struct Shares<'a> {
    facts: &'a HostFacts,
    /// Memory of the environments beside production, with the formula.
    beside: BTreeMap<Class, (Bytes, String)>,
    production: Bytes,
    reserve: Bytes,
}

impl<'a> Shares<'a> {
    pub(super) fn new(
        facts: &'a HostFacts,
        classes: impl Iterator<Item = Class>,
        models: &BTreeMap<Class, ComposeModel>,
    ) -> Self {
        let classes: Vec<Class> = classes.filter(|class| *class != Class::Production).collect();
        let reserve = facts.memory.times(RESERVE).max(LEAST_RESERVE).min(facts.memory);
        let asked = models.get(&Class::Production).map_or(Bytes(0), sum);
        let part = if classes.len() > 1 { OF_TWO } else { ONE };
        let free = facts
            .memory
            .saturating_sub(reserve)
            .saturating_sub(asked)
            .times(1.0 / classes.len().max(1) as f64);
        let beside: BTreeMap<Class, (Bytes, String)> = classes
            .into_iter()
            .map(|class| {
                (class, memory(facts.memory, part, free, models.get(&class).map_or(Bytes(0), largest)))
            })
            .collect();
        let taken = beside.values().fold(reserve, |sum, (bytes, _)| Bytes(sum.0.saturating_add(bytes.0)));
        Self { facts, production: facts.memory.saturating_sub(taken), beside, reserve }
    }

    /// The `budget:` line of an environment, with its formula.
    pub(super) fn line(&self, class: Class) -> String {
        match self.beside.get(&class) {
            Some((memory, formula)) => self.beside_line(*memory, formula),
            None => self.production_line(),
        }
    }

    fn beside_line(&self, memory: Bytes, formula: &str) -> String {
        let cpus = (self.facts.cpus.count() * 5.0).floor() / 10.0 / self.beside.len().max(1) as f64;
        let cpus = ((cpus * 10.0).floor() / 10.0).max(0.5);
        let disk = self.facts.disk_free.times(DISK);
        let why = format!(
            "    # at most half of {} cores (at least 0.5), {formula}, 20 % of {} free disk\n",
            self.facts.cpus,
            amount(self.facts.disk_free)
        );
        why + &line(
            &format!("    budget: {{ cpus: {cpus}, memory: {}, disk: {} }}", amount(memory), amount(disk)),
            "",
        )
    }

    fn production_line(&self) -> String {
        if self.production.0 == 0 {
            return String::new();
        }
        let why = format!(
            "    # the rest of {} memory, less {} for the system; CPU and disk have no ceiling here\n",
            amount(self.facts.memory),
            amount(self.reserve)
        );
        why + &line(&format!("    budget: {{ memory: {} }}", amount(self.production)), "")
    }
}

/// A share of the memory; less where production's own limits leave less, more where one service asks for more.
fn memory(all: Bytes, part: f64, free: Bytes, largest: Bytes) -> (Bytes, String) {
    let usual = all.times(part);
    if largest > usual && largest <= all.times(0.5).min(free) {
        return (largest, format!("memory for the largest limit in the Compose files ({})", amount(largest)));
    }
    let least = all.times(0.1);
    if free < usual {
        return (
            free.max(least),
            format!("what production's own limits leave of {} memory (at least 10 %)", amount(all)),
        );
    }
    (usual, format!("{:.0} % of {} memory", part * 100.0, amount(all)))
}

/// Limits of all containers of a model.
fn sum(model: &ComposeModel) -> Bytes {
    let each = model
        .services()
        .filter_map(|service| Some(written::memory(&service)?.0.saturating_mul(service.scale())));
    Bytes(each.fold(0, u64::saturating_add))
}

fn largest(model: &ComposeModel) -> Bytes {
    model.services().filter_map(|service| written::memory(&service)).max().unwrap_or(Bytes(0))
}
