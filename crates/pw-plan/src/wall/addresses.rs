//! Fixed subnets, addresses and bridge names, of which a host has each only once.

use std::net::IpAddr;

use pw_model::diagnostic::Diagnostic;
use serde_json::{Map, Value};

use super::Wall;

const BRIDGE_NAME: &str = "com.docker.network.bridge.name";

/// A range of addresses: `172.20.0.0/16`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Subnet {
    address: IpAddr,
    prefix: u32,
}

impl Wall<'_> {
    /// Keeps a fixed subnet that nobody before has; takes off one that somebody has.
    pub(super) fn own_addresses(&mut self, key: &str) {
        let (subnets, bridges) = self.pinned_before();
        let Some(network) = self.network(key) else { return };
        let lost: Vec<Subnet> = subnets_of(network)
            .into_iter()
            .filter(|subnet| subnets.iter().any(|other| subnet.overlaps(other)))
            .collect();
        if !lost.is_empty() {
            network.remove("ipam");
            // Older engines give no IPv6 range of their own choice.
            network.remove("enable_ipv6");
            self.release_addresses(key, &lost);
        }
        let Some(network) = self.network(key) else { return };
        if bridge_name(network).is_some_and(|name| bridges.contains(&name)) {
            if let Some(options) = network.get_mut("driver_opts").and_then(Value::as_object_mut) {
                options.remove(BRIDGE_NAME);
            }
            let because = "a bridge name exists only once on a host";
            self.note(&["networks", key, "driver_opts", BRIDGE_NAME], "own-network", because);
        }
    }

    fn pinned_before(&self) -> (Vec<Subnet>, Vec<String>) {
        let networks = self
            .before
            .iter()
            .filter_map(|(_, other)| other.model.get("networks")?.as_object())
            .flat_map(Map::values)
            .filter_map(Value::as_object);
        let (mut subnets, mut bridges) = (Vec::new(), Vec::new());
        for network in networks {
            subnets.extend(subnets_of(network));
            bridges.extend(bridge_name(network));
        }
        (subnets, bridges)
    }

    fn release_addresses(&mut self, key: &str, lost: &[Subnet]) {
        for name in self.service_names() {
            self.release_address(&name, key);
            self.release_resolvers(&name, lost);
        }
        for part in ["ipam", "enable_ipv6"] {
            self.note(&["networks", key, part], "own-network", "a fixed subnet exists only once on a host");
        }
        let place = self.place(&["networks", key, "ipam"]);
        let name = self.out.name.to_string();
        self.complain(
            Diagnostic::warning(format!("environment `{name}` uses `{key}` without its fixed addresses"))
                .at(place)
                .because("an environment before it has the same subnet, and a host can have it only once")
                .hint(format!("services reach each other by name; for fixed addresses give `{name}` a subnet of its own in an overlay")),
        );
    }

    fn release_address(&mut self, name: &str, key: &str) {
        let networks = self.service(name).and_then(|service| service.get_mut("networks"));
        let joined = networks.and_then(|networks| networks.get_mut(key)).and_then(Value::as_object_mut);
        let Some(joined) = joined else { return };
        for field in ["ipv4_address", "ipv6_address"] {
            if joined.remove(field).is_some() {
                let because = "the address lies in another environment's subnet";
                self.note(&["services", name, "networks", key, field], "own-network", because);
                return self.release_address(name, key);
            }
        }
    }

    /// A name server at an address that is gone would leave the container without names.
    fn release_resolvers(&mut self, name: &str, lost: &[Subnet]) {
        let is_lost = |server: &Value| {
            let address = server.as_str().and_then(|text| text.parse().ok());
            address.is_some_and(|address| lost.iter().any(|subnet| subnet.contains(address)))
        };
        let Some(service) = self.service(name) else { return };
        let Some(servers) = service.get_mut("dns").and_then(Value::as_array_mut) else { return };
        let count = servers.len();
        servers.retain(|server| !is_lost(server));
        let (dropped, empty) = (servers.len() < count, servers.is_empty());
        if empty {
            service.remove("dns");
        }
        if dropped {
            let because = "that name server's fixed address is another environment's";
            self.note(&["services", name, "dns"], "own-network", because);
        }
    }
}

fn subnets_of(network: &Map<String, Value>) -> Vec<Subnet> {
    let configs = network.get("ipam").and_then(|ipam| ipam.get("config")).and_then(Value::as_array);
    let texts = configs.into_iter().flatten().filter_map(|config| config.get("subnet")?.as_str());
    texts.filter_map(Subnet::parse).collect()
}

fn bridge_name(network: &Map<String, Value>) -> Option<String> {
    Some(network.get("driver_opts")?.get(BRIDGE_NAME)?.as_str()?.to_owned())
}

impl Subnet {
    fn parse(text: &str) -> Option<Self> {
        let (address, prefix) = text.split_once('/')?;
        Some(Self { address: address.parse().ok()?, prefix: prefix.parse().ok()? })
    }

    fn overlaps(&self, other: &Self) -> bool {
        same_start(self.address, other.address, self.prefix.min(other.prefix))
    }

    fn contains(&self, address: IpAddr) -> bool {
        same_start(self.address, address, self.prefix)
    }
}

/// True when the first `prefix` bits are the same.
fn same_start(one: IpAddr, other: IpAddr, prefix: u32) -> bool {
    let differing = match (one, other) {
        (IpAddr::V4(one), IpAddr::V4(other)) => (one.to_bits() ^ other.to_bits()).leading_zeros(),
        (IpAddr::V6(one), IpAddr::V6(other)) => (one.to_bits() ^ other.to_bits()).leading_zeros(),
        _ => return false,
    };
    differing >= prefix
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subnets_overlap_when_one_holds_the_other() {
        let subnet = |text| Subnet::parse(text).expect("a subnet");
        assert!(subnet("172.20.0.0/16").overlaps(&subnet("172.20.5.0/24")));
        assert!(subnet("172.20.5.0/24").overlaps(&subnet("172.20.0.0/16")));
        assert!(!subnet("172.20.0.0/24").overlaps(&subnet("172.20.1.0/24")));
        assert!(subnet("fd00::/64").overlaps(&subnet("fd00::1:0/112")));
        assert!(!subnet("fd00::/64").overlaps(&subnet("0.0.0.0/0")));
        assert!(subnet("10.0.0.0/8").contains("10.9.9.9".parse().expect("an address")));
    }
}
