//! A group of our own, in which whoever asks for a processor gives way.

use std::fs;
use std::io;
use std::path::Path;

use procfs::process::Process;

use super::{ROOT, version};
use pw_model::host::CgroupVersion;

/// Below the controller of processors.
const NAME: &str = "partywall-commands";
/// A tenth of what the kernel gives a group by itself.
const SHARES: &str = "102";

/// Moves this process, and with it every program that it starts from now on, where it weighs a tenth of production.
///
/// Niceness alone is not enough: where the kernel groups processes by session (`sched_autogroup`), it counts within the
/// session only, and the session weighs as much as a whole group of containers. Only on version 1, and only who is in no
/// group yet: elsewhere a unit or a session has limits that are not ours to leave.
///
/// # Errors
/// The group cannot be made or entered, as without root.
pub fn step_aside() -> io::Result<()> {
    let root = Path::new(ROOT);
    if version(root) == CgroupVersion::V1 && is_ungrouped() {
        enter(&root.join("cpu").join(NAME))?;
    }
    Ok(())
}

fn is_ungrouped() -> bool {
    let Ok(groups) = Process::myself().and_then(|own| own.cgroups()) else { return false };
    groups.into_iter().any(|one| one.pathname == "/" && one.controllers.iter().any(|name| name == "cpu"))
}

fn enter(folder: &Path) -> io::Result<()> {
    match fs::create_dir(folder) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    fs::write(folder.join("cpu.shares"), SHARES)?;
    // To the kernel, 0 is whoever writes it.
    fs::write(folder.join("cgroup.procs"), "0")
}
