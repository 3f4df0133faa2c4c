//! A process beside a benchmark, and what it takes, as the kernel counts it.

use std::fs;
use std::process::{Child, Command, Stdio};

use crate::run::{Result, output};

/// Ticks of `/proc` in a second, on every Linux of today.
pub(super) const TICKS: f64 = 100.0;

/// Told to end at the end.
pub(super) struct Process(Child);

/// Starts one whose words nobody reads.
pub(super) fn start(command: &mut Command) -> Result<Process> {
    start_heard(command.stderr(Stdio::null()))
}

/// Starts one that may complain.
pub(super) fn start_heard(command: &mut Command) -> Result<Process> {
    let started = command.stdin(Stdio::null()).stdout(Stdio::null()).spawn();
    started.map(Process).map_err(|error| format!("{command:?} cannot be started: {error}").into())
}

impl Process {
    pub(super) fn id(&self) -> u32 {
        self.0.id()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let told = output(Command::new("kill").arg(self.0.id().to_string()));
        if told.is_err() {
            drop(self.0.kill());
        }
        drop(self.0.wait());
    }
}

/// CPU time that it has used.
pub(super) fn ticks(process: u32) -> f64 {
    let text = fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    let after = text.rsplit(") ").next().unwrap_or_default();
    after.split_whitespace().skip(11).take(2).filter_map(|field| field.parse::<f64>().ok()).sum()
}

/// Megabytes of memory that it has mapped and touched, shared with others or not.
pub(super) fn resident(process: u32) -> f64 {
    megabytes(&format!("/proc/{process}/status"), "VmRSS:")
}

/// The same, what is shared with others divided among them.
pub(super) fn proportional(process: u32) -> f64 {
    megabytes(&format!("/proc/{process}/smaps_rollup"), "Pss:")
}

fn megabytes(file: &str, key: &str) -> f64 {
    let text = fs::read_to_string(file).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix(key));
    let kilobytes = line.and_then(|line| line.split_whitespace().next()?.parse::<f64>().ok());
    kilobytes.unwrap_or(0.0) / 1024.0
}
