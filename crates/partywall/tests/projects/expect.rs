//! `expect.yaml`: what a sensible person expects of a fixture project.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use pw_plan::wall::Loaded;
use serde::Deserialize;

#[derive(Debug, Deserialize)]
pub(crate) struct Expected {
    #[serde(default)]
    pub(crate) compose: Vec<String>,
    pub(crate) environments: BTreeMap<String, Environment>,
    pub(crate) services: BTreeMap<String, Service>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Environment {
    pub(crate) compose: Option<Vec<String>>,
    #[serde(default)]
    pub(crate) overlays: Vec<String>,
    pub(crate) env_file: Option<String>,
    #[serde(default)]
    pub(crate) profiles: Vec<String>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Service {
    role: OneOrMany,
    #[serde(default)]
    profiles: Vec<String>,
    only: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum OneOrMany {
    One(String),
    Many(Vec<String>),
}

/// A fixture project and what is expected of it.
pub(crate) struct Case {
    pub(crate) directory: PathBuf,
    pub(crate) expected: Expected,
}

impl Case {
    pub(crate) fn read(directory: &Path) -> Self {
        let text = std::fs::read_to_string(directory.join("expect.yaml")).expect("expect.yaml");
        let expected =
            serde_saphyr::from_str(&text).unwrap_or_else(|e| panic!("{}: {e}", directory.display()));
        Self { directory: directory.to_owned(), expected }
    }

    pub(crate) fn name(&self) -> &str {
        self.directory.file_name().and_then(|name| name.to_str()).expect("a name")
    }

    pub(crate) fn files(&self, environment: &str) -> Vec<String> {
        let environment = &self.expected.environments[environment];
        let base = environment.compose.as_ref().unwrap_or(&self.expected.compose);
        base.iter().chain(&environment.overlays).cloned().collect()
    }

    pub(crate) fn roles_of(&self, service: &str) -> Vec<String> {
        match self.expected.services.get(service).map(|service| &service.role) {
            Some(OneOrMany::One(role)) => vec![role.clone()],
            Some(OneOrMany::Many(roles)) => roles.clone(),
            None => Vec::new(),
        }
    }

    /// Names of the services that are on in an environment, sorted.
    pub(crate) fn services_in(&self, name: &str) -> Vec<&str> {
        let on = &self.expected.environments[name].profiles;
        let services = self.expected.services.iter().filter(|(_, service)| {
            let profile =
                service.profiles.is_empty() || service.profiles.iter().any(|profile| on.contains(profile));
            profile && service.only.as_deref().is_none_or(|only| only == name)
        });
        services.map(|(name, _)| name.as_str()).collect()
    }
}

/// A `partywall.yaml` that routes one web service and leaves the rest to the rules.
pub(crate) fn configuration(case: &Case, loaded: &[Loaded]) -> String {
    let mut text = format!("project: {}\nenvironments:\n", case.name());
    for environment in loaded {
        let name = &environment.name;
        text.push_str(&format!("  {name}:\n    compose: [{}]\n", case.files(name.as_str()).join(", ")));
        let web = environment.model.services().find(|service| {
            let plain = service.network_mode().is_none() && !service.container_ports().is_empty();
            plain && case.roles_of(service.name()) == ["web"]
        });
        if let Some(web) = web {
            text.push_str(&format!("    routes: {{ {}: {name}.example }}\n", web.name()));
        }
    }
    text
}
