//! Failures of input and output, with the hints that every module gives.

use std::io;
use std::path::Path;

use pw_model::Bytes;
use pw_run::Failure;

/// A failed call of the operating system on a path: a full disk, missing rights and the rest.
pub(crate) fn io_failed(what: &str, path: &Path, error: io::Error) -> Failure {
    let hint = io_hint(path, &error);
    let failure = Failure::new(format!("could not {what} `{}`", path.display())).because(error);
    match hint {
        Some(hint) => failure.hint(hint),
        None => failure,
    }
}

fn io_hint(path: &Path, error: &io::Error) -> Option<String> {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Some(full_hint(path)),
        io::ErrorKind::PermissionDenied => Some("run it as root: `sudo partywall …`".into()),
        io::ErrorKind::ReadOnlyFilesystem => {
            Some(format!("the filesystem at `{}` is mounted read-only", mount_point(path)))
        }
        _ => None,
    }
}

fn full_hint(path: &Path) -> String {
    let free = free_bytes(path).map_or_else(|| "no".into(), |bytes| bytes.to_string());
    format!("the filesystem at `{}` is full ({free} free): make room and run it again", mount_point(path))
}

/// What a process without special rights may still write where `path` is or would be.
pub(crate) fn free_bytes(path: &Path) -> Option<Bytes> {
    let figures = rustix::fs::statvfs(existing(path)).ok()?;
    Some(Bytes(figures.f_bavail * figures.f_frsize))
}

/// The nearest ancestor that exists, for a path that may not exist yet.
pub(crate) fn existing(path: &Path) -> &Path {
    path.ancestors().find(|ancestor| ancestor.exists()).unwrap_or(Path::new("/"))
}

fn mount_point(path: &Path) -> String {
    let mounts = std::fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    let points = mounts.lines().filter_map(|line| line.split(' ').nth(1));
    let above = points.filter(|point| path.starts_with(point));
    above.max_by_key(|point| point.len()).unwrap_or("/").to_owned()
}
