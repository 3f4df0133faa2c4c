//! Removing containers, networks and volumes, and the guard before it.
//!
//! A name alone never suffices: what is removed carries the labels of this project and of one of
//! its environments. What somebody else made is not touched, even under a name of ours.

use std::collections::{BTreeSet, HashMap};

use bollard::models::ContainerSummary;
use bollard::query_parameters::{
    InspectNetworkOptions, RemoveContainerOptionsBuilder, RemoveVolumeOptions, StopContainerOptions,
};
use futures_util::future::try_join_all;
use pw_run::Failure;

use super::connect::{Engine, said, status, unless};
use super::label;
use super::list::{Labelled, label_of, name_of};

impl Engine {
    /// Stops and removes the containers of these services, each with its own time to stop.
    pub async fn remove_services(&self, project: &str, services: &[String]) -> Result<(), Failure> {
        let chosen = self.guarded_containers(project, services).await?;
        try_join_all(chosen.iter().map(|one| self.remove_container(one))).await.map(drop)
    }

    /// Stops the containers of these services, each with its own time to stop; they stay.
    pub async fn stop_services(&self, project: &str, services: &[String]) -> Result<(), Failure> {
        let found = self.guarded_containers(project, services).await?;
        try_join_all(found.iter().map(|one| self.stop_container(one))).await.map(drop)
    }

    async fn stop_container(&self, summary: &ContainerSummary) -> Result<(), Failure> {
        let stopped = self
            .docker()
            .await?
            .stop_container(summary.id.as_deref().unwrap_or_default(), None::<StopContainerOptions>)
            .await;
        unless(&[304, 404], stopped, || format!("could not stop `{}`", name_of(summary)))
    }

    /// Containers of these services, all of them known to be ours.
    pub(super) async fn guarded_containers(
        &self,
        project: &str,
        services: &[String],
    ) -> Result<Vec<ContainerSummary>, Failure> {
        let mut found = self.summaries(&format!("{}={project}", label::PROJECT)).await?;
        found.retain(|one| {
            label_of(one, label::SERVICE).is_some_and(|service| services.iter().any(|s| s == service))
        });
        for one in &found {
            self.guard("container", &name_of(one), project, one.labels.as_ref())?;
        }
        one_environment(project, found.iter().filter_map(|one| label_of(one, label::OUR_ENVIRONMENT)))?;
        Ok(found)
    }

    pub(super) async fn remove_container(&self, summary: &ContainerSummary) -> Result<(), Failure> {
        let docker = self.docker().await?;
        let (id, name) = (summary.id.as_deref().unwrap_or_default(), name_of(summary));
        self.stop_container(summary).await?;
        let options = RemoveContainerOptionsBuilder::default().force(true).v(true).build();
        let removed = docker.remove_container(id, Some(options)).await;
        // 409: somebody else is removing it at this moment.
        unless(&[404, 409], removed, || format!("could not remove `{name}`"))
    }

    /// Removes networks; one to which a container is still attached is a failure that names the container.
    pub async fn remove_networks(&self, project: &str, names: &[String]) -> Result<(), Failure> {
        let all = self.all_networks().await?;
        for name in self.guarded("network", project, names, &all)? {
            let removed = self.docker().await?.remove_network(name).await;
            match removed {
                Err(error) if status(&error) == 403 => {
                    return Err(self.in_use(name).await.because(said(error)));
                }
                other => unless(&[404], other, || format!("could not remove network `{name}`"))?,
            }
        }
        Ok(())
    }

    async fn in_use(&self, network: &str) -> Failure {
        let names = self.attached(network).await.unwrap_or_default();
        let failure = Failure::new(format!("network `{network}` is still used by {}", names.join(", ")));
        match names.first() {
            Some(name) => {
                failure.hint(format!("docker network disconnect {network} {}", name.trim_matches('`')))
            }
            None => failure,
        }
    }

    async fn attached(&self, network: &str) -> Result<Vec<String>, Failure> {
        let found = self.docker().await?.inspect_network(network, None::<InspectNetworkOptions>).await;
        let found = found.map_err(|error| Failure::new("could not inspect it").because(said(error)))?;
        let containers = found.containers.unwrap_or_default().into_values();
        Ok(containers.filter_map(|one| Some(format!("`{}`", one.name?))).collect())
    }

    /// Removes volumes with their data.
    pub async fn remove_volumes(&self, project: &str, names: &[String]) -> Result<(), Failure> {
        let all = self.all_volumes().await?;
        for name in self.guarded("volume", project, names, &all)? {
            let removed = self.docker().await?.remove_volume(name, None::<RemoveVolumeOptions>).await;
            unless(&[404], removed, || format!("could not remove volume `{name}`"))?;
        }
        Ok(())
    }

    /// Those of `names` that exist, all of them checked before the first is removed.
    fn guarded<'a>(
        &self,
        kind: &str,
        project: &str,
        names: &'a [String],
        all: &Labelled,
    ) -> Result<Vec<&'a String>, Failure> {
        let existing: Vec<&String> = names.iter().filter(|name| all.contains_key(*name)).collect();
        for name in &existing {
            self.guard(kind, name, project, all.get(*name))?;
        }
        let labels = existing.iter().filter_map(|name| all.get(*name)?.get(label::OUR_ENVIRONMENT));
        one_environment(project, labels.map(String::as_str))?;
        Ok(existing)
    }

    /// Refuses what is not labelled as this project's own.
    fn guard(
        &self,
        kind: &str,
        name: &str,
        project: &str,
        labels: Option<&HashMap<String, String>>,
    ) -> Result<(), Failure> {
        let of = |key: &str| labels.and_then(|labels| labels.get(key)).map(String::as_str);
        let is_proxy = of(label::OUR_PROXY) == Some(project);
        let is_ours = of(label::OUR_PROJECT) == Some(&self.project) && of(label::OUR_ENVIRONMENT).is_some();
        if of(label::PROJECT) == Some(project) && (is_ours || is_proxy) {
            return Ok(());
        }
        Err(Failure::new(format!("{kind} `{name}` is not {}'s to remove", self.project))
            .because(NotOurs::of(project, of))
            .hint(format!("look at `docker {kind} inspect {name}`; if nobody needs it, remove it by hand")))
    }
}

/// Why the guard refuses.
#[derive(Debug, thiserror::Error)]
enum NotOurs {
    #[error("Partywall did not make it: it has no label `{}`", label::OUR_ENVIRONMENT)]
    Unlabelled,
    #[error("it belongs to environment `{environment}` of project `{project}`")]
    Foreign { project: String, environment: String },
    #[error("it belongs to Compose project `{found}`, not `{wanted}`")]
    OtherComposeProject { found: String, wanted: String },
}

impl NotOurs {
    fn of<'a>(wanted: &str, of: impl Fn(&str) -> Option<&'a str>) -> Self {
        let found = of(label::PROJECT).unwrap_or("none").to_owned();
        match (of(label::OUR_PROJECT), of(label::OUR_ENVIRONMENT)) {
            _ if found != wanted => Self::OtherComposeProject { found, wanted: wanted.into() },
            (Some(project), Some(environment)) => {
                Self::Foreign { project: project.into(), environment: environment.into() }
            }
            _ => Self::Unlabelled,
        }
    }
}

/// Refuses a set of things that claim to belong to different environments.
fn one_environment<'a>(project: &str, labels: impl Iterator<Item = &'a str>) -> Result<(), Failure> {
    let names: BTreeSet<&str> = labels.collect();
    if names.len() < 2 {
        return Ok(());
    }
    let names = names.into_iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(" and ");
    Err(Failure::new(format!("what belongs to Compose project `{project}` is labelled as {names}"))
        .hint("two environments must not share a Compose project: see `partywall check`"))
}
