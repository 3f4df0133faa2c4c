//! One file of one control group: read, write, and compare with what is wanted.

use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use pw_model::desired::GroupLimits;
use pw_model::unit::{Bytes, Cpus};
use pw_run::Failure;

use crate::failed::io_failed;

/// The time over which CPU ceilings are counted, in microseconds; the kernel's default.
pub(super) const PERIOD: u64 = 100_000;
/// The time over which the governor counts: short, so that a squeezed environment stands still for milliseconds only,
/// and unlike [`PERIOD`], so that a squeeze is not taken for a budget.
pub(super) const GOVERNED: u64 = 20_000;
/// The kernel refuses a shorter share of the period.
const SHORTEST_QUOTA: u64 = 1_000;
const PAGE: u64 = 4096;
/// The lightest weight, for kernels before 5.15 that have no idle class.
const LIGHTEST: u64 = 1;

/// Writes a value where the file exists; a kernel that lacks it is left alone.
pub(super) fn set(folder: &Path, file: &str, value: &str) -> Result<(), Failure> {
    let path = folder.join(file);
    // Not made where it is missing: the kernel would say that it may not be.
    let opened = fs::OpenOptions::new().write(true).truncate(true).open(&path);
    match opened.and_then(|mut file| file.write_all(value.as_bytes())) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::ResourceBusy => Err(too_small(&path, value, error)),
        other => other.map_err(|error| io_failed("set the limit", &path, error)),
    }
}

fn too_small(path: &Path, value: &str, error: io::Error) -> Failure {
    Failure::new(format!("could not set `{}` to {value}: more is in use", path.display()))
        .because(error)
        .hint("stop something in the environment, or raise `budget.memory` in partywall.yaml")
}

/// The same, where the file says something else.
pub(super) fn put(folder: &Path, file: &str, value: &str) -> Result<(), Failure> {
    if text(folder, file).is_none_or(|is| is != value) { set(folder, file, value) } else { Ok(()) }
}

/// Makes a group's folder with its ancestors.
pub(super) fn make(folder: &Path) -> Result<(), Failure> {
    fs::create_dir_all(folder).map_err(|error| io_failed("make control group", folder, error))
}

pub(super) fn below(root: &Path, path: &str) -> PathBuf {
    root.join(path.trim_start_matches('/'))
}

pub(super) fn text(folder: &Path, file: &str) -> Option<String> {
    fs::read_to_string(folder.join(file)).ok().map(|text| text.trim().to_owned())
}

pub(super) fn number(folder: &Path, file: &str) -> Option<u64> {
    text(folder, file)?.parse().ok()
}

/// The weight to write: without an idle class, development gets the lightest.
pub(super) fn weight(limits: &GroupLimits, has_idle: bool) -> u64 {
    if limits.cpu_idle && !has_idle { LIGHTEST } else { limits.cpu_weight.clamp(1, 10_000) }
}

/// For disks whose scheduler weighs; as for processors, and 100 is the kernel's default.
pub(super) fn io_weight(limits: &GroupLimits) -> u64 {
    limits.cpu_weight.clamp(1, 10_000)
}

/// Bytes on the swap: who has processors only while nobody else wants them has no part of production's disk for its memory.
pub(super) fn swap<'a>(limits: &GroupLimits, unlimited: &'a str) -> &'a str {
    if limits.cpu_idle { "0" } else { unlimited }
}

/// Microseconds of CPU time in each period.
pub(super) fn quota(ceiling: Cpus) -> u64 {
    quota_of(ceiling, PERIOD)
}

pub(super) fn quota_of(ceiling: Cpus, period: u64) -> u64 {
    (ceiling.thousandths() * period / 1000).max(SHORTEST_QUOTA)
}

/// The ceiling that a quota means; the wanted one where the kernel rounded it to this.
pub(super) fn ceiling(quota_read: Option<u64>, period: u64, wanted: Option<Cpus>) -> Option<Cpus> {
    let read = quota_read?;
    match wanted {
        Some(wanted) if quota(wanted) == read && period == PERIOD => Some(wanted),
        // The governor's, for a while: no difference to what is wanted.
        _ if period == GOVERNED => wanted,
        _ => Cpus::from_number(read as f64 / period.max(1) as f64),
    }
}

/// The amount of memory that a file means; the wanted one where the kernel rounded it to whole pages.
pub(super) fn memory(read: Option<u64>, wanted: Option<Bytes>) -> Option<Bytes> {
    let read = read?;
    match wanted {
        Some(wanted) if wanted.0 / PAGE * PAGE == read => Some(wanted),
        _ => Some(Bytes(read)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_kernel_rounds_reads_as_wanted() {
        assert_eq!(memory(Some(4096), Some(Bytes(5000))), Some(Bytes(5000)));
        assert_eq!(memory(Some(8192), Some(Bytes(5000))), Some(Bytes(8192)));
        let small = Cpus::from_number(0.001);
        assert_eq!(ceiling(small.map(quota), PERIOD, small), small);
        assert_eq!(ceiling(None, PERIOD, small), None);
    }
}
