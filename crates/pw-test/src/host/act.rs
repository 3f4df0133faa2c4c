//! What each action does to the world, and when it is refused.

use std::collections::BTreeSet;

use pw_model::observed::{Health, State};
use pw_plan::Action;
use pw_plan::step::ComposeRun;

use super::FakeHost;
use super::known::{Known, Nature, ServiceSketch};
use super::rules::target;
use super::world::{FakeContainer, is_below};

/// Why the host refuses.
pub(super) type Refusal = Result<(), String>;

pub(super) fn need(holds: bool, else_say: impl FnOnce() -> String) -> Refusal {
    if holds { Ok(()) } else { Err(else_say()) }
}

impl FakeHost {
    pub(super) fn do_strictly(&mut self, action: &Action) -> Refusal {
        match action {
            Action::InstallFile { .. } | Action::KeepFile { .. } | Action::RemoveFile { .. } => {
                self.do_file(action)
            }
            Action::MakeFolder { .. }
            | Action::MakePrivateFolder { .. }
            | Action::MakeSharedFolder { .. }
            | Action::RemoveFolder { .. }
            | Action::RemoveTree { .. } => self.do_folder(action),
            Action::GenerateSecret { path } | Action::MakeKey { path } => self.generate(path),
            Action::LimitGroup { limits } => {
                self.world.groups.insert(limits.path.clone(), limits.clone());
                Ok(())
            }
            Action::RemoveGroup { path } => self.remove_group(path),
            Action::SetFirewall { chain } => {
                self.world.firewall.insert(chain.name.clone(), chain.clone());
                Ok(())
            }
            Action::RemoveFirewall { name } => {
                self.world.firewall.remove(name);
                Ok(())
            }
            Action::PullImages { compose, services } | Action::BuildImages { compose, services, .. } => {
                self.fetch_images(compose, services)
            }
            Action::StartServices { compose, services } => self.start(compose, services, false),
            Action::RecreateServices { compose, services } => self.start(compose, services, true),
            Action::AwaitServices { .. } | Action::AwaitJobs { .. } => self.do_waiting(action),
            Action::RemoveServices { project, services } => {
                self.world.containers.retain(|_, c| c.project != *project || !services.contains(&c.service));
                Ok(())
            }
            Action::RemoveNetworks { names, .. } => self.remove_networks(names),
            Action::RemoveVolumes { project, names } => self.remove_volumes(project, names),
            Action::JoinNetwork { .. } | Action::LeaveNetwork { .. } => self.do_membership(action),
            Action::LoadProxy { folder, admin } => self.load(folder, admin.as_ref()),
            Action::OpenSwitch { path, service, address } => self.open(path, service, address),
            Action::OpenCanary { canary } => self.open(&canary.path, &canary.service, &canary.address),
            Action::CloseSwitch { path, .. } => {
                self.world.switches.remove(path);
                Ok(())
            }
            Action::StopServices { project, services } => {
                let ours = |c: &&mut FakeContainer| c.project == *project && services.contains(&c.service);
                self.world.containers.values_mut().filter(ours).for_each(FakeContainer::stop);
                Ok(())
            }
            Action::CopyDatabase { copy } => {
                let runs = |c: &FakeContainer| c.state == State::Running;
                let there = self.world.containers.get(&copy.from).is_some_and(runs);
                need(there, || format!("{} does not run", copy.from))?;
                let receives = self.world.of(&copy.project, &copy.service).any(runs);
                need(receives, || format!("{} of {} does not run", copy.service, copy.project))
            }
            Action::EndCopy { .. } | Action::EndAttack { .. } => Ok(()),
            Action::ProbeWall { .. } | Action::Blast { .. } => self.attack(action),
            Action::Rehearse { rehearsal } => self.start(&rehearsal.compose, &rehearsal.services, false),
            seed => self.do_seed(seed),
        }
    }

    pub(super) fn turn(&mut self, whose: (&str, &[String]), (from, to): (State, State)) -> Refusal {
        let (project, services) = whose;
        let ours = |c: &&mut FakeContainer| c.project == project && services.contains(&c.service);
        let turned = self.world.containers.values_mut().filter(ours).filter(|c| c.state == from);
        turned.for_each(|c| c.state = to);
        Ok(())
    }

    fn do_waiting(&self, action: &Action) -> Refusal {
        match action {
            Action::AwaitServices { project, services, .. } => self.await_services(project, services),
            Action::AwaitJobs { project, services, .. } => self.await_jobs(project, services),
            _ => Ok(()),
        }
    }

    fn attack(&self, action: &Action) -> Refusal {
        let from = match action {
            Action::ProbeWall { run } => &run.from,
            Action::Blast { run } => &run.from,
            _ => return Ok(()),
        };
        let runs = |name: &str| {
            self.world.containers.get(name).is_some_and(|container| container.state == State::Running)
        };
        let still = from.iter().find(|one| !runs(&one.name));
        need(still.is_none(), || format!("{still:?} does not run"))
    }

    fn do_file(&mut self, action: &Action) -> Refusal {
        match action {
            Action::InstallFile { path, hash } => {
                need(self.store.contains(hash), || format!("no text with hash {hash} was staged or kept"))?;
                self.world.files.insert(path.clone(), hash.clone());
            }
            Action::KeepFile { path, hash } if !self.store.contains(hash) => {
                let there = self.world.files.get(path);
                need(there == Some(hash), || format!("{path} holds {there:?}, not {hash}"))?;
                self.store.insert(hash.clone());
            }
            Action::RemoveFile { path } => drop(self.world.files.remove(path)),
            _ => {}
        }
        Ok(())
    }

    fn do_folder(&mut self, action: &Action) -> Refusal {
        match action {
            Action::MakeFolder { path }
            | Action::MakePrivateFolder { path }
            | Action::MakeSharedFolder { path } => {
                self.world.folders.insert(path.clone());
            }

            Action::RemoveFolder { path } if self.world.below(path).is_empty() => {
                self.nobody_mounts(path)?;
                self.world.folders.remove(path);
            }
            Action::RemoveTree { path } => {
                self.nobody_mounts(path)?;
                let world = &mut self.world;
                world.files.retain(|file, _| !is_below(file, path));
                world.switches.retain(|file, _| !is_below(file, path));
                world.folders.retain(|folder| folder != path && !is_below(folder, path));
                world.vaults.retain(|folder, _| folder != path && !is_below(folder, path));
            }
            _ => {}
        }
        Ok(())
    }

    fn nobody_mounts(&self, folder: &str) -> Refusal {
        let inside = |mount: &String| mount == folder || is_below(mount, folder);
        let user = self.world.containers.iter().find(|(_, container)| container.mounts.iter().any(inside));
        need(user.is_none(), || format!("{folder} is mounted by {:?}", user.map(|(name, _)| name)))
    }

    fn generate(&mut self, path: &str) -> Refusal {
        if !self.world.files.contains_key(path) {
            self.generated += 1;
            self.world.files.insert(path.to_owned(), format!("secret {}", self.generated));
        }
        Ok(())
    }

    fn remove_group(&mut self, path: &str) -> Refusal {
        let inside = |container: &FakeContainer| container.group.as_deref() == Some(path);
        let member = self.world.containers.iter().find(|(_, container)| inside(container));
        need(member.is_none(), || format!("{path} holds {:?}", member.map(|(name, _)| name)))?;
        self.world.groups.remove(path);
        Ok(())
    }

    pub(super) fn described(&self, compose: &ComposeRun, services: &[String]) -> Result<Known, String> {
        let file = &compose.file;
        let hash = self.world.files.get(file).ok_or_else(|| format!("{file} is not installed"))?;
        let known =
            self.known.get(hash).ok_or_else(|| format!("nobody said what {file} ({hash}) describes"))?;
        let unknown = services.iter().find(|service| !known.services.contains_key(*service));
        match unknown {
            Some(service) => Err(format!("{file} has no service {service}")),
            None => Ok(known.clone()),
        }
    }

    fn fetch_images(&mut self, compose: &ComposeRun, services: &[String]) -> Refusal {
        let known = self.described(compose, services)?;
        let images = services.iter().map(|service| known.services[service].image.clone());
        self.world.images.extend(images);
        Ok(())
    }

    fn start(&mut self, compose: &ComposeRun, services: &[String], anew: bool) -> Refusal {
        let known = self.described(compose, services)?;
        for mount in &known.mounts {
            let there = self.world.files.contains_key(mount) || self.world.folders.contains(mount);
            need(there, || format!("{mount} is mounted and does not exist"))?;
        }
        if let Some(group) = &known.group {
            need(self.world.groups.contains_key(group), || format!("group {group} has no limits yet"))?;
        }
        self.world.networks.extend(known.networks.iter().cloned());
        for volume in &known.volumes {
            self.world.volumes.entry(volume.clone()).or_insert_with(|| "fresh".to_owned());
        }
        services.iter().try_for_each(|service| self.start_one(&compose.project, service, &known, anew))
    }

    pub(super) fn start_one(&mut self, project: &str, service: &str, known: &Known, anew: bool) -> Refusal {
        let sketch = &known.services[service];
        need(self.world.images.contains(&sketch.image), || format!("image {} is not here", sketch.image))?;
        for other in &sketch.needs {
            let up = |c: &FakeContainer| c.state == State::Running || c.exit_code == Some(0);
            need(self.world.of(project, other).any(up), || {
                format!("{service} needs {other}, which is not up")
            })?;
        }
        let scale = sketch.scale.max(1);
        let ours = |c: &FakeContainer| c.project == project && c.service == service;
        self.world.containers.retain(|_, container| !ours(container) || container.number <= scale);
        for number in 1..=scale {
            let name =
                sketch.container_name.clone().unwrap_or_else(|| format!("{project}-{service}-{number}"));
            let new = container(project, service, number, known);
            let stands = self.world.containers.get(&name).is_some_and(|there| there.state == State::Paused);
            need(!stands, || format!("{name} stands still, and Compose cannot start it"))?;
            match self.world.containers.get_mut(&name) {
                // Compose starts again what it finds unchanged; the networks that it joined since stay.
                Some(there) if there.config_hash == new.config_hash && !anew => there.start(sketch.nature),
                _ => drop(self.world.containers.insert(name, new)),
            }
        }
        Ok(())
    }

    fn await_services(&self, project: &str, services: &[String]) -> Refusal {
        for service in services {
            let ready = |c: &FakeContainer| match c.state {
                State::Running => c.health != Health::Unhealthy,
                _ => c.exit_code == Some(0),
            };
            let mut all = self.world.of(project, service).peekable();
            need(all.peek().is_some(), || format!("{service} has no container to wait for"))?;
            need(all.all(ready), || format!("{service} did not get healthy"))?;
        }
        Ok(())
    }

    fn await_jobs(&self, project: &str, services: &[String]) -> Refusal {
        self.await_services(project, services)?;
        for service in services {
            let ended = |c: &FakeContainer| c.state != State::Running;
            need(self.world.of(project, service).all(ended), || format!("{service} goes on for ever"))?;
        }
        Ok(())
    }

    fn remove_networks(&mut self, names: &[String]) -> Refusal {
        for name in names {
            let members = self.world.members(name);
            need(members.is_empty(), || format!("{name} has members {members:?}"))?;
            self.world.networks.remove(name);
        }
        Ok(())
    }

    fn remove_volumes(&mut self, project: &str, names: &[String]) -> Refusal {
        for name in names {
            let user = self.world.containers.iter().find(|(_, container)| container.volumes.contains(name));
            need(user.is_none(), || format!("{name} is in use by {:?}", user.map(|(name, _)| name)))?;
            self.world.volumes.remove(name);
        }
        // They held what a server keeps.
        let server = format!("{project}/");
        self.world.databases.retain(|place, _| !place.starts_with(&server));
        Ok(())
    }

    fn do_membership(&mut self, action: &Action) -> Refusal {
        match action {
            Action::JoinNetwork { container, network } => {
                need(self.world.networks.contains(network), || format!("network {network} does not exist"))?;
                let there = self.world.containers.get_mut(container);
                let there = there.ok_or_else(|| format!("container {container} does not exist"))?;
                there.networks.insert(network.clone());
            }
            Action::LeaveNetwork { container, network } => {
                if let Some(there) = self.world.containers.get_mut(container) {
                    there.networks.remove(network);
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// Ours may be loaded before it runs, for that is what it starts with; and when nothing of it is there,
    /// for going back may meet a host that is as before already.
    fn load(&mut self, folder: &str, admin: Option<&String>) -> Refusal {
        let there = admin.is_none_or(|admin| self.world.external_proxies.contains(admin));
        need(there, || format!("no proxy answers at {admin:?}"))?;
        let sites: std::collections::BTreeMap<_, _> = self
            .world
            .files
            .iter()
            .filter(|(path, _)| is_below(path, &format!("{folder}/sites")))
            .map(|(path, hash)| (path.clone(), hash.clone()))
            .collect();
        let key = admin.map_or(folder, String::as_str);
        // No sites is what a proxy has that was never loaded.
        match sites.is_empty() {
            true => drop(self.world.loaded.remove(key)),
            false => drop(self.world.loaded.insert(key.to_owned(), sites)),
        }
        Ok(())
    }

    fn open(&mut self, path: &str, service: &str, address: &str) -> Refusal {
        let (project, named) = target(path);
        need(named == service, || format!("{path} is not the switch of {service}"))?;
        need(self.world.answers(path, address), || format!("no container of {service} runs in {project}"))?;
        let well = self.world.of(project, service).any(|c| c.health != Health::Unhealthy);
        need(well, || format!("{service} is unhealthy"))?;
        self.world.switches.insert(path.to_owned(), address.to_owned());
        Ok(())
    }
}

pub(super) fn container(project: &str, service: &str, number: u64, known: &Known) -> FakeContainer {
    let sketch: &ServiceSketch = &known.services[service];
    let mut new = FakeContainer {
        project: project.to_owned(),
        service: service.to_owned(),
        number,
        image: sketch.image.clone(),
        config_hash: sketch.config_hash.clone(),
        state: State::Created,
        health: Health::Unknown,
        exit_code: None,
        networks: known.networks_of(service),
        volumes: known.volumes.iter().cloned().collect(),
        mounts: known.mounts.iter().cloned().collect::<BTreeSet<_>>(),
        group: known.group.clone(),
        owner: known.owner.clone(),
        throttled: false,
    };
    new.start(sketch.nature);
    new
}

impl FakeContainer {
    fn stop(&mut self) {
        if self.state == State::Running {
            (self.state, self.health, self.exit_code) = (State::Exited, Health::Unknown, Some(143));
        }
    }

    pub(super) fn start(&mut self, nature: Nature) {
        (self.state, self.health, self.exit_code) = match nature {
            Nature::Serves => (State::Running, Health::Healthy, None),
            Nature::Sick => (State::Running, Health::Unhealthy, None),
            Nature::Job => (State::Exited, Health::Unknown, Some(0)),
            Nature::FailedJob => (State::Exited, Health::Unknown, Some(1)),
        };
    }
}
