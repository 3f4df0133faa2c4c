//! What each environment keeps on disk, counted slowly: a walk through all files must not be felt.

use std::collections::{BTreeMap, HashSet};
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use pw_host::Host;
use pw_model::name::EnvironmentName;

use super::picture::Disk;

/// After so many files there is a pause.
const FILES: usize = 200;
const PAUSE: Duration = Duration::from_millis(5);
/// Bytes of one block, as `stat` counts them on Linux.
const BLOCK: f64 = 512.0;

/// Of every environment that can be looked at; `projects` are its Compose projects.
pub(crate) async fn measure(
    host: &Host,
    projects: &[(EnvironmentName, String)],
) -> BTreeMap<EnvironmentName, Disk> {
    let mut disks = BTreeMap::new();
    for (name, project) in projects {
        let engine = host.engine();
        let Ok(volumes) = engine.volume_folders(project).await else { continue };
        let Ok(layers) = engine.written_folders(project).await else { continue };
        let counted = tokio::task::spawn_blocking(|| Disk { volumes: bytes(volumes), layers: bytes(layers) });
        if let Ok(disk) = counted.await {
            disks.insert(name.clone(), disk);
        }
    }
    disks
}

/// What lies in these folders, in bytes of disk; a file with several names is counted once.
fn bytes(folders: Vec<PathBuf>) -> f64 {
    let (mut left, mut seen, mut files, mut blocks) = (folders, HashSet::new(), 0_usize, 0_u64);
    while let Some(folder) = left.pop() {
        for entry in fs::read_dir(&folder).into_iter().flatten().flatten() {
            files += 1;
            if files.is_multiple_of(FILES) {
                std::thread::sleep(PAUSE);
            }
            // Gone since it was listed.
            let Ok(found) = entry.metadata() else { continue };
            if found.nlink() > 1 && !found.is_dir() && !seen.insert((found.dev(), found.ino())) {
                continue;
            }
            blocks += found.blocks();
            if found.is_dir() && is_same_disk(&folder, found.dev()) {
                left.push(entry.path());
            }
        }
    }
    blocks as f64 * BLOCK
}

/// What is mounted below belongs to somebody else.
fn is_same_disk(folder: &Path, device: u64) -> bool {
    fs::metadata(folder).is_ok_and(|found| found.dev() == device)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_with_two_names_is_counted_once_and_links_lead_nowhere() {
        let folder = tempfile::tempdir().expect("a folder");
        let below = folder.path().join("a");
        fs::create_dir(&below).expect("a folder");
        let empty = bytes(vec![folder.path().into()]);
        fs::write(below.join("file"), vec![1; 1 << 20]).expect("a file");
        fs::hard_link(below.join("file"), folder.path().join("again")).expect("a link");
        std::os::unix::fs::symlink("/", folder.path().join("root")).expect("a link");
        let grown = bytes(vec![folder.path().into()]) - empty;
        assert!((1_048_576.0..1_100_000.0).contains(&grown), "{grown}");
    }
}
