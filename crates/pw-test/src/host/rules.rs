//! What must hold after every single call.

use pw_model::colour::Colour;
use pw_model::observed::State;
use pw_plan::Action;
use pw_plan::proxy::is_front;
use pw_plan::wall::firewall_chain_name;

use super::world::{World, is_below};

/// What another environment's plan may not touch, as it was.
#[derive(Debug, Clone)]
pub(super) struct Guard {
    project: String,
    prefixes: Vec<String>,
    before: World,
}

impl Guard {
    pub(super) fn new(project: &str, prefixes: &[&str], world: &World) -> Self {
        let prefixes = prefixes.iter().map(|prefix| (*prefix).to_owned()).collect();
        let mut guard = Self { project: project.to_owned(), prefixes, before: World::default() };
        guard.before = guard.share_of(world);
        guard
    }

    pub(super) fn check(&self, world: &World, action: &Action) {
        let lines = self.share_of(world).differences(&self.before);
        assert!(lines.is_empty(), "`{action}` touched `{}`: {lines:#?}", self.project);
    }

    /// What of the world belongs to the guarded project. Of containers of others, only whether they are on its networks.
    fn share_of(&self, world: &World) -> World {
        let mut share = world.clone();
        let named = format!("{}_", self.project);
        let inside = |path: &str| {
            self.prefixes.iter().any(|prefix| path == prefix || is_below(path, prefix))
                || path.contains(&format!("/{}/", self.project))
        };
        share.networks.retain(|name| name.starts_with(&named));
        share.volumes.retain(|name, _| name.starts_with(&named));
        share.files.retain(|path, _| inside(path));
        share.folders.retain(|path| inside(path));
        share.switches.retain(|path, _| inside(path));
        share.groups.retain(|path, _| inside(path));
        share.firewall.retain(|name, _| *name == firewall_chain_name(&self.project));
        let own = format!("{}/", self.project);
        share.databases.retain(|place, _| place.starts_with(&own));
        share.caches.retain(|place, _| place.starts_with(&own));
        share.vaults.retain(|path, _| inside(path) || path.contains(&named));
        share.images.clear();
        share.loaded.clear();
        share.containers.retain(|_, container| {
            container.project == self.project
                || container.networks.iter().any(|name| name.starts_with(&named))
        });
        for container in share.containers.values_mut().filter(|container| container.project != self.project) {
            container.networks.retain(|name| name.starts_with(&named));
        }
        share
    }
}

impl World {
    /// An open switch leads to a running container: else visitors wait for nobody.
    pub(super) fn keeps_the_promises(&self, action: &Action) {
        for (switch, address) in &self.switches {
            assert!(
                self.answers(switch, address),
                "after `{action}` the open switch {switch} leads to {address}, where nothing runs"
            );
        }
    }

    /// True when a container of the generation that the address means runs.
    pub(super) fn answers(&self, switch: &str, address: &str) -> bool {
        if is_front(address) {
            return true;
        }
        let (project, service) = target(switch);
        let wanted = Colour::of_address(&format!("{project}-{service}"), address);
        self.containers.iter().any(|(name, one)| {
            one.project == project
                && one.service == service
                && one.state == State::Running
                && Colour::of_container(project, service, name) == wanted
        })
    }
}

/// `…/switch/shop-production/web` → `shop-production` and `web`.
pub(super) fn target(switch: &str) -> (&str, &str) {
    let (folder, service) = switch.rsplit_once('/').unwrap_or(("", switch));
    (folder.rsplit_once('/').map_or(folder, |(_, project)| project), service)
}
