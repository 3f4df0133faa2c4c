//! cgroup v1: a tree per controller. Processors and disk are held container by container: a parent cannot have less
//! than one of its children, and what a disk's parent is held to does not reach below it.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use pw_model::unit::{Bytes, Cpus};
use pw_plan::govern::{Amount, Found};
use pw_run::Failure;

use super::Place;
use crate::group::setting::{GOVERNED, PERIOD, number, put, quota, quota_of, set, text};

/// A squeezed amount of memory is whole megabytes and one page: no budget is written like that.
const MEGABYTE: u64 = 1 << 20;
const MARK: u64 = 4096;

pub(super) struct Group<'a> {
    pub(super) root: &'a Path,
    pub(super) path: &'a str,
    pub(super) place: &'a Place,
    pub(super) device: Option<&'a str>,
}

/// What each container used at the last look: who uses more is held to more.
#[derive(Debug, Default)]
pub(super) struct Shares(BTreeMap<PathBuf, u64>);

pub(super) fn hold(group: &Group<'_>, amount: Amount, shares: &mut Shares) -> Result<(), Failure> {
    match amount {
        Amount::Cpu(Some(cpus)) => group.squeeze_cpu(cpus, shares),
        Amount::Cpu(None) => group.release_cpu(),
        Amount::Memory(bytes) => group.hold_memory(bytes),
        Amount::Io(rate) => group.hold_io(rate),
        // Not these files' business.
        Amount::Network(_) | Amount::Asleep(_) | Amount::Evicted => Ok(()),
        Amount::Frozen(frozen) => {
            let folder = group.folder("freezer");
            let wanted = if frozen { "FROZEN" } else { "THAWED" };
            let is = text(&folder, "freezer.state").unwrap_or_default();
            // `FREEZING` is on its way.
            if is == wanted || frozen && is == "FREEZING" {
                Ok(())
            } else {
                set(&folder, "freezer.state", wanted)
            }
        }
    }
}

impl Group<'_> {
    fn folder(&self, controller: &str) -> PathBuf {
        self.root.join(controller).join(self.path)
    }

    fn squeeze_cpu(&self, cpus: Cpus, shares: &mut Shares) -> Result<(), Failure> {
        let containers = below(&self.folder("cpu"));
        let parts = shares.split(&below(&self.folder("cpuacct")));
        for folder in containers {
            let part = folder.file_name().and_then(|name| parts.get(name)).copied().unwrap_or(1.0);
            let own = self.own(&folder).flatten();
            let ceiling = own.map_or(cpus.count() * part, |own| own.count().min(cpus.count() * part));
            let ceiling = Cpus::from_number(ceiling.max(0.05)).unwrap_or(cpus);
            counted_in(&folder, GOVERNED)?;
            put(&folder, "cpu.cfs_quota_us", &quota_of(ceiling, GOVERNED).to_string())?;
        }
        Ok(())
    }

    /// Only what bears the mark goes back, and only to what is known.
    fn release_cpu(&self) -> Result<(), Failure> {
        for folder in below(&self.folder("cpu")) {
            if number(&folder, "cpu.cfs_period_us") != Some(GOVERNED) {
                continue;
            }
            let Some(own) = self.own(&folder) else { continue };
            counted_in(&folder, PERIOD)?;
            put(&folder, "cpu.cfs_quota_us", &own.map_or("-1".into(), |own| quota(own).to_string()))?;
        }
        Ok(())
    }

    /// The container's own ceiling; `None` when the container is not known.
    fn own(&self, folder: &Path) -> Option<Option<Cpus>> {
        let name = folder.file_name()?.to_str()?;
        let id = name.strip_prefix("docker-").and_then(|name| name.strip_suffix(".scope")).unwrap_or(name);
        self.place.containers.get(id).copied()
    }

    fn hold_memory(&self, bytes: Option<Bytes>) -> Result<(), Failure> {
        let folder = self.folder("memory");
        match bytes {
            Some(bytes) => {
                let marked = bytes.0.next_multiple_of(MEGABYTE) + MARK;
                put(&folder, "memory.limit_in_bytes", &marked.to_string())
            }
            None if memory_squeezed(&folder).is_some() => {
                let budget = self.place.memory.map_or("-1".into(), |budget| budget.0.to_string());
                set(&folder, "memory.limit_in_bytes", &budget)
            }
            None => Ok(()),
        }
    }

    fn hold_io(&self, rate: Option<Bytes>) -> Result<(), Failure> {
        let Some(device) = self.device else { return Ok(()) };
        for folder in below(&self.folder("blkio")) {
            for file in ["blkio.throttle.read_bps_device", "blkio.throttle.write_bps_device"] {
                let is = throttled(&folder, file, device);
                // An odd rate is ours; another one is written in the Compose file, and stays.
                let wanted = rate.map(|rate| rate.0 | 1);
                if is == wanted || is.is_some_and(|rate| rate % 2 == 0) {
                    continue;
                }
                set(&folder, file, &format!("{device} {}", wanted.unwrap_or(0)))?;
            }
        }
        Ok(())
    }
}

/// The kernel refuses a quota that is more than the parent has in the new period: none first, then the period.
fn counted_in(folder: &Path, period: u64) -> Result<(), Failure> {
    if number(folder, "cpu.cfs_period_us") == Some(period) {
        return Ok(());
    }
    set(folder, "cpu.cfs_quota_us", "-1")?;
    set(folder, "cpu.cfs_period_us", &period.to_string())
}

impl Shares {
    /// Container → part of the ceiling: as it used since the last look, and at least what is everybody's.
    fn split(&mut self, folders: &[PathBuf]) -> BTreeMap<std::ffi::OsString, f64> {
        let used: Vec<u64> = folders
            .iter()
            .map(|folder| {
                let total = number(folder, "cpuacct.usage").unwrap_or(0);
                let before = self.0.insert(folder.clone(), total);
                before.map_or(0, |before| total.saturating_sub(before))
            })
            .collect();
        let all = used.iter().sum::<u64>().max(1) as f64;
        let even = 1.0 / folders.len().max(1) as f64;
        let part = |used: &u64| (*used as f64 / all).max(even);
        let names = folders.iter().filter_map(|folder| folder.file_name()).map(ToOwned::to_owned);
        self.0.retain(|folder, _| folder.exists());
        names.zip(used.iter().map(part)).collect()
    }
}

pub(super) fn held(root: &Path, path: &str, device: Option<&str>) -> Found {
    let folder = |controller: &str| root.join(controller).join(path);
    let quotas = below(&folder("cpu")).into_iter().filter_map(|folder| {
        let governed = number(&folder, "cpu.cfs_period_us") == Some(GOVERNED);
        number(&folder, "cpu.cfs_quota_us").filter(|_| governed)
    });
    let quotas: Vec<u64> = quotas.collect();
    let rates = below(&folder("blkio")).into_iter().filter_map(|folder| {
        let rate = throttled(&folder, "blkio.throttle.write_bps_device", device?)?;
        (rate % 2 == 1).then_some(rate)
    });
    let state = text(&folder("freezer"), "freezer.self_freezing");
    Found {
        cpus: (!quotas.is_empty()).then(|| quotas.iter().sum::<u64>() as f64 / GOVERNED as f64),
        memory: memory_squeezed(&folder("memory")).map(|bytes| bytes as f64),
        io: rates.max().map(|rate| rate as f64),
        network: None,
        frozen: state.as_deref() == Some("1"),
    }
}

/// The amount that a group's memory is squeezed to; `None` when it has its budget.
pub(in crate::group) fn memory_squeezed(folder: &Path) -> Option<u64> {
    number(folder, "memory.limit_in_bytes").filter(|bytes| bytes % MEGABYTE == MARK)
}

fn throttled(folder: &Path, file: &str, device: &str) -> Option<u64> {
    let text = text(folder, file)?;
    text.lines().find_map(|line| line.strip_prefix(device)?.trim().parse().ok())
}

/// The folders of containers.
pub(super) fn below(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries
        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
        .map(|entry| entry.path())
        .collect()
}

pub(super) fn lacks(root: &Path) -> Vec<String> {
    let missing = |controller: &str, file: &str| {
        let folder = root.join(controller);
        let all =
            ["partywall", "docker"].iter().map(|below| folder.join(below)).find(|folder| folder.is_dir());
        !all.unwrap_or(folder).join(file).exists()
    };
    let mut lacks = Vec::new();
    if missing("cpu", "cpu.cfs_quota_us") {
        lacks.push(
            "the kernel has no quota of CPU time: development's processors cannot be squeezed".to_owned(),
        );
    }
    if missing("cpu", "cpu.idle") {
        lacks.push(
            "the kernel has no idle class (5.15 has): development has the lightest weight in its place"
                .to_owned(),
        );
    }
    if !root.join("memory").is_dir() {
        lacks.push("the controller `memory` is not mounted: memory cannot be squeezed".to_owned());
    }
    if !root.join("freezer").is_dir() {
        lacks.push(
            "the controller `freezer` is not mounted: development cannot be made to stand still".to_owned(),
        );
    }
    if missing("blkio", "blkio.throttle.write_bps_device") {
        lacks.push("the kernel throttles no disk: development's cannot be slowed down".to_owned());
    } else {
        lacks.push(
            "version 1 counts what is written through the page cache to nobody: only direct and synchronous writes, \
             and reads, can be slowed down"
                .to_owned(),
        );
    }
    lacks
}
