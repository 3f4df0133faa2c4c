//! Host ports: none in production but through the proxy; in development on the loopback address, at an offset.

use std::collections::BTreeSet;

use pw_model::config::Environment;
use pw_model::diagnostic::Diagnostic;
use serde_json::{Value, json};

use super::{Rendered, Wall};

impl Wall<'_> {
    pub(super) fn ports(&mut self) {
        let mut taken: BTreeSet<(u16, String)> =
            self.before.iter().flat_map(|(_, other)| other.claims.port_numbers()).collect();
        let proxy = &self.ground.config.proxy;
        taken.extend([
            (proxy.http_port, "tcp".into()),
            (proxy.https_port, "tcp".into()),
            (proxy.https_port, "udp".into()),
        ]);
        for name in self.service_names() {
            let explicit = publications(self.environment, &name);
            if let Some(explicit) = explicit {
                self.publish(&name, &explicit, &mut taken);
            } else if self.is_production() {
                self.unpublish(&name);
            } else {
                self.shift(&name, &mut taken);
            }
            self.publish_for_external_proxy(&name);
        }
    }

    /// Production's ports stay inside; `expose` keeps what the file said about them.
    fn unpublish(&mut self, name: &str) {
        let Some(service) = self.loaded.model.service(name) else { return };
        if !service.publishes() {
            return;
        }
        let exposed: Vec<Value> =
            service.container_ports().iter().map(|port| json!(port.to_string())).collect();
        if let Some(map) = self.service(name) {
            map.remove("ports");
            map.insert("expose".into(), json!(exposed));
        }
        self.note(
            &["services", name, "ports"],
            "no-published-ports",
            "production is reached through the proxy only; `publish` in partywall.yaml makes exceptions",
        );
    }

    fn shift(&mut self, name: &str, taken: &mut BTreeSet<(u16, String)>) {
        let Some(ports) =
            self.loaded.model.service(name).and_then(|service| service.get("ports")?.as_array().cloned())
        else {
            return;
        };
        let offset = self.offset();
        let mut seen = BTreeSet::new();
        let mut shifted = Vec::new();
        for mut port in ports {
            let protocol = port.get("protocol").and_then(Value::as_str).unwrap_or("tcp").to_owned();
            let published = port
                .get("published")
                .map(|value| value.as_str().map_or_else(|| value.to_string(), str::to_owned));
            // The same port on IPv4 and IPv6 is one port on the loopback address.
            if !seen.insert((
                published.clone(),
                port.get("target").cloned().map(|target| target.to_string()),
                protocol.clone(),
            )) {
                continue;
            }
            port["host_ip"] = json!("127.0.0.1");
            if let Some(published) = published.filter(|text| !text.is_empty()) {
                let Some(moved) = move_range(&published, offset, &protocol, taken) else {
                    self.complain(self.no_room(name, &published));
                    continue;
                };
                port["published"] = json!(moved);
            }
            shifted.push(port);
        }
        if !shifted.is_empty() {
            let because = format!(
                "environment `{}` publishes on 127.0.0.1 only, {offset} above the written port or the next free one",
                self.out.name
            );
            self.set(name, "ports", json!(shifted), ("own-ports", because));
        }
    }

    /// Exactly what `publish` in partywall.yaml says.
    fn publish(&mut self, name: &str, entries: &[String], taken: &mut BTreeSet<(u16, String)>) {
        let mut ports = Vec::new();
        for entry in entries {
            match publication(entry) {
                Some(port) => {
                    let number = port["published"].as_str().and_then(|text| text.parse().ok());
                    taken.extend(
                        number.map(|number: u16| {
                            (number, port["protocol"].as_str().unwrap_or("tcp").to_owned())
                        }),
                    );
                    ports.push(port);
                }
                None => {
                    let place = self.ground.source.find_nearest(&[
                        "environments",
                        self.out.name.as_str(),
                        "publish",
                        name,
                    ]);
                    self.complain(
                        Diagnostic::error(format!("`{entry}` is not a published port"))
                            .at(place)
                            .hint("write `8883:8883`, `127.0.0.1:5433:5432` or `53:53/udp`"),
                    );
                }
            }
        }
        self.set(
            name,
            "ports",
            json!(ports),
            ("publish", format!("`publish` of environment `{}` in partywall.yaml", self.out.name)),
        );
    }

    /// A Caddy on the host cannot join our networks; it dials a port on the loopback address.
    fn publish_for_external_proxy(&mut self, name: &str) {
        if self.ground.config.proxy.admin.is_none()
            || !self.environment.routes.keys().any(|service| service.as_str() == name)
        {
            return;
        }
        let Some(target) = route_port(self.environment, &self.loaded.model, name) else { return };
        let published = external_port(&self.out.compose_project, name);
        let port = json!({"mode": "ingress", "host_ip": "127.0.0.1", "target": target, "published": published.to_string(), "protocol": "tcp"});
        if let Some(map) = self.service(name) {
            let ports = map.entry("ports").or_insert_with(|| json!([]));
            if let Some(list) = ports.as_array_mut() {
                list.push(port);
            }
        }
        self.note(&["services", name, "ports"], "external-proxy", "your own Caddy reaches it here");
    }

    fn offset(&self) -> u16 {
        let beside = self
            .before
            .iter()
            .filter(|(_, other)| other.class != pw_model::config::Class::Production)
            .count();
        self.environment.port_offset.unwrap_or_else(|| u16::try_from(beside + 1).unwrap_or(1))
    }

    fn no_room(&self, name: &str, published: &str) -> Diagnostic {
        Diagnostic::error(format!("no host port is left for `{published}` of `{name}`"))
            .at(self.place(&["services", name, "ports"]))
            .because("ports end at 65535")
            .hint(format!("set `port_offset` of environment `{}` lower", self.out.name))
    }
}

/// The port of a routed service: as written in the route, else the first that it publishes or exposes.
pub(crate) fn route_port(
    environment: &Environment,
    model: &pw_model::compose::ComposeModel,
    name: &str,
) -> Option<u16> {
    let (_, route) = environment.routes.iter().find(|(service, _)| service.as_str() == name)?;
    route.port().or_else(|| {
        let ports = model.service(name)?.container_ports();
        // Of several, the one that looks like HTTP.
        let web = ports.iter().find(|port| matches!(port, 80 | 3000 | 5000 | 8000 | 8080 | 9000));
        web.or(ports.first()).copied()
    })
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
        config: &pw_model::config::Config,
        environment: &Environment,
        service: &str,
        model: &pw_model::compose::ComposeModel,
    ) -> Option<String> {
        if config.proxy.admin.is_some() {
            return Some(format!("127.0.0.1:{}", external_port(&self.compose_project, service)));
        }
        let port = route_port(environment, model, service)?;
        Some(format!("{}:{port}", super::edge_alias(&self.compose_project, service)))
    }
}

fn publications(environment: &Environment, name: &str) -> Option<Vec<String>> {
    environment.publish.iter().find(|(service, _)| service.as_str() == name).map(|(_, ports)| ports.clone())
}

/// Moves a port or range up by `offset`, and further until none of it is taken.
fn move_range(
    published: &str,
    offset: u16,
    protocol: &str,
    taken: &mut BTreeSet<(u16, String)>,
) -> Option<String> {
    let (first, last) = match published.split_once('-') {
        Some((first, last)) => (first.parse::<u16>().ok()?, last.parse::<u16>().ok()?),
        None => (published.parse().ok()?, published.parse().ok()?),
    };
    let length = last.checked_sub(first)?;
    let mut start = first.checked_add(offset)?;
    loop {
        let end = start.checked_add(length)?;
        let blocked = (start..=end).rev().find(|port| taken.contains(&(*port, protocol.to_owned())));
        match blocked {
            Some(port) => start = port.checked_add(1)?,
            None => {
                taken.extend((start..=end).map(|port| (port, protocol.to_owned())));
                return Some(if start == end { start.to_string() } else { format!("{start}-{end}") });
            }
        }
    }
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
        port["host_ip"] = json!(host);
    }
    Some(port)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_moves_past_what_is_taken() {
        let mut taken = BTreeSet::from([(8003, "tcp".to_owned())]);
        assert_eq!(move_range("8000-8002", 1, "tcp", &mut taken).as_deref(), Some("8004-8006"));
        assert_eq!(move_range("8000-8002", 1, "udp", &mut taken).as_deref(), Some("8001-8003"));
        assert_eq!(move_range("65535", 1, "tcp", &mut taken), None);
    }

    #[test]
    fn publications_are_read_as_compose_reads_them() {
        assert_eq!(publication("8883:8883").map(|port| port["target"].clone()), Some(json!(8883)));
        assert_eq!(publication("[::1]:53:53/udp").map(|port| port["host_ip"].clone()), Some(json!("::1")));
        assert_eq!(publication("8883"), None);
    }
}
