//! The machine as a whole: processors at work, memory and disks that are free.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

pub(super) struct Machine {
    pub(super) busy: Option<Duration>,
    pub(super) cpus: f64,
}

pub(super) fn look() -> Machine {
    let cpus = std::thread::available_parallelism().map_or(1.0, |count| count.get() as f64);
    let busy = fs::read_to_string("/proc/stat").ok().and_then(|text| worked(&text));
    Machine { busy, cpus }
}

/// `cpu  user nice system idle iowait irq softirq steal guest guest_nice`, in ticks; guests are in `user` already.
fn worked(text: &str) -> Option<Duration> {
    let fields: Vec<u64> = text
        .lines()
        .next()?
        .strip_prefix("cpu ")?
        .split_whitespace()
        .filter_map(|word| word.parse().ok())
        .collect();
    let work = [0, 1, 2, 5, 6, 7].iter().filter_map(|at| fields.get(*at)).sum::<u64>();
    let ticks = rustix::param::clock_ticks_per_second();
    Some(Duration::from_secs_f64(work as f64 / ticks as f64))
}

pub(super) fn memory_free() -> Option<f64> {
    let text = fs::read_to_string("/proc/meminfo").ok()?;
    let field = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name))?;
        line.split_whitespace().next()?.parse::<f64>().ok()
    };
    Some(field("MemAvailable:")? / field("MemTotal:")?)
}

/// Of the fullest.
pub(super) fn disk_free(folders: &[PathBuf]) -> Option<f64> {
    let free = folders.iter().filter_map(|folder| {
        let figures = rustix::fs::statvfs(folder).ok()?;
        Some(figures.f_bavail as f64 / figures.f_blocks.max(1) as f64)
    });
    free.reduce(f64::min)
}
