//! Removing a group, which must be empty.

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use pw_model::desired::{IDLE_GROUP, PRODUCTION_GROUP, STAGING_GROUP};
use pw_model::host::CgroupVersion;
use pw_run::Failure;

use super::setting::below;
use super::systemd::{slice_path, systemctl, unit};
use super::{is_slice, systemd, v2, version};
use crate::failed::io_failed;

/// A container's last processes may leave a moment after the engine says that it is gone.
const PATIENCE: u32 = 15;
const POLL: Duration = Duration::from_millis(200);

/// Removes the group from every controller; one that is not there is removed already.
pub async fn remove(root: &Path, path: &str) -> Result<(), Failure> {
    let slice = is_slice(path);
    let folders = folders(root, &if slice { slice_path(path) } else { path.to_owned() });
    for _ in 0..PATIENCE {
        if processes(&folders) == 0 {
            break;
        }
        tokio::time::sleep(POLL).await;
    }
    match processes(&folders) {
        0 if slice => {
            systemctl(&["stop".into(), unit(path).into()]).await?;
            systemd::pass_protection(root, path).await
        }
        0 => folders.iter().try_for_each(|folder| remove_one(root, folder)),
        count => Err(Failure::new(format!("control group `{path}` still has {count} processes"))
            .hint("stop the containers in it first: `docker ps`")),
    }
}

fn remove_one(root: &Path, folder: &Path) -> Result<(), Failure> {
    remove_tree(folder)?;
    remove_empty_above(folder);
    match version(root) {
        CgroupVersion::V2 => v2::pass_protection(root, folder),
        CgroupVersion::V1 => Ok(()),
    }
}

/// The group's folder in every controller: Docker makes it in all of them, also where we set nothing.
fn folders(root: &Path, path: &str) -> Vec<PathBuf> {
    if path.trim_matches('/').is_empty() {
        return Vec::new();
    }
    let all = match version(root) {
        CgroupVersion::V2 => vec![root.to_path_buf()],
        CgroupVersion::V1 => entries(root).filter(|entry| !entry.is_symlink()).collect(),
    };
    all.iter().map(|mounted| below(mounted, path)).filter(|folder| folder.is_dir()).collect()
}

fn entries(folder: &Path) -> impl Iterator<Item = PathBuf> {
    fs::read_dir(folder)
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.is_dir())
}

/// How many processes are in the groups; each stands in every controller, so the largest number counts.
fn processes(folders: &[PathBuf]) -> usize {
    folders.iter().map(|folder| count(folder)).max().unwrap_or(0)
}

fn count(folder: &Path) -> usize {
    let own = fs::read_to_string(folder.join("cgroup.procs")).unwrap_or_default().lines().count();
    own + entries(folder).map(|child| count(&child)).sum::<usize>()
}

/// The project's own group and ours above it, when nobody else is left in them; the kernel refuses where somebody is.
fn remove_empty_above(folder: &Path) {
    let tops = [PRODUCTION_GROUP, STAGING_GROUP, IDLE_GROUP];
    let is_ours = |part: &OsStr| tops.iter().any(|top| part == top.trim_start_matches('/'));
    for above in folder.ancestors().skip(1).take(2).filter(|above| above.iter().any(is_ours)) {
        if fs::remove_dir(above).is_err() {
            return;
        }
    }
}

/// A group's files go with its folder, so that only folders are removed, the innermost first.
fn remove_tree(folder: &Path) -> Result<(), Failure> {
    entries(folder).try_for_each(|child| remove_tree(&child))?;
    match fs::remove_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other.map_err(|error| io_failed("remove control group", folder, error)),
    }
}
