//! Files change places by renaming, one after the other, so that every moment can be gone on from or taken back.

use std::fs;
use std::io;
use std::path::Path;

use pw_plan::step::VaultRun;
use pw_run::Failure;

use super::manifest::{Change, Entry, Manifest};
use super::root::Root;
use super::{NEW, OLD, STAGING, folder, open};
use crate::failed::io_failed;

/// Being removed; whatever is in it is nobody's any more.
const GONE: &str = ".partywall-seed-gone";

/// Puts every staged file into its place, and sets aside what it replaces and what no row names any more.
///
/// # Errors
/// The folder cannot be changed.
pub fn switch(run: &VaultRun) -> Result<(), Failure> {
    let Some((manifest, to)) = staged(run)? else {
        return Err(Failure::new(format!("the files of `{}` were not copied", run.column)));
    };
    let from = open(folder(&run.from))?;
    let failed = |error| io_failed("change", folder(&run.to), error);
    for path in &manifest.folders {
        to.make_folder_like(path, &from).map_err(failed)?;
    }
    for (number, entry) in manifest.entries.iter().enumerate() {
        put(&to, number, entry)
            .map_err(|error| io_failed("change", &folder(&run.to).join(&entry.path), error))?;
    }
    to.sync().map_err(failed)
}

fn put(to: &Root, number: usize, entry: &Entry) -> io::Result<()> {
    let (new, old) = (format!("{NEW}/{number}"), format!("{OLD}/{number}"));
    let waits = entry.change == Change::Put && to.look(&new)?.is_some();
    let leaves = waits || entry.change == Change::Remove;
    if leaves && to.look(&entry.path)?.is_some() && to.look(&old)?.is_none() {
        to.rename(&entry.path, &old)?;
    }
    if waits { to.rename(&new, &entry.path) } else { Ok(()) }
}

/// Takes [`switch`] back. Nothing is to be done where nothing is staged.
///
/// # Errors
/// The folder cannot be changed.
pub fn switch_back(run: &VaultRun) -> Result<(), Failure> {
    let Some((manifest, to)) = staged(run)? else { return Ok(()) };
    for (number, entry) in manifest.entries.iter().enumerate().rev() {
        put_back(&to, number, entry)
            .map_err(|error| io_failed("change", &folder(&run.to).join(&entry.path), error))?;
    }
    let failed = |error| io_failed("change", folder(&run.to), error);
    for path in manifest.folders.iter().rev() {
        to.remove_empty(path).map_err(failed)?;
    }
    to.sync().map_err(failed)
}

fn put_back(to: &Root, number: usize, entry: &Entry) -> io::Result<()> {
    let (new, old) = (format!("{NEW}/{number}"), format!("{OLD}/{number}"));
    if entry.change == Change::Put && to.look(&new)?.is_none() && to.look(&entry.path)?.is_some() {
        to.rename(&entry.path, &new)?;
    }
    if to.look(&old)?.is_some() { to.rename(&old, &entry.path) } else { Ok(()) }
}

/// The list and the target while something is staged.
fn staged(run: &VaultRun) -> Result<Option<(Manifest, Root)>, Failure> {
    let to = open(folder(&run.to))?;
    let there = to.has_folder(OLD).map_err(|error| io_failed("open", folder(&run.to), error))?;
    match Manifest::read(Path::new(&run.manifest))? {
        Some(manifest) if there => Ok(Some((manifest, to))),
        _ => Ok(None),
    }
}

/// Forgets what is staged and what was set aside; at once, though removing it takes a while. In a folder that is not there
/// nothing is.
///
/// # Errors
/// The folder cannot be changed.
pub fn remove_staged(run: &VaultRun) -> Result<(), Failure> {
    if !folder(&run.to).exists() {
        return Ok(());
    }
    let to = open(folder(&run.to))?;
    let failed = |error| io_failed("change", folder(&run.to), error);
    clear(&to).map_err(failed)?;
    if to.look(STAGING).map_err(failed)?.is_some() {
        to.rename(STAGING, GONE).map_err(failed)?;
        clear(&to).map_err(failed)?;
    }
    Ok(())
}

fn clear(to: &Root) -> io::Result<()> {
    let path = to.path().join(GONE);
    let Some(there) = to.look(GONE)? else { return Ok(()) };
    match rustix::fs::FileType::from_raw_mode(there.st_mode) {
        rustix::fs::FileType::Directory => fs::remove_dir_all(path),
        _ => fs::remove_file(path),
    }
}
