//! Networks of its own for each environment.

use pw_model::diagnostic::Diagnostic;
use serde_json::{Map, Value, json};

use super::{Wall, object};

/// The name by which the proxy reaches a service; unique on the host.
pub fn edge_alias(compose_project: &str, service: &str) -> String {
    format!("{compose_project}-{service}")
}

impl Wall<'_> {
    pub(super) fn networks(&mut self) {
        let keys: Vec<String> =
            self.loaded.model.section("networks").map(|(key, _)| key.to_owned()).collect();
        for key in keys {
            self.own_network(&key);
        }
        for name in self.service_names() {
            self.leave_default_bridge(&name);
            self.fixed_name(&name);
            self.external_links(&name);
        }
        self.edge();
        self.calls();
        self.bridges();
    }

    fn own_network(&mut self, key: &str) {
        let written = self.network(key).map(|network| network.clone()).unwrap_or_default();
        let external = written.get("external") == Some(&Value::Bool(true));
        if external && self.is_first_production() {
            return;
        }
        if external {
            self.replace_external_network(key);
        }
        let name = format!("{}_{key}", self.out.compose_project);
        let before = written.get("name").and_then(Value::as_str).unwrap_or(&name).to_owned();
        if let Some(network) = self.network(key) {
            network.insert("name".into(), json!(name));
        }
        if before != name {
            let because = format!("each environment has its own networks; `{before}` could be shared");
            self.note(&["networks", key, "name"], "own-network", because);
        }
        if before != name && !external && self.is_production() {
            self.warn_of_new_name(key, &before, &name);
        }
        if !self.before.is_empty() {
            self.own_addresses(key);
        }
    }

    pub(super) fn network(&mut self, key: &str) -> Option<&mut Map<String, Value>> {
        let slot = self.out.model.get_mut("networks")?.get_mut(key)?;
        if slot.is_null() {
            *slot = json!({});
        }
        slot.as_object_mut()
    }

    fn warn_of_new_name(&mut self, key: &str, before: &str, name: &str) {
        let place = self.place(&["networks", key, "name"]);
        let message = format!("the network `{before}` is called `{name}` in environment `{}`", self.out.name);
        self.complain(
            Diagnostic::warning(message)
                .at(place)
                .because("the same name in two environments would join them")
                .hint(format!("other Compose projects that join `{before}` must join `{name}`; or make it `external: true`")),
        );
    }

    fn replace_external_network(&mut self, key: &str) {
        if let Some(network) = self.network(key) {
            network.clear();
        }
        let place = self.place(&["networks", key]);
        let because = "an external network belongs to production, or to somebody else";
        self.note(&["networks", key], "own-network", because);
        let message = format!(
            "environment `{}` gets a network of its own in place of the external `{key}`",
            self.out.name
        );
        self.complain(
            Diagnostic::warning(message)
                .at(place)
                .because("what shares a network with production can reach production")
                .hint("services that it reached there need a stand-in in an overlay, or a `routes:` entry in place of an outer proxy"),
        );
    }

    /// The engine's `bridge` is one network for the whole host, and everybody on it reaches everybody.
    fn leave_default_bridge(&mut self, name: &str) {
        let mode = self.loaded.model.service(name).and_then(|service| service.network_mode());
        if !matches!(mode, Some("bridge" | "default")) {
            return;
        }
        if let Some(service) = self.service(name) {
            service.remove("network_mode");
            object(service, "networks").insert("default".into(), Value::Null);
        }
        let own = json!({"name": format!("{}_default", self.out.compose_project)});
        if let Some(root) = self.out.model.as_object_mut() {
            object(root, "networks").entry("default").or_insert(own);
        }
        let because = "the engine's `bridge` network is shared by the whole host";
        for key in ["network_mode", "networks"] {
            self.note(&["services", name, key], "own-network", because);
        }
    }

    /// A fixed container name exists once on a host and cannot be scaled; as an alias it still resolves.
    fn fixed_name(&mut self, name: &str) {
        let fixed = self.service(name).and_then(|service| service.remove("container_name"));
        let Some(alias) = fixed.as_ref().and_then(Value::as_str) else { return };
        let because = "a fixed name exists only once on a host; it stays as an alias";
        self.note(&["services", name, "container_name"], "own-names", because);
        self.follow_renamed(alias, name);
        if alias != name {
            self.alias_everywhere(name, alias);
        }
    }

    fn alias_everywhere(&mut self, name: &str, alias: &str) {
        let networks = self.service(name).and_then(|service| service.get_mut("networks"));
        let Some(networks) = networks.and_then(Value::as_object_mut) else { return };
        networks.values_mut().for_each(|joined| add_alias(joined, alias));
        for key in networks.keys().cloned().collect::<Vec<_>>() {
            let because = format!("`{alias}` was its container's name");
            self.note(&["services", name, "networks", &key, "aliases"], "own-names", because);
        }
    }

    /// `network_mode: container:NAME` finds its neighbour by the name that is gone; `service:KEY` still does.
    fn follow_renamed(&mut self, fixed: &str, service: &str) {
        let (by_name, by_key) = (format!("container:{fixed}"), format!("service:{service}"));
        for name in self.service_names() {
            for key in ["network_mode", "pid", "ipc"] {
                let written = self.loaded.model.service(&name).and_then(|other| other.get(key)?.as_str());
                if written == Some(&by_name) {
                    let because = format!("the container `{fixed}` is the service `{service}`");
                    self.set(&name, key, json!(by_key), ("own-names", because));
                }
            }
        }
    }

    fn external_links(&mut self, name: &str) {
        if self.is_first_production()
            || self.service(name).and_then(|service| service.remove("external_links")).is_none()
        {
            return;
        }
        let place = self.place(&["services", name, "external_links"]);
        let because = "a link to a container elsewhere leads out of the environment";
        self.note(&["services", name, "external_links"], "own-network", because);
        let message = format!("`external_links` of `{name}` are left out in environment `{}`", self.out.name);
        self.complain(Diagnostic::warning(message).at(place).because(because));
    }
}

pub(super) fn add_alias(joined: &mut Value, alias: &str) {
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
