//! Roles of all services, and why each was guessed.

use std::collections::BTreeMap;

use pw_model::compose::{ComposeModel, Service};
use pw_model::config::Class;
use pw_model::role::{self, Role};
use serde_json::{Map, Value};

/// The role of every service of any environment; production decides, but where it sees no port another may.
pub fn roles(models: &BTreeMap<Class, ComposeModel>) -> BTreeMap<String, Role> {
    let mut all = BTreeMap::new();
    for model in models.values() {
        for service in model.services() {
            let guess = role::guess_in(&service, model);
            let known = all.entry(service.name().to_owned()).or_insert(guess);
            if (*known, guess) == (Role::Worker, Role::Web) {
                *known = guess;
            }
        }
    }
    all
}

/// What settled the role: the guess is asked again with one part of the service at a time.
pub(super) fn reason(model: &ComposeModel, service: &Service<'_>, role: Role) -> String {
    if model.is_awaited(service.name()) {
        return "another service waits for its end".into();
    }
    if role == Role::Worker {
        return worker(service);
    }
    let settles = |name: &str, keys: &[&str]| guess_from(service, name, keys) == role;
    match service.image() {
        Some(image) if settles("x", &["image"]) => format!("image `{}`", short(image)),
        _ if settles(service.name(), &["volumes"]) => "its name".into(),
        _ if settles("x", &["command", "entrypoint"]) => "its command".into(),
        _ if matches!(role, Role::Web | Role::Proxy) => serving(service),
        _ => "its name and command".into(),
    }
}

fn guess_from(service: &Service<'_>, name: &str, keys: &[&str]) -> Role {
    let kept: Map<String, Value> =
        keys.iter().filter_map(|key| Some(((*key).to_owned(), service.get(key)?.clone()))).collect();
    role::guess(&Service::new(name, &Value::Object(kept)), false)
}

/// A worker is also what is left when nothing else fits.
fn worker(service: &Service<'_>) -> String {
    let serving = serde_json::json!({"image": service.image(), "expose": ["1"]});
    let image = service.image().filter(|_| role::guess(&Service::new("x", &serving), false) == Role::Worker);
    match image {
        Some(image) => format!("image `{}`", short(image)),
        None if service.container_ports().is_empty() => "nothing listens".into(),
        None => "its name or command".into(),
    }
}

fn serving(service: &Service<'_>) -> String {
    match (service.published_ports().first(), service.container_ports().first()) {
        (Some(port), _) if !port.published.is_empty() => format!("publishes {}", port.published),
        (_, Some(port)) => format!("listens on {port}"),
        _ if service.has_healthcheck() => "has a healthcheck".into(),
        _ => "its name".into(),
    }
}

/// The image without registry and digest.
fn short(image: &str) -> &str {
    let image = image.split('@').next().unwrap_or(image);
    image.strip_prefix("docker.io/library/").or_else(|| image.strip_prefix("docker.io/")).unwrap_or(image)
}
