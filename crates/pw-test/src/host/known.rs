//! What a Compose file describes, as far as the fake needs it.

use std::collections::{BTreeMap, BTreeSet};

use pw_model::desired::{Desired, DesiredService};
use pw_model::role::Role;

use super::FakeHost;

/// What a started container does.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Nature {
    #[default]
    Serves,
    /// Ends well at once.
    Job,
    /// Runs, and never gets healthy.
    Sick,
    /// A job that ends badly.
    FailedJob,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ServiceSketch {
    pub config_hash: String,
    pub image: String,
    pub nature: Nature,
    /// 0 is one: the common case needs no mention.
    pub scale: u64,
    pub needs: Vec<String>,
    pub container_name: Option<String>,
    /// Empty is all of the file's.
    pub networks: BTreeSet<String>,
}

/// One Compose file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Known {
    pub services: BTreeMap<String, ServiceSketch>,
    pub networks: Vec<String>,
    pub volumes: Vec<String>,
    /// Files and folders of the host that containers mount.
    pub mounts: Vec<String>,
    pub group: Option<String>,
    pub owner: Option<(String, String)>,
}

impl Known {
    /// One network `PROJECT_default`, and services with these names and config hashes, each from image `NAME:1`.
    pub fn new(project: &str, services: &[(&str, &str)]) -> Self {
        let sketch = |(name, hash): &(&str, &str)| {
            let sketch = ServiceSketch {
                config_hash: (*hash).to_owned(),
                image: format!("{name}:1"),
                ..ServiceSketch::default()
            };
            ((*name).to_owned(), sketch)
        };
        Self {
            services: services.iter().map(sketch).collect(),
            networks: vec![format!("{project}_default")],
            ..Self::default()
        }
    }
}

impl Known {
    pub(super) fn networks_of(&self, service: &str) -> BTreeSet<String> {
        let own = self.services.get(service).map(|sketch| sketch.networks.clone()).unwrap_or_default();
        if own.is_empty() { self.networks.iter().cloned().collect() } else { own }
    }
}

impl ServiceSketch {
    fn of(service: &DesiredService) -> Self {
        Self {
            config_hash: service.config_hash.clone(),
            image: service.image.clone(),
            nature: if service.role == Role::Job { Nature::Job } else { Nature::Serves },
            scale: service.scale,
            needs: service.needs.clone(),
            container_name: None,
            networks: service.networks.clone(),
        }
    }
}

impl FakeHost {
    /// Teaches the environment's Compose file and the proxy's.
    pub fn knows_desired(&mut self, desired: &Desired) {
        let mounts = desired.folders.iter().chain(&desired.generated_secrets).cloned().collect();
        let services = desired.services.iter().filter(|(_, service)| service.scale > 0);
        let known = Known {
            services: services.map(|(name, service)| (name.clone(), ServiceSketch::of(service))).collect(),
            networks: desired.networks.clone(),
            volumes: desired.volumes.clone(),
            mounts,
            group: desired.group.as_ref().map(|group| group.path.clone()),
            owner: Some((desired.project.to_string(), desired.environment.to_string())),
        };
        self.knows(pw_plan::hash(&desired.compose_file.text), known);
        if let Some(proxy) = &desired.proxy {
            let mut known = Known::new(&proxy.name, &[("caddy", &pw_plan::hash(&proxy.compose_file.text))]);
            known.services.entry("caddy".into()).or_default().container_name = Some(proxy.container.clone());
            self.knows(pw_plan::hash(&proxy.compose_file.text), known);
        }
    }

    /// Guards all that belongs to the environment.
    pub fn guard_desired(&mut self, desired: &Desired) {
        let folder = desired.compose_file.path.rsplit_once('/').map_or("", |(folder, _)| folder);
        let group = desired.group.as_ref().map_or(folder, |group| group.path.as_str());
        self.guard(&desired.compose_project, &[folder, group]);
    }
}
