//! What must hold after every single call.

use std::borrow::Cow;
use std::collections::BTreeMap;

use pw_model::colour::Colour;
use pw_model::observed::State;
use pw_plan::Action;
use pw_plan::proxy::is_front;
use pw_plan::wall::firewall_chain_name;

use super::world::{FakeContainer, World, is_below};

/// What another environment's plan may not touch, as it was.
#[derive(Debug)]
pub(super) struct Guard {
    project: String,
    /// How the names of its networks and volumes begin.
    named: String,
    /// `/PROJECT/`
    folder: String,
    chain: String,
    prefixes: Vec<String>,
    before: World,
}

impl Guard {
    pub(super) fn new(project: &str, prefixes: &[&str], world: &World) -> Self {
        let mut guard = Self {
            project: project.to_owned(),
            named: format!("{project}_"),
            folder: format!("/{project}/"),
            chain: firewall_chain_name(project),
            prefixes: prefixes.iter().map(|prefix| (*prefix).to_owned()).collect(),
            before: World::default(),
        };
        guard.before = guard.share_of(world);
        guard
    }

    pub(super) fn check(&self, world: &World, action: &Action) {
        if self.is_untouched(world) {
            return;
        }
        let lines = self.share_of(world).differences(&self.before);
        assert!(lines.is_empty(), "`{action}` touched `{}`: {lines:#?}", self.project);
    }

    /// The same question as `share_of` answers, without a copy of the world: it is asked after each of many million calls.
    fn is_untouched(&self, world: &World) -> bool {
        let before = &self.before;
        let inside = |path: &str| self.has(path);
        let named = |name: &str| name.starts_with(&self.named);
        let of = |place: &str| self.is_of(place);
        world.networks.iter().filter(|name| named(name)).eq(&before.networks)
            && world.folders.iter().filter(|path| inside(path)).eq(&before.folders)
            && same(&world.volumes, named, &before.volumes)
            && same(&world.files, inside, &before.files)
            && same(&world.switches, inside, &before.switches)
            && same(&world.groups, inside, &before.groups)
            && same(&world.firewall, |name| name == self.chain, &before.firewall)
            && same(&world.databases, of, &before.databases)
            && same(&world.caches, of, &before.caches)
            && same(&world.vaults, |path| self.has_vault(path), &before.vaults)
            && self.shares(world).eq(before.containers.iter().map(|(name, one)| (name, Cow::Borrowed(one))))
    }

    /// What of the world belongs to the guarded project. Of containers of others, only whether they are on its networks.
    fn share_of(&self, world: &World) -> World {
        let mut share = world.clone();
        share.networks.retain(|name| name.starts_with(&self.named));
        share.volumes.retain(|name, _| name.starts_with(&self.named));
        share.files.retain(|path, _| self.has(path));
        share.folders.retain(|path| self.has(path));
        share.switches.retain(|path, _| self.has(path));
        share.groups.retain(|path, _| self.has(path));
        share.firewall.retain(|name, _| *name == self.chain);
        share.databases.retain(|place, _| self.is_of(place));
        share.caches.retain(|place, _| self.is_of(place));
        share.vaults.retain(|path, _| self.has_vault(path));
        share.images.clear();
        share.loaded.clear();
        share.containers = self.shares(world).map(|(name, one)| (name.clone(), one.into_owned())).collect();
        share
    }

    fn has(&self, path: &str) -> bool {
        let below = |prefix: &String| path == prefix || is_below(path, prefix);
        self.prefixes.iter().any(below) || path.contains(&self.folder)
    }

    fn has_vault(&self, path: &str) -> bool {
        self.has(path) || path.contains(&self.named)
    }

    /// `PROJECT/SERVICE`
    fn is_of(&self, place: &str) -> bool {
        place.strip_prefix(&self.project).is_some_and(|rest| rest.starts_with('/'))
    }

    fn shares<'a>(&'a self, world: &'a World) -> impl Iterator<Item = (&'a String, Cow<'a, FakeContainer>)> {
        let named = |name: &String| name.starts_with(&self.named);
        world.containers.iter().filter_map(move |(name, container)| {
            if container.project == self.project {
                return Some((name, Cow::Borrowed(container)));
            }
            container.networks.iter().any(named).then(|| {
                let mut share = container.clone();
                share.networks.retain(named);
                (name, Cow::Owned(share))
            })
        })
    }
}

/// Whether what is kept of the one map is the other.
fn same<V: PartialEq>(
    now: &BTreeMap<String, V>,
    kept: impl Fn(&str) -> bool,
    before: &BTreeMap<String, V>,
) -> bool {
    now.iter().filter(|(name, _)| kept(name)).eq(before)
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
