//! The eyes of the fake.

use std::collections::{BTreeMap, BTreeSet};

use pw_model::desired::{Desired, DesiredProxy};
use pw_model::observed::{Container, Observed, ObservedProxy, Origin, State};
use pw_run::{Failure, Observe};

use super::FakeHost;
use super::world::{FakeContainer, is_below};

impl Observe for FakeHost {
    async fn observe(&self, desired: &Desired) -> Result<Observed, Failure> {
        Ok(self.snapshot(desired))
    }
}

impl FakeHost {
    /// What [`Observe`] answers, without waiting.
    pub fn snapshot(&self, desired: &Desired) -> Observed {
        let world = &self.world;
        let ours = world.containers.iter().filter(|(_, c)| c.project == desired.compose_project);
        let group = desired.group.as_ref().and_then(|group| world.groups.get(&group.path));
        let images: BTreeSet<_> = desired.services.values().map(|service| &service.image).collect();
        let switches = desired.routes.iter().flat_map(|route| [&route.switch, &route.canary, &route.before]);
        let switches: BTreeSet<_> = switches.collect();
        let of_ours = |path: &&String| is_ours(path, desired);
        Observed {
            containers: ours.map(|(name, container)| container.seen(name)).collect(),
            networks: desired
                .networks
                .iter()
                .filter(|name| world.networks.contains(*name))
                .cloned()
                .collect(),
            volumes: desired
                .volumes
                .iter()
                .filter(|name| world.volumes.contains_key(*name))
                .cloned()
                .collect(),
            images: world.images.iter().filter(|image| images.contains(image)).cloned().collect(),
            files: world
                .files
                .iter()
                .filter(|(path, _)| of_ours(path))
                .map(|(p, h)| (p.clone(), h.clone()))
                .collect(),
            folders: self.all_folders().into_iter().filter(|path| is_ours(path, desired)).collect(),
            group: group.cloned(),
            firewall: desired.firewall.as_ref().and_then(|chain| world.firewall.get(&chain.name)).cloned(),
            proxy: desired.proxy.as_ref().map_or_else(ObservedProxy::default, |proxy| self.proxy(proxy)),
            neighbours: self.neighbours(desired),
            open_switches: world
                .switches
                .iter()
                .filter(|(path, _)| switches.contains(path))
                .map(|(path, address)| (path.clone(), address.clone()))
                .collect(),
            // What a file says is not known here: it is what was asked for.
            folder: None,
            aspects: BTreeMap::new(),
        }
    }

    fn neighbours(&self, desired: &Desired) -> BTreeSet<String> {
        let project = desired.state_folder.rsplit_once('/').map_or("", |(project, _)| project);
        let below = self.world.files.keys().filter_map(|path| path.strip_prefix(project)?.strip_prefix('/'));
        let names = below.filter_map(|path| path.strip_suffix("/compose.yaml")).map(str::to_owned);
        names.filter(|name| *name != desired.environment.as_str()).collect()
    }

    /// Those that were made, and those that a file made for itself.
    fn all_folders(&self) -> BTreeSet<String> {
        let parents = self.world.files.keys().filter_map(|path| path.rsplit_once('/'));
        self.world.folders.iter().cloned().chain(parents.map(|(folder, _)| folder.to_owned())).collect()
    }

    fn proxy(&self, proxy: &DesiredProxy) -> ObservedProxy {
        let world = &self.world;
        let container = self.world.containers.get(&proxy.container);
        let key = proxy.external_admin.as_ref().unwrap_or(&proxy.folder);
        let loaded = self.world.loaded.get(key).and_then(|sites| sites.get(&proxy.site_file.path));
        ObservedProxy {
            running: match &proxy.external_admin {
                Some(admin) => self.world.external_proxies.contains(admin),
                None => container.is_some_and(|container| container.state == State::Running),
            },
            networks: container.map(|container| container.networks.clone()).unwrap_or_default(),
            origin: container.map(|container| container.origin()),
            edges: world.networks.iter().filter(|name| name.ends_with("_edge")).cloned().collect(),
            current: loaded == Some(&pw_plan::hash(&proxy.site_file.text)),
        }
    }
}

impl FakeContainer {
    /// There is one state folder in this world.
    fn origin(&self) -> Origin {
        Origin { state: Some(String::new()), compose_file: None }
    }

    fn seen(&self, name: &str) -> Container {
        Container {
            id: format!("id of {name}"),
            name: name.to_owned(),
            service: self.service.clone(),
            number: self.number,
            image: self.image.clone(),
            state: self.state,
            health: self.health,
            config_hash: self.config_hash.clone(),
            owner: self.owner.clone(),
            exit_code: self.exit_code,
            networks: self.networks.clone(),
            mounts: BTreeMap::new(),
            lost_mounts: BTreeSet::new(),
            origin: self.origin(),
            throttled: self.throttled,
        }
    }
}

/// In the environment's folder or the proxy's, or mentioned by name.
fn is_ours(path: &str, desired: &Desired) -> bool {
    let folder = desired.compose_file.path.rsplit_once('/').map_or("", |(folder, _)| folder);
    let proxy = desired.proxy.as_ref().map_or(folder, |proxy| proxy.folder.as_str());
    [folder, proxy].iter().any(|folder| path == *folder || is_below(path, folder))
        || desired.folders.iter().chain(&desired.generated_secrets).any(|mentioned| mentioned == path)
}
