//! What the machine, development and the agent use while production is measured.

use std::fs;
use std::path::Path;
use std::time::Instant;

use crate::bench::process::{TICKS, resident, ticks};

#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Watched {
    /// Share of all processors that worked.
    pub(super) busy: f64,
    /// Processors that development had.
    pub(super) development: f64,
    /// Share of one processor that the agent took, and its memory.
    pub(super) agent: f64,
    pub(super) agent_mb: f64,
}

pub(super) struct Watch {
    begun: Instant,
    groups: [String; 2],
    agent: Option<u32>,
    machine: (f64, f64),
    development: f64,
    agent_ticks: f64,
}

impl Watch {
    pub(super) fn start(groups: [String; 2], agent: Option<u32>) -> Self {
        let (machine, development) = (machine(), used(&groups[1]));
        let agent_ticks = agent.map_or(0.0, ticks);
        Self { begun: Instant::now(), groups, agent, machine, development, agent_ticks }
    }

    pub(super) fn stop(self) -> Watched {
        let passed = self.begun.elapsed().as_secs_f64();
        let (work, all) = machine();
        Watched {
            busy: (work - self.machine.0) / (all - self.machine.1).max(1.0),
            development: (used(&self.groups[1]) - self.development) / passed,
            agent: self.agent.map_or(0.0, |agent| (ticks(agent) - self.agent_ticks) / TICKS / passed),
            agent_mb: self.agent.map_or(0.0, resident),
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

/// Seconds of CPU time of a group.
fn used(group: &str) -> f64 {
    let root = Path::new("/sys/fs/cgroup");
    let first = fs::read_to_string(root.join("cpuacct").join(group).join("cpuacct.usage"));
    if let Some(nanos) = first.ok().and_then(|text| text.trim().parse::<f64>().ok()) {
        return nanos / 1e9;
    }
    let text = fs::read_to_string(root.join(group).join("cpu.stat")).unwrap_or_default();
    let micros = text.lines().find_map(|line| line.strip_prefix("usage_usec ")?.parse::<f64>().ok());
    micros.unwrap_or(0.0) / 1e6
}
