//! Networks of its own for each environment, and an edge that only routed services and the proxy join.

use pw_model::diagnostic::Diagnostic;
use serde_json::{Map, Value, json};

use super::{Wall, object};

/// Key of the edge network in the rendered file.
pub(super) const EDGE: &str = "partywall-edge";

/// The name by which the proxy reaches a service; unique on the host.
pub fn edge_alias(compose_project: &str, service: &str) -> String {
    format!("{compose_project}-{service}")
}

impl Wall<'_> {
    pub(super) fn networks(&mut self) {
        self.own_networks();
        for name in self.service_names() {
            self.container_name(&name);
            self.external_links(&name);
        }
        self.edge();
    }

    fn own_networks(&mut self) {
        let keys: Vec<String> =
            self.loaded.model.section("networks").map(|(key, _)| key.to_owned()).collect();
        for key in keys {
            let external =
                self.network(&key).is_some_and(|network| network.get("external") == Some(&Value::Bool(true)));
            if external && self.is_production() {
                continue;
            }
            if external {
                self.replace_external_network(&key);
            }
            let name = format!("{}_{key}", self.out.compose_project);
            let later = !self.before.is_empty();
            let Some(network) = self.network(&key) else { continue };
            let renamed = network.insert("name".into(), json!(name)) != Some(json!(name));
            let pinned = later && unpin(network);
            if renamed {
                self.note(
                    &["networks", &key, "name"],
                    "own-network",
                    "each environment has its own networks",
                );
            }
            if pinned {
                self.release_addresses(&key);
            }
        }
    }

    fn network(&mut self, key: &str) -> Option<&mut Map<String, Value>> {
        let slot = self.out.model.get_mut("networks")?.get_mut(key)?;
        if slot.is_null() {
            *slot = json!({});
        }
        slot.as_object_mut()
    }

    fn replace_external_network(&mut self, key: &str) {
        if let Some(network) = self.network(key) {
            network.clear();
        }
        let place = self.place(&["networks", key]);
        self.note(
            &["networks", key],
            "own-network",
            "an external network belongs to production, or to somebody else",
        );
        self.complain(
            Diagnostic::warning(format!(
                "environment `{}` gets a network of its own in place of the external `{key}`",
                self.out.name
            ))
            .at(place)
            .because("what shares a network with production can reach production"),
        );
    }

    /// A fixed subnet exists once on a host, and the environment before this one has it.
    fn release_addresses(&mut self, key: &str) {
        for name in self.service_names() {
            let Some(service) = self.service(&name) else { continue };
            let joined = service
                .get_mut("networks")
                .and_then(|networks| networks.get_mut(key))
                .and_then(Value::as_object_mut);
            if let Some(joined) = joined {
                joined.retain(|field, _| !matches!(field.as_str(), "ipv4_address" | "ipv6_address"));
            }
        }
        let place = self.place(&["networks", key]);
        self.note(&["networks", key, "ipam"], "own-network", "a fixed subnet exists only once on a host");
        self.complain(
            Diagnostic::warning(format!("environment `{}` uses `{key}` without its fixed addresses", self.out.name))
                .at(place)
                .because("the same subnet or bridge name cannot exist twice on one host")
                .hint(format!("services reach each other by name; give `{}` a subnet of its own in an overlay to fix addresses", self.out.name)),
        );
    }

    /// A fixed container name exists once on a host and cannot be scaled; as an alias it still resolves.
    fn container_name(&mut self, name: &str) {
        let Some(fixed) = self.service(name).and_then(|service| service.remove("container_name")) else {
            return;
        };
        let Some(alias) = fixed.as_str().map(str::to_owned) else { return };
        self.note(
            &["services", name, "container_name"],
            "own-names",
            "a fixed name exists only once on a host; it stays as an alias",
        );
        let Some(networks) =
            self.service(name).and_then(|service| service.get_mut("networks")?.as_object_mut())
        else {
            return;
        };
        for joined in networks.values_mut() {
            add_alias(joined, &alias);
        }
    }

    fn external_links(&mut self, name: &str) {
        if self.is_production()
            || self.service(name).and_then(|service| service.remove("external_links")).is_none()
        {
            return;
        }
        let place = self.place(&["services", name, "external_links"]);
        self.note(
            &["services", name, "external_links"],
            "own-network",
            "a link to a container elsewhere leads out of the environment",
        );
        self.complain(
            Diagnostic::warning(format!(
                "`external_links` of `{name}` are left out in environment `{}`",
                self.out.name
            ))
            .at(place),
        );
    }

    fn edge(&mut self) {
        let routed: Vec<String> = self.environment.routes.keys().map(ToString::to_string).collect();
        if routed.is_empty() {
            return;
        }
        for name in &routed {
            self.join_edge(name);
        }
        let edge = json!({"name": self.out.edge, "driver": "bridge", "internal": true});
        if let Some(root) = self.out.model.as_object_mut() {
            object(root, "networks").insert(EDGE.to_owned(), edge);
        }
        self.note(
            &["networks", EDGE],
            "edge",
            "only routed services and the proxy meet here; no route leads out",
        );
    }

    fn join_edge(&mut self, name: &str) {
        let alias = edge_alias(&self.out.compose_project, name);
        let Some(host) = self.shares_network_of(name) else {
            self.complain(self.cannot_route(name));
            return;
        };
        let Some(service) = self.service(&host) else { return };
        let networks = object(service, "networks");
        let joined = networks.entry(EDGE).or_insert_with(|| json!({}));
        add_alias(joined, &alias);
        self.note(&["services", &host, "networks", EDGE], "edge", format!("`{name}` is routed"));
    }

    /// The service whose network the service lives in: itself, or that of `network_mode: service:x`.
    fn shares_network_of(&self, name: &str) -> Option<String> {
        let service = self.loaded.model.service(name)?;
        match service.network_mode() {
            None | Some("bridge") => Some(name.to_owned()),
            Some(mode) => mode.strip_prefix("service:").map(str::to_owned).filter(|other| other != name),
        }
    }

    fn cannot_route(&self, name: &str) -> Diagnostic {
        let path = ["environments", self.out.name.as_str(), "routes", name];
        let diagnostic =
            Diagnostic::error(format!("`{name}` of environment `{}` cannot be routed", self.out.name))
                .at(self.ground.source.find_nearest(&path));
        let known = self.service_names();
        match self.loaded.model.service(name) {
            Some(_) => diagnostic
                .because("its `network_mode` keeps it off every network that the proxy can join")
                .hint("remove `network_mode` in an overlay: `network_mode: !reset null`"),
            None => {
                let near =
                    pw_model::diagnostic::nearest(name, known.iter().map(String::as_str)).map(str::to_owned);
                let diagnostic =
                    diagnostic.because("no such service in its Compose files (is its profile on?)");
                match near {
                    Some(near) => diagnostic.hint(format!("did you mean `{near}`?")),
                    None => diagnostic.hint(format!("services are {}", known.join(", "))),
                }
            }
        }
    }
}

fn add_alias(joined: &mut Value, alias: &str) {
    if !joined.is_object() {
        *joined = json!({});
    }
    let aliases = joined.as_object_mut().map(|map| map.entry("aliases").or_insert_with(|| json!([])));
    if let Some(Value::Array(list)) = aliases
        && !list.iter().any(|known| known == alias)
    {
        list.push(json!(alias));
    }
}

/// Takes off what can exist only once on a host. True when there was something.
fn unpin(network: &mut Map<String, Value>) -> bool {
    let had_ipam = network.get("ipam").and_then(|ipam| ipam.get("config")).is_some();
    if had_ipam {
        network.remove("ipam");
    }
    let options = network.get_mut("driver_opts").and_then(Value::as_object_mut);
    let had_bridge =
        options.is_some_and(|options| options.remove("com.docker.network.bridge.name").is_some());
    had_ipam || had_bridge
}
