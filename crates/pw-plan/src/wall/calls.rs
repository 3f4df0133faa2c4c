//! Calls between services: a network for each service that is flipped, which a new generation joins when it is healthy.
//!
//! On its other networks a new generation has no name, so that no call meets it while it starts.

use std::collections::BTreeSet;

use pw_model::config::Class;
use pw_model::desired::DesiredCalls;
use pw_model::role::Role;
use serde_json::{Value, json};

use super::edge::EDGE;
use super::networks::add_alias;
use super::{Rendered, Wall, object};

/// Key of the network in the rendered file on which `service` is called.
fn key(service: &str) -> String {
    format!("partywall-calls-{service}")
}

impl Wall<'_> {
    pub(super) fn calls(&mut self) {
        if self.ground.config.promote.is_none() || self.out.class == Class::Development {
            return;
        }
        let routed: Vec<String> = self.environment.routes.keys().map(ToString::to_string).collect();
        for name in routed {
            if self.network_owner(&name).as_deref() == Some(&name) {
                self.calls_of(&name);
            }
        }
    }

    fn calls_of(&mut self, name: &str) {
        let callers = self.callers(name);
        if callers.is_empty() {
            return;
        }
        let (key, project) = (key(name), self.out.compose_project.clone());
        let aliases = self.aliases(name);
        let network = json!({"name": format!("{project}_{key}"), "driver": "bridge", "internal": true});
        if let Some(root) = self.out.model.as_object_mut() {
            object(root, "networks").insert(key.clone(), network);
        }
        for member in callers.iter().map(String::as_str).chain([name]) {
            let Some(service) = self.service(member) else { continue };
            let joined = object(service, "networks").entry(key.clone()).or_insert(Value::Null);
            if member == name {
                aliases.iter().for_each(|alias| add_alias(joined, alias));
            }
            let because = format!("here `{name}` is called, and a new release of it only once it is healthy");
            self.note(&["services", member, "networks", &key], "calls", because);
        }
        let because = format!("`promote` flips `{name}` between two generations");
        self.note(&["networks", &key], "calls", because);
    }

    /// Services that share a network with it, keep no data and are not needed by it.
    fn callers(&self, name: &str) -> Vec<String> {
        let own = self.shared_networks(name);
        let needed: BTreeSet<String> = self
            .loaded
            .model
            .service(name)
            .map(|service| service.dependencies().map(|(need, _)| need.to_owned()).collect())
            .unwrap_or_default();
        let keeps_data = |role: Role| matches!(role, Role::Database | Role::Cache | Role::Broker);
        let others = self.service_names().into_iter().filter(|other| other != name);
        others
            .filter(|other| {
                !needed.contains(other) && !self.out.roles.get(other).copied().is_some_and(keeps_data)
            })
            .filter(|other| !self.shared_networks(other).is_disjoint(&own))
            .collect()
    }

    /// Keys of the networks of a service, but for the edge and those of this file.
    fn shared_networks(&self, name: &str) -> BTreeSet<String> {
        let service = self.out.model.get("services").and_then(|all| all.get(name));
        let Some(service) = service.filter(|service| service.get("network_mode").is_none()) else {
            return BTreeSet::new();
        };
        match service.get("networks").and_then(Value::as_object) {
            None => BTreeSet::from(["default".to_owned()]),
            Some(networks) => networks
                .keys()
                .filter(|key| *key != EDGE && !key.starts_with("partywall-calls-"))
                .cloned()
                .collect(),
        }
    }

    /// Names that it has on its networks beside its own.
    fn aliases(&self, name: &str) -> BTreeSet<String> {
        let networks =
            self.out.model.get("services").and_then(|all| all.get(name)?.get("networks")?.as_object());
        let joined = networks.into_iter().flatten().filter(|(key, _)| *key != EDGE);
        let lists = joined.filter_map(|(_, joined)| joined.get("aliases")?.as_array());
        lists.flatten().filter_map(|alias| alias.as_str().map(str::to_owned)).collect()
    }
}

impl Rendered {
    /// Where other services call it; `None` where none would.
    pub(crate) fn calls(&self, service: &str) -> Option<DesiredCalls> {
        let key = key(service);
        let network = self.model.get("networks")?.get(&key)?.get("name")?.as_str()?.to_owned();
        let joined = self.model.get("services")?.get(service)?.get("networks")?.get(&key)?;
        let written = joined.get("aliases").and_then(Value::as_array).into_iter().flatten();
        let mut aliases: Vec<String> = vec![service.to_owned()];
        aliases.extend(
            written.filter_map(|alias| alias.as_str().map(str::to_owned)).filter(|alias| alias != service),
        );
        Some(DesiredCalls { network, aliases })
    }

    /// The edge network, if the service itself is on it and no port of the host leads to it.
    pub(crate) fn flips_on(&self, service: &str) -> Option<String> {
        let service = self.model.get("services")?.get(service)?;
        let on_edge = service.get("networks")?.get(EDGE).is_some();
        let published = service.get("ports").and_then(Value::as_array).is_some_and(|ports| !ports.is_empty());
        (on_edge && !published).then(|| self.edge.clone())
    }
}
