//! Ports of the host that somebody else uses already.

use std::collections::BTreeSet;

use pw_model::compose::PublishedPort;
use pw_model::config::{Class, TlsMode};
use pw_model::diagnostic::Diagnostic;
use pw_model::host::Listener;
use pw_model::source::Place;
use serde_json::json;

use super::{Ground, model, written};
use crate::wall::{Rendered, entry_place};

/// What usually listens on a port.
const KNOWN: &[(u16, &str)] = &[
    (22, "SSH"),
    (25, "a mail server"),
    (53, "a name server"),
    (80, "a web server"),
    (443, "a web server"),
    (1883, "an MQTT broker"),
    (2019, "Caddy"),
    (3306, "MySQL"),
    (5432, "PostgreSQL"),
    (5672, "RabbitMQ"),
    (6379, "Redis"),
    (8080, "a web server"),
    (9200, "Elasticsearch"),
    (27017, "MongoDB"),
];

/// One number of a published port.
struct Wanted {
    service: String,
    address: String,
    port: u16,
    /// The port of the container, by which the line that publishes it is found.
    target: u16,
    protocol: String,
}

pub(super) fn check(ground: Ground<'_>) -> Vec<Diagnostic> {
    let mut found = proxy(ground);
    for rendered in ground.rendered {
        let wanted = wanted(rendered);
        found.extend(wanted.iter().filter_map(|port| {
            let listener = listener(ground, &port.address, port.port, &port.protocol)?;
            Some(in_use(ground, rendered, &wanted, (port, listener)))
        }));
    }
    found
}

fn wanted(rendered: &Rendered) -> Vec<Wanted> {
    let model = model(rendered);
    let ports = model.services().flat_map(|service| {
        let name = service.name().to_owned();
        service.published_ports().into_iter().flat_map(move |port| numbers(&name, &port))
    });
    ports.collect()
}

fn numbers(service: &str, port: &PublishedPort) -> Vec<Wanted> {
    let Some((first, last)) = written::range(&port.published) else { return Vec::new() };
    let address = port.host_address.clone().unwrap_or_else(|| "0.0.0.0".into());
    let one = |number| Wanted {
        service: service.into(),
        address: address.clone(),
        port: number,
        target: port.target,
        protocol: port.protocol.clone(),
    };
    (first..=last).map(one).collect()
}

/// Somebody else's listener that the address and port would meet.
fn listener<'a>(ground: Ground<'a>, address: &str, port: u16, protocol: &str) -> Option<&'a Listener> {
    if ground.ours.contains(&(port, protocol.to_owned())) {
        return None;
    }
    let everywhere = |address: &str| matches!(address.trim_matches(['[', ']']), "0.0.0.0" | "::" | "" | "*");
    ground.facts.listening.iter().find(|listener| {
        // `tcp6` on `::` takes the port of both families.
        let meets = listener.address == address || everywhere(&listener.address) || everywhere(address);
        listener.port == port && listener.protocol.starts_with(protocol) && meets
    })
}

fn what(listener: &Listener) -> String {
    let known = KNOWN.iter().find(|(port, _)| *port == listener.port);
    let usually = known.map_or(String::new(), |(_, what)| format!(", as {what} usually does"));
    let address = if listener.address.contains(':') {
        format!("[{}]", listener.address)
    } else {
        listener.address.clone()
    };
    format!("something listens on {address}:{}{usually}", listener.port)
}

fn in_use(ground: Ground<'_>, rendered: &Rendered, all: &[Wanted], of: (&Wanted, &Listener)) -> Diagnostic {
    let (port, listener) = of;
    let name = rendered.name.as_str();
    let (place, hint) = if published(ground, rendered, &port.service) {
        (
            ground.place(name, &["publish", port.service.as_str()]),
            format!("stop what listens there, or publish another port in `publish` of environment `{name}`"),
        )
    } else {
        let offset = offset(ground, rendered, all);
        (
            written_at(ground, rendered, port).or_else(|| ground.place(name, &["port_offset"])),
            format!("stop what listens there, or set `port_offset: {offset}` in environment `{name}`"),
        )
    };
    Diagnostic::error(format!(
        "port {}/{} of `{}` in environment `{name}` is in use",
        port.port, port.protocol, port.service
    ))
    .at(place)
    .because(what(listener))
    .hint(hint)
}

/// The line of the Compose file that publishes the port.
fn written_at(ground: Ground<'_>, rendered: &Rendered, port: &Wanted) -> Option<Place> {
    let sources = &ground.loaded(rendered)?.sources;
    let path = ["services", port.service.as_str(), "ports"];
    let entry = json!({"target": port.target, "protocol": port.protocol});
    let exact = || sources.iter().rev().find_map(|source| source.find(&path));
    entry_place(sources, &path, &entry).or_else(exact)
}

/// True when `publish` in partywall.yaml names the service's ports, which are then not moved.
fn published(ground: Ground<'_>, rendered: &Rendered, service: &str) -> bool {
    let environment = ground.config.environments.get(&rendered.name);
    environment.is_some_and(|environment| environment.publish.keys().any(|name| name.as_str() == service))
}

/// The smallest larger offset at which nothing that the environment publishes meets anything.
fn offset(ground: Ground<'_>, rendered: &Rendered, all: &[Wanted]) -> u16 {
    let beside = ground.rendered.iter().filter(|other| other.name != rendered.name);
    let taken: BTreeSet<(u16, String)> =
        beside.flat_map(wanted).map(|port| (port.port, port.protocol)).collect();
    let moved: Vec<&Wanted> = all.iter().filter(|port| !published(ground, rendered, &port.service)).collect();
    let free = |more: &u16| {
        moved.iter().all(|port| {
            let Some(number) = port.port.checked_add(*more) else { return false };
            listener(ground, &port.address, number, &port.protocol).is_none()
                && !taken.contains(&(number, port.protocol.clone()))
        })
    };
    let now = now(ground, rendered);
    now.saturating_add((1..2000).find(free).unwrap_or(100))
}

/// The offset that holds now: as written, or by the environment's place among those beside production.
fn now(ground: Ground<'_>, rendered: &Rendered) -> u16 {
    let written =
        ground.config.environments.get(&rendered.name).and_then(|environment| environment.port_offset);
    let before = ground
        .config
        .environments_in_order()
        .into_iter()
        .filter(|(name, environment)| environment.class(name) != Class::Production);
    let place = before.take_while(|(name, _)| **name != rendered.name).count() + 1;
    written.unwrap_or_else(|| u16::try_from(place).unwrap_or(1))
}

fn proxy(ground: Ground<'_>) -> Vec<Diagnostic> {
    let proxy = &ground.config.proxy;
    let routed = ground.config.environments.values().any(|environment| !environment.routes.is_empty());
    if !routed || proxy.admin.is_some() {
        return Vec::new();
    }
    let https = (proxy.tls != TlsMode::Off).then_some(("https_port", proxy.https_port, 8443));
    let all = [Some(("http_port", proxy.http_port, 8080)), https].into_iter().flatten();
    all.filter_map(|(key, port, other)| {
        let listener = listener(ground, &proxy.address, port, "tcp")?;
        Some(proxy_in_use(ground, (key, port, other), listener))
    })
    .collect()
}

fn proxy_in_use(ground: Ground<'_>, of: (&str, u16, u16), listener: &Listener) -> Diagnostic {
    let (key, port, other) = of;
    let address = &ground.config.proxy.address;
    let free = (other..u16::MAX)
        .find(|port| self::listener(ground, address, *port, "tcp").is_none())
        .unwrap_or(other);
    Diagnostic::error(format!("port {port}/tcp, which the proxy needs, is in use"))
        .at(ground.source.find(&["proxy", key]).or_else(|| ground.source.find(&["proxy"])))
        .because(what(listener))
        .hint(format!(
            "write `proxy: {{ {key}: {free} }}`; or, when it is a Caddy of yours, `proxy: {{ admin: \"http://127.0.0.1:2019\" }}`"
        ))
}
