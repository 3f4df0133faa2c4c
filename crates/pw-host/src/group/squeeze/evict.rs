//! Eviction: the container of a group that holds most memory is ended, without asking anybody.

use std::fs;
use std::path::Path;

use pw_run::Failure;
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use crate::group::setting::{number, set, text};

/// A process may make others until it is gone itself; the first one of a container takes all with it.
const ROUNDS: u32 = 10;

/// `folder` is the environment's, where memory is counted. What has nothing in it is left alone.
pub(super) fn evict(folder: &Path) -> Result<(), Failure> {
    let containers = super::v1::below(folder).into_iter().map(|folder| (held(&folder), folder));
    let Some((_, largest)) = containers.max() else { return Ok(()) };
    if largest.join("cgroup.kill").exists() {
        return set(&largest, "cgroup.kill", "1");
    }
    for _ in 0..ROUNDS {
        if processes(&largest).map(|process| end(&largest, process)).filter(|ended| *ended).count() == 0 {
            break;
        }
    }
    Ok(())
}

fn held(folder: &Path) -> u64 {
    ["memory.current", "memory.usage_in_bytes"].iter().find_map(|file| number(folder, file)).unwrap_or(0)
}

fn processes(folder: &Path) -> impl Iterator<Item = i32> + use<> {
    let text = text(folder, "cgroup.procs").unwrap_or_default();
    text.lines().filter_map(|line| line.parse().ok()).collect::<Vec<i32>>().into_iter()
}

/// True when it was there to be ended. Once it is held, its number cannot become somebody else's; then it is looked at.
fn end(folder: &Path, process: i32) -> bool {
    let Some(name) = folder.file_name().and_then(|name| name.to_str()) else { return false };
    let Some(held) = Pid::from_raw(process).and_then(|pid| pidfd_open(pid, PidfdFlags::empty()).ok()) else {
        return false;
    };
    let groups = fs::read_to_string(format!("/proc/{process}/cgroup")).unwrap_or_default();
    groups.lines().any(|line| line.ends_with(&format!("/{name}")))
        && pidfd_send_signal(&held, Signal::KILL).is_ok()
}
