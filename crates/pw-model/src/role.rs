//! What a service is, guessed from its image, command, name, and how the others speak of it.
//!
//! Route: [`guess_in`] asks in this order: does another wait for its end; the image ([`images`]); does it
//! run once; what its command starts; the last telling word of its name ([`words`]); does anything
//! show that it is asked by others. The guess only decides defaults (restart policy, which service gets a route, which is never
//! flipped) and can be overridden with `roles:` in `partywall.yaml`.

mod images;
mod words;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::compose::{ComposeModel, Service};
use words::Words;

/// What a service is for the application.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Answers HTTP for users or other services.
    Web,
    /// Works in the background.
    Worker,
    /// Keeps data: SQL, document, search, column, object or time-series store.
    Database,
    Cache,
    /// Passes messages: MQTT, AMQP, Kafka.
    Broker,
    /// Takes requests from outside and hands them on.
    Proxy,
    /// Runs once and ends.
    Job,
}

impl Role {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Web => "web",
            Self::Worker => "worker",
            Self::Database => "database",
            Self::Cache => "cache",
            Self::Broker => "broker",
            Self::Proxy => "proxy",
            Self::Job => "job",
        }
    }

    /// True for services that must never run twice on the same data.
    pub fn is_stateful(self) -> bool {
        matches!(self, Self::Database | Self::Cache | Self::Broker)
    }
}

/// The role of a service of `model`: by itself, and by what its neighbours say of it.
pub fn guess_in(service: &Service<'_>, model: &ComposeModel) -> Role {
    let neighbours =
        || model.services().any(|other| other.name() != service.name() && speaks_of(&other, service.name()));
    settled(service, model.is_awaited(service.name())).unwrap_or_else(|| {
        match is_asked(service) || neighbours() || is_the_application(service, model) {
            true => Role::Web,
            false => Role::Worker,
        }
    })
}

/// Kept running, or leaning on others, in a project in which nobody else is there to be reached.
fn is_the_application(service: &Service<'_>, model: &ComposeModel) -> bool {
    let reached = |other: &Service<'_>| match settled(other, model.is_awaited(other.name())) {
        Some(role) => matches!(role, Role::Web | Role::Proxy),
        None => is_asked(other),
    };
    let mut others = model.services().filter(|other| other.name() != service.name());
    let kept = restarts(service) || service.dependencies().next().is_some();
    kept && !Words::of(service).named_job() && !others.any(|other| reached(&other))
}

/// The role of a service seen alone. `awaited` is true when another service waits for it to complete.
pub fn guess(service: &Service<'_>, awaited: bool) -> Role {
    settled(service, awaited).unwrap_or_else(|| if is_asked(service) { Role::Web } else { Role::Worker })
}

/// What image, command or name settle.
fn settled(service: &Service<'_>, awaited: bool) -> Option<Role> {
    if awaited {
        return Some(Role::Job);
    }
    let words = Words::of(service);
    let once = runs_once(service, &words);
    match images::role(service) {
        // A client of a database, or a product's command line, runs from the same image.
        Some(role) if once && (role.is_stateful() || role == Role::Web) => Some(Role::Job),
        Some(Role::Job) if restarts(service) => Some(Role::Worker),
        // The same product's image, started for its background work.
        Some(Role::Web) if words.command_works() || words.named_worker_for_sure() => {
            by_words(service, &words)
        }
        Some(role) => Some(role),
        None if once => Some(Role::Job),
        None => by_words(service, &words),
    }
}

/// What the command starts, else what the service is called.
fn by_words(service: &Service<'_>, words: &Words) -> Option<Role> {
    if words.command_serves() {
        return Some(Role::Web);
    }
    if words.command_works() {
        return Some(Role::Worker);
    }
    let named = words.named()?;
    let modest = named == Role::Worker && !words.named_worker_for_sure();
    // A runner or agent that publishes a port is there for the port.
    if modest && service.publishes() { None } else { Some(named) }
}

/// Never started again by itself, offers nothing, and is called or does what jobs are called or do.
fn runs_once(service: &Service<'_>, words: &Words) -> bool {
    let offers = !service.container_ports().is_empty() || service.has_healthcheck();
    !restarts(service) && !offers && (words.named_job() || words.command_is_job())
}

fn restarts(service: &Service<'_>) -> bool {
    let policy = service.get("deploy").and_then(|deploy| deploy.get("restart_policy"));
    let condition = policy.and_then(|policy| policy.get("condition")).and_then(Value::as_str);
    let deployed = policy.is_some() && !matches!(condition, Some("none" | "on-failure"));
    deployed || matches!(service.restart(), Some("always" | "unless-stopped"))
}

/// True when it shows that somebody sends requests to it, from outside or the host's network.
fn is_asked(service: &Service<'_>) -> bool {
    let hidden = service.network_mode().is_some_and(|mode| mode == "host" || mode.starts_with("service:"));
    hidden
        || !service.container_ports().is_empty()
        || service.publishes()
        || is_checked_over_network(service)
        || is_routed(service)
        || binds_low_port(service)
}

/// All rights dropped but the one to listen on a port below 1024.
fn binds_low_port(service: &Service<'_>) -> bool {
    let added = service.get("cap_add").and_then(Value::as_array);
    added.into_iter().flatten().any(|capability| capability == "NET_BIND_SERVICE")
}

/// A healthcheck asks a port, unless it looks for a process or a file.
fn is_checked_over_network(service: &Service<'_>) -> bool {
    let test = service.get("healthcheck").and_then(|check| check.get("test")).map(Value::to_string);
    let local =
        ["pgrep", "pidof", "ps ", "ps\",", "celery", "sidekiq", "test -", "ls ", "/health.txt", "/proc/"];
    service.has_healthcheck() && test.is_some_and(|test| !local.iter().any(|word| test.contains(word)))
}

/// A reverse proxy is told of it by label or variable.
fn is_routed(service: &Service<'_>) -> bool {
    let labels = service.get("labels").and_then(Value::as_object);
    let mut labels = labels.into_iter().flatten().map(|(label, _)| label.as_str());
    let variables = ["VIRTUAL_HOST", "VIRTUAL_PORT", "LETSENCRYPT_HOST", "SERVICE_FQDN"];
    labels.any(|label| {
        label.starts_with("traefik.http.") || label.starts_with("traefik.enable") || label == "caddy"
    }) || service.environment().any(|(name, _)| variables.contains(&name))
}

/// `other` has an address of `name` in its variables or command, or starts only after it.
pub fn speaks_of(other: &Service<'_>, name: &str) -> bool {
    let needs = other.dependencies().any(|(on, _)| on == name);
    let command = other.command_text();
    let lower = name.to_lowercase();
    needs
        || has_address(&command, &lower)
        || other.environment().any(|(_, value)| has_address(&value.to_lowercase(), &lower))
}

/// `scheme://name`, `name:port` or `@name` stands in the text.
fn has_address(text: &str, name: &str) -> bool {
    text.match_indices(name).any(|(at, _)| {
        let (before, after) = (&text[..at], &text[at + name.len()..]);
        let port = after.strip_prefix(':').is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()));
        let ends = after.is_empty() || after.starts_with(['/', ':', '?', ',', ' ']);
        (before.ends_with("://") || before.ends_with('@')) && ends
            || port && (before.is_empty() || before.ends_with([' ', ',', '=', ';']))
    })
}

#[cfg(test)]
#[path = "role/tests.rs"]
mod tests;
