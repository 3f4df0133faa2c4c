//! What nobody changes but by hand: limits, images behind names, who joined a network.

use std::collections::{BTreeMap, BTreeSet};

use bollard::models::{
    ContainerInspectResponse, HostConfig, RestartPolicy, RestartPolicyNameEnum as Restart,
};
use bollard::query_parameters::InspectNetworkOptions;
use futures_util::future::{try_join, try_join_all};
use pw_model::observed::Container;
use pw_plan::drift::running::{Inspected, Limits};
use pw_run::Failure;

use super::ceilings::ceiling;
use super::connect::{Engine, said, status};
use super::label;

impl Engine {
    /// Looks closely at each of these containers. One that went meanwhile is left out.
    ///
    /// # Errors
    /// The engine does not answer.
    pub async fn inspected(&self, containers: &[Container]) -> Result<Vec<Inspected>, Failure> {
        let each = containers.iter().map(async |one| match self.inspect_named(&one.id).await? {
            Some(found) => self.facts_of(found).await.map(Some),
            None => Ok(None),
        });
        Ok(try_join_all(each).await?.into_iter().flatten().collect())
    }

    async fn facts_of(&self, found: ContainerInspectResponse) -> Result<Inspected, Failure> {
        let config = found.config.unwrap_or_default();
        let (made_from, name) = (found.image.unwrap_or_default(), config.image.unwrap_or_default());
        let (own, now) = try_join(self.image_of(&made_from), self.image_of(&name)).await?;
        let host = found.host_config.unwrap_or_default();
        Ok(Inspected {
            id: found.id.unwrap_or_default(),
            image_name: name,
            image: made_from,
            image_now: now.map(|(id, _)| id),
            environment: variables(config.env),
            image_environment: own.map(|(_, names)| names).unwrap_or_default(),
            limits: limits(&host),
            restart: restart(host.restart_policy.as_ref()),
        })
    }

    /// Its id and the names of the variables that it sets; `None` when the engine does not have it.
    async fn image_of(&self, name: &str) -> Result<Option<(String, BTreeSet<String>)>, Failure> {
        match self.docker().await?.inspect_image(name).await {
            Ok(image) => {
                let set = variables(image.config.and_then(|config| config.env));
                Ok(Some((image.id.unwrap_or_default(), set.into_keys().collect())))
            }
            Err(error) if status(&error) == 404 => Ok(None),
            Err(error) => {
                Err(Failure::new(format!("could not look for image `{name}`")).because(said(error)))
            }
        }
    }

    /// Containers on these networks that belong neither to the Compose project nor to us: network, container.
    ///
    /// # Errors
    /// The engine does not answer.
    pub async fn strangers(
        &self,
        networks: &BTreeSet<String>,
        compose_project: &str,
    ) -> Result<Vec<(String, String)>, Failure> {
        let each = networks.iter().map(async |network| {
            let found = self.docker().await?.inspect_network(network, None::<InspectNetworkOptions>).await;
            let members = match found {
                Ok(found) => found.containers.unwrap_or_default(),
                Err(error) if status(&error) == 404 => return Ok(Vec::new()),
                Err(error) => {
                    let what = format!("could not inspect network `{network}`");
                    return Err(Failure::new(what).because(said(error)));
                }
            };
            let mut strangers = Vec::new();
            for id in members.keys() {
                if let Some(name) = self.stranger(id, compose_project).await? {
                    strangers.push((network.clone(), name));
                }
            }
            Ok(strangers)
        });
        let mut all: Vec<_> = try_join_all(each).await?.into_iter().flatten().collect();
        all.sort();
        Ok(all)
    }

    /// The name of a container that is nobody we know.
    async fn stranger(&self, id: &str, compose_project: &str) -> Result<Option<String>, Failure> {
        let Some(found) = self.inspect_named(id).await? else { return Ok(None) };
        let labels = found.config.and_then(|config| config.labels).unwrap_or_default();
        let is_ours = labels.get(label::PROJECT).is_some_and(|project| project == compose_project)
            || labels.contains_key(label::OUR_PROJECT)
            || labels.contains_key(label::OUR_PROXY);
        let name = found.name.unwrap_or_default().trim_start_matches('/').to_owned();
        Ok((!is_ours).then_some(name))
    }
}

fn variables(written: Option<Vec<String>>) -> BTreeMap<String, String> {
    let split =
        |entry: String| entry.split_once('=').map(|(name, value)| (name.to_owned(), value.to_owned()));
    written.into_iter().flatten().filter_map(split).collect()
}

fn limits(host: &HostConfig) -> Limits {
    let positive = |value: Option<i64>| value.and_then(|value| u64::try_from(value).ok()).unwrap_or(0);
    Limits {
        memory: positive(host.memory),
        memory_reservation: positive(host.memory_reservation),
        cpus: ceiling(host),
        processes: host.pids_limit.filter(|limit| *limit > 0),
    }
}

/// As Compose writes it: `no`, `always`, `unless-stopped`, `on-failure`, `on-failure:5`.
fn restart(policy: Option<&RestartPolicy>) -> String {
    let retries = policy.and_then(|policy| policy.maximum_retry_count).filter(|count| *count > 0);
    match (policy.and_then(|policy| policy.name), retries) {
        (None | Some(Restart::EMPTY | Restart::NO), _) => "no".to_owned(),
        (Some(Restart::ON_FAILURE), Some(count)) => format!("on-failure:{count}"),
        (Some(name), _) => name.to_string(),
    }
}
