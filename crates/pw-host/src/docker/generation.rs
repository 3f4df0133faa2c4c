//! A second generation of a service, beside the one that serves.
//!
//! Compose creates the containers, so that they are what it would make and what it knows; before they run, they
//! lose the names under which other services would find them.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use bollard::models::{ContainerInspectResponse, ContainerSummary};
use bollard::query_parameters::{RenameContainerOptionsBuilder, StartContainerOptions};
use futures_util::future::try_join_all;
use jiff::Timestamp;
use pw_model::colour::Colour;
use pw_plan::step::{ComposeRun, Containers, Generation};
use pw_run::Failure;

use super::connect::{Engine, said, unless};
use super::label;
use super::list::{label_of, name_of};
use super::verdict::{Verdict, verdict};
use crate::compose;

const POLL: Duration = Duration::from_millis(200);

type OnLine<'a> = Option<&'a (dyn Fn(&str) + Send + Sync)>;

impl Engine {
    /// Creates the containers of a generation; they do not run, and only the edge knows their name.
    pub(crate) async fn make_generation(
        &self,
        compose: &ComposeRun,
        generation: &Generation,
        on_line: OnLine<'_>,
    ) -> Result<(), Failure> {
        let wanted = &generation.containers;
        let found = self.all_of(wanted).await?;
        let missing = missing(&found, wanted);
        let unnamed = unnamed(&found, generation).len();
        if missing.len() > unnamed {
            let scale = found.len() + missing.len() - unnamed;
            compose::create(compose, &wanted.service, scale, on_line).await?;
        }
        self.name(generation, &missing).await?;
        try_join_all(wanted.names.iter().map(|name| self.withdraw(name, generation))).await.map(drop)
    }

    /// Gives what Compose created the names of the generation.
    async fn name(&self, generation: &Generation, missing: &[String]) -> Result<(), Failure> {
        if missing.is_empty() {
            return Ok(());
        }
        let found = self.all_of(&generation.containers).await?;
        let unnamed = unnamed(&found, generation);
        if unnamed.len() < missing.len() {
            let service = &generation.containers.service;
            return Err(Failure::new(format!("Compose did not create another container of `{service}`"))
                .hint("a `container_name`, or a host port of its own, allows only one"));
        }
        for (name, one) in missing.iter().zip(unnamed) {
            let options = RenameContainerOptionsBuilder::default().name(name).build();
            let id = one.id.as_deref().unwrap_or_default();
            let renamed = self.docker().await?.rename_container(id, options).await;
            renamed.map_err(|error| {
                Failure::new(format!("could not name `{}` `{name}`", name_of(one))).because(said(error))
            })?;
        }
        Ok(())
    }

    /// Leaves a container that does not run yet with no name but that for the proxy.
    async fn withdraw(&self, name: &str, generation: &Generation) -> Result<(), Failure> {
        let Some(found) = self.inspect_named(name).await? else { return Ok(()) };
        if is_running(&found) {
            return Ok(());
        }
        let edge = (&generation.edge, vec![generation.alias.clone()]);
        let wanted: Vec<_> =
            generation.networks.iter().map(|network| (network, Vec::new())).chain([edge]).collect();
        self.only_on(name, found, &wanted).await
    }

    /// Takes the names away under which other services find containers that run.
    pub(crate) async fn withdraw_running(
        &self,
        containers: &Containers,
        edge: &str,
        networks: &[String],
    ) -> Result<(), Failure> {
        for name in &containers.names {
            let Some(found) = self.inspect_named(name).await? else { continue };
            let on_edge = found.network_settings.as_ref().and_then(|all| all.networks.as_ref()?.get(edge));
            let (edge, aliases) =
                (edge.to_owned(), on_edge.and_then(|one| one.aliases.clone()).unwrap_or_default());
            let wanted: Vec<_> =
                networks.iter().map(|network| (network, Vec::new())).chain([(&edge, aliases)]).collect();
            self.only_on(name, found, &wanted).await?;
        }
        Ok(())
    }

    /// Puts a container on these networks alone, each with exactly these names beside its own.
    async fn only_on(
        &self,
        name: &str,
        found: ContainerInspectResponse,
        wanted: &[(&String, Vec<String>)],
    ) -> Result<(), Failure> {
        let short: String = found.id.clone().unwrap_or_default().chars().take(12).collect();
        let joined = found.network_settings.and_then(|settings| settings.networks).unwrap_or_default();
        for network in joined.keys().filter(|network| !wanted.iter().any(|(name, _)| name == network)) {
            self.leave(name, network).await?;
        }
        for (network, aliases) in wanted {
            let has = joined.get(*network).map(|settings| settings.aliases.clone().unwrap_or_default());
            let own = |alias: &String| *alias == short || alias == name;
            let is_right = has.is_some_and(|has| {
                aliases.iter().all(|alias| has.contains(alias))
                    && has.iter().all(|alias| own(alias) || aliases.contains(alias))
            });
            if !is_right {
                self.leave(name, network).await?;
                self.join_as(name, network, aliases).await?;
            }
        }
        Ok(())
    }

    pub(crate) async fn start_containers(&self, containers: &Containers) -> Result<(), Failure> {
        let docker = self.docker().await?;
        let started = containers.names.iter().map(async |name| {
            let started = docker.start_container(name, None::<StartContainerOptions>).await;
            unless(&[304], started, || format!("could not start `{name}`"))
        });
        try_join_all(started).await.map(drop)
    }

    /// Waits until each of these containers is up; fails at once where waiting cannot help.
    pub(crate) async fn await_containers(
        &self,
        containers: &Containers,
        timeout_seconds: u64,
        on_line: OnLine<'_>,
    ) -> Result<(), Failure> {
        let (begun, mut crashes, mut told) = (Instant::now(), HashMap::new(), false);
        loop {
            let Some((name, why)) = self.first_not_up(containers, &mut crashes).await? else { return Ok(()) };
            if begun.elapsed() >= Duration::from_secs(timeout_seconds) {
                let why = format!("{why} after {timeout_seconds} s");
                return Err(self.not_up_container(&name, &containers.service, &why).await);
            }
            if begun.elapsed() > Duration::from_secs(2) && !told {
                on_line.iter().for_each(|tell| tell(&format!("waiting for {name} ({why})")));
                told = true;
            }
            tokio::time::sleep(POLL).await;
        }
    }

    async fn first_not_up(
        &self,
        containers: &Containers,
        crashes: &mut HashMap<String, i64>,
    ) -> Result<Option<(String, &'static str)>, Failure> {
        for name in &containers.names {
            let Some(found) = self.inspect_named(name).await? else {
                return Err(Failure::new(format!("there is no container `{name}`")));
            };
            let count = found.restart_count.unwrap_or(0);
            let first = *crashes.entry(name.clone()).or_insert(count);
            match verdict(&found, count - first, Timestamp::now()) {
                Verdict::Up => {}
                Verdict::NotYet(why) => return Ok(Some((name.clone(), why))),
                Verdict::Failed(why) => {
                    return Err(self.not_up_container(name, &containers.service, &why).await);
                }
            }
        }
        Ok(None)
    }

    /// Why containers are not as they were started, if they are not; `restarts` holds how often each was restarted before.
    pub(crate) async fn broken(
        &self,
        containers: &Containers,
        restarts: &mut HashMap<String, i64>,
    ) -> Result<Option<String>, Failure> {
        for name in &containers.names {
            let Some(found) = self.inspect_named(name).await? else {
                return Ok(Some(format!("`{name}` is gone")));
            };
            let count = found.restart_count.unwrap_or(0);
            if count != *restarts.entry(name.clone()).or_insert(count) {
                return Ok(Some(format!("`{name}` ended and was started again")));
            }
            match verdict(&found, 0, Timestamp::now()) {
                Verdict::Failed(why) => return Ok(Some(format!("`{name}` {why}"))),
                Verdict::NotYet(_) if !is_running(&found) => {
                    return Ok(Some(format!("`{name}` does not run")));
                }
                _ => {}
            }
        }
        Ok(None)
    }

    /// Stops and removes these containers of a service, all of them known to be ours; what is gone is gone.
    pub(crate) async fn remove_containers(&self, containers: &Containers) -> Result<(), Failure> {
        let found = self.all_of(containers).await?;
        let chosen = found.iter().filter(|one| containers.names.contains(&name_of(one)));
        try_join_all(chosen.map(|one| self.remove_container(one))).await.map(drop)
    }

    /// Makes a service's containers those of the file: others are removed, and no other service is touched.
    pub(crate) async fn replace_services(
        &self,
        compose: &ComposeRun,
        services: &std::collections::BTreeMap<String, String>,
        overlap: &[String],
        on_line: OnLine<'_>,
    ) -> Result<(), Failure> {
        let names: Vec<String> = services.keys().cloned().collect();
        self.await_leaving(&compose.project, &names).await?;
        let found = self.guarded_containers(&compose.project, &names).await?;
        let is_other = |one: &&ContainerSummary| {
            let service = label_of(one, label::SERVICE).unwrap_or_default();
            label_of(one, label::CONFIG_HASH) != services.get(service).map(String::as_str)
        };
        let (later, now): (Vec<&ContainerSummary>, Vec<&ContainerSummary>) =
            found.iter().filter(is_other).partition(|one| {
                label_of(one, label::SERVICE).is_some_and(|name| overlap.iter().any(|other| other == name))
            });
        try_join_all(now.into_iter().map(|one| self.remove_container(one))).await?;
        let mut scales = self.counts(&compose.project).await?;
        for (name, count) in &mut scales {
            let old = later.iter().filter(|one| label_of(one, label::SERVICE) == Some(name)).count();
            let new = *count - old.min(*count);
            *count = if new == 0 { old * 2 } else { *count };
        }
        scales.retain(|name, count| *count > 1 && (!services.contains_key(name) || overlap.contains(name)));
        let started = compose::up_only(compose, &names, &scales, on_line).await;
        self.explain_start(&compose.project, started).await?;
        let awaited = super::Awaited {
            project: &compose.project,
            services: &names,
            timeout_seconds: 300,
            ended: false,
        };
        if !later.is_empty() {
            self.await_services(awaited, on_line).await?;
        }
        try_join_all(later.into_iter().map(|one| self.remove_container(one))).await.map(drop)
    }

    /// How many containers each service has.
    async fn counts(&self, project: &str) -> Result<std::collections::BTreeMap<String, usize>, Failure> {
        let found = self.summaries(&format!("{}={project}", label::PROJECT)).await?;
        let mut counts = std::collections::BTreeMap::new();
        for one in found.iter().filter(|one| label_of(one, label::ONE_OFF) != Some("True")) {
            if let Some(service) = label_of(one, label::SERVICE) {
                *counts.entry(service.to_owned()).or_insert(0) += 1;
            }
        }
        Ok(counts)
    }

    /// All containers of the service, whatever their generation; the guard holds for each.
    async fn all_of(&self, containers: &Containers) -> Result<Vec<ContainerSummary>, Failure> {
        let services = [containers.service.clone()];
        let mut found = self.guarded_containers(&containers.project, &services).await?;
        found.retain(|one| label_of(one, label::ONE_OFF) != Some("True"));
        Ok(found)
    }
}

fn is_running(found: &ContainerInspectResponse) -> bool {
    found.state.as_ref().and_then(|state| state.running).unwrap_or(false)
}

fn missing(found: &[ContainerSummary], wanted: &Containers) -> Vec<String> {
    let is_there = |name: &String| found.iter().any(|one| name_of(one) == *name);
    wanted.names.iter().filter(|name| !is_there(name)).cloned().collect()
}

/// Created as described, and neither started nor named by us.
fn unnamed<'a>(found: &'a [ContainerSummary], generation: &Generation) -> Vec<&'a ContainerSummary> {
    let Containers { project, service, .. } = &generation.containers;
    let is_created = |one: &&ContainerSummary| {
        one.state.is_some_and(|state| state.to_string() == "created")
            && label_of(one, label::CONFIG_HASH) == Some(&generation.config_hash)
            && Colour::of_container(project, service, &name_of(one)).is_none()
    };
    found.iter().filter(is_created).collect()
}
