//! What was found before the attack: who is inside which walls, and what of production there is to be reached.

use std::collections::BTreeSet;
use std::net::IpAddr;

use super::step::{Attacker, Site};

/// A running container.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Room {
    pub id: String,
    pub name: String,
    pub service: String,
    pub environment: String,
    pub addresses: BTreeSet<IpAddr>,
    pub gateways: BTreeSet<IpAddr>,
    /// TCP ports at which it can be called from outside of itself, as the kernel lists them.
    pub listening: BTreeSet<u16>,
    /// TCP ports that its image or its service names.
    pub exposed: BTreeSet<u16>,
    /// By which others on its networks find it.
    pub names: BTreeSet<String>,
    /// Address and port of the host.
    pub published: BTreeSet<(IpAddr, u16)>,
    /// Paths of the host that it mounts.
    pub mounts: BTreeSet<String>,
    /// Inode of its PID namespace.
    pub namespace: u64,
}

/// Both sides of the wall.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Scene {
    pub production: Vec<Room>,
    /// Containers of every environment of another class.
    pub beside: Vec<Room>,
    /// Paths of the host with production's secrets, whether mounted or not.
    pub secrets: BTreeSet<String>,
    /// Folders and files that production mounts and keeps no data in.
    pub configuration: BTreeSet<String>,
    /// Sockets of the engine, and of the proxy's administration.
    pub docker_sockets: BTreeSet<String>,
    pub proxy_sockets: BTreeSet<String>,
    /// Where the proxy listens, on each of its networks.
    pub proxy: BTreeSet<(IpAddr, u16)>,
    /// What production's visitors ask for; `None` where nothing of it speaks HTTP.
    pub site: Option<Site>,
    /// A page of development behind the same proxy.
    pub own_site: Option<Site>,
}

impl Room {
    pub fn attacker(&self) -> Attacker {
        Attacker { id: self.id.clone(), name: self.name.clone() }
    }
}
