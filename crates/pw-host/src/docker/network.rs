//! Joining and leaving networks.

use std::collections::HashMap;

use bollard::models::{EndpointSettings, NetworkConnectRequest, NetworkDisconnectRequest};
use bollard::query_parameters::ListNetworksOptionsBuilder;
use pw_run::Failure;

use super::connect::{Engine, said, status};
use super::label;

const BRIDGE_NAME: &str = "com.docker.network.bridge.name";

impl Engine {
    /// The bridges of a Compose project's networks, by the names that the kernel has for them.
    pub async fn bridges(&self, compose_project: &str) -> Result<Vec<String>, Failure> {
        let label = format!("{}={compose_project}", label::PROJECT);
        let filters = HashMap::from([("label", vec![label.as_str()])]);
        let options = ListNetworksOptionsBuilder::default().filters(&filters).build();
        let found = self.docker().await?.list_networks(Some(options)).await;
        let found = found.map_err(|error| Failure::new("could not list networks").because(said(error)))?;
        Ok(found.into_iter().filter_map(|one| one.options?.remove(BRIDGE_NAME)).collect())
    }

    /// Connects a container to a network; one that is connected already stays so.
    pub async fn join(&self, container: &str, network: &str) -> Result<(), Failure> {
        self.join_as(container, network, &[]).await.map(drop)
    }

    /// The same under further names; answers whether it was not connected before.
    pub(crate) async fn join_as(
        &self,
        container: &str,
        network: &str,
        aliases: &[String],
    ) -> Result<bool, Failure> {
        let endpoint = EndpointSettings { aliases: Some(aliases.to_vec()), ..EndpointSettings::default() };
        let request = NetworkConnectRequest { container: container.into(), endpoint_config: Some(endpoint) };
        match self.docker().await?.connect_network(network, request).await {
            Ok(()) => Ok(true),
            Err(error) if is_joined(&error.to_string()) => Ok(false),
            Err(error) => {
                Err(Failure::new(format!("could not connect `{container}` to network `{network}`"))
                    .because(said(error)))
            }
        }
    }

    /// Disconnects a container; success when it is not connected, or when container or network is gone.
    pub async fn leave(&self, container: &str, network: &str) -> Result<(), Failure> {
        let request = NetworkDisconnectRequest { container: container.into(), force: None };
        match self.docker().await?.disconnect_network(network, request).await {
            Ok(()) => Ok(()),
            Err(error) if status(&error) == 404 || is_apart(&error.to_string()) => Ok(()),
            Err(error) => {
                Err(Failure::new(format!("could not disconnect `{container}` from network `{network}`"))
                    .because(said(error)))
            }
        }
    }
}

/// The engine answers 403 for this and for other refusals; its words tell them apart.
fn is_joined(message: &str) -> bool {
    message.contains("already exists in network") || message.contains("already attached to network")
}

fn is_apart(message: &str) -> bool {
    message.contains("is not connected to") || message.contains("not connected to the network")
}
