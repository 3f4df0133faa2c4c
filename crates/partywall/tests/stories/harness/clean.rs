//! The end of a story: nothing of it stays on the host, whatever happened.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::{DEVELOPMENT, PRODUCTION, Story, docker_answers};

impl Story {
    /// Removes what Docker has of it; true when there was nothing.
    fn clean(&self) -> bool {
        let projects = [self.compose_project(PRODUCTION), self.compose_project(DEVELOPMENT), self.proxy()];
        let kinds: [(&[&str], &[&str]); 3] = [
            (&["ps", "-aq"], &["rm", "-f", "-v"]),
            (&["network", "ls", "-q"], &["network", "rm"]),
            (&["volume", "ls", "-q"], &["volume", "rm", "-f"]),
        ];
        let mut found = false;
        for (list, remove) in kinds {
            for project in &projects {
                let filter = format!("label=com.docker.compose.project={project}");
                let words: Vec<&str> = list.iter().copied().chain(["--filter", &filter]).collect();
                let ids = docker_answers(&words).unwrap_or_default();
                let ids: Vec<&str> = ids.split_whitespace().collect();
                if !ids.is_empty() {
                    found = true;
                    docker_answers(&remove.iter().copied().chain(ids).collect::<Vec<_>>());
                }
            }
        }
        !found
    }
}

impl Drop for Story {
    fn drop(&mut self) {
        // What a killed run left behind may still be making things.
        for _ in 0..5 {
            if self.clean() {
                break;
            }
        }
        // Compose's own names, and those of promotions.
        let names = [format!("{}-*", self.name), format!("partywall/{}", self.name)];
        let listed = names.map(|name| docker_answers(&["image", "ls", "-q", &name]).unwrap_or_default());
        let images: BTreeSet<&str> = listed.iter().flat_map(|ids| ids.split_whitespace()).collect();
        if !images.is_empty() {
            docker_answers(&["image", "rm", "-f"].into_iter().chain(images).collect::<Vec<_>>());
        }
        for environment in [PRODUCTION, DEVELOPMENT] {
            for group in self.groups(environment) {
                drop(fs::remove_dir(&group));
                drop(group.parent().map(fs::remove_dir));
            }
        }
        for environment in [PRODUCTION, DEVELOPMENT] {
            self.remove_chain(environment);
        }
        for root in hierarchies() {
            drop(fs::remove_dir(root.join("partywall").join(&self.name)));
        }
    }
}

impl Story {
    /// The firewall's rules of an environment.
    pub(crate) fn remove_chain(&self, environment: &str) {
        let name = pw_plan::wall::firewall_chain_name(&self.compose_project(environment));
        for words in [["-D", "FORWARD", "-j", &name].as_slice(), &["-F", &name], &["-X", &name]] {
            drop(Command::new("iptables").args(["-w", "10", "-t", "mangle"]).args(words).output());
        }
    }
}

/// The root of the unified hierarchy and of each old one.
pub(super) fn hierarchies() -> Vec<PathBuf> {
    let root = Path::new("/sys/fs/cgroup");
    let below = fs::read_dir(root).into_iter().flatten().flatten().map(|entry| entry.path());
    std::iter::once(root.to_owned()).chain(below.filter(|path| path.is_dir())).collect()
}

/// Files below a folder, with their content.
pub(super) fn files(folder: &Path) -> Vec<String> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let mut found = Vec::new();
    let mut paths: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    paths.sort();
    for path in paths {
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            found.push(format!("{}: {}", path.display(), fs::read_to_string(&path).unwrap_or_default()));
        }
    }
    found
}
