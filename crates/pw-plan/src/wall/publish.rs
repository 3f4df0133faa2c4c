//! Ports that `publish` in partywall.yaml opens, and those that a Caddy of the user's own dials.

use std::collections::BTreeSet;

use pw_model::compose::ComposeModel;
use pw_model::config::{Config, Environment};
use pw_model::diagnostic::Diagnostic;
use serde_json::{Value, json};

use super::ports::Taken;
use super::{Rendered, Wall};

impl Wall<'_> {
    /// What partywall.yaml says, before the Compose files' ports look for a place.
    pub(super) fn publish_all(&mut self, taken: &mut Taken) {
        let environment = self.environment;
        for (name, entries) in &environment.publish {
            self.publish(name.as_str(), entries, taken);
        }
    }

    fn publish(&mut self, name: &str, entries: &[String], taken: &mut Taken) {
        let owner = self.network_owner(name);
        let Some(owner) = owner.filter(|owner| owner == name || !self.is_published(owner)) else {
            let diagnostic = self.unreachable(name, "publish");
            return self.complain(diagnostic);
        };
        let mut ports = Vec::new();
        for entry in entries {
            match publication(entry) {
                Some(port) => ports.push(self.near(port)),
                None => self.complain_of_publication(name, entry),
            }
        }
        taken.extend(ports.iter().filter_map(claimed));
        let because = format!("`publish` of environment `{}` in partywall.yaml", self.out.name);
        self.set(&owner, "ports", json!(ports), ("publish", because));
    }

    pub(super) fn is_published(&self, name: &str) -> bool {
        self.environment.publish.keys().any(|service| service.as_str() == name)
    }

    /// Beside production an entry without an address means the loopback address.
    fn near(&self, mut port: Value) -> Value {
        if !self.is_production() && port.get("host_ip").is_none() {
            port["host_ip"] = json!("127.0.0.1");
        }
        port
    }

    fn complain_of_publication(&mut self, name: &str, entry: &str) {
        let path = ["environments", self.out.name.as_str(), "publish", name];
        let place = self.ground.source.find_nearest(&path);
        self.complain(
            Diagnostic::error(format!("`{entry}` is not a published port"))
                .at(place)
                .because("it has to say the port of the host and that of the container")
                .hint("write `8883:8883`, `127.0.0.1:5433:5432` or `53:53/udp`"),
        );
    }

    /// A routed service needs a port that the proxy can dial.
    pub(super) fn routed_ports(&mut self) {
        for name in self.environment.routes.keys() {
            let name = name.as_str();
            if self.loaded.model.service(name).is_none() {
                continue;
            }
            match route_port(self.environment, &self.loaded.model, name) {
                Some(target) => self.publish_for_external_proxy(name, target),
                None => self.complain_of_route(name),
            }
        }
    }

    fn complain_of_route(&mut self, name: &str) {
        let path = ["environments", self.out.name.as_str(), "routes", name];
        let place = self.ground.source.find_nearest(&path);
        let message = format!("the port of `{name}` in environment `{}` is not known", self.out.name);
        self.complain(
            Diagnostic::error(message)
                .at(place)
                .because("its Compose files neither publish nor expose one")
                .hint(format!("write `{name}: {{ host: …, port: 8000 }}` under `routes`")),
        );
    }

    /// A Caddy on the host cannot join our networks; it dials a port on the loopback address.
    fn publish_for_external_proxy(&mut self, name: &str, target: u16) {
        let owner = self.network_owner(name);
        let Some(owner) = owner.filter(|_| self.ground.config.proxy.admin.is_some()) else { return };
        let published = external_port(&self.out.compose_project, name).to_string();
        let port = json!({"mode": "ingress", "host_ip": "127.0.0.1", "target": target, "published": published, "protocol": "tcp"});
        let Some(map) = self.service(&owner) else { return };
        let Some(list) = map.entry("ports").or_insert_with(|| json!([])).as_array_mut() else { return };
        list.push(port);
        let index = (list.len() - 1).to_string();
        self.note(&["services", &owner, "ports", &index], "external-proxy", "your own Caddy reaches it here");
    }
}

fn claimed(port: &Value) -> Option<(u16, String)> {
    let number = port.get("published")?.as_str()?.parse().ok()?;
    Some((number, port.get("protocol")?.as_str()?.to_owned()))
}

/// The port of a routed service: as written in the route, else one that it publishes, exposes or names in `PORT`.
pub(crate) fn route_port(environment: &Environment, model: &ComposeModel, name: &str) -> Option<u16> {
    let (_, route) = environment.routes.iter().find(|(service, _)| service.as_str() == name)?;
    route.port().or_else(|| {
        let ports = ports_seen(model, name)?;
        // Of several, the one that looks like HTTP.
        let web = ports.iter().find(|port| matches!(port, 80 | 3000 | 5000 | 8000 | 8080 | 9000));
        web.or(ports.first()).copied().or_else(|| port_variable(model, name))
    })
}

/// Most frameworks and hosting platforms read the port to listen on from `PORT`.
fn port_variable(model: &ComposeModel, name: &str) -> Option<u16> {
    let names = ["PORT", "HTTP_PORT", "APP_PORT", "SERVER_PORT", "LISTEN_PORT"];
    let variables: Vec<(&str, &str)> = model.service(name)?.environment().collect();
    names.iter().find_map(|wanted| variables.iter().find(|(key, _)| key == wanted)?.1.parse().ok())
}

/// The service's ports; one that lives in another's network publishes there.
fn ports_seen(model: &ComposeModel, name: &str) -> Option<Vec<u16>> {
    let service = model.service(name)?;
    let own = service.container_ports();
    let other = service.network_mode().and_then(|mode| mode.strip_prefix("service:"));
    match other.filter(|other| own.is_empty() && *other != name) {
        Some(other) => Some(model.service(other)?.container_ports()),
        None => Some(own),
    }
}

/// A port on the loopback address for a Caddy on the host, the same at every run: 20000 and up, by name.
pub(crate) fn external_port(compose_project: &str, service: &str) -> u16 {
    let digest = crate::hash(&format!("{compose_project}/{service}"));
    20_000 + u16::from_str_radix(&digest[..4], 16).unwrap_or(0) % 10_000
}

impl Rendered {
    /// The address that the proxy dials for a routed service.
    pub fn route_address(
        &self,
        config: &Config,
        environment: &Environment,
        service: &str,
        model: &ComposeModel,
    ) -> Option<String> {
        if config.proxy.admin.is_some() {
            return Some(format!("127.0.0.1:{}", external_port(&self.compose_project, service)));
        }
        let port = route_port(environment, model, service)?;
        Some(format!("{}:{port}", super::edge_alias(&self.compose_project, service)))
    }
}

/// Every port of the host that the user's own Caddy dials, to be kept free of others.
pub(super) fn external_ports(config: &Config) -> BTreeSet<(u16, String)> {
    let environments = config.environments.iter().filter(|_| config.proxy.admin.is_some());
    environments
        .flat_map(|(name, environment)| {
            let project = config.compose_project(name);
            environment
                .routes
                .keys()
                .map(move |service| (external_port(&project, service.as_str()), "tcp".into()))
        })
        .collect()
}

fn publication(text: &str) -> Option<Value> {
    let (address, protocol) = text.split_once('/').unwrap_or((text, "tcp"));
    if !matches!(protocol, "tcp" | "udp") {
        return None;
    }
    let mut parts: Vec<&str> = address.rsplitn(3, ':').collect();
    parts.reverse();
    let (host, published, target) = match parts.as_slice() {
        [published, target] => (None, *published, *target),
        [host, published, target] => (Some(host.trim_matches(['[', ']'])), *published, *target),
        _ => return None,
    };
    let target: u16 = target.parse().ok()?;
    published.parse::<u16>().ok()?;
    let mut port = json!({"mode": "ingress", "target": target, "published": published, "protocol": protocol});
    if let Some(host) = host {
        host.parse::<std::net::IpAddr>().ok()?;
        port["host_ip"] = json!(host);
    }
    Some(port)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn publications_are_read_as_compose_reads_them() {
        assert_eq!(publication("8883:8883").map(|port| port["target"].clone()), Some(json!(8883)));
        assert_eq!(publication("[::1]:53:53/udp").map(|port| port["host_ip"].clone()), Some(json!("::1")));
        assert_eq!(publication("0.0.0.0:1:2").map(|port| port["published"].clone()), Some(json!("1")));
        for wrong in ["8883", "a:b:c", "1:2:3", "1:2/icmp", "70000:1"] {
            assert_eq!(publication(wrong), None, "{wrong}");
        }
    }
}
