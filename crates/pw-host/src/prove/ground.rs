//! What the machine has for an attack, and what it would have to lose.

use std::collections::BTreeSet;
use std::path::Path;

use procfs::Current as _;
use pw_model::unit::Bytes;
use pw_plan::prove::step::Bounds;

use crate::docker::endpoint;

/// A file of an attacker is no larger.
const DISK: u64 = 512 << 20;
/// Processes of a fork bomb; each container of development may have 2,048.
const PROCESSES: u64 = 1024;

/// Far from the machine's end: a quarter of its memory and no more than half of what is free, a fiftieth of the free disk.
pub fn bounds(disk_free: Bytes) -> Bounds {
    let memory = procfs::Meminfo::current();
    let memory = memory.map_or(DISK, |info| (info.mem_total / 4).min(info.mem_available.unwrap_or(DISK) / 2));
    Bounds { memory: Bytes(memory), disk: Bytes(DISK.min(disk_free.0 / 50)), processes: PROCESSES }
}

/// Where the engine listens on this host.
pub fn docker_sockets() -> BTreeSet<String> {
    let chosen = endpoint();
    let usual = ["/var/run/docker.sock", "/run/containerd/containerd.sock"];
    let all = chosen.strip_prefix("unix://").into_iter().chain(usual);
    let there = all.filter_map(|path| Path::new(path).canonicalize().ok());
    there.filter_map(|path| path.to_str().map(str::to_owned)).collect()
}

/// Its release, as `uname` tells it.
pub fn kernel() -> String {
    let told = rustix::system::uname();
    let text = |part: &std::ffi::CStr| part.to_string_lossy().into_owned();
    format!("{} {} {}", text(told.sysname()), text(told.release()), text(told.machine()))
}
