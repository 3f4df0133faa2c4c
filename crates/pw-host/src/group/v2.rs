//! cgroup v2: one tree for all controllers.

use std::path::{Path, PathBuf};

use pw_model::desired::GroupLimits;
use pw_run::Failure;

use super::setting::{self, PERIOD, below, ceiling, make, memory, number, put, quota, set, text};

const CONTROLLERS: [&str; 4] = ["cpu", "memory", "pids", "io"];

pub(super) fn limit(root: &Path, limits: &GroupLimits) -> Result<(), Failure> {
    let folder = below(root, &limits.path);
    make(&folder)?;
    enable(root, &folder)?;
    limit_cpu(&folder, limits)?;
    if let Some(above) = above(root, limits) {
        weigh(&above, limits)?;
        set(&above, "io.weight", &setting::io_weight(limits).to_string())?;
    }
    let amount =
        |bytes: Option<pw_model::Bytes>, none: &str| bytes.map_or(none.into(), |bytes| bytes.0.to_string());
    set(&folder, "memory.max", &amount(limits.memory_ceiling, "max"))?;
    set(&folder, "memory.low", &amount(limits.memory_protection, "0"))?;
    set(&folder, "memory.swap.max", setting::swap(limits, "max"))?;
    set(&folder, "io.weight", &setting::io_weight(limits).to_string())?;
    set(&folder, "pids.max", &limits.process_ceiling.map_or("max".into(), |count| count.to_string()))?;
    pass_protection(root, &folder)
}

fn above(root: &Path, limits: &GroupLimits) -> Option<PathBuf> {
    limits.above().map(|path| {
        let path = if super::is_slice(&path) { super::slice_path(&path) } else { path };
        below(root, &path)
    })
}

/// Gives each ancestor the protection that its children claim: the kernel grants no child more than its parent has,
/// and hands what a parent has beyond that to those that claimed none.
pub(super) fn pass_protection(root: &Path, folder: &Path) -> Result<(), Failure> {
    ancestors(root, folder)
        .try_for_each(|ancestor| set(ancestor, "memory.low", &claimed(ancestor).to_string()))
}

/// What the groups directly below have of protected memory, in bytes.
pub(super) fn claimed(folder: &Path) -> u64 {
    let children = std::fs::read_dir(folder).into_iter().flatten().flatten();
    children.filter_map(|child| number(&child.path(), "memory.low")).sum()
}

/// The groups above, the nearest first, without the root.
fn ancestors<'a>(root: &'a Path, folder: &'a Path) -> impl Iterator<Item = &'a Path> {
    folder.ancestors().skip(1).take_while(move |path| *path != root && path.starts_with(root))
}

/// Hands the controllers down from the root to the group's parent; each ancestor must pass them on.
fn enable(root: &Path, folder: &Path) -> Result<(), Failure> {
    let mut ancestors: Vec<&Path> =
        folder.ancestors().skip(1).take_while(|path| path.starts_with(root)).collect();
    ancestors.reverse();
    for ancestor in ancestors {
        let has = text(ancestor, "cgroup.controllers").unwrap_or_default();
        let on = text(ancestor, "cgroup.subtree_control").unwrap_or_default();
        let missing = CONTROLLERS.iter().filter(|name| lists(&has, name) && !lists(&on, name));
        for name in missing {
            set(ancestor, "cgroup.subtree_control", &format!("+{name}"))?;
        }
    }
    Ok(())
}

fn lists(words: &str, word: &str) -> bool {
    words.split_whitespace().any(|one| one == word)
}

fn limit_cpu(folder: &Path, limits: &GroupLimits) -> Result<(), Failure> {
    weigh(folder, limits)?;
    let quota = limits.cpu_ceiling.map_or("max".into(), |ceiling| quota(ceiling).to_string());
    set(folder, "cpu.max", &format!("{quota} {PERIOD}"))
}

/// The weight of an idle group cannot be written: it leaves the class first. One that holds several projects is so already.
fn weigh(folder: &Path, limits: &GroupLimits) -> Result<(), Failure> {
    let idles = folder.join("cpu.idle").exists();
    if limits.cpu_idle && idles {
        return put(folder, "cpu.idle", "1");
    }
    put(folder, "cpu.idle", "0")?;
    put(folder, "cpu.weight", &setting::weight(limits, idles).to_string())
}

pub(super) fn observe(root: &Path, path: &str, wanted: &GroupLimits) -> Option<GroupLimits> {
    let folder = below(root, path);
    folder.is_dir().then_some(())?;
    let mut found = wanted.clone();
    observe_cpu(&folder, wanted, &mut found);
    let is_weighed = (found.cpu_weight, found.cpu_idle) == (wanted.cpu_weight, wanted.cpu_idle);
    if let Some(above) = above(root, wanted).filter(|_| is_weighed) {
        observe_weight(&above, wanted, &mut found);
    }
    if text(&folder, "memory.max").is_some() {
        found.memory_ceiling = memory(number(&folder, "memory.max"), wanted.memory_ceiling);
    }
    if text(&folder, "memory.low").is_some() {
        let all = std::iter::once(folder.as_path()).chain(ancestors(root, &folder));
        let low = all.filter_map(|group| number(group, "memory.low")).min().filter(|bytes| *bytes > 0);
        found.memory_protection = memory(low, wanted.memory_protection);
    }
    if text(&folder, "pids.max").is_some() {
        found.process_ceiling = number(&folder, "pids.max");
    }
    Some(found)
}

fn observe_weight(folder: &Path, wanted: &GroupLimits, found: &mut GroupLimits) {
    let idle = number(folder, "cpu.idle");
    found.cpu_idle = idle.map_or(wanted.cpu_idle, |idle| idle == 1);
    if let Some(read) = number(folder, "cpu.weight").filter(|_| idle != Some(1)) {
        let same = read == setting::weight(wanted, idle.is_some());
        found.cpu_weight = if same { wanted.cpu_weight } else { read };
    }
}

fn observe_cpu(folder: &Path, wanted: &GroupLimits, found: &mut GroupLimits) {
    observe_weight(folder, wanted, found);
    if let Some(text) = text(folder, "cpu.max") {
        let (quota, period) = text.split_once(' ').unwrap_or((&text, ""));
        found.cpu_ceiling = ceiling(quota.parse().ok(), period.parse().unwrap_or(PERIOD), wanted.cpu_ceiling);
    }
}
