//! What the machine, both environments and the agent use while production is measured, and who was killed.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

use crate::bench::process::{TICKS, resident, ticks};

#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Watched {
    /// Share of all processors that worked.
    pub(super) busy: f64,
    /// Processors that each had.
    pub(super) production: f64,
    pub(super) development: f64,
    /// Share of one processor that the agent took, and its memory.
    pub(super) agent: f64,
    pub(super) agent_mb: f64,
}

/// Processes that the kernel killed because memory had ended.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Killed {
    pub(super) production: f64,
    pub(super) development: f64,
    pub(super) machine: f64,
}

pub(super) struct Watch {
    begun: Instant,
    groups: [String; 2],
    agent: Option<u32>,
    machine: (f64, f64),
    used: [f64; 2],
    agent_ticks: f64,
}

impl Watch {
    pub(super) fn start(groups: [String; 2], agent: Option<u32>) -> Self {
        let (machine, used) = (machine(), [used(&groups[0]), used(&groups[1])]);
        let agent_ticks = agent.map_or(0.0, ticks);
        Self { begun: Instant::now(), groups, agent, machine, used, agent_ticks }
    }

    pub(super) fn stop(self) -> Watched {
        let passed = self.begun.elapsed().as_secs_f64();
        let (work, all) = machine();
        let rate = |at: usize| (used(&self.groups[at]) - self.used[at]) / passed;
        Watched {
            busy: (work - self.machine.0) / (all - self.machine.1).max(1.0),
            production: rate(0),
            development: rate(1),
            agent: self.agent.map_or(0.0, |agent| (ticks(agent) - self.agent_ticks) / TICKS / passed),
            agent_mb: self.agent.map_or(0.0, resident),
        }
    }
}

impl Killed {
    /// Up to now.
    pub(super) fn so_far([production, development]: &[String; 2]) -> Self {
        let machine = fs::read_to_string("/proc/vmstat").unwrap_or_default();
        Self {
            production: killed(production),
            development: killed(development),
            machine: figure(&machine, "oom_kill "),
        }
    }

    pub(super) fn since(self, before: Self) -> Self {
        Self {
            production: self.production - before.production,
            development: self.development - before.development,
            machine: self.machine - before.machine,
        }
    }
}

/// Ticks of work and ticks in all.
fn machine() -> (f64, f64) {
    let text = fs::read_to_string("/proc/stat").unwrap_or_default();
    let fields = text.lines().next().unwrap_or_default().split_whitespace().skip(1);
    let ticks: Vec<f64> = fields.take(8).filter_map(|field| field.parse().ok()).collect();
    let all: f64 = ticks.iter().sum();
    let rest: f64 = ticks.iter().skip(3).take(2).sum();
    (all - rest, all)
}

const ROOT: &str = "/sys/fs/cgroup";

/// Seconds of CPU time of a group.
fn used(group: &str) -> f64 {
    let root = Path::new(ROOT);
    let first = fs::read_to_string(root.join("cpuacct").join(group).join("cpuacct.usage"));
    if let Some(nanos) = first.ok().and_then(|text| text.trim().parse::<f64>().ok()) {
        return nanos / 1e9;
    }
    let text = fs::read_to_string(root.join(group).join("cpu.stat")).unwrap_or_default();
    figure(&text, "usage_usec ") / 1e6
}

/// Version 1 counts in each group for itself, version 2 in those above, too.
fn killed(group: &str) -> f64 {
    let root = Path::new(ROOT);
    let folder = root.join("memory").join(group);
    if folder.is_dir() {
        return below(&folder)
            .map(|folder| fs::read_to_string(folder.join("memory.oom_control")).unwrap_or_default())
            .map(|text| figure(&text, "oom_kill "))
            .sum();
    }
    figure(&fs::read_to_string(root.join(group).join("memory.events")).unwrap_or_default(), "oom_kill ")
}

/// The group, and those of its containers.
fn below(folder: &Path) -> impl Iterator<Item = PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    std::iter::once(folder.to_owned()).chain(entries.filter(|path| path.is_dir()))
}

fn figure(text: &str, name: &str) -> f64 {
    text.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok()).unwrap_or(0.0)
}
