//! Host ports: none in production but through the proxy; in development on the loopback address, at an offset.

use std::collections::BTreeSet;

use pw_model::config::Class;
use pw_model::diagnostic::Diagnostic;
use serde_json::{Value, json};

use super::Wall;

/// Ports of the host that somebody has, with their protocol.
pub(super) type Taken = BTreeSet<(u16, String)>;

impl Wall<'_> {
    pub(super) fn ports(&mut self) {
        let mut taken = self.taken();
        self.publish_all(&mut taken);
        for name in self.service_names() {
            if self.is_published(&name) {
                continue;
            }
            if self.is_production() {
                self.unpublish(&name);
            } else {
                self.shift(&name, &mut taken);
            }
        }
        self.routed_ports();
    }

    /// What environments before this one and the proxy have, and what the files say for production.
    fn taken(&self) -> Taken {
        let mut taken: Taken =
            self.before.iter().flat_map(|(_, other)| other.claims.port_numbers()).collect();
        let proxy = &self.ground.config.proxy;
        taken.extend([
            (proxy.http_port, "tcp".into()),
            (proxy.https_port, "tcp".into()),
            (proxy.https_port, "udp".into()),
        ]);
        taken.extend(super::publish::external_ports(self.ground.config));
        taken
    }

    /// Production's ports stay inside; `expose` keeps what the file said about them.
    fn unpublish(&mut self, name: &str) {
        let Some(service) = self.loaded.model.service(name).filter(|service| service.publishes()) else {
            return;
        };
        let mut exposed: Vec<Value> = Vec::new();
        let written = service.get("expose").and_then(Value::as_array).into_iter().flatten().cloned();
        for port in service.published_ports().iter().map(exposed_form).chain(written) {
            if !exposed.contains(&port) {
                exposed.push(port);
            }
        }
        if let Some(map) = self.service(name) {
            map.remove("ports");
            map.insert("expose".into(), json!(exposed));
        }
        let because =
            "production is reached through the proxy only; `publish` in partywall.yaml makes exceptions";
        self.note(&["services", name, "ports"], "no-published-ports", because);
        self.note(&["services", name, "expose"], "no-published-ports", because);
    }

    fn shift(&mut self, name: &str, taken: &mut Taken) {
        let service = self.loaded.model.service(name);
        let Some(ports) = service.and_then(|service| service.get("ports")?.as_array().cloned()) else {
            return;
        };
        let mut seen = BTreeSet::new();
        let mut shifted = Vec::new();
        for mut port in ports {
            // The same port on IPv4 and IPv6 is one port on the loopback address.
            if !seen.insert(key_of(&port)) {
                continue;
            }
            port["host_ip"] = json!("127.0.0.1");
            let published = published_text(&port);
            if !published.is_empty() {
                let Some(moved) = move_range(&published, self.offset(), protocol(&port), taken) else {
                    self.complain(self.no_room(name, &published));
                    continue;
                };
                port["published"] = json!(moved);
            }
            shifted.push(port);
        }
        let because = format!(
            "environment `{}` publishes on 127.0.0.1 only, {} above the written port, or further where the proxy or another environment has that one",
            self.out.name,
            self.offset()
        );
        self.set(name, "ports", json!(shifted), ("own-ports", because));
    }

    fn offset(&self) -> u16 {
        let beside = self.before.iter().filter(|(_, other)| other.class != Class::Production).count();
        self.environment.port_offset.unwrap_or_else(|| u16::try_from(beside + 1).unwrap_or(1))
    }

    fn no_room(&self, name: &str, published: &str) -> Diagnostic {
        Diagnostic::error(format!("no host port is left for `{published}` of `{name}`"))
            .at(self.place(&["services", name, "ports"]))
            .because("ports end at 65535")
            .hint(format!("set `port_offset` of environment `{}` lower", self.out.name))
    }
}

fn exposed_form(port: &pw_model::compose::PublishedPort) -> Value {
    match port.protocol.as_str() {
        "tcp" => json!(port.target.to_string()),
        protocol => json!(format!("{}/{protocol}", port.target)),
    }
}

fn protocol(port: &Value) -> &str {
    port.get("protocol").and_then(Value::as_str).unwrap_or("tcp")
}

/// One port or a range, as text; empty when the engine chooses.
fn published_text(port: &Value) -> String {
    match port.get("published") {
        Some(Value::String(text)) => text.clone(),
        Some(Value::Number(number)) => number.to_string(),
        _ => String::new(),
    }
}

fn key_of(port: &Value) -> (String, String, String) {
    let target = port.get("target").map(Value::to_string).unwrap_or_default();
    (published_text(port), target, protocol(port).to_owned())
}

/// Moves a port or range up by `offset`, and further until none of it is taken.
fn move_range(published: &str, offset: u16, protocol: &str, taken: &mut Taken) -> Option<String> {
    let (first, last) = published.split_once('-').unwrap_or((published, published));
    let (first, last): (u16, u16) = (first.parse().ok()?, last.parse().ok()?);
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
}
