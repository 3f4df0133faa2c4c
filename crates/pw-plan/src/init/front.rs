//! The front door: the service that people reach.

use pw_model::compose::{ComposeModel, PublishedPort, Service};
use pw_model::role::Role;

use super::hosts;

/// Container or host ports that speak HTTP, the likeliest front door first.
pub(super) const HTTP: &[u16] = &[
    80, 443, 8080, 3000, 8000, 8443, 5173, 4200, 8888, 5000, 8081, 9000, 1337, 4000, 8090, 3001, 4321, 5601,
];
/// Ports of well-known protocols that are no HTTP: mail, names, shells, databases, messages, games.
const OTHERS: &[u16] = &[
    21, 22, 25, 53, 110, 143, 389, 465, 587, 636, 853, 993, 995, 1433, 1883, 3306, 3478, 4190, 5222, 5269,
    5432, 5672, 6379, 8883, 9092, 25565, 27017,
];
/// Words of services that people see, and of those that they do not.
const SEEN: &[&str] = &[
    "web",
    "www",
    "app",
    "frontend",
    "front",
    "ui",
    "site",
    "portal",
    "client",
    "nginx",
    "caddy",
    "traefik",
    "dashboard",
    "control",
    "console",
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
    "registry",
];
/// Words of services that the ones people see speak to.
const BEHIND: &[&str] = &["api", "backend", "server"];

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
    let tcp = || ports.iter().filter(|port| port.protocol == "tcp" && !OTHERS.contains(&port.target));
    let published = tcp().filter_map(|port| rank(port.target).max(rank(number(port)))).max();
    let offers = !http_ports(service).is_empty();
    let ports = published.or(tcp().next().map(|_| 20)).or(offers.then_some(5));
    let named = hosts::has_host_of_its_own(service);
    let bonus = |given: bool, points: i64| if given { points } else { 0 };
    Some(
        ports?
            + bonus(named, 30)
            + bonus(role == Some(Role::Proxy) && published.is_some_and(|points| points > 50), 25)
            + bonus(has_word(service, SEEN), 15)
            - bonus(has_word(service, UNSEEN), 45)
            - bonus(has_word(service, BEHIND), 10)
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
    let ports = http_ports(service);
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
        several: service.container_ports() != [port],
        because,
    })
}

/// Ports that may speak HTTP: those of the service, else the one that its healthcheck asks.
fn http_ports(service: &Service<'_>) -> Vec<u16> {
    let published = service.published_ports();
    let udp_only = |port: u16| {
        let mut same = published.iter().filter(|known| known.target == port).peekable();
        same.peek().is_some() && same.all(|known| known.protocol != "tcp")
    };
    let own = service.container_ports();
    let fits = |port: &u16| !udp_only(*port) && !OTHERS.contains(port);
    if own.is_empty() {
        checked_port(service).into_iter().collect()
    } else {
        own.into_iter().filter(fits).collect()
    }
}

/// 8080 in `curl -f http://localhost:8080/health`.
fn checked_port(service: &Service<'_>) -> Option<u16> {
    let test = service.get("healthcheck")?.get("test")?.to_string();
    let (_, address) = test.split_once("http://")?;
    let here = ["localhost:", "127.0.0.1:", "0.0.0.0:"];
    let port = here.iter().find_map(|host| address.strip_prefix(host))?;
    let end = port.find(|c: char| !c.is_ascii_digit()).unwrap_or(port.len());
    port[..end].parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn door_of(services: &str) -> Option<(String, u16)> {
        let model = ComposeModel::from_json(&format!("{{\"services\":{services}}}")).expect("a model");
        let found = find(&model, |name| Some(pw_model::role::guess_in(&model.service(name)?, &model)), |_| 0);
        found.map(|door| (door.service, door.port))
    }

    #[test]
    fn mail_is_no_door() {
        let mail = r#"{"post":{"image":"a","ports":[{"target":25,"published":"25","protocol":"tcp"},{"target":993,"published":"993","protocol":"tcp"}]}}"#;
        assert_eq!(door_of(mail), None);
    }

    #[test]
    fn the_page_stands_before_what_it_speaks_to() {
        let two = r#"{
            "rooms":{"image":"a","ports":[{"target":3000,"published":"3000","protocol":"tcp"}]},
            "rooms-api":{"image":"b","ports":[{"target":80,"published":"81","protocol":"tcp"}]}}"#;
        assert_eq!(door_of(two), Some(("rooms".into(), 3000)));
    }

    #[test]
    fn a_healthcheck_names_the_port_that_nothing_else_does() {
        let quiet = r#"{"web":{"image":"a","healthcheck":{"test":["CMD-SHELL","curl -f http://localhost:8090/login || exit 1"]}}}"#;
        assert_eq!(door_of(quiet), Some(("web".into(), 8090)));
    }
}
