//! What the engine has: containers, networks, volumes, images.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::Path;

use bollard::models::{
    ContainerInspectResponse, ContainerSummary, ContainerSummaryStateEnum as Summary, MountPoint,
};
use bollard::query_parameters::{
    InspectContainerOptions, ListContainersOptionsBuilder, ListNetworksOptions, ListVolumesOptions,
    RemoveImageOptions,
};
use pw_model::observed::{Container, Health, Origin, State};
use pw_run::Failure;

use super::connect::{Engine, said, status, unless};
use super::label;

/// Labels of a network or volume, by its name.
pub(super) type Labelled = BTreeMap<String, HashMap<String, String>>;

/// One port of the host behind which a service listens.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Published {
    pub service: String,
    pub target: u16,
    pub protocol: String,
    pub port: u16,
    pub address: String,
}

impl Engine {
    /// Containers of a Compose project in any state, without one-off runs. One call: health and exit code stand in the status text.
    pub async fn containers(&self, compose_project: &str) -> Result<Vec<Container>, Failure> {
        let found = self.summaries(&format!("{}={compose_project}", label::PROJECT)).await?;
        let services = found.iter().filter(|summary| label_of(summary, label::ONE_OFF) != Some("True"));
        let mut containers: Vec<Container> = services.filter_map(container).collect();
        self.find_lost_mounts(&mut containers).await;
        containers.sort_by(|a, b| (&a.service, a.number, &a.id).cmp(&(&b.service, b.number, &b.id)));
        Ok(containers)
    }

    /// Compose projects that have a container here, running or not.
    pub async fn compose_projects(&self) -> Result<Vec<String>, Failure> {
        let found = self.summaries(label::PROJECT).await?;
        let names: BTreeSet<String> =
            found.iter().filter_map(|one| label_of(one, label::PROJECT)).map(str::to_owned).collect();
        Ok(names.into_iter().collect())
    }

    /// Host ports, with `tcp` or `udp`, that containers of this project and of the proxy publish.
    pub async fn own_ports(&self, project: &str, proxy: &str) -> Result<BTreeSet<(u16, String)>, Failure> {
        let labels = [format!("{}={project}", label::OUR_PROJECT), format!("{}={proxy}", label::OUR_PROXY)];
        let [ours, proxies] = labels.each_ref().map(|label| self.summaries(label));
        let (ours, proxies) = tokio::try_join!(ours, proxies)?;
        let ports = ours.iter().chain(&proxies).flat_map(|summary| summary.ports.iter().flatten());
        let published = ports.filter_map(|port| Some((port.public_port?, port.typ?.to_string())));
        Ok(published.collect())
    }

    /// What a Compose project publishes on the host, also ports that the engine chose.
    pub async fn published(&self, compose_project: &str) -> Result<Vec<Published>, Failure> {
        let found = self.summaries(&format!("{}={compose_project}", label::PROJECT)).await?;
        let mut ports: Vec<Published> = found.iter().flat_map(published).collect();
        ports.sort();
        // The same port on IPv4 and IPv6 is told once.
        ports.dedup_by(|next, first| Published { address: first.address.clone(), ..next.clone() } == *first);
        Ok(ports)
    }

    pub(super) async fn summaries(&self, label: &str) -> Result<Vec<ContainerSummary>, Failure> {
        let filters = HashMap::from([("label", vec![label])]);
        let options = ListContainersOptionsBuilder::default().all(true).filters(&filters).build();
        let found = self.docker().await?.list_containers(Some(options)).await;
        found.map_err(|error| Failure::new("could not list containers").because(said(error)))
    }

    /// Networks by name that are in `names` or carry the label of the Compose project.
    pub async fn networks(
        &self,
        names: &[String],
        compose_project: &str,
    ) -> Result<BTreeSet<String>, Failure> {
        Ok(chosen(self.all_networks().await?, names, compose_project))
    }

    pub(crate) async fn all_networks(&self) -> Result<Labelled, Failure> {
        let found = self.docker().await?.list_networks(None::<ListNetworksOptions>).await;
        let found = found.map_err(|error| Failure::new("could not list networks").because(said(error)))?;
        Ok(found.into_iter().filter_map(|one| Some((one.name?, one.labels.unwrap_or_default()))).collect())
    }

    /// Volumes by name that are in `names` or carry the label of the Compose project.
    pub async fn volumes(
        &self,
        names: &[String],
        compose_project: &str,
    ) -> Result<BTreeSet<String>, Failure> {
        Ok(chosen(self.all_volumes().await?, names, compose_project))
    }

    pub(super) async fn all_volumes(&self) -> Result<Labelled, Failure> {
        let found = self.docker().await?.list_volumes(None::<ListVolumesOptions>).await;
        let found = found.map_err(|error| Failure::new("could not list volumes").because(said(error)))?;
        Ok(found.volumes.into_iter().flatten().map(|one| (one.name, one.labels)).collect())
    }

    /// Which of these images the engine has.
    pub async fn images<'a>(
        &self,
        names: impl IntoIterator<Item = &'a str>,
    ) -> Result<BTreeSet<String>, Failure> {
        let docker = self.docker().await?;
        let names: BTreeSet<&str> = names.into_iter().collect();
        let mut found = BTreeSet::new();
        for name in names {
            match docker.inspect_image(name).await {
                Ok(_) => drop(found.insert(name.to_owned())),
                Err(error) if status(&error) == 404 => {}
                Err(error) => {
                    return Err(
                        Failure::new(format!("could not look for image `{name}`")).because(said(error))
                    );
                }
            }
        }
        Ok(found)
    }

    /// Takes these names off images; an image without a name that no container uses is gone.
    pub(crate) async fn remove_images(&self, names: &[String]) -> Result<(), Failure> {
        let docker = self.docker().await?;
        for name in names {
            let removed = docker.remove_image(name, None::<RemoveImageOptions>, None).await;
            // 409: a container runs it, and keeps it.
            unless(&[404, 409], removed.map(drop), || format!("could not remove image `{name}`"))?;
        }
        Ok(())
    }

    /// The identity of an image, by which it stays known when its names move; `None` when it is not here.
    pub async fn image_identity(&self, name: &str) -> Result<Option<String>, Failure> {
        match self.docker().await?.inspect_image(name).await {
            Ok(found) => Ok(found.id),
            Err(error) if status(&error) == 404 => Ok(None),
            Err(error) => {
                Err(Failure::new(format!("could not look for image `{name}`")).because(said(error)))
            }
        }
    }

    /// True when a container of this name runs; false when there is none.
    pub async fn is_running(&self, container: &str) -> Result<bool, Failure> {
        Ok(self.networks_of(container).await?.is_some())
    }

    /// True when a container of this name runs and mounts something of this folder.
    pub(crate) async fn runs_with(&self, container: &str, folder: &str) -> Result<bool, Failure> {
        let Some(found) = self.inspect_named(container).await? else { return Ok(false) };
        let is_inside = |mount: &MountPoint| {
            mount.source.as_ref().is_some_and(|from| Path::new(from).starts_with(folder))
        };
        Ok(runs(&found) && found.mounts.iter().flatten().any(is_inside))
    }

    /// The networks of a running container; `None` when it does not run or is not there.
    pub async fn networks_of(&self, container: &str) -> Result<Option<BTreeSet<String>>, Failure> {
        Ok(self.networks_and_origin(container).await?.and_then(|(networks, _)| networks))
    }

    /// The networks, when it runs, and the origin of a container; `None` when it is not there.
    pub(crate) async fn networks_and_origin(
        &self,
        container: &str,
    ) -> Result<Option<(Option<BTreeSet<String>>, Origin)>, Failure> {
        let Some(found) = self.inspect_named(container).await? else { return Ok(None) };
        let is_running = runs(&found);
        let networks = found.network_settings.and_then(|settings| settings.networks).unwrap_or_default();
        let labels = found.config.and_then(|config| config.labels);
        Ok(Some((is_running.then(|| networks.into_keys().collect()), origin(labels.as_ref()))))
    }

    pub(crate) async fn inspect_named(
        &self,
        container: &str,
    ) -> Result<Option<ContainerInspectResponse>, Failure> {
        match self.docker().await?.inspect_container(container, None::<InspectContainerOptions>).await {
            Ok(found) => Ok(Some(found)),
            Err(error) if status(&error) == 404 => Ok(None),
            Err(error) => Err(Failure::new(format!("could not inspect `{container}`")).because(said(error))),
        }
    }
}

/// While it restarts over and over, `running` is true too; only the status tells.
fn runs(found: &ContainerInspectResponse) -> bool {
    let status = found.state.as_ref().and_then(|state| state.status);
    status.is_some_and(|status| status.to_string() == "running")
}

fn published(summary: &ContainerSummary) -> Vec<Published> {
    let service = label_of(summary, label::SERVICE).unwrap_or_default();
    let ports = summary.ports.iter().flatten();
    ports
        .filter_map(|port| {
            Some(Published {
                service: service.to_owned(),
                target: port.private_port,
                protocol: port.typ?.to_string(),
                port: port.public_port?,
                address: port.ip.clone().unwrap_or_default(),
            })
        })
        .collect()
}

fn chosen(all: Labelled, names: &[String], compose_project: &str) -> BTreeSet<String> {
    let ours = |labels: &HashMap<String, String>| {
        labels.get(label::PROJECT).is_some_and(|project| project == compose_project)
    };
    all.into_iter()
        .filter(|(name, labels)| names.contains(name) || ours(labels))
        .map(|(name, _)| name)
        .collect()
}

pub(super) fn label_of<'a>(summary: &'a ContainerSummary, key: &str) -> Option<&'a str> {
    summary.labels.as_ref()?.get(key).map(String::as_str)
}

pub(super) fn name_of(summary: &ContainerSummary) -> String {
    let first = summary.names.iter().flatten().next();
    first.map(|name| name.trim_start_matches('/').to_owned()).unwrap_or_default()
}

fn container(summary: &ContainerSummary) -> Option<Container> {
    let text = |key| label_of(summary, key).unwrap_or_default().to_owned();
    let status = summary.status.as_deref().unwrap_or_default();
    let state = state(summary.state?);
    Some(Container {
        id: summary.id.clone()?,
        name: name_of(summary),
        service: text(label::SERVICE),
        number: text(label::NUMBER).parse().unwrap_or(1),
        image: summary.image.clone().unwrap_or_default(),
        state,
        health: health(status),
        config_hash: text(label::CONFIG_HASH),
        owner: owner(summary),
        exit_code: (state == State::Exited).then(|| exit_code(status)).flatten(),
        networks: summary
            .network_settings
            .as_ref()
            .and_then(|settings| settings.networks.as_ref())
            .map(|networks| networks.keys().cloned().collect())
            .unwrap_or_default(),
        lost_mounts: BTreeSet::new(),
        mounts: summary.mounts.iter().flatten().filter_map(mount).collect(),
        origin: origin(summary.labels.as_ref()),
        throttled: false,
    })
}

/// Path inside → path of the host, or name of the volume.
fn mount(mount: &MountPoint) -> Option<(String, String)> {
    let from = mount.name.as_ref().filter(|name| !name.is_empty()).or(mount.source.as_ref())?;
    Some((mount.destination.clone()?.trim_end_matches('/').to_owned(), from.clone()))
}

/// A Compose file that is gone is left out, for nothing can be started from it any more.
fn origin(labels: Option<&HashMap<String, String>>) -> Origin {
    let of = |key: &str| labels.and_then(|labels| labels.get(key)).cloned();
    // Unreadable for us is not gone.
    let is_there = |file: &String| Path::new(file).try_exists().unwrap_or(true);
    Origin { state: of(label::OUR_STATE), compose_file: of(label::COMPOSE_FILE).filter(is_there) }
}

pub(super) fn owner(summary: &ContainerSummary) -> Option<(String, String)> {
    let project = label_of(summary, label::OUR_PROJECT)?;
    Some((project.to_owned(), label_of(summary, label::OUR_ENVIRONMENT)?.to_owned()))
}

fn state(state: Summary) -> State {
    match state {
        Summary::CREATED => State::Created,
        Summary::RUNNING | Summary::STOPPING => State::Running,
        Summary::PAUSED => State::Paused,
        Summary::RESTARTING => State::Restarting,
        Summary::EXITED => State::Exited,
        Summary::EMPTY | Summary::REMOVING | Summary::DEAD => State::Dead,
    }
}

/// The engine writes exactly these three into the status of a container with a healthcheck.
fn health(status: &str) -> Health {
    match status {
        text if text.ends_with("(healthy)") => Health::Healthy,
        text if text.ends_with("(unhealthy)") => Health::Unhealthy,
        text if text.ends_with("(health: starting)") => Health::Starting,
        _ => Health::Unknown,
    }
}

/// `Exited (137) 2 minutes ago` → 137.
fn exit_code(status: &str) -> Option<i64> {
    status.strip_prefix("Exited (")?.split(')').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_status_text_tells_health_and_exit_code() {
        assert_eq!(health("Up 3 minutes (healthy)"), Health::Healthy);
        assert_eq!(health("Up 1 second (health: starting)"), Health::Starting);
        assert_eq!(health("Up 2 hours (unhealthy)"), Health::Unhealthy);
        assert_eq!(health("Up 2 hours (Paused)"), Health::Unknown);
        assert_eq!(exit_code("Exited (137) 2 minutes ago"), Some(137));
        assert_eq!(exit_code("Created"), None);
    }
}
