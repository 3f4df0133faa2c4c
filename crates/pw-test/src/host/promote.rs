//! What steps of promotions do to the world, and those that no other file has.

use std::collections::BTreeMap;

use pw_model::observed::{Health, State};
use pw_plan::Action;
use pw_plan::step::{ComposeRun, Containers, Generation, WatchedRoute};

use super::FakeHost;
use super::act::{Refusal, container, need};
use super::known::Nature;
use super::world::FakeContainer;

impl FakeHost {
    pub(super) fn do_promote(&mut self, action: &Action) -> Refusal {
        match action {
            Action::CheckOut { checkout } => {
                self.world.folders.insert(checkout.path.clone());
                Ok(())
            }
            Action::MakeGeneration { compose, generation } => self.make_generation(compose, generation),
            Action::StartContainers { containers } => self.start_containers(containers),
            Action::AwaitContainers { containers, .. } => self.all_healthy(containers),
            Action::RemoveContainers { containers } => {
                self.world.containers.retain(|name, _| !containers.names.contains(name));
                Ok(())
            }
            Action::WithdrawContainers { containers, edge, networks } => {
                for name in &containers.names {
                    if let Some(one) = self.world.containers.get_mut(name) {
                        one.networks = networks.iter().chain([edge]).cloned().collect();
                    }
                }
                Ok(())
            }
            Action::Probe { probe } => self.all_healthy(&probe.containers),
            Action::AnswerCalls { containers, network, .. } => {
                need(self.world.networks.contains(network), || format!("network {network} does not exist"))?;
                self.each(containers, |one| {
                    one.networks.insert(network.clone());
                })
            }
            Action::ReplaceServices { compose, services, .. } => self.replace(compose, services),
            Action::RunCommand { run } => {
                self.described(&run.compose, std::slice::from_ref(&run.service)).map(drop)
            }
            Action::RunHook { .. } | Action::EndCommand { .. } => Ok(()),
            Action::RemoveImages { names } => {
                self.world.images.retain(|image| !names.contains(image));
                Ok(())
            }
            Action::FreezeServices { project, services } => {
                self.turn((project, services), (State::Running, State::Paused))
            }
            Action::ThawServices { project, services } => {
                self.turn((project, services), (State::Paused, State::Running))
            }
            Action::ThrottleServices { project, services } => {
                let ours =
                    |one: &&mut FakeContainer| one.project == *project && services.contains(&one.service);
                self.world.containers.values_mut().filter(ours).for_each(|one| one.throttled = true);
                Ok(())
            }
            Action::UnthrottleServices { project, ceilings } => {
                let ours =
                    |one: &&mut FakeContainer| one.project == *project && ceilings.contains_key(&one.service);
                self.world.containers.values_mut().filter(ours).for_each(|one| one.throttled = false);
                Ok(())
            }
            Action::RemoveUnnamedImages { .. } | Action::ClearBuildCache { .. } => Ok(()),
            Action::Watch { watch } => watch.routes.iter().try_for_each(|route| self.holds(route)),
            Action::Drain { .. } => Ok(()),
            other => Err(format!("the fake does not know `{other}`")),
        }
    }

    fn make_generation(&mut self, compose: &ComposeRun, generation: &Generation) -> Refusal {
        let Containers { project, service, names } = &generation.containers;
        let known = self.described(compose, std::slice::from_ref(service))?;
        let sketch = &known.services[service];
        need(sketch.config_hash == generation.config_hash, || {
            format!("{} describes {service} as {}", compose.file, sketch.config_hash)
        })?;
        need(self.world.images.contains(&sketch.image), || format!("image {} is not here", sketch.image))?;
        self.world.networks.extend(known.networks.iter().cloned());
        let networks: Vec<&String> = generation.networks.iter().chain([&generation.edge]).collect();
        for (number, name) in (1..).zip(names) {
            let new = || FakeContainer {
                state: State::Created,
                health: Health::Unknown,
                ..container(project, service, number, &known)
            };
            let one = self.world.containers.entry(name.clone()).or_insert_with(new);
            if one.state != State::Running {
                one.networks = networks.iter().map(|network| (*network).clone()).collect();
            }
        }
        Ok(())
    }

    fn start_containers(&mut self, containers: &Containers) -> Refusal {
        let natures: BTreeMap<String, Nature> = self
            .known
            .values()
            .flat_map(|known| known.services.values())
            .map(|sketch| (sketch.config_hash.clone(), sketch.nature))
            .collect();
        self.each(containers, |one| {
            if one.state != State::Running {
                one.start(natures.get(&one.config_hash).copied().unwrap_or_default());
            }
        })
    }

    fn each(&mut self, containers: &Containers, mut act: impl FnMut(&mut FakeContainer)) -> Refusal {
        for name in &containers.names {
            let one = self.world.containers.get_mut(name);
            act(one.ok_or_else(|| format!("there is no container {name}"))?);
        }
        Ok(())
    }

    fn all_healthy(&mut self, containers: &Containers) -> Refusal {
        for name in &containers.names {
            let one = self.world.containers.get(name);
            let well = one.is_some_and(|one| one.state == State::Running && one.health != Health::Unhealthy);
            need(well, || format!("{name} is not healthy"))?;
        }
        Ok(())
    }

    fn replace(&mut self, compose: &ComposeRun, services: &BTreeMap<String, String>) -> Refusal {
        let names: Vec<String> = services.keys().cloned().collect();
        let known = self.described(compose, &names)?;
        for (name, hash) in services {
            let described = &known.services[name].config_hash;
            need(described == hash, || format!("{} describes {name} as {described}", compose.file))?;
        }
        self.world.containers.retain(|_, one| {
            one.project != compose.project
                || services.get(&one.service).is_none_or(|hash| *hash == one.config_hash)
        });
        names.iter().try_for_each(|name| self.start_one(&compose.project, name, &known, false))
    }

    fn holds(&mut self, route: &WatchedRoute) -> Refusal {
        self.all_healthy(&route.containers)?;
        let leads = self.world.switches.values().any(|address| *address == route.after);
        need(leads, || format!("nobody asks {}", route.after))
    }
}
