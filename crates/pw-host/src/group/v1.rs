//! cgroup v1: one tree per controller.

use std::path::{Path, PathBuf};

use pw_model::desired::GroupLimits;
use pw_run::Failure;

use super::setting::{self, PERIOD, below, ceiling, make, memory, number, put, quota, set, text};

/// Above this the kernel's "no limit" lies, whatever the page size rounds it to.
const NO_LIMIT: u64 = 1 << 62;
/// What the kernel gives a new group; weight 100.
const DEFAULT_SHARES: u64 = 1024;

/// The group above, where processors are weighed.
fn above(root: &Path, limits: &GroupLimits) -> Option<PathBuf> {
    let mounted = root.join("cpu");
    limits.above().filter(|_| mounted.is_dir()).map(|above| below(&mounted, &above))
}

/// The group's folder under each controller that is mounted.
struct Folders {
    cpu: Option<PathBuf>,
    memory: Option<PathBuf>,
    pids: Option<PathBuf>,
}

impl Folders {
    fn of(root: &Path, path: &str) -> Self {
        let of = |controller: &str| {
            let mounted = root.join(controller);
            mounted.is_dir().then(|| below(&mounted, path))
        };
        Self { cpu: of("cpu"), memory: of("memory"), pids: of("pids") }
    }

    fn all(&self) -> impl Iterator<Item = &PathBuf> {
        [&self.cpu, &self.memory, &self.pids].into_iter().flatten()
    }
}

pub(super) fn limit(root: &Path, limits: &GroupLimits) -> Result<(), Failure> {
    let folders = Folders::of(root, &limits.path);
    folders.all().try_for_each(|folder| make(folder))?;
    if let Some(folder) = &folders.cpu {
        limit_cpu(folder, limits)?;
    }
    if let Some(above) = above(root, limits) {
        weigh(&above, limits)?;
    }
    if let Some(folder) = &folders.memory {
        let amount = |bytes: Option<pw_model::Bytes>| bytes.map_or("-1".into(), |bytes| bytes.0.to_string());
        set(folder, "memory.limit_in_bytes", &amount(limits.memory_ceiling))?;
        set(folder, "memory.soft_limit_in_bytes", &amount(limits.memory_protection))?;
        // Containers that are made in it inherit it.
        if limits.cpu_idle {
            set(folder, "memory.swappiness", "0")?;
        }
    }
    if let Some(folder) = &folders.pids {
        set(folder, "pids.max", &limits.process_ceiling.map_or("max".into(), |count| count.to_string()))?;
    }
    Ok(())
}

fn limit_cpu(folder: &Path, limits: &GroupLimits) -> Result<(), Failure> {
    weigh(folder, limits)?;
    set(folder, "cpu.cfs_period_us", &PERIOD.to_string())?;
    let quota = limits.cpu_ceiling.map_or("-1".into(), |ceiling| quota(ceiling).to_string());
    set(folder, "cpu.cfs_quota_us", &quota)
}

/// Shares of an idle group cannot be written: it leaves the class first. One that holds several projects is so already.
fn weigh(folder: &Path, limits: &GroupLimits) -> Result<(), Failure> {
    let idles = folder.join("cpu.idle").exists();
    if limits.cpu_idle && idles {
        return put(folder, "cpu.idle", "1");
    }
    put(folder, "cpu.idle", "0")?;
    put(folder, "cpu.shares", &shares(setting::weight(limits, idles)).to_string())
}

fn shares(weight: u64) -> u64 {
    (weight * DEFAULT_SHARES / 100).max(2)
}

pub(super) fn observe(root: &Path, path: &str, wanted: &GroupLimits) -> Option<GroupLimits> {
    let folders = Folders::of(root, path);
    folders.all().any(|folder| folder.is_dir()).then_some(())?;
    let mut found = wanted.clone();
    if let Some(folder) = &folders.cpu {
        observe_cpu(folder, wanted, &mut found);
        let is_weighed = (found.cpu_weight, found.cpu_idle) == (wanted.cpu_weight, wanted.cpu_idle);
        if let Some(above) = above(root, wanted).filter(|_| is_weighed) {
            observe_weight(&above, wanted, &mut found);
        }
    }
    if let Some(folder) = &folders.memory {
        observe_memory(folder, wanted, &mut found);
    }
    if let Some(folder) = &folders.pids {
        observe_pids(folder, &mut found);
    }
    Some(found)
}

fn observe_cpu(folder: &Path, wanted: &GroupLimits, found: &mut GroupLimits) {
    if !folder.is_dir() {
        (found.cpu_weight, found.cpu_idle, found.cpu_ceiling) = (100, false, None);
        return;
    }
    observe_weight(folder, wanted, found);
    // `-1` is no number here, and means that there is no ceiling.
    if text(folder, "cpu.cfs_quota_us").is_some() {
        let period = number(folder, "cpu.cfs_period_us").unwrap_or(PERIOD);
        found.cpu_ceiling = ceiling(number(folder, "cpu.cfs_quota_us"), period, wanted.cpu_ceiling);
    }
}

fn observe_weight(folder: &Path, wanted: &GroupLimits, found: &mut GroupLimits) {
    let idle = number(folder, "cpu.idle");
    found.cpu_idle = idle.map_or(wanted.cpu_idle, |idle| idle == 1);
    // An idle group has no weight of its own.
    if let Some(read) = number(folder, "cpu.shares").filter(|_| idle != Some(1)) {
        let same = read == shares(setting::weight(wanted, idle.is_some()));
        found.cpu_weight = if same { wanted.cpu_weight } else { read * 100 / DEFAULT_SHARES };
    }
}

fn observe_memory(folder: &Path, wanted: &GroupLimits, found: &mut GroupLimits) {
    if !folder.is_dir() {
        (found.memory_ceiling, found.memory_protection) = (None, None);
        return;
    }
    let limit = |file| number(folder, file).filter(|bytes| *bytes < NO_LIMIT);
    let squeezed = super::squeeze::memory_squeezed(folder).is_some();
    if folder.join("memory.limit_in_bytes").exists() && !squeezed {
        found.memory_ceiling = memory(limit("memory.limit_in_bytes"), wanted.memory_ceiling);
    }
    if folder.join("memory.soft_limit_in_bytes").exists() {
        found.memory_protection = memory(limit("memory.soft_limit_in_bytes"), wanted.memory_protection);
    }
}

fn observe_pids(folder: &Path, found: &mut GroupLimits) {
    if !folder.is_dir() || folder.join("pids.max").exists() {
        found.process_ceiling = number(folder, "pids.max");
    }
}
