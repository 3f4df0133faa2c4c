//! Control groups below those of containers, in which attackers live: every limit of the container holds for them, and
//! they can be ended as one.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use procfs::process::{MountInfo, Process};
use pw_run::Failure;
use rustix::process::{Pid, Signal, kill_process};

use crate::failed::io_failed;

/// Control groups lie at most so deep below the root of a hierarchy.
const DEEPEST: usize = 8;
const PATIENCE: u32 = 500;
const POLL: Duration = Duration::from_millis(20);

/// The hierarchies of this host.
fn hierarchies() -> Vec<MountInfo> {
    let mounts = Process::myself().and_then(|own| own.mountinfo());
    let mounts = mounts.map(|mounts| mounts.0).unwrap_or_default();
    mounts.into_iter().filter(|mount| matches!(mount.fs_type.as_str(), "cgroup" | "cgroup2")).collect()
}

/// The folder of a process's group in each hierarchy.
fn folders(pid: i32) -> Vec<PathBuf> {
    let groups = Process::new(pid).and_then(|process| process.cgroups());
    let groups = groups.map(|groups| groups.0).unwrap_or_default();
    let mounted = hierarchies();
    let of = |mount: &MountInfo| {
        let group = groups.iter().find(|group| match group.controllers.as_slice() {
            [] => mount.fs_type == "cgroup2",
            all => all.iter().all(|one| mount.super_options.contains_key(one) || is_named(mount, one)),
        })?;
        Some(mount.mount_point.join(group.pathname.trim_start_matches('/')))
    };
    mounted.iter().filter_map(of).filter(|folder| folder.is_dir()).collect()
}

/// `name=systemd` is an option with a value.
fn is_named(mount: &MountInfo, controller: &str) -> bool {
    let named = |name: &str| mount.super_options.get("name").is_some_and(|set| set.as_deref() == Some(name));
    controller.strip_prefix("name=").is_some_and(named)
}

/// Makes the group below that of a container's process, in every hierarchy.
///
/// # Errors
/// The kernel refuses, or the process is gone.
pub(super) fn make(pid: i32, name: &str) -> Result<Vec<PathBuf>, Failure> {
    let all: Vec<PathBuf> = folders(pid).into_iter().map(|folder| folder.join(name)).collect();
    if all.is_empty() {
        return Err(Failure::new(format!("process {pid} has no control group here"))
            .hint("run it on the host that runs the containers, as root"));
    }
    for folder in &all {
        match fs::create_dir(folder) {
            Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => {
                return Err(io_failed("make control group", folder, error));
            }
            _ => copy_processors(folder),
        }
    }
    Ok(all)
}

/// On version 1 nobody can join a group that has not been given its processors.
fn copy_processors(folder: &Path) {
    let above = folder.parent().unwrap_or(folder);
    for file in ["cpuset.cpus", "cpuset.mems"] {
        if let Ok(text) = fs::read_to_string(above.join(file)) {
            drop(fs::write(folder.join(file), text.trim()));
        }
    }
}

/// Puts the calling process into the groups.
pub(super) fn join(folders: &[PathBuf]) -> std::io::Result<()> {
    folders.iter().try_for_each(|folder| fs::write(folder.join("cgroup.procs"), "0"))
}

/// How many processes are in the group.
pub(super) fn count(folders: &[PathBuf]) -> usize {
    folders.iter().map(|folder| processes(folder).len()).max().unwrap_or(0)
}

fn processes(folder: &Path) -> Vec<i32> {
    let text = fs::read_to_string(folder.join("cgroup.procs")).unwrap_or_default();
    text.lines().filter_map(|line| line.parse().ok()).collect()
}

/// Ends every process in groups of this name, and removes the groups.
///
/// # Errors
/// Something in them does not end.
pub async fn end(name: &str) -> Result<(), Failure> {
    let mut found = Vec::new();
    for mount in hierarchies() {
        find(&mount.mount_point, name, DEEPEST, &mut found);
    }
    for _ in 0..PATIENCE {
        let living: Vec<i32> = found.iter().flat_map(|folder| processes(folder)).collect();
        if living.is_empty() && found.iter().all(|folder| gone(folder)) {
            return Ok(());
        }
        for folder in &found {
            // Nobody starts another while they are ended.
            drop(fs::write(folder.join("pids.max"), "0"));
            drop(fs::write(folder.join("cgroup.kill"), "1"));
        }
        for pid in living.into_iter().filter_map(Pid::from_raw) {
            let _gone_already = kill_process(pid, Signal::KILL);
        }
        tokio::time::sleep(POLL).await;
    }
    Err(Failure::new("what attacked does not end")
        .because(format!(
            "something is still in {}",
            found.first().map_or_else(String::new, |at| at.display().to_string())
        ))
        .hint("a frozen group ends nothing: `partywall agent status` says whether development stands still"))
}

fn gone(folder: &Path) -> bool {
    fs::remove_dir(folder).is_ok() || !folder.exists()
}

fn find(folder: &Path, name: &str, deep: usize, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        if !entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            continue;
        }
        if entry.file_name() == name {
            found.push(entry.path());
        } else if deep > 0 {
            find(&entry.path(), name, deep - 1, found);
        }
    }
}

/// How many processes the kernel killed for memory in the groups of these processes and below.
pub fn killed(pids: impl IntoIterator<Item = i32>) -> u64 {
    let memory = |folder: &PathBuf| {
        folder.join("memory.oom_control").exists() || folder.join("memory.events.local").exists()
    };
    let mut all: Vec<PathBuf> = pids.into_iter().flat_map(folders).filter(memory).collect();
    all.sort();
    all.dedup();
    all.iter().map(|folder| killed_in(folder)).sum()
}

fn killed_in(folder: &Path) -> u64 {
    let read = |file: &str| fs::read_to_string(folder.join(file)).ok();
    let text = read("memory.events.local").or_else(|| read("memory.oom_control")).unwrap_or_default();
    let own = text.lines().find_map(|line| line.strip_prefix("oom_kill ")?.trim().parse().ok()).unwrap_or(0);
    let below = fs::read_dir(folder).into_iter().flatten().flatten();
    let below = below.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
    own + below.map(|entry| killed_in(&entry.path())).sum::<u64>()
}
