//! Switches: which address a route leads to. The proxy reads one with every request.

use std::fs;
use std::path::{Path, PathBuf};

use pw_run::Failure;

use super::atomic::{sync_folder, write};
use super::folder::{make_folder, remove_folder, set_mode};
use super::store::remove;
use crate::failed::io_failed;

/// Lets requests through to `address`.
///
/// By rename, for the proxy must never see half of the file; for all to read, since a Caddy that does not run as root must
/// enter too. An address is no secret. What it led to before stays beside it, hidden: the way back is a rename then, which
/// needs no room where the disk is full.
pub fn open_switch(path: &Path, address: &str) -> Result<(), Failure> {
    let folder = path.parent().unwrap_or(Path::new("/"));
    make_folder(folder)?;
    set_mode(folder, 0o755)?;
    let (address, before) = (address.trim_end(), before(path));
    let leads = |file: &Path| fs::read_to_string(file).is_ok_and(|found| found == address);
    if leads(path) {
        return set_mode(path, 0o644);
    }
    if leads(&before) {
        return fs::rename(&before, path)
            .and_then(|()| sync_folder(folder))
            .map_err(|error| io_failed("write", path, error));
    }
    // Without it the way back is written anew.
    drop(fs::remove_file(&before));
    drop(fs::hard_link(path, &before));
    write(path, address.as_bytes(), 0o644)
}

/// Lets no request through any more; the environment's folder goes with its last switch.
pub fn close_switch(path: &Path) -> Result<(), Failure> {
    remove(path)?;
    remove(&before(path))?;
    path.parent().map_or(Ok(()), remove_folder)
}

fn before(path: &Path) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    path.with_file_name(format!(".was-{name}"))
}
