//! Ports of the host: the proxy's, what production keeps published, where development's go.

use std::collections::BTreeSet;

use pw_model::compose::{ComposeModel, PublishedPort};
use pw_model::host::HostFacts;
use pw_model::role::Role;

use super::front::HTTP;
use super::write::scalar;
use crate::fit::written::range;

/// TCP ports of protocols that a web proxy cannot carry.
const NOT_HTTP: &[u16] = &[
    21, 22, 25, 53, 110, 143, 389, 465, 587, 636, 853, 993, 995, 1194, 1883, 1935, 2222, 3478, 4190, 5060,
    5222, 5269, 5349, 5671, 5672, 6667, 6697, 8554, 8555, 8883, 25565,
];
/// Compose project of the proxy when the file says nothing else.
const PROXY: &str = "partywall-proxy";

/// A proxy port, with the conflict that moved it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ProxyPort {
    pub(super) port: u16,
    pub(super) taken: Option<u16>,
}

/// 80 and 443, or the next free ones from 8080 and 8443 where somebody else listens.
pub(super) fn proxy(facts: &HostFacts) -> (ProxyPort, ProxyPort) {
    // One proxy serves all projects of a host: when it runs, the ports are ours.
    let ours = facts.compose_projects.iter().any(|project| project == PROXY);
    let pick = |wanted: u16, other: u16| {
        if ours || !listens(facts, wanted, "tcp") {
            return ProxyPort { port: wanted, taken: None };
        }
        let free = (other..u16::MAX).find(|port| !listens(facts, *port, "tcp")).unwrap_or(other);
        ProxyPort { port: free, taken: Some(wanted) }
    };
    (pick(80, 8080), pick(443, 8443))
}

fn listens(facts: &HostFacts, port: u16, protocol: &str) -> bool {
    facts.listening.iter().any(|listener| listener.port == port && listener.protocol.starts_with(protocol))
}

/// Ports that production publishes today and that no proxy can carry: they stay, per service as `publish` wants them.
pub(super) fn kept(model: &ComposeModel, role: impl Fn(&str) -> Option<Role>) -> Vec<(String, Vec<String>)> {
    let services = model
        .services()
        .filter(|service| !matches!(role(service.name()), Some(Role::Database | Role::Cache)));
    services
        .filter_map(|service| {
            let role = role(service.name());
            let mut seen = BTreeSet::new();
            let ports = service.published_ports().into_iter().filter(|port| is_kept(port, role));
            let written: Vec<String> =
                ports.filter_map(|port| entry(&port)).filter(|entry| seen.insert(entry.clone())).collect();
            (!written.is_empty()).then(|| (service.name().to_owned(), written))
        })
        .collect()
}

fn is_kept(port: &PublishedPort, role: Option<Role>) -> bool {
    let public =
        port.host_address.as_deref().is_none_or(|address| !address.starts_with("127.") && address != "::1");
    let carried = port.protocol == "tcp" && HTTP.contains(&port.target) || port.target == 443;
    let foreign = port.protocol != "tcp" || NOT_HTTP.contains(&port.target) || role == Some(Role::Broker);
    public && foreign && !carried
}

/// `1883:1883` or `53:53/udp`; `None` for ranges and ports that the engine chooses.
fn entry(port: &PublishedPort) -> Option<String> {
    port.published.parse::<u16>().ok()?;
    let protocol = if port.protocol == "tcp" { String::new() } else { format!("/{}", port.protocol) };
    let address = port.host_address.as_deref().filter(|address| !matches!(*address, "0.0.0.0" | "::"));
    let address = address.map(|a| if a.contains(':') { format!("[{a}]:") } else { format!("{a}:") });
    Some(format!("{}{}:{}{protocol}", address.unwrap_or_default(), port.published, port.target))
}

/// The smallest offset from `first` on at which none of the model's ports meets a listener of the host.
pub(super) fn offset(model: &ComposeModel, facts: &HostFacts, first: u16) -> u16 {
    let ports: Vec<(u16, u16, String)> = published(model)
        .filter_map(|(_, port)| range(&port.published).map(|(from, to)| (from, to, port.protocol)))
        .collect();
    let free = |offset: &u16| {
        ports.iter().all(|(from, to, protocol)| {
            (*from..=*to)
                .all(|port| port.checked_add(*offset).is_some_and(|port| !listens(facts, port, protocol)))
        })
    };
    (first..1000).find(free).unwrap_or(first)
}

/// `web 8000 → 8001`, for the comment beside an environment.
pub(super) fn moved(model: &ComposeModel, offset: u16) -> Vec<String> {
    let mut seen = BTreeSet::new();
    let all = published(model).filter_map(|(service, port)| {
        let (from, to) = range(&port.published)?;
        let new = |port: u16| port.saturating_add(offset);
        let new = if from == to { new(from).to_string() } else { format!("{}-{}", new(from), new(to)) };
        Some(format!("{} {} → {new}", scalar(&service), port.published))
    });
    all.filter(|text| seen.insert(text.clone())).collect()
}

fn published(model: &ComposeModel) -> impl Iterator<Item = (String, PublishedPort)> + '_ {
    model.services().flat_map(|service| {
        service.published_ports().into_iter().map(move |port| (service.name().to_owned(), port))
    })
}
