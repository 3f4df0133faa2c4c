//! Under which paths of another mount namespace a file of this host might show, as the kernel's own tables tell.

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use procfs::process::{MountInfo, Process};

/// A file or folder of this host, and where to look for it in another mount namespace.
pub(super) struct Sought {
    /// Device and inode; `None` when this host has no such path.
    itself: Option<(u64, u64)>,
    /// Where it would show whole.
    whole: Vec<PathBuf>,
    /// Mount points that show a part of it.
    parts: Vec<PathBuf>,
}

impl Sought {
    /// Looked up before the namespace is entered.
    pub(super) fn new(path: &str, pid: Option<i32>) -> Self {
        let path = std::fs::canonicalize(path).unwrap_or_else(|_| path.into());
        let itself = std::fs::metadata(&path).ok().map(|found| (found.dev(), found.ino()));
        let (mut whole, mut parts) = (vec![path.clone()], Vec::new());
        let here = Process::myself().and_then(|own| own.mountinfo());
        let here = here.map(|mounts| mounts.0).unwrap_or_default();
        let there = pid.and_then(|pid| Process::new(pid).ok()?.mountinfo().ok());
        let there = there.map(|mounts| mounts.0).unwrap_or_default();
        if let Some((device, inner)) = place(&here, &path) {
            for mount in there.iter().filter(|mount| mount.majmin == device) {
                if let Ok(rest) = inner.strip_prefix(&mount.root) {
                    whole.push(joined(&mount.mount_point, rest));
                } else if Path::new(&mount.root).starts_with(&inner) {
                    parts.push(mount.mount_point.clone());
                }
            }
        }
        Self { itself, whole, parts }
    }

    /// The path under which it shows here, where `fits`; asked once inside.
    pub(super) fn find(&self, fits: impl Fn(&Path) -> bool) -> Option<PathBuf> {
        let itself = self.itself?;
        let is_it = |path: &&PathBuf| {
            std::fs::metadata(path).is_ok_and(|found| (found.dev(), found.ino()) == itself) && fits(path)
        };
        // What a later mount covers is not seen at its mount point: that is another file there.
        let is_part = |path: &&PathBuf| {
            std::fs::metadata(path).is_ok_and(|found| found.dev() == itself.0) && fits(path)
        };
        self.whole.iter().find(is_it).or_else(|| self.parts.iter().find(is_part)).cloned()
    }
}

/// Device and path within the file system of a path of this host.
fn place(mounts: &[MountInfo], path: &Path) -> Option<(String, PathBuf)> {
    let over = mounts.iter().filter(|mount| path.starts_with(&mount.mount_point));
    // Of two mounts at one point, the later one shows.
    let mount = over.max_by_key(|mount| mount.mount_point.as_os_str().len())?;
    let rest = path.strip_prefix(&mount.mount_point).ok()?;
    Some((mount.majmin.clone(), joined(Path::new(&mount.root), rest)))
}

fn joined(base: &Path, rest: &Path) -> PathBuf {
    if rest.as_os_str().is_empty() { base.to_owned() } else { base.join(rest) }
}
