//! The firewall: packets between an environment's networks and all other containers are dropped, and beside production
//! those to the machine's metadata service.
//!
//! Docker keeps networks apart by itself, with holes in time: for each network that anybody creates, the
//! engine takes the jump to its isolation rules out of `FORWARD` and puts it back. Until then one network
//! reaches another. These rules stand in a table that the engine does not touch, and they name bridges
//! rather than networks, so that they are there before the first bridge is.
//!
//! Beside production the chain also holds rates that nobody is held to until a switch says so: a list of the kernel's
//! in `/proc/net/xt_recent`, which the governor writes to. So a squeeze needs no command, and no right but to write
//! that file.

use std::collections::BTreeSet;

use pw_model::config::Class;
use pw_model::desired::FirewallChain;
use pw_model::unit::{Bytes, Rate};
use serde_json::{Value, json};

use super::{Rendered, Wall, object};
use crate::govern::NETWORK_RATES;

const BRIDGE_NAME: &str = "com.docker.network.bridge.name";
/// The kernel takes 15 characters for the name of an interface.
const PREFIX: &str = "pw-";
/// Bridges of others: environments', those that Docker names, and that of `docker build` and plain `docker run`.
const OTHERS: [&str; 3] = ["pw-+", "br-+", "docker0"];

/// Where clouds hand a machine's credentials, which are production's, to whoever asks.
const METADATA: &str = "169.254.169.254";

/// The bridge of a network, from the network's engine name.
fn bridge_name(network: &str) -> String {
    format!("{PREFIX}{}", &crate::hash(network)[..12])
}

/// The chain of an environment; iptables takes 28 characters.
pub fn firewall_chain_name(compose_project: &str) -> String {
    format!("PARTYWALL-{}", &crate::hash(compose_project)[..12])
}

/// The switch of a rate that an environment's networks can be held to.
pub fn network_switch(compose_project: &str, rate: Bytes) -> String {
    format!("pw-{}-{}", &crate::hash(compose_project)[..12], rate.0 >> 20)
}

/// The rules for the networks that the environment makes; `None` where it makes none.
pub(crate) fn firewall_chain(rendered: &Rendered, bandwidth: Option<Rate>) -> Option<FirewallChain> {
    let bridges: BTreeSet<&str> = bridges_of(rendered).collect();
    let within = bridges.iter().map(|bridge| format!("-i {bridge} -o {bridge} -j RETURN"));
    let across = bridges.iter().flat_map(|bridge| {
        OTHERS.iter().flat_map(move |other| {
            [format!("-i {bridge} -o {other} -j DROP"), format!("-i {other} -o {bridge} -j DROP")]
        })
    });
    let beside = rendered.class != Class::Production;
    let metadata =
        bridges.iter().filter(|_| beside).map(|bridge| format!("-d {METADATA}/32 -i {bridge} -j DROP"));
    let fixed = bandwidth.map(|rate| limits(&bridges, (rate.bits() / 8).div_ceil(1024), "", ""));
    let prepared = NETWORK_RATES.into_iter().filter(|_| beside).flat_map(|rate| {
        let (switch, megabytes) = (network_switch(&rendered.compose_project, rate), rate.0 >> 20);
        let when = format!(" -m recent --rcheck --name {switch} --mask {ANYBODY} --rsource");
        limits(&bridges, rate.0 / 1024, &when, &format!("{megabytes}-"))
    });
    let rules: Vec<String> =
        within.chain(across).chain(metadata).chain(fixed.into_iter().flatten()).chain(prepared).collect();
    (!rules.is_empty()).then(|| FirewallChain {
        name: firewall_chain_name(&rendered.compose_project),
        rules,
        ipv6: networks(rendered).any(|network| network.get("enable_ipv6") == Some(&Value::Bool(true))),
    })
}

/// All addresses are one on a list that looks at none of their bits.
const ANYBODY: &str = "0.0.0.0";

/// What is beyond the rate is dropped, which makes a sender slow down; all networks of the environment share it.
///
/// The kernel counts in units of its own, so that what it tells of a rule is a little off: who observes one knows.
fn limits(bridges: &BTreeSet<&str>, kilobytes: u64, when: &str, mark: &str) -> Vec<String> {
    let name = bridges.first().copied().unwrap_or_default().trim_start_matches(PREFIX);
    // The kernel wants at least what comes in a second.
    let burst = kilobytes / 1024 + 2;
    let rule = |way: &str, bridge: &str, table: &str| {
        format!(
            "{way} {bridge}{when} -m hashlimit --hashlimit-above {kilobytes}kb/s --hashlimit-burst {burst}mb --hashlimit-name {table}-{mark}{name} -j DROP"
        )
    };
    let both = |bridge: &&str| [rule("-i", bridge, "up"), rule("-o", bridge, "down")];
    bridges.iter().flat_map(both).collect()
}

/// The bridges of the environment's own networks.
pub(super) fn bridges_of(rendered: &Rendered) -> impl Iterator<Item = &str> {
    networks(rendered).filter_map(|network| network.get("driver_opts")?.get(BRIDGE_NAME)?.as_str())
}

fn networks(rendered: &Rendered) -> impl Iterator<Item = &Value> {
    let networks = rendered.model.get("networks").and_then(Value::as_object);
    networks.into_iter().flatten().map(|(_, network)| network)
}

impl Wall<'_> {
    /// Names the bridges of all networks of the environment's own.
    pub(super) fn bridges(&mut self) {
        let networks = self.out.model.get("networks").and_then(Value::as_object);
        let keys: Vec<String> = networks.into_iter().flatten().map(|(key, _)| key.clone()).collect();
        for key in keys {
            self.name_bridge(&key);
        }
    }

    fn name_bridge(&mut self, key: &str) {
        let keeps_names = self.is_first_production();
        let Some(network) = self.network(key) else { return };
        let external = network.get("external") == Some(&Value::Bool(true));
        let is_bridge = network.get("driver").is_none_or(|driver| driver == "bridge");
        let Some(name) = network.get("name").and_then(Value::as_str).map(bridge_name) else { return };
        if external || !is_bridge {
            return;
        }
        let options = object(network, "driver_opts");
        if keeps_names && options.contains_key(BRIDGE_NAME) {
            return;
        }
        options.insert(BRIDGE_NAME.into(), json!(name));
        let because = "the firewall names the bridge before it is there";
        self.note(&["networks", key, "driver_opts", BRIDGE_NAME], "own-bridge", because);
    }
}
