//! The list of probes: everything of production that could be reached, from whatever was found.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use super::scene::{Room, Scene};
use super::step::{Attempt, Control, Kind, Probe};

/// Where clouds tell a machine its credentials.
const METADATA: IpAddr = IpAddr::V4(Ipv4Addr::new(169, 254, 169, 254));
/// Ports of an engine, with and without TLS.
const ENGINE: [u16; 2] = [2375, 2376];
pub const CADDY_ADMIN: u16 = 2019;
/// Where databases, caches and brokers listen that a host may run.
const STORES: [u16; 8] = [1433, 3306, 5432, 5672, 6379, 9200, 11211, 27017];

/// In the order in which a person reads them.
pub fn probes(scene: &Scene) -> Vec<Probe> {
    let mut probes = Vec::new();
    for room in &scene.production {
        probes.extend(addresses(room));
    }
    for room in &scene.production {
        probes.extend(names(room));
    }
    probes.extend(host_ports(scene));
    probes.extend(engine(scene));
    probes.extend(proxy(scene));
    probes.extend(paths(scene));
    probes.extend(kernel(scene));
    probes
}

fn probe(kind: Kind, what: impl Into<String>, attempt: Attempt, control: Control) -> Probe {
    Probe { kind, what: what.into(), attempt, allowed: None, control }
}

fn inside(room: &Room) -> Control {
    Control::Container(room.attacker())
}

/// What listens must answer in production; what is only announced need not be there.
fn addresses(room: &Room) -> impl Iterator<Item = Probe> {
    let ports: BTreeSet<u16> = room.listening.union(&room.exposed).copied().collect();
    room.addresses.iter().flat_map(move |address| {
        ports.clone().into_iter().map(move |port| {
            let what = format!("{} at {}", room.service, SocketAddr::new(*address, port));
            let there = room.listening.contains(&port);
            let control = if there { inside(room) } else { Control::HostIfThere };
            probe(Kind::Address, what, Attempt::Connect { address: *address, port }, control)
        })
    })
}

fn names(room: &Room) -> impl Iterator<Item = Probe> {
    let names = if room.addresses.is_empty() { BTreeSet::new() } else { room.names.clone() };
    names.into_iter().map(move |name| {
        let attempt = Attempt::Resolve { name: name.clone(), addresses: room.addresses.clone() };
        probe(Kind::Name, format!("`{name}` as {}", room.service), attempt, inside(room))
    })
}

fn gateways<'s>(rooms: impl IntoIterator<Item = &'s Room>) -> BTreeSet<IpAddr> {
    rooms.into_iter().flat_map(|room| room.gateways.iter().copied()).collect()
}

/// What the host's own addresses lead to.
fn host_ports(scene: &Scene) -> Vec<Probe> {
    let mut probes = Vec::new();
    let gateways = gateways(scene.beside.iter().chain(&scene.production));
    let own: BTreeSet<u16> =
        scene.beside.iter().flat_map(|room| room.published.iter().map(|(_, port)| *port)).collect();
    for room in &scene.production {
        for (at, port) in &room.published {
            let every = at.is_unspecified();
            let asked: Vec<IpAddr> =
                if every || at.is_loopback() { gateways.iter().copied().collect() } else { vec![*at] };
            for address in asked {
                let what = format!("{} published at {}", room.service, SocketAddr::new(address, *port));
                let attempt = Attempt::Connect { address, port: *port };
                let mut one = probe(Kind::HostPort, what, attempt, Control::HostIfThere);
                one.allowed = every.then(|| "production publishes it to everybody".to_owned());
                probes.push(one);
            }
        }
    }
    for address in &gateways {
        for port in STORES.into_iter().filter(|port| !own.contains(port)) {
            let what = format!("a database of the host at {}", SocketAddr::new(*address, port));
            let attempt = Attempt::Connect { address: *address, port };
            probes.push(probe(Kind::HostPort, what, attempt, Control::HostIfThere));
        }
    }
    let attempt = Attempt::Connect { address: METADATA, port: 80 };
    probes.push(probe(Kind::Metadata, METADATA.to_string(), attempt, Control::HostIfThere));
    probes
}

fn engine(scene: &Scene) -> Vec<Probe> {
    let sockets = scene
        .docker_sockets
        .iter()
        .map(|path| probe(Kind::Docker, path.clone(), Attempt::Socket { path: path.clone() }, Control::Host));
    let ports = gateways(&scene.beside).into_iter().flat_map(|address| {
        ENGINE.map(|port| {
            let what = SocketAddr::new(address, port).to_string();
            probe(Kind::Docker, what, Attempt::Connect { address, port }, Control::HostIfThere)
        })
    });
    sockets.chain(ports).collect()
}

fn proxy(scene: &Scene) -> Vec<Probe> {
    let sockets = scene.proxy_sockets.iter().map(|path| {
        probe(Kind::ProxyAdmin, path.clone(), Attempt::Socket { path: path.clone() }, Control::Host)
    });
    let addresses: BTreeSet<IpAddr> = scene.proxy.iter().map(|(address, _)| *address).collect();
    let admin = addresses.into_iter().chain(gateways(&scene.beside)).map(|address| {
        let what = SocketAddr::new(address, CADDY_ADMIN).to_string();
        let attempt = Attempt::Connect { address, port: CADDY_ADMIN };
        probe(Kind::ProxyAdmin, what, attempt, Control::HostIfThere)
    });
    let public = scene.proxy.iter().map(|(address, port)| {
        let what = format!("the proxy at {}", SocketAddr::new(*address, *port));
        let attempt = Attempt::Connect { address: *address, port: *port };
        let mut one = probe(Kind::HostPort, what, attempt, Control::HostIfThere);
        one.allowed = Some("it shows public sites to any visitor".to_owned());
        one
    });
    sockets.chain(admin).chain(public).collect()
}

/// Each path once, from the first container that mounts it.
fn paths(scene: &Scene) -> Vec<Probe> {
    let (mut probes, mut seen) = (Vec::new(), BTreeSet::new());
    let is_secret = |path: &str| scene.secrets.contains(path);
    for room in &scene.production {
        for path in room.mounts.iter().filter(|path| !scene.docker_sockets.contains(*path)) {
            if !seen.insert(path.clone()) {
                continue;
            }
            let read = Attempt::Read { path: path.clone() };
            let (kind, attempt) = match scene.configuration.contains(path) {
                _ if is_secret(path) => (Kind::Secret, read),
                true => (Kind::Configuration, Attempt::Write { path: path.clone() }),
                false => (Kind::Data, read),
            };
            // What production itself has read-only is written on the host.
            let control = if kind == Kind::Configuration { Control::Host } else { inside(room) };
            probes.push(probe(kind, format!("{path} of {}", room.service), attempt, control));
        }
    }
    let kept = scene.secrets.iter().filter(|path| !seen.contains(*path));
    probes.extend(
        kept.map(|path| {
            probe(Kind::Secret, path.clone(), Attempt::Read { path: path.clone() }, Control::Host)
        }),
    );
    probes
}

fn kernel(scene: &Scene) -> Vec<Probe> {
    let namespaces: BTreeSet<u64> = scene.production.iter().map(|room| room.namespace).collect();
    let processes = scene
        .production
        .first()
        .map(|room| probe(Kind::Processes, "in /proc", Attempt::Processes { namespaces }, inside(room)));
    let devices = probe(Kind::Devices, "in /dev", Attempt::Devices, Control::HostIfThere);
    let capabilities =
        probe(Kind::Capabilities, "those that reach the host", Attempt::Capabilities, Control::Host);
    processes.into_iter().chain([devices, capabilities]).collect()
}
