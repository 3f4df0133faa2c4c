//! What containers use, read from their control groups: the engine's own answer takes a second each.

use std::path::{Path, PathBuf};
use std::time::Duration;

use pw_model::Bytes;

use crate::group::slice_path;

/// What a container has used and uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Usage {
    /// CPU time since it started; the difference of two readings over the time between is its load.
    pub cpu: Duration,
    /// Without file pages that the kernel would give back at once.
    pub memory: Bytes,
}

/// The usage of a container; `None` when it does not run. `parent` is its `cgroup_parent`, empty for Docker's own.
pub fn container(root: &Path, parent: &str, id: &str) -> Option<Usage> {
    container_paths(parent, id).iter().find_map(|path| group(root, path))
}

/// Where the group of a container may be, below that of its parent.
pub(crate) fn container_paths(parent: &str, id: &str) -> [String; 2] {
    match parent {
        "" => [format!("/docker/{id}"), format!("/system.slice/docker-{id}.scope")],
        slice if slice.ends_with(".slice") => {
            let slice = slice_path(slice);
            [format!("{slice}/docker-{id}.scope"), format!("{slice}/{id}")]
        }
        plain => [format!("{plain}/{id}"), format!("{plain}/docker-{id}.scope")],
    }
}

/// Where a group stands in the tree: the name of a slice is not its path.
pub(crate) fn tree_path(path: &str) -> String {
    if path.ends_with(".slice") && !path.starts_with('/') { slice_path(path) } else { path.to_owned() }
}

/// The usage of a group with all in it.
pub fn group(root: &Path, path: &str) -> Option<Usage> {
    let path = path.trim_start_matches('/');
    if root.join("cgroup.controllers").exists() { unified(&root.join(path)) } else { split(root, path) }
}

/// Bytes that a group has read from disks and written to them, as far as the kernel counts them to it.
pub fn transferred(root: &Path, path: &str) -> Option<u64> {
    let path = path.trim_start_matches('/');
    if root.join("cgroup.controllers").exists() {
        let text = std::fs::read_to_string(root.join(path).join("io.stat")).ok()?;
        let words = text.split_whitespace().filter_map(|word| word.split_once('='));
        let bytes = words.filter(|(key, _)| matches!(*key, "rbytes" | "wbytes"));
        return Some(bytes.filter_map(|(_, value)| value.parse::<u64>().ok()).sum());
    }
    entry(root.join("blkio").join(path).join("blkio.throttle.io_service_bytes_recursive"), "Total")
}

/// CPU time that the kernel has worked in the name of a group.
pub(crate) fn kernel(root: &Path, path: &str) -> Option<Duration> {
    let path = path.trim_start_matches('/');
    if root.join("cgroup.controllers").exists() {
        return entry(root.join(path).join("cpu.stat"), "system_usec").map(Duration::from_micros);
    }
    number(root.join("cpuacct").join(path).join("cpuacct.usage_sys")).map(Duration::from_nanos)
}

fn split(root: &Path, path: &str) -> Option<Usage> {
    let memory = root.join("memory").join(path);
    let used = number(memory.join("memory.usage_in_bytes"))?;
    let idle = entry(memory.join("memory.stat"), "total_inactive_file").unwrap_or(0);
    let cpu = number(root.join("cpuacct").join(path).join("cpuacct.usage"))?;
    Some(Usage { cpu: Duration::from_nanos(cpu), memory: Bytes(used.saturating_sub(idle)) })
}

fn unified(folder: &Path) -> Option<Usage> {
    let used = number(folder.join("memory.current"))?;
    let idle = entry(folder.join("memory.stat"), "inactive_file").unwrap_or(0);
    let cpu = entry(folder.join("cpu.stat"), "usage_usec")?;
    Some(Usage { cpu: Duration::from_micros(cpu), memory: Bytes(used.saturating_sub(idle)) })
}

fn number(path: PathBuf) -> Option<u64> {
    std::fs::read_to_string(path).ok()?.trim().parse().ok()
}

fn entry(path: PathBuf, key: &str) -> Option<u64> {
    let text = std::fs::read_to_string(path).ok()?;
    text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(' ')?.trim().parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cgroup_v2_is_read() {
        let root = tempfile::tempdir().expect("a temp dir");
        let folder = root.path().join("partywall/x/abc");
        std::fs::create_dir_all(&folder).expect("folders");
        let files = [
            ("cpu.stat", "usage_usec 1500\nuser_usec 1\nsystem_usec 1499"),
            ("memory.current", "4096\n"),
            ("memory.stat", "anon 1\ninactive_file 96"),
        ];
        std::fs::write(root.path().join("cgroup.controllers"), "cpu memory").expect("a file");
        for (name, text) in files {
            std::fs::write(folder.join(name), text).expect("a file");
        }
        let usage = container(root.path(), "/partywall/x", "abc");
        assert_eq!(usage, Some(Usage { cpu: Duration::from_micros(1500), memory: Bytes(4000) }));
        assert_eq!(kernel(root.path(), "/partywall/x/abc"), Some(Duration::from_micros(1499)));
    }
}
