//! The front door: the service that people reach.

use pw_model::compose::{ComposeModel, PublishedPort, Service};
use pw_model::role::Role;

use super::hosts;

/// Container or host ports that speak HTTP, the likeliest front door first.
pub(super) const HTTP: &[u16] = &[
    80, 443, 8080, 3000, 8000, 8443, 5173, 4200, 8888, 5000, 8081, 9000, 1337, 4000, 8090, 3001, 4321, 5601,
];
/// Words of services that people see, and of those that they do not.
const SEEN: &[&str] = &[
    "web", "www", "app", "frontend", "front", "ui", "site", "portal", "client", "nginx", "caddy", "traefik",
];
const UNSEEN: &[&str] = &[
    "adminer",
    "phpmyadmin",
    "pgadmin",
    "pma",
    "mailpit",
    "mailhog",
    "mailcatcher",
    "mail",
    "flower",
    "kibana",
    "metrics",
    "monitoring",
    "redisinsight",
    "swagger",
    "docs",
    "storybook",
    "analytics",
    "meta",
    "imgproxy",
    "admin",
];

/// The service to route to and its port inside the container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Door {
    pub(super) service: String,
    pub(super) port: u16,
    /// True when the port must be written, since the service has several.
    pub(super) several: bool,
    pub(super) because: String,
}

/// The front door of a model; `favour` adds points, as for the service that is production's.
pub(super) fn find(
    model: &ComposeModel,
    role: impl Fn(&str) -> Option<Role>,
    favour: impl Fn(&str) -> i64,
) -> Option<Door> {
    let best = model
        .services()
        .filter(|service| matches!(role(service.name()), Some(Role::Web | Role::Proxy)))
        .filter(|service| !shares_a_network(service))
        .filter_map(|service| {
            Some((score(&service, role(service.name()))? + favour(service.name()), service))
        })
        // The first of equals, as the model is in the order of names.
        .reduce(|best, other| if other.0 > best.0 { other } else { best });
    best.and_then(|(_, service)| door(&service))
}

/// Containers without networks of their own cannot be dialled by name.
fn shares_a_network(service: &Service<'_>) -> bool {
    service.network_mode().is_some_and(|mode| mode != "bridge" && mode != "default")
}

fn score(service: &Service<'_>, role: Option<Role>) -> Option<i64> {
    let ports = service.published_ports();
    let rank = |port: u16| HTTP.iter().position(|known| *known == port).map(|at| 60 - 2 * at as i64);
    let tcp = || ports.iter().filter(|port| port.protocol == "tcp");
    let published = tcp().filter_map(|port| rank(port.target).max(rank(number(port)))).max();
    let ports =
        published.or(tcp().next().map(|_| 20)).or((!service.container_ports().is_empty()).then_some(5));
    let named = hosts::has_host_of_its_own(service);
    let bonus = |given: bool, points: i64| if given { points } else { 0 };
    Some(
        ports?
            + bonus(named, 30)
            + bonus(role == Some(Role::Proxy) && published.is_some_and(|points| points > 50), 25)
            + bonus(has_word(service, SEEN), 15)
            - bonus(has_word(service, UNSEEN), 45)
            // A tunnel publishes for the services behind it.
            - bonus(has_capability(service, "NET_ADMIN"), 45),
    )
}

fn has_capability(service: &Service<'_>, name: &str) -> bool {
    let added = service.get("cap_add").and_then(|list| list.as_array());
    added.into_iter().flatten().any(|capability| capability.as_str() == Some(name))
}

fn number(port: &PublishedPort) -> u16 {
    port.published.parse().unwrap_or(0)
}

fn has_word(service: &Service<'_>, words: &[&str]) -> bool {
    let name = service.name().to_lowercase();
    name.split(['-', '_', '.']).any(|word| words.contains(&word))
        || service.image().is_some_and(|image| {
            words.iter().any(|word| word.len() > 5 && image.contains(&format!("/{word}")))
        })
}

fn door(service: &Service<'_>) -> Option<Door> {
    let published = service.published_ports();
    let udp_only = |port: u16| {
        let mut same = published.iter().filter(|known| known.target == port).peekable();
        same.peek().is_some() && same.all(|known| known.protocol != "tcp")
    };
    let ports: Vec<u16> = service.container_ports().into_iter().filter(|port| !udp_only(*port)).collect();
    // The proxy before it speaks TLS to the world and plain HTTP inwards.
    let plain = HTTP.iter().find(|port| !matches!(port, 443 | 8443) && ports.contains(port));
    let port = plain.or(ports.first()).copied()?;
    let because = match published.iter().find(|known| known.target == port) {
        Some(known) if !known.published.is_empty() => {
            format!("`{}` publishes {}", service.name(), known.published)
        }
        _ => format!("`{}` listens on {port}", service.name()),
    };
    Some(Door {
        service: service.name().to_owned(),
        port,
        several: service.container_ports().len() > 1,
        because,
    })
}
