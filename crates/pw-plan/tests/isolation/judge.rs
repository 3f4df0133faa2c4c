//! Judges rendered models from outside: nothing here knows how the wall decides.

use std::collections::BTreeSet;

use pw_model::config::Class;
use pw_plan::wall::{Loaded, Rendered};
use serde_json::{Map, Value};

/// What two environments share, one line each. `is_shareable` names configuration that may be read by all.
pub(crate) fn shared(all: &[Rendered], is_shareable: fn(&str) -> bool) -> Vec<String> {
    let mut found = Vec::new();
    for (index, one) in all.iter().enumerate() {
        for other in &all[index + 1..] {
            let names = common(&names(one), &names(other)).into_iter();
            let places = common_places(one, other, is_shareable).into_iter();
            found.extend(names.chain(places).map(|what| format!("{} and {}: {what}", one.name, other.name)));
        }
    }
    found
}

fn common(one: &BTreeSet<String>, other: &BTreeSet<String>) -> Vec<String> {
    one.intersection(other).cloned().collect()
}

/// Everything that is found by name or number on a host.
fn names(rendered: &Rendered) -> BTreeSet<String> {
    let project = rendered.model["name"].as_str().expect("a project name");
    let mut names = BTreeSet::new();
    for section in ["networks", "volumes"] {
        for (key, value) in entries(&rendered.model, section) {
            let name = value["name"].as_str().map_or_else(|| format!("{project}_{key}"), str::to_owned);
            names.insert(format!("{section} {name}"));
            if let Some(bridge) = value["driver_opts"]["com.docker.network.bridge.name"].as_str() {
                assert!(bridge.len() <= 15, "the kernel refuses `{bridge}`");
                names.insert(format!("bridge {bridge}"));
            }
        }
    }
    names.extend(
        entries(&rendered.model, "secrets")
            .filter_map(|(_, secret)| Some(format!("secret {}", secret["file"].as_str()?))),
    );
    for (name, service) in entries(&rendered.model, "services") {
        let container =
            service["container_name"].as_str().map_or_else(|| format!("{project}-{name}-1"), str::to_owned);
        names.insert(format!("container {container}"));
        names.insert(format!("group {}", service["cgroup_parent"].as_str().expect("a group")));
        names.extend(ports(service).map(|(_, number, protocol)| format!("port {number}/{protocol}")));
        if service["build"].is_object() {
            let image = service["image"].as_str().map_or_else(|| format!("{project}-{name}"), str::to_owned);
            names.insert(format!("image {image}"));
        }
        assert_ne!(service["network_mode"], "bridge", "the engine's own bridge is everybody's");
    }
    names
}

fn entries<'v>(model: &'v Value, section: &str) -> impl Iterator<Item = (&'v String, &'v Value)> {
    model.get(section).and_then(Value::as_object).into_iter().flatten()
}

fn ports(service: &Value) -> impl Iterator<Item = (String, u16, String)> + '_ {
    service["ports"].as_array().into_iter().flatten().flat_map(|port| {
        let text = port["published"].as_str().unwrap_or_default();
        let (first, last) = text.split_once('-').unwrap_or((text, text));
        let numbers =
            first.parse::<u16>().ok().zip(last.parse::<u16>().ok()).map(|(first, last)| first..=last);
        let address = port["host_ip"].as_str().unwrap_or("0.0.0.0").to_owned();
        let protocol = port["protocol"].as_str().unwrap_or("tcp").to_owned();
        numbers.into_iter().flatten().map(move |number| (address.clone(), number, protocol.clone()))
    })
}

struct Mount {
    source: String,
    target: String,
    writable: bool,
}

/// Folders that the environment's containers see: bind mounts, and named volumes that are a folder.
fn mounts(model: &Value) -> Vec<(String, Vec<Mount>)> {
    let of = |service: &Value| {
        let volumes = service["volumes"].as_array().into_iter().flatten();
        volumes
            .filter_map(|mount| {
                let source = match mount["type"].as_str()? {
                    "bind" => mount["source"].as_str()?,
                    "volume" => {
                        model["volumes"][mount["source"].as_str()?]["driver_opts"]["device"].as_str()?
                    }
                    _ => "",
                };
                Some(Mount {
                    source: source.to_owned(),
                    target: mount["target"].as_str()?.to_owned(),
                    writable: mount["read_only"] != true,
                })
            })
            .collect()
    };
    entries(model, "services").map(|(name, service)| (name.clone(), of(service))).collect()
}

fn common_places(one: &Rendered, other: &Rendered, is_shareable: fn(&str) -> bool) -> Vec<String> {
    let mut found = Vec::new();
    for (_, theirs) in mounts(&one.model) {
        for their in theirs.iter().filter(|mount| !mount.source.is_empty() && mount.source != "/dev/null") {
            for (service, ours) in mounts(&other.model) {
                let meets = ours.iter().filter(|our| meet(their, our, &ours, is_shareable));
                found.extend(meets.map(|our| format!("{service} has {} of {}", our.source, their.source)));
            }
        }
    }
    found
}

/// True when the later environment's mount lets it write what the earlier mounts, or read what that writes.
fn meet(their: &Mount, our: &Mount, ours: &[Mount], is_shareable: fn(&str) -> bool) -> bool {
    if our.source.is_empty() || our.source == "/dev/null" {
        return false;
    }
    let harmless = is_shareable(&their.source) && !our.writable;
    if within(&our.source, &their.source) {
        return !harmless && (our.writable || their.writable);
    }
    // Theirs lies inside ours: something of ours has to lie over it.
    let inside = within(&their.source, &our.source);
    let shown = format!("{}{}", our.target, their.source.strip_prefix(&our.source).unwrap_or_default());
    let covered = ours.iter().any(|mount| {
        let only_read = !mount.writable && (is_shareable(&their.source) || !their.writable);
        mount.target == shown && (mount.source != their.source || only_read)
    });
    inside && !harmless && !covered && (our.writable || their.writable)
}

fn within(path: &str, folder: &str) -> bool {
    path.strip_prefix(folder).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// Published ports that are neither told nor local.
pub(crate) fn open_ports(rendered: &Rendered, told: &BTreeSet<u16>) -> Vec<String> {
    let all = entries(&rendered.model, "services").flat_map(|(_, service)| ports(service));
    let production = rendered.class == Class::Production;
    all.filter(|(address, number, _)| {
        let allowed = production && told.contains(number) || !production && address == "127.0.0.1";
        !allowed
    })
    .map(|(address, number, protocol)| format!("{address}:{number}/{protocol}"))
    .collect()
}

/// Keys of services, networks and volumes that differ from what was written, with no rule at, above or below them.
pub(crate) fn unexplained(loaded: &Loaded, rendered: &Rendered) -> Vec<String> {
    let mut found = Vec::new();
    for section in ["services", "networks", "volumes", "secrets"] {
        let empty = Map::new();
        let written = loaded.model.0.get(section).and_then(Value::as_object).unwrap_or(&empty);
        for (name, after) in entries(&rendered.model, section) {
            let before = written.get(name).unwrap_or(&Value::Null);
            let keys = [before, after].into_iter().filter_map(Value::as_object).flat_map(Map::keys);
            for key in keys.collect::<BTreeSet<_>>() {
                if before.get(key) != after.get(key) && !explained(rendered, &[section, name, key]) {
                    found.push(format!(
                        "{section}.{name}.{key}: {:?} → {:?}",
                        before.get(key),
                        after.get(key)
                    ));
                }
            }
        }
    }
    found
}

fn explained(rendered: &Rendered, path: &[&str]) -> bool {
    rendered.rules.iter().any(|rule| rule.path.iter().zip(path).all(|(a, b)| a == b))
}
