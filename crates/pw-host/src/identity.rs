//! The identity of a state folder, by which its containers are told from those of another on the same engine.

use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use pw_run::Failure;

use crate::failed::io_failed;
use crate::files::make_folder;

fn file(root: &Path) -> PathBuf {
    root.join("identity")
}

/// What the folder keeps; for one that keeps nothing yet, what it will.
///
/// Worked out from machine and path, so that what is rendered before the first `up` is what that `up`
/// makes, and nothing is written by commands that only look. Once kept it stays, wherever the folder is moved to.
pub fn identity(root: &Path) -> Result<String, Failure> {
    match fs::read_to_string(file(root)) {
        Ok(kept) => Ok(kept.trim().to_owned()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(fresh(root)),
        Err(error) => Err(io_failed("read", &file(root), error)),
    }
}

fn fresh(root: &Path) -> String {
    let machine = fs::read_to_string("/etc/machine-id").unwrap_or_default();
    // A container often has its host's machine id, or none, but a host name of its own.
    let name = rustix::system::uname();
    let name = name.nodename().to_string_lossy();
    let hash = pw_plan::hash(&format!("{}\n{name}\n{}", machine.trim(), root.display()));
    hash[..16].to_owned()
}

/// Keeps the identity, unless one is kept already.
pub fn keep_identity(root: &Path, identity: &str) -> Result<(), Failure> {
    let path = file(root);
    make_folder(root)?;
    let created = fs::OpenOptions::new().write(true).create_new(true).mode(0o644).open(&path);
    match created.and_then(|mut file| file.write_all(format!("{identity}\n").as_bytes())) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        other => other.map_err(|error| io_failed("write", &path, error)),
    }
}
