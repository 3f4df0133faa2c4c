//! Mounts that the engine believes in and the kernel has dropped.
//!
//! Who replaces or removes a file on the host takes away whatever is mounted over it in containers: an editor that
//! saves production's variables by renaming uncovers them in development.

use std::collections::BTreeSet;

use futures_util::future::join_all;
use procfs::process::Process;
use pw_model::observed::{Container, State};

use super::Engine;

impl Engine {
    /// Fills [`Container::lost_mounts`]; what cannot be read, for want of rights, is not lost.
    pub(super) async fn find_lost_mounts(&self, containers: &mut [Container]) {
        // Only what lies within another mount can be uncovered; the rest needs no question to the engine.
        let asked = containers.iter_mut().filter(|one| one.state == State::Running && has_nested(one));
        join_all(asked.map(async |one| one.lost_mounts = self.lost_mounts(one).await.unwrap_or_default()))
            .await;
    }

    async fn lost_mounts(&self, container: &Container) -> Option<BTreeSet<String>> {
        let found = self.inspect_named(&container.id).await.ok()??;
        let process = Process::new(i32::try_from(found.state?.pid?).ok()?).ok()?;
        let mounted = process.mountinfo().ok()?;
        let there: BTreeSet<String> =
            mounted.into_iter().map(|mount| mount.mount_point.to_string_lossy().into_owned()).collect();
        Some(container.mounts.keys().filter(|path| !there.contains(*path)).cloned().collect())
    }
}

fn has_nested(container: &Container) -> bool {
    let within =
        |path: &str, folder: &str| path.strip_prefix(folder).is_some_and(|rest| rest.starts_with('/'));
    let mounts = &container.mounts;
    mounts.keys().any(|path| mounts.keys().any(|folder| within(path, folder)))
}
