//! How long threads waited for a processor, where the kernel keeps no such figure for their group.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// What each thread had waited at the last look, and what all have together since the first.
#[derive(Debug, Default)]
pub(super) struct Threads {
    waited: HashMap<String, u64>,
    total: Duration,
    begun: bool,
}

impl Threads {
    /// Ever growing, whoever comes and goes. `None` when the kernel does not count.
    pub(super) fn waited(&mut self, root: &Path, paths: &[String]) -> Option<Duration> {
        let threads: Vec<String> =
            paths.iter().flat_map(|path| below(&tree(root).join(path.trim_start_matches('/')))).collect();
        // A group in which nothing runs waits for nothing.
        let nobody = threads.is_empty();
        let now: HashMap<String, u64> =
            threads.into_iter().filter_map(|thread| Some((thread.clone(), delay(&thread)?))).collect();
        if now.is_empty() && !nobody {
            return None;
        }
        for (thread, delay) in &now {
            // A thread that is new has waited since the last look, unless this is the first.
            let before = self.waited.get(thread).copied().unwrap_or(if self.begun { 0 } else { *delay });
            self.total += Duration::from_nanos(delay.saturating_sub(before));
        }
        (self.waited, self.begun) = (now, true);
        Some(self.total)
    }
}

fn tree(root: &Path) -> PathBuf {
    if root.join("cgroup.controllers").exists() { root.to_owned() } else { root.join("cpu") }
}

fn below(folder: &Path) -> Vec<String> {
    let own = ["cgroup.threads", "tasks"].iter().find_map(|file| fs::read_to_string(folder.join(file)).ok());
    let mut all: Vec<String> = own.unwrap_or_default().lines().map(str::to_owned).collect();
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            all.extend(below(&entry.path()));
        }
    }
    all
}

/// Nanoseconds on the run queue: the second of `schedstat`'s three.
fn delay(thread: &str) -> Option<u64> {
    let text = fs::read_to_string(format!("/proc/{thread}/schedstat")).ok()?;
    text.split_whitespace().nth(1)?.parse().ok()
}
