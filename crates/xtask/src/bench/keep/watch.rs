//! How long a command takes, and the most memory that any of its programs has.

use std::collections::BTreeSet;
use std::fs;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::run::Result;

/// Programs that work in none of the contenders, or in all: what the engine's client and the shell take.
const CLIENTS: [&str; 3] = ["docker", "docker-compose", "bash"];

#[derive(Debug, Clone, Copy)]
pub(super) struct Taken {
    pub(super) time: Duration,
    pub(super) peak_kb: u64,
}

pub(super) fn watched(command: &mut Command) -> Result<Taken> {
    Ok(heard(command)?.0)
}

/// With what it said.
pub(super) fn heard(command: &mut Command) -> Result<(Taken, String)> {
    let begun = Instant::now();
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    let mut peak_kb = 0;
    while child.try_wait()?.is_none() {
        peak_kb = peak_kb.max(most_memory(child.id()));
        std::thread::sleep(Duration::from_millis(50));
    }
    let time = begun.elapsed();
    let ended = child.wait_with_output()?;
    if !ended.status.success() {
        return Err(format!("{command:?} failed: {}", String::from_utf8_lossy(&ended.stderr)).into());
    }
    Ok((Taken { time, peak_kb }, String::from_utf8_lossy(&ended.stdout).into_owned()))
}

fn most_memory(root: u32) -> u64 {
    let mut family = BTreeSet::from([root]);
    let mut all: Vec<(u32, u32, u64)> = fs::read_dir("/proc")
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| status(entry.file_name().to_str()?.parse().ok()?))
        .collect();
    all.sort_unstable();
    let mut most = 0;
    // A child's number is nearly always above its parent's.
    for (process, parent, peak) in all {
        if process == root || family.contains(&parent) {
            family.insert(process);
            most = most.max(peak);
        }
    }
    most
}

/// Number, parent, most memory so far.
fn status(process: u32) -> Option<(u32, u32, u64)> {
    let text = fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let field = |name: &str| {
        text.lines().find_map(|line| line.strip_prefix(name)).and_then(|rest| rest.split_whitespace().next())
    };
    let peak = if CLIENTS.contains(&field("Name:")?) { 0 } else { field("VmHWM:")?.parse().ok()? };
    Some((process, field("PPid:")?.parse().ok()?, peak))
}
