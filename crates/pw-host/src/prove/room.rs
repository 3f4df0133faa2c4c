//! Containers as they are seen from outside: where they can be called, and what they mount.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::os::unix::fs::MetadataExt as _;

use bollard::models::{ContainerInspectResponse, EndpointSettings};
use procfs::net::{TcpNetEntry, TcpState};
use procfs::process::Process;
use pw_plan::prove::scene::Room;
use pw_run::Failure;

use crate::docker::Engine;

/// An environment, and the Compose project that it is.
#[derive(Debug, Clone)]
pub struct Side {
    pub environment: String,
    pub compose_project: String,
}

/// The running containers of an environment, by name.
///
/// # Errors
/// The engine does not answer, or its containers are not on this host.
pub async fn rooms(engine: &Engine, side: &Side) -> Result<Vec<Room>, Failure> {
    let mut rooms = Vec::new();
    for id in engine.running_ids(&side.compose_project).await? {
        let Some(found) = engine.inspect_named(&id).await? else { continue };
        rooms.extend(room(found, &side.environment)?);
    }
    rooms.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(rooms)
}

/// A container of this name alone; `None` when it does not run.
///
/// # Errors
/// As for [`rooms`].
pub async fn container(engine: &Engine, name: &str) -> Result<Option<Room>, Failure> {
    match engine.inspect_named(name).await? {
        Some(found) => room(found, ""),
        None => Ok(None),
    }
}

/// Its address on one network.
///
/// # Errors
/// The engine does not answer.
pub async fn address_on(engine: &Engine, name: &str, network: &str) -> Result<Option<IpAddr>, Failure> {
    let found = engine.inspect_named(name).await?.and_then(|found| found.network_settings?.networks);
    let endpoint = found.and_then(|mut networks| networks.remove(network));
    Ok(endpoint.and_then(|endpoint| endpoint.ip_address?.parse().ok()))
}

fn room(found: ContainerInspectResponse, environment: &str) -> Result<Option<Room>, Failure> {
    let Some(pid) = crate::docker::first_process_of(&found) else { return Ok(None) };
    let name = found.name.clone().unwrap_or_default().trim_start_matches('/').to_owned();
    let namespace = std::fs::metadata(format!("/proc/{pid}/ns/pid")).map_err(|error| {
        Failure::new(format!("could not look into `{name}`"))
            .because(error)
            .hint("run it as root on the host that runs the containers")
    })?;
    let id = found.id.clone().unwrap_or_default();
    let settings = found.network_settings.unwrap_or_default();
    let endpoints: Vec<EndpointSettings> = settings.networks.unwrap_or_default().into_values().collect();
    let config = found.config.unwrap_or_default();
    let label = |key: &str| config.labels.as_ref().and_then(|labels| labels.get(key)).cloned();
    let service = label(crate::docker::label::SERVICE).unwrap_or_else(|| name.clone());
    let ports = settings.ports.unwrap_or_default();
    let bindings = ports.values().flatten().flatten();
    Ok(Some(Room {
        addresses: endpoints.iter().flat_map(addresses).collect(),
        gateways: endpoints.iter().flat_map(gateways).collect(),
        listening: listening(pid),
        exposed: ports.keys().filter_map(|key| key.strip_suffix("/tcp")?.parse().ok()).collect(),
        names: names(&endpoints, &id).into_iter().chain([name.clone(), service.clone()]).collect(),
        published: bindings
            .filter_map(|one| {
                let at = one.host_ip.as_deref().unwrap_or("0.0.0.0");
                Some((at.parse().ok()?, one.host_port.as_ref()?.parse().ok()?))
            })
            .collect(),
        mounts: found
            .mounts
            .into_iter()
            .flatten()
            .filter_map(|mount| mount.source)
            .filter(|path| path.starts_with('/'))
            .collect(),
        namespace: namespace.ino(),
        environment: environment.to_owned(),
        service,
        name,
        id,
    }))
}

fn parsed<'t>(texts: impl IntoIterator<Item = &'t Option<String>>) -> Vec<IpAddr> {
    texts.into_iter().flatten().filter_map(|text| text.parse().ok()).collect()
}

fn addresses(endpoint: &EndpointSettings) -> Vec<IpAddr> {
    parsed([&endpoint.ip_address, &endpoint.global_ipv6_address])
}

fn gateways(endpoint: &EndpointSettings) -> Vec<IpAddr> {
    parsed([&endpoint.gateway, &endpoint.ipv6_gateway])
}

/// Without the beginning of its id, which is a name too, and nobody's choice.
fn names(endpoints: &[EndpointSettings], id: &str) -> BTreeSet<String> {
    let all =
        endpoints.iter().flat_map(|one| one.aliases.iter().flatten().chain(one.dns_names.iter().flatten()));
    all.filter(|name| !id.starts_with(name.as_str())).cloned().collect()
}

/// TCP ports that others can call: what listens on itself alone is left out.
fn listening(pid: i32) -> BTreeSet<u16> {
    let Ok(process) = Process::new(pid) else { return BTreeSet::new() };
    let entries = process.tcp().into_iter().chain(process.tcp6()).flatten();
    let open = |entry: &TcpNetEntry| {
        entry.state == TcpState::Listen && !entry.local_address.ip().to_canonical().is_loopback()
    };
    entries.filter(open).map(|entry| entry.local_address.port()).collect()
}
