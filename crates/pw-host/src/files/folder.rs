//! Folders of ours and of the user's containers.

use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::{Component, Path, PathBuf};

use pw_run::Failure;
use rustix::fs::{Access, access};

use super::store::is_absent;
use crate::failed::io_failed;

/// Makes a folder that containers may enter, as Docker makes the folders of bind mounts.
///
/// What is private is kept so by the project's folder above it.
pub fn make_folder(path: &Path) -> Result<(), Failure> {
    make(path, 0o755)
}

/// Makes a folder in which every user of a container may write, as whom its server runs; the one above it is private.
pub fn make_shared_folder(path: &Path) -> Result<(), Failure> {
    make(path, 0o777)?;
    set_mode(path, 0o777)
}

/// Makes a folder for the owner only, also where somebody has made it for all.
pub(crate) fn private_folder(path: &Path) -> Result<(), Failure> {
    make(path, 0o700)?;
    set_mode(path, 0o700)
}

fn make(path: &Path, mode: u32) -> Result<(), Failure> {
    if path.is_dir() {
        return Ok(());
    }
    if let Some(parent) = path.parent() {
        make(parent, 0o755)?;
    }
    match fs::DirBuilder::new().mode(mode).create(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => Ok(()),
        Err(error) => Err(io_failed("make folder", path, error)),
        Ok(()) => set_mode(path, mode),
    }
}

/// Sets the mode whatever the process's umask is.
pub(super) fn set_mode(path: &Path, mode: u32) -> Result<(), Failure> {
    fs::set_permissions(path, fs::Permissions::from_mode(mode))
        .map_err(|error| io_failed("set the rights of", path, error))
}

/// Removes a folder if it is empty; what somebody wrote into it stays.
pub fn remove_folder(path: &Path) -> Result<(), Failure> {
    match fs::remove_dir(path) {
        Err(error) if is_absent(&error) || error.kind() == io::ErrorKind::DirectoryNotEmpty => Ok(()),
        other => other.map_err(|error| io_failed("remove", path, error)),
    }
}

/// Removes a folder with all in it, but only inside `root`: a wrong path must not cost the user's files.
pub fn remove_tree(path: &Path, root: &Path) -> Result<(), Failure> {
    let plain = path.components().all(|part| matches!(part, Component::RootDir | Component::Normal(_)));
    let below = path.strip_prefix(root).map_or(0, |rest| rest.components().count());
    if !plain || below < 2 {
        return Err(Failure::new(format!("`{}` is not Partywall's to remove", path.display()))
            .hint(format!("only what is below `{}` is removed with all in it", root.display())));
    }
    match fs::remove_dir_all(path) {
        Err(error) if is_absent(&error) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            let hint = format!("`sudo rm -rf '{}'`, then `partywall resume`", path.display());
            Err(io_failed("remove", path, error).hint(hint))
        }
        other => other.map_err(|error| io_failed("remove", path, error)),
    }
}

/// A folder below `path` whose content this user may not remove, because a container made it as somebody else.
pub fn unremovable(path: &Path) -> Option<PathBuf> {
    let entries = match fs::read_dir(path) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => return Some(path.to_owned()),
        Err(_) => return None,
    };
    let mut below = entries.flatten().peekable();
    // An empty one goes with the right to write to the folder above it.
    below.peek()?;
    if access(path, Access::WRITE_OK | Access::EXEC_OK).is_err() {
        return Some(path.to_owned());
    }
    below
        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
        .find_map(|entry| unremovable(&entry.path()))
}
