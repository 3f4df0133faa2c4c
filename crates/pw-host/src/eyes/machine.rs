//! The machine as a whole: processors at work, memory and disks that are free.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

pub(super) struct Machine {
    pub(super) busy: Option<Duration>,
    /// What its own host gave to somebody else.
    pub(super) stolen: Option<Duration>,
    pub(super) cpus: f64,
}

pub(super) fn look() -> Machine {
    let cpus = std::thread::available_parallelism().map_or(1.0, |count| count.get() as f64);
    let text = fs::read_to_string("/proc/stat").unwrap_or_default();
    Machine { busy: ticks(&text, &[0, 1, 2, 5, 6, 7]), stolen: ticks(&text, &[7]), cpus }
}

/// `cpu  user nice system idle iowait irq softirq steal guest guest_nice`, in ticks; guests are in `user` already.
fn ticks(text: &str, which: &[usize]) -> Option<Duration> {
    let fields: Vec<u64> = text
        .lines()
        .next()?
        .strip_prefix("cpu ")?
        .split_whitespace()
        .filter_map(|word| word.parse().ok())
        .collect();
    let sum = which.iter().filter_map(|at| fields.get(*at)).sum::<u64>();
    Some(Duration::from_secs_f64(sum as f64 / rustix::param::clock_ticks_per_second() as f64))
}

/// Bytes to and from swap.
pub(super) fn swapped() -> Option<u64> {
    let text = fs::read_to_string("/proc/vmstat").ok()?;
    let pages = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name))?;
        line.trim().parse::<u64>().ok()
    };
    Some((pages("pswpin ")? + pages("pswpout ")?) * rustix::param::page_size() as u64)
}

pub(super) fn memory_free() -> Option<f64> {
    let text = fs::read_to_string("/proc/meminfo").ok()?;
    let field = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name))?;
        line.split_whitespace().next()?.parse::<f64>().ok()
    };
    Some(field("MemAvailable:")? / field("MemTotal:")?)
}

/// Bytes between a bridge and the machine, and beyond it; what its own members tell each other is not among them.
pub(super) fn passed(bridge: &str) -> u64 {
    let folder = Path::new("/sys/class/net").join(bridge).join("statistics");
    let bytes = |file: &str| fs::read_to_string(folder.join(file)).ok()?.trim().parse::<u64>().ok();
    // One that is gone passes nothing on.
    ["rx_bytes", "tx_bytes"].into_iter().filter_map(bytes).sum()
}

/// Of the fullest.
pub(super) fn disk_free(folders: &[PathBuf]) -> Option<f64> {
    let free = folders.iter().filter_map(|folder| {
        let figures = rustix::fs::statvfs(folder).ok()?;
        Some(figures.f_bavail as f64 / figures.f_blocks.max(1) as f64)
    });
    free.reduce(f64::min)
}
