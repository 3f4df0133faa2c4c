//! Walls that are gone: a reboot takes rules and limits away, and the engine starts containers again without them.
//!
//! Looked for in the kernel's own files, which costs next to nothing; what they are to be is rendered only when something is missing.

use std::path::Path;

use pw_host::{facts, firewall, group};
use pw_model::host::CgroupDriver;
use pw_model::name::EnvironmentName;
use pw_model::observed::State;
use pw_plan::wall::{firewall_chain_name, group_limits, group_path};

use crate::chores::Chore;
use crate::session::Session;
use crate::stop::Stop;

/// Environments in which something runs unguarded, production first.
pub(crate) async fn walls(session: &Session) -> Result<Vec<Chore>, Stop> {
    let (config, host) = (&session.config, session.host());
    let mut all = Vec::new();
    for (name, _) in config.environments_in_order() {
        let containers = host.engine().containers(&config.compose_project(name)).await?;
        if !containers.iter().any(|one| one.state == State::Running) {
            continue;
        }
        all.extend(gone(session, name).await.map(|what| Chore {
            words: vec![pw_plan::up::WALL.to_owned(), name.to_string()],
            because: format!("{what} are gone, as after a reboot"),
        }));
    }
    Ok(all)
}

/// What of an environment's wall is gone, in words.
pub(crate) async fn gone(session: &Session, name: &EnvironmentName) -> Option<&'static str> {
    match (is_open(session, name).await, is_free(session, name)) {
        (true, true) => Some("rules of the firewall and limits"),
        (true, false) => Some("rules of the firewall"),
        (false, true) => Some("limits"),
        (false, false) => None,
    }
}

/// Rules end with a reboot, and with whoever clears them. Without the right to read them, nothing is said.
async fn is_open(session: &Session, name: &EnvironmentName) -> bool {
    let chain = firewall_chain_name(&session.config.compose_project(name));
    !firewall::holds(&chain).await.unwrap_or(true)
}

/// True where the group, or the one above it, has another weight than it was given. Which driver made it is not asked: it
/// stands where the one or the other has it.
fn is_free(session: &Session, name: &EnvironmentName) -> bool {
    let root = Path::new(group::ROOT);
    let drivers = [CgroupDriver::Cgroupfs, CgroupDriver::Systemd];
    let is_weighed = |driver| {
        let path = group_path(&session.config, name, driver);
        let wanted = group_limits(&session.config, name, path, facts::memory());
        let found = group::observe(root, &wanted);
        found.is_some_and(|found| (found.cpu_weight, found.cpu_idle) == (wanted.cpu_weight, wanted.cpu_idle))
    };
    drivers.into_iter().any(|driver| facts::writes_cgroups(root, driver))
        && !drivers.into_iter().any(is_weighed)
}
