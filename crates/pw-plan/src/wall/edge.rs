//! The edge: a network that only routed services and the proxy join.

use pw_model::diagnostic::{Diagnostic, nearest};
use serde_json::{Value, json};

use super::networks::{add_alias, edge_alias};
use super::{Wall, object};

/// Key of the edge network in the rendered file.
pub(super) const EDGE: &str = "partywall-edge";

/// Engine name of an environment's edge network.
pub fn edge_network(compose_project: &str) -> String {
    format!("{compose_project}_{EDGE}")
}

impl Wall<'_> {
    pub(super) fn edge(&mut self) {
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
        let because = "only routed services and the proxy meet here; no route leads out";
        self.note(&["networks", EDGE], "edge", because);
    }

    fn join_edge(&mut self, name: &str) {
        let alias = edge_alias(&self.out.compose_project, name);
        let Some(host) = self.network_owner(name) else {
            let diagnostic = self.unreachable(name, "routes");
            self.complain(diagnostic);
            return;
        };
        let Some(service) = self.service(&host) else { return };
        let networks = object(service, "networks");
        if networks.is_empty() {
            // Without any, Compose means `default`; with the edge alone it would lose it.
            networks.insert("default".into(), Value::Null);
        }
        add_alias(networks.entry(EDGE).or_insert(Value::Null), &alias);
        self.note(&["services", &host, "networks", EDGE], "edge", format!("`{name}` is routed"));
    }

    /// The service whose network the service lives in: itself, or the end of a chain of `network_mode: service:x`.
    pub(super) fn network_owner(&self, name: &str) -> Option<String> {
        let mut owner = name.to_owned();
        for _ in 0..self.out.model.get("services").and_then(Value::as_object).map_or(0, |all| all.len()) {
            let service = self.out.model.get("services")?.get(&owner)?;
            match service.get("network_mode").and_then(Value::as_str) {
                None => return Some(owner),
                Some(mode) => mode.strip_prefix("service:")?.clone_into(&mut owner),
            }
        }
        None
    }

    /// Why a service that `partywall.yaml` names under `section` cannot be served.
    pub(super) fn unreachable(&self, name: &str, section: &str) -> Diagnostic {
        let path = ["environments", self.out.name.as_str(), section, name];
        let verb = if section == "routes" { "routed" } else { "published" };
        let diagnostic =
            Diagnostic::error(format!("`{name}` of environment `{}` cannot be {verb}", self.out.name))
                .at(self.ground.source.find_nearest(&path));
        if self.loaded.model.service(name).is_some() {
            return diagnostic
                .because("its `network_mode` keeps it off every network that the proxy can join")
                .hint("take `network_mode` away in an overlay: `network_mode: !reset null`");
        }
        let known = self.service_names();
        let diagnostic = diagnostic.because("no such service in its Compose files (is its profile on?)");
        match nearest(name, known.iter().map(String::as_str)) {
            Some(near) => diagnostic.hint(format!("did you mean `{near}`?")),
            None => diagnostic.hint(format!("services are {}", known.join(", "))),
        }
    }
}
