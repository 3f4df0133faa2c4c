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
    let driver = facts::cgroup_driver(host.engine()).await;
    let mut all = Vec::new();
    for (name, _) in config.environments_in_order() {
        let containers = host.engine().containers(&config.compose_project(name)).await?;
        if !containers.iter().any(|one| one.state == State::Running) {
            continue;
        }
        let gone = [(is_open(session, name).await, "rules"), (is_free(session, name, driver), "limits")];
        let gone: Vec<&str> =
            gone.into_iter().filter(|(is_gone, _)| *is_gone).map(|(_, what)| what).collect();
        if !gone.is_empty() {
            let words = vec![pw_plan::up::WALL.to_owned(), name.to_string()];
            all.push(Chore {
                words,
                because: format!("its {} are gone, as after a reboot", gone.join(" and ")),
            });
        }
    }
    Ok(all)
}

/// True where the firewall's rules are gone. Without the right to read them, nothing is said.
async fn is_open(session: &Session, name: &EnvironmentName) -> bool {
    let chain = firewall_chain_name(&session.config.compose_project(name));
    !firewall::holds(&chain).await.unwrap_or(true)
}

/// True where the group, or the one above it, has the weight that the kernel gives everybody.
fn is_free(session: &Session, name: &EnvironmentName, driver: CgroupDriver) -> bool {
    let (root, path) = (Path::new(group::ROOT), group_path(&session.config, name, driver));
    let wanted = group_limits(&session.config, name, path, facts::memory());
    let found = group::observe(root, &wanted);
    let is_as_wanted =
        found.is_some_and(|found| (found.cpu_weight, found.cpu_idle) == (wanted.cpu_weight, wanted.cpu_idle));
    facts::writes_cgroups(root, driver) && !is_as_wanted
}
