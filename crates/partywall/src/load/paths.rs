//! Facts of the paths that are mounted: file or folder, and whether version control knows it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use pw_model::compose::ComposeModel;
use pw_plan::wall::PathFacts;

/// Files under version control and all folders that hold one, absolute.
pub(crate) struct Tracked(BTreeSet<PathBuf>);

/// Asks git once. Outside of a repository, or without git, nothing is tracked.
pub(crate) async fn tracked(directory: &Path) -> Tracked {
    let mut command = tokio::process::Command::new("git");
    // A checkout of another account, as root finds it on a server, is read all the same.
    command
        .args(["-c", "safe.directory=*", "-C"])
        .arg(directory)
        .args(["ls-files", "-z", "--", "."])
        .stdin(std::process::Stdio::null());
    let Ok(output) = command.output().await else { return Tracked(BTreeSet::new()) };
    let mut known = BTreeSet::new();
    let listed = String::from_utf8_lossy(&output.stdout);
    for file in listed.split('\0').filter(|file| !file.is_empty() && !keeps_a_folder(file)) {
        for path in directory.join(file).ancestors().take_while(|path| path.starts_with(directory)) {
            if !known.insert(path.to_owned()) {
                break;
            }
        }
    }
    Tracked(known)
}

/// A file that is there only so that version control keeps an empty folder; what fills the folder is data.
fn keeps_a_folder(file: &str) -> bool {
    let name = file.rsplit('/').next().unwrap_or(file);
    matches!(name, ".gitkeep" | ".keep" | ".gitignore" | ".placeholder" | ".empty")
}

pub(crate) fn facts(model: &ComposeModel, tracked: &Tracked) -> BTreeMap<String, PathFacts> {
    let mounted = model.services().flat_map(|service| service.bind_mounts()).map(|mount| mount.source);
    let behind_volumes = model.section("volumes").filter_map(|(_, volume)| {
        let device = volume.get("driver_opts")?.get("device")?.as_str()?;
        device.starts_with('/').then(|| device.to_owned())
    });
    mounted
        .chain(behind_volumes)
        .map(|source| {
            let path = Path::new(&source);
            let facts = PathFacts { is_file: path.is_file(), is_tracked: tracked.0.contains(path) };
            (source, facts)
        })
        .collect()
}

/// Files of secrets and configs that are not there.
pub(crate) fn missing(model: &ComposeModel) -> BTreeSet<String> {
    let entries = model.section("secrets").chain(model.section("configs"));
    let files = entries.filter_map(|(_, entry)| entry.get("file")?.as_str());
    files.filter(|file| !Path::new(file).exists()).map(str::to_owned).collect()
}
