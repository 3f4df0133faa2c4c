//! The wall: one isolated, plain Compose file per environment.
//!
//! Route: [`render_all`] takes the environments in order, production first, and renders each beside
//! those before it; [`volumes`], [`networks`], [`firewall`], [`ports`], [`limits`], [`secrets`] change one part of
//! the model each; [`holes`] reports what would breach the wall; [`claims`] proves that no two
//! environments own the same thing; [`explain`] answers which line or rule set a value.
//!
//! **Invariant:** no rule here changes how an application behaves in production beyond names, limits
//! and published ports. What would is a diagnostic with a ready fix.

mod active;
mod addresses;
mod binds;
mod calls;
mod claims;
mod code;
mod edge;
mod entries;
mod explain;
mod firewall;
mod holes;
mod images;
mod limits;
mod networks;
mod ports;
mod publish;
mod secrets;
mod volumes;
mod write;

use std::collections::{BTreeMap, BTreeSet};

use pw_model::compose::ComposeModel;
use pw_model::config::{Class, Config, Environment};
use pw_model::diagnostic::Diagnostic;
use pw_model::host::CgroupDriver;
use pw_model::layout::Layout;
use pw_model::name::EnvironmentName;
use pw_model::role::{self, Role};
use pw_model::source::{Place, SourceFile, find_in};
use serde_json::{Map, Value, json};

pub(crate) use binds::kept_data;
pub use claims::{Claims, conflicts};
pub use edge::edge_network;
pub use entries::place_of as entry_place;
pub(crate) use explain::variable_origin;
pub use explain::{Explained, Origin, explain};
pub(crate) use firewall::firewall_chain;
pub use firewall::{firewall_chain_name, network_switch};
pub use limits::{build_limits, group_limits, group_path, proxy_group};
pub use networks::edge_alias;
pub use write::yaml;

/// One environment as Compose read it, with what the host knows about its paths.
#[derive(Debug, Clone)]
pub struct Loaded {
    pub name: EnvironmentName,
    pub model: ComposeModel,
    /// The Compose files, base first.
    pub sources: Vec<SourceFile>,
    /// Absolute paths of the environment's variable files.
    pub env_files: Vec<String>,
    /// Values of the variables that secrets and configs take their content from.
    pub variables: BTreeMap<String, String>,
    /// Facts of every bind mount's source, by absolute path.
    pub paths: BTreeMap<String, PathFacts>,
    /// Env files of single services, which Compose merges into `environment` and then forgets.
    pub service_files: Vec<ServiceFile>,
    /// Files of secrets and configs that are not there.
    pub missing: BTreeSet<String>,
    /// Service → image of the release that the environment runs.
    pub pins: BTreeMap<String, String>,
}

/// A file from which one service takes variables.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceFile {
    pub service: String,
    /// Absolute.
    pub path: String,
    pub file: SourceFile,
    /// Where a Compose file names it.
    pub place: Place,
}

impl Loaded {
    /// The model alone; what is known beside it is filled in by the caller.
    pub fn new(name: EnvironmentName, model: ComposeModel) -> Self {
        Self {
            name,
            model,
            sources: Vec::new(),
            env_files: Vec::new(),
            variables: BTreeMap::new(),
            paths: BTreeMap::new(),
            service_files: Vec::new(),
            missing: BTreeSet::new(),
            pins: BTreeMap::new(),
        }
    }

    /// Absolute paths of every file that holds the environment's variables.
    fn all_env_files(&self) -> impl Iterator<Item = &str> {
        let of_services = self.service_files.iter().map(|file| file.path.as_str());
        self.env_files.iter().map(String::as_str).chain(of_services)
    }
}

/// What the host says about a path that is mounted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PathFacts {
    pub is_file: bool,
    /// Version control knows files in it, beyond placeholders such as `.gitkeep`: configuration or source, not data.
    pub is_tracked: bool,
}

/// What all environments are rendered with.
#[derive(Debug, Clone, Copy)]
pub struct Ground<'a> {
    pub config: &'a Config,
    /// `partywall.yaml`, for places in diagnostics.
    pub source: &'a SourceFile,
    pub layout: &'a Layout,
    pub cgroup_driver: CgroupDriver,
    /// Absolute folder of the project.
    pub directory: &'a str,
}

/// One environment behind its wall.
#[derive(Debug, Clone)]
pub struct Rendered {
    pub name: EnvironmentName,
    pub class: Class,
    pub compose_project: String,
    pub model: Value,
    pub roles: BTreeMap<String, Role>,
    /// Holes that no `allow` permits, each `service/kind` as it would be written there.
    pub holes: BTreeSet<String>,
    /// What we set, and why.
    pub rules: Vec<Rule>,
    pub diagnostics: Vec<Diagnostic>,
    pub folders: BTreeSet<String>,
    pub generated_secrets: BTreeSet<String>,
    /// Engine name of the edge network.
    pub edge: String,
    pub group: String,
    pub claims: Claims,
}

/// One value that a rule of ours set or removed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// `services.web.mem_limit`, as segments.
    pub path: Vec<String>,
    /// Short name, shown by `render --explain`.
    pub name: &'static str,
    pub because: String,
}

/// The environment that is being rendered, and what is known so far.
struct Wall<'a> {
    ground: Ground<'a>,
    loaded: &'a Loaded,
    environment: &'a Environment,
    /// Environments rendered before this one, whose belongings are not to be touched.
    before: &'a [(&'a Loaded, &'a Rendered)],
    out: Rendered,
}

/// Renders every environment in the order of [`Config::environments_in_order`]; those that were not loaded are skipped.
pub fn render_all(ground: Ground<'_>, loaded: &[Loaded]) -> Vec<Rendered> {
    let mut done: Vec<(&Loaded, Rendered)> = Vec::new();
    for (name, environment) in ground.config.environments_in_order() {
        let Some(this) = loaded.iter().find(|loaded| loaded.name == *name) else { continue };
        let before: Vec<(&Loaded, &Rendered)> =
            done.iter().map(|(loaded, rendered)| (*loaded, rendered)).collect();
        let rendered = Wall::new(ground, this, environment, &before).render();
        done.push((this, rendered));
    }
    done.into_iter().map(|(_, rendered)| rendered).collect()
}

impl<'a> Wall<'a> {
    fn new(
        ground: Ground<'a>,
        loaded: &'a Loaded,
        environment: &'a Environment,
        before: &'a [(&'a Loaded, &'a Rendered)],
    ) -> Self {
        let compose_project = ground.config.compose_project(&loaded.name);
        let out = Rendered {
            name: loaded.name.clone(),
            class: environment.class(&loaded.name),
            model: Value::Object(loaded.model.0.clone()),
            roles: roles(ground.config, &loaded.model),
            holes: BTreeSet::new(),
            rules: Vec::new(),
            diagnostics: Vec::new(),
            folders: BTreeSet::new(),
            generated_secrets: BTreeSet::new(),
            edge: edge_network(&compose_project),
            group: group_path(ground.config, &loaded.name, ground.cgroup_driver),
            claims: Claims::default(),
            compose_project,
        };
        Self { ground, loaded, environment, before, out }
    }

    fn render(mut self) -> Rendered {
        self.out.model["name"] = json!(self.out.compose_project);
        self.active();
        self.networks();
        self.volumes();
        self.binds();
        self.code_mounts();
        self.secrets();
        self.images();
        self.pins();
        self.ports();
        self.limits();
        self.labels();
        self.holes();
        self.out.claims = claims::of(&self.out, self.ground.config);
        self.out
    }

    fn is_production(&self) -> bool {
        self.out.class == Class::Production
    }

    /// Further environments of class production are kept from the first one's belongings like all others.
    fn is_first_production(&self) -> bool {
        self.is_production() && !self.before.iter().any(|(_, other)| other.class == self.out.class)
    }

    fn service_names(&self) -> Vec<String> {
        self.loaded.model.services().map(|service| service.name().to_owned()).collect()
    }

    /// The service in the rendered model, to be changed.
    fn service(&mut self, name: &str) -> Option<&mut Map<String, Value>> {
        self.out.model.get_mut("services")?.get_mut(name)?.as_object_mut()
    }

    /// Sets a key of a service and remembers which rule did.
    fn set(&mut self, service: &str, key: &str, value: Value, rule: (&'static str, String)) {
        if let Some(map) = self.service(service) {
            map.insert(key.to_owned(), value);
            self.note(&["services", service, key], rule.0, rule.1);
        }
    }

    fn note(&mut self, path: &[&str], name: &'static str, because: impl Into<String>) {
        let path = path.iter().map(|&part| part.to_owned()).collect();
        self.out.rules.push(Rule { path, name, because: because.into() });
    }

    fn complain(&mut self, diagnostic: Diagnostic) {
        self.out.diagnostics.push(diagnostic);
    }

    /// Where a path is written in the Compose files, or the nearest line above it.
    fn place(&self, path: &[&str]) -> Option<Place> {
        find_in(&self.loaded.sources, path)
    }

    fn labels(&mut self) {
        let own = [
            ("partywall.project", self.ground.config.project.to_string()),
            ("partywall.environment", self.out.name.to_string()),
            ("partywall.class", self.out.class.as_str().to_owned()),
        ];
        for name in self.service_names() {
            let role = self.out.roles.get(&name).copied().unwrap_or(Role::Worker);
            let state = self.ground.layout.identity().to_owned();
            let more = [("partywall.role", role.as_str().to_owned()), ("partywall.state", state)];
            self.label("services", &name, own.iter().chain(&more));
        }
        for section in ["networks", "volumes"] {
            let entries = self.out.model.get(section).and_then(Value::as_object);
            let keys: Vec<String> = entries.map(|map| map.keys().cloned().collect()).unwrap_or_default();
            for key in keys {
                self.label(section, &key, own.iter());
            }
        }
    }

    fn label<'l>(
        &mut self,
        section: &str,
        key: &str,
        labels: impl Iterator<Item = &'l (&'static str, String)>,
    ) {
        let entry = self.out.model.get_mut(section).and_then(|entries| entries.get_mut(key));
        let Some(entry) = entry.and_then(Value::as_object_mut) else { return };
        if entry.get("external") == Some(&Value::Bool(true)) {
            return;
        }
        let slot = object(entry, "labels");
        let mut set = Vec::new();
        for (label, value) in labels {
            slot.insert((*label).to_owned(), json!(value));
            set.push(*label);
        }
        for label in set {
            self.note(&[section, key, "labels", label], "labels", "so that everybody can see whose it is");
        }
    }
}

/// Every service's role: what the user says, else the guess.
pub fn roles(config: &Config, model: &ComposeModel) -> BTreeMap<String, Role> {
    let said =
        |name: &str| config.roles.iter().find(|(service, _)| service.as_str() == name).map(|(_, role)| *role);
    model
        .services()
        .map(|service| {
            let name = service.name();
            (name.to_owned(), said(name).unwrap_or_else(|| role::guess_in(&service, model)))
        })
        .collect()
}

/// The mapping at `key`, made when it is missing or null.
fn object<'m>(map: &'m mut Map<String, Value>, key: &str) -> &'m mut Map<String, Value> {
    let slot = map.entry(key.to_owned()).or_insert(Value::Null);
    if !slot.is_object() {
        *slot = json!({});
    }
    match slot {
        Value::Object(inner) => inner,
        _ => unreachable!("made an object above"),
    }
}
