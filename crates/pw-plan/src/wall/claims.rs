//! What an environment owns on the host, so that it can be shown that no two own the same.

use std::collections::BTreeSet;

use pw_model::config::Config;
use pw_model::diagnostic::Diagnostic;
use serde_json::Value;

use super::firewall::bridges_of;
use super::{Rendered, edge_alias};

/// Everything of which a host has only one.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Claims {
    pub networks: BTreeSet<String>,
    /// Interfaces of the host.
    pub bridges: BTreeSet<String>,
    pub volumes: BTreeSet<String>,
    /// Address, port, protocol.
    pub ports: BTreeSet<(String, u16, String)>,
    /// `project-service`, before the number.
    pub containers: BTreeSet<String>,
    pub groups: BTreeSet<String>,
    /// Folders and secret files of our own making.
    pub paths: BTreeSet<String>,
}

impl Claims {
    pub fn port_numbers(&self) -> impl Iterator<Item = (u16, String)> + '_ {
        self.ports.iter().map(|(_, port, protocol)| (*port, protocol.clone()))
    }
}

pub(super) fn of(rendered: &Rendered, _config: &Config) -> Claims {
    let names = |section: &str| -> BTreeSet<String> {
        let entries = rendered.model.get(section).and_then(Value::as_object);
        entries
            .into_iter()
            .flatten()
            .filter_map(|(key, value)| Some(value.get("name")?.as_str().unwrap_or(key).to_owned()))
            .collect()
    };
    let services = rendered.model.get("services").and_then(Value::as_object);
    let paths = rendered.folders.iter().chain(&rendered.generated_secrets).cloned().collect();
    Claims {
        networks: names("networks"),
        bridges: bridges_of(rendered).map(str::to_owned).collect(),
        volumes: names("volumes"),
        ports: services.into_iter().flatten().flat_map(|(_, service)| ports_of(service)).collect(),
        containers: services
            .into_iter()
            .flatten()
            .map(|(name, _)| edge_alias(&rendered.compose_project, name))
            .collect(),
        groups: BTreeSet::from([rendered.group.clone()]),
        paths,
    }
}

fn ports_of(service: &Value) -> Vec<(String, u16, String)> {
    let ports = service.get("ports").and_then(Value::as_array);
    ports.into_iter().flatten().flat_map(numbers).collect()
}

fn numbers(port: &Value) -> Vec<(String, u16, String)> {
    let address = port.get("host_ip").and_then(Value::as_str).unwrap_or("0.0.0.0");
    let protocol = port.get("protocol").and_then(Value::as_str).unwrap_or("tcp");
    let published = port.get("published").and_then(Value::as_str).unwrap_or_default();
    let (first, last) = published.split_once('-').unwrap_or((published, published));
    let (Ok(first), Ok(last)) = (first.parse::<u16>(), last.parse::<u16>()) else { return Vec::new() };
    (first..=last).map(|number| (address.to_owned(), number, protocol.to_owned())).collect()
}

/// What two environments would both own; empty for every sound pair.
pub fn conflicts(all: &[Rendered]) -> Vec<Diagnostic> {
    let mut found = Vec::new();
    for (index, one) in all.iter().enumerate() {
        for other in &all[index + 1..] {
            found.extend(shared(&one.claims, &other.claims).into_iter().map(|what| {
                Diagnostic::error(format!(
                    "environments `{}` and `{}` would share {what}",
                    one.name, other.name
                ))
                .hint(format!(
                    "rename it in the files of environment `{}`, or rename the environment",
                    other.name
                ))
            }));
        }
    }
    found
}

fn shared(one: &Claims, other: &Claims) -> Vec<String> {
    let both = |a: &BTreeSet<String>, b: &BTreeSet<String>, what: &str| -> Vec<String> {
        a.intersection(b).map(|name| format!("the {what} `{name}`")).collect()
    };
    let ports = other.ports.iter().filter(|port| one.ports.iter().any(|mine| collide(mine, port)));
    let mut found: Vec<String> =
        ports.map(|(_, number, protocol)| format!("the host port {number}/{protocol}")).collect();
    found.extend(both(&one.networks, &other.networks, "network"));
    found.extend(both(&one.bridges, &other.bridges, "bridge"));
    found.extend(both(&one.volumes, &other.volumes, "volume"));
    found.extend(both(&one.containers, &other.containers, "container name"));
    found.extend(both(&one.groups, &other.groups, "control group"));
    found.extend(both(&one.paths, &other.paths, "path"));
    found
}

fn collide(one: &(String, u16, String), other: &(String, u16, String)) -> bool {
    let everywhere = |address: &str| matches!(address, "0.0.0.0" | "::" | "");
    one.1 == other.1 && one.2 == other.2 && (one.0 == other.0 || everywhere(&one.0) || everywhere(&other.0))
}
