//! What a container received and sent, as its own network namespace counts.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use super::kept::{Kept, Page};

/// The interfaces of a container.
#[derive(Debug)]
pub(super) struct NetworkMeter(Kept);

impl NetworkMeter {
    /// By one of its processes. `None` for a container on the host's own network: its figures would be the machine's.
    pub(super) fn of_process(process: u32) -> Option<Self> {
        let file = PathBuf::from(format!("/proc/{process}/net/dev"));
        // Each namespace has its own; asking for the namespace itself takes rights that the agent's unit has not.
        let inode = |path: &Path| fs::metadata(path).map(|file| file.ino()).ok();
        let own = inode(&file)?;
        (inode(Path::new("/proc/self/net/dev")) != Some(own)).then(|| Self(Kept::open(&file)))
    }

    /// Bytes received and sent.
    pub(super) fn read(&self, page: &mut Page) -> Option<(f64, f64)> {
        self.0.read(page).map(transferred)
    }
}

/// `  eth0: bytes packets errs drop fifo frame compressed multicast bytes …`
fn transferred(text: &str) -> (f64, f64) {
    let interfaces = text.lines().filter_map(|line| line.split_once(':'));
    let real = interfaces.filter(|(name, _)| name.trim() != "lo");
    real.fold((0.0, 0.0), |(received, sent), (_, figures)| {
        let mut words = figures.split_whitespace().map(|word| word.parse::<f64>().unwrap_or(0.0));
        (received + words.next().unwrap_or(0.0), sent + words.nth(7).unwrap_or(0.0))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_loopback_device_is_left_out() {
        let text = "Inter-|   Receive  |  Transmit\n face |bytes packets|bytes\n    lo: 9 1 0 0 0 0 0 0 9 1 0 0 0 0 0 0\n  eth0:1500 3 0 0 0 0 0 0 70 1 0 0 0 0 0 0\n  eth1: 5 3 0 0 0 0 0 0 2 1 0 0 0 0 0 0\n";
        assert_eq!(transferred(text), (1505.0, 72.0));
    }
}
