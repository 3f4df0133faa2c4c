//! The shape of `partywall.yaml`. Doc comments here become the descriptions in the JSON Schema.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::agent::Agent;
use super::alerts::Receiver;
use super::backup::Backup;
use super::governor::{Governor, Hours};
use super::promote::Promote;
use super::seed::Seed;
use crate::name::{EnvironmentName, ProjectName, ServiceName};
use crate::role::Role;
use crate::unit::{Bytes, Cpus, Rate, Span};

/// One application under Partywall: its Compose files and the environments that run from them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Name of the application; every container, network and volume name begins with it.
    pub project: ProjectName,
    /// Compose files that all environments share, base first. Leave out when each environment names complete files of its own.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub compose: Vec<String>,
    /// What production is held to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub objective: Option<Objective>,
    /// Named copies of the application.
    pub environments: BTreeMap<EnvironmentName, Environment>,
    /// Roles that were guessed wrong, service by service.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub roles: BTreeMap<ServiceName, Role>,
    /// The one Caddy before all environments.
    #[serde(default)]
    pub proxy: Proxy,
    /// Databases that `seed` reads and fills, in PostgreSQL 13 or newer.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub databases: BTreeMap<String, Database>,
    /// How development gets its data.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seed: Option<Seed>,
    /// How a release is promoted, and how its migration is rehearsed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub promote: Option<Promote>,
    /// How development is squeezed while production is under pressure.
    #[serde(default)]
    pub governor: Governor,
    /// What the agent does beside that.
    #[serde(default)]
    pub agent: Agent,
    /// Where backups are kept, and how many.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backup: Option<Backup>,
    /// What may differ between environments.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub drift: Option<Drift>,
    /// Who is told when something is wrong.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub alerts: Vec<Receiver>,
    /// What the server costs, and what it replaces. Read and kept; not used by this version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cost: Option<Cost>,
}

/// Limits of latency and errors.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Objective {
    /// 99 of 100 requests are answered within this time, e.g. `250ms`.
    #[serde(default)]
    pub p99: Option<String>,
    /// Share of requests that may fail, e.g. `0.1%`.
    #[serde(default)]
    pub errors: Option<String>,
}

/// One named copy of the application.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Environment {
    /// What it is for. Left out, the name decides: `production`, `staging`, anything else is development.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub class: Option<Class>,
    /// Complete Compose files of this environment, in place of the shared ones.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub compose: Option<Vec<String>>,
    /// Compose files laid over the shared ones, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub overlays: Vec<String>,
    /// The file or files with this environment's variables.
    #[serde(default, skip_serializing_if = "Files::is_empty")]
    pub env_file: Files,
    /// Compose profiles that are switched on.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub profiles: Vec<String>,
    /// Service → public host name. The proxy hands requests for the name to the service.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub routes: BTreeMap<ServiceName, Route>,
    /// The most that the environment may use.
    #[serde(default, skip_serializing_if = "Budget::is_empty")]
    pub budget: Budget,
    /// When the environment sleeps. Production never does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sleep: Option<Sleep>,
    /// Who may use the environment. Read and kept; not used by this version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub access: Option<Access>,
    /// Holes in the wall that are wanted, each `service/kind`; see `partywall check` for the kinds.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub allow: Vec<Allowance>,
    /// Service → ports that are published past the proxy, as in Compose: `8883:8883` or `127.0.0.1:5433:5432`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub publish: BTreeMap<ServiceName, Vec<String>>,
    /// Added to every host port that the Compose files publish. Left out: 1 for the first environment beside production, 2 for the next.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port_offset: Option<u16>,
}

/// What an environment is for; decides how it is protected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Class {
    Production,
    Staging,
    Development,
}

/// One path or a list of paths.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged, expecting = "a path or a list of paths is wanted here")]
pub enum Files {
    One(String),
    Many(Vec<String>),
}

/// A public name of a service.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(
    untagged,
    expecting = "a host name, or `{ host: NAME, port: NUMBER }` with a port up to 65535, is wanted here"
)]
pub enum Route {
    /// A host name; the port is the one that the service publishes or exposes.
    Host(String),
    Detailed(DetailedRoute),
}

/// A public name with the port spelled out.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DetailedRoute {
    /// The host name, or several for the same service.
    pub host: Files,
    /// The port inside the container.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
}

/// The most that an environment may use.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Budget {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpus: Option<Cpus>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory: Option<Bytes>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disk: Option<Bytes>,
    /// How much may come and go over the host's network, each way, e.g. `50mbit`. What visitors get over the proxy is not counted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bandwidth: Option<Rate>,
    /// Processes and threads of all containers together.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub processes: Option<u64>,
}

/// When an environment sleeps. Whoever asks for it wakes it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Sleep {
    /// After how long without use, e.g. `30m`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub idle: Option<Span>,
    /// When it is awake, in the server's own time, e.g. `Mon-Fri 08:00-20:00`; it is woken at their beginning, and sleeps outside them as soon as nobody uses it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hours: Option<Hours>,
    /// What becomes of its containers meanwhile.
    #[serde(default, skip_serializing_if = "How::is_default")]
    pub how: How,
}

/// How an environment sleeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum How {
    /// Its containers stop: it needs no memory, and some seconds to wake.
    #[default]
    Stop,
    /// Its containers stand still: they keep their memory, get no processor, and go on where they were.
    Freeze,
    /// Its containers go on, each with a tenth of a processor at most: timers, queues and connections live.
    Throttle,
}

impl How {
    fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// Who may use an environment.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Access {
    #[serde(default)]
    pub users: Vec<String>,
}

/// One hole in the wall: `service/kind`, such as `ci/docker-socket`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct Allowance(pub String);

/// How the proxy serves.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Proxy {
    /// Compose project of the proxy. All applications of a host share one proxy, so change it only to have a second one.
    pub name: String,
    /// Image of Caddy.
    pub image: String,
    /// Host ports of HTTP and HTTPS.
    pub http_port: u16,
    pub https_port: u16,
    /// Address that the ports are bound to.
    pub address: String,
    /// Where certificates come from.
    pub tls: TlsMode,
    /// Address of the account at the certificate authority.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub email: Option<String>,
    /// Admin address of a Caddy of your own on this host, e.g. `http://127.0.0.1:2019`; Partywall then runs none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub admin: Option<String>,
}

impl Default for Proxy {
    fn default() -> Self {
        Self {
            name: "partywall-proxy".into(),
            image: "caddy:2".into(),
            http_port: 80,
            https_port: 443,
            address: "0.0.0.0".into(),
            tls: TlsMode::Automatic,
            email: None,
            admin: None,
        }
    }
}

/// Where certificates come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum TlsMode {
    /// Public authority for public names, Caddy's own for `localhost`, `.local`, `.internal`, `.test`.
    Automatic,
    /// The authority's staging service: for throw-away names, without eating its limits.
    AcmeStaging,
    /// Caddy's own authority for all names.
    Internal,
    /// No HTTPS at all: behind another proxy, or for a trial.
    Off,
}

/// A database inside a service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Database {
    /// The service that runs the server.
    pub service: ServiceName,
    /// Name of the database. Left out: each environment's own `POSTGRES_DB`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Who signs in, and may create databases. Left out: each environment's own `POSTGRES_USER`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// The service's variable that holds the password, or with `_FILE` behind it the file that does. Left out: `POSTGRES_PASSWORD`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password: Option<String>,
}

/// Differences that are wanted.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Drift {
    /// Paths as `drift` prints them, such as `services.web.environment.DEBUG`; `*` stands for any one part, and
    /// everything below is meant too.
    #[serde(default)]
    pub accept: Vec<String>,
}

/// What the server costs, and what it replaces.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Cost {
    /// E.g. `180 USD/month`.
    pub server: String,
    #[serde(default)]
    pub instead_of: Vec<Replaced>,
}

/// A server that is no longer needed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Replaced {
    pub name: String,
    pub price: f64,
}

impl Config {
    /// What is known before there is a file: which Compose files make which environment.
    pub fn provisional(
        project: ProjectName,
        compose: Vec<String>,
        environments: BTreeMap<EnvironmentName, Environment>,
    ) -> Self {
        Self {
            project,
            compose,
            environments,
            objective: None,
            roles: BTreeMap::new(),
            proxy: Proxy::default(),
            databases: BTreeMap::new(),
            seed: None,
            promote: None,
            governor: Governor::default(),
            agent: Agent::default(),
            drift: None,
            backup: None,
            alerts: Vec::new(),
            cost: None,
        }
    }

    /// Environments with production first, then staging, then development, each by name.
    pub fn environments_in_order(&self) -> Vec<(&EnvironmentName, &Environment)> {
        let mut all: Vec<_> = self.environments.iter().collect();
        all.sort_by_key(|(name, environment)| (environment.class(name), (*name).clone()));
        all
    }

    /// The Compose files of an environment, base first, as the user wrote them.
    pub fn compose_files(&self, environment: &Environment) -> Vec<String> {
        let base = environment.compose.as_ref().unwrap_or(&self.compose);
        base.iter().chain(&environment.overlays).cloned().collect()
    }

    /// Compose project name: `project-environment`.
    pub fn compose_project(&self, environment: &EnvironmentName) -> String {
        format!("{}-{environment}", self.project)
    }
}

impl Environment {
    /// The class, from the key or else from the name.
    pub fn class(&self, name: &EnvironmentName) -> Class {
        self.class.unwrap_or(match name.as_str() {
            "production" | "prod" | "live" => Class::Production,
            "staging" | "stage" | "preview" => Class::Staging,
            _ => Class::Development,
        })
    }

    pub fn allows(&self, service: &str, kind: &str) -> bool {
        self.allow.iter().any(|allowance| allowance.0.split_once('/') == Some((service, kind)))
    }
}

impl Class {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Production => "production",
            Self::Staging => "staging",
            Self::Development => "development",
        }
    }
}

impl Files {
    pub fn is_empty(&self) -> bool {
        self.iter().next().is_none()
    }

    pub fn iter(&self) -> impl Iterator<Item = &str> {
        let slice = match self {
            Self::One(path) => std::slice::from_ref(path),
            Self::Many(paths) => paths.as_slice(),
        };
        slice.iter().map(String::as_str)
    }
}

impl Default for Files {
    fn default() -> Self {
        Self::Many(Vec::new())
    }
}

impl Route {
    pub fn hosts(&self) -> Vec<&str> {
        match self {
            Self::Host(host) => vec![host],
            Self::Detailed(route) => route.host.iter().collect(),
        }
    }

    pub fn port(&self) -> Option<u16> {
        match self {
            Self::Host(_) => None,
            Self::Detailed(route) => route.port,
        }
    }
}

impl Budget {
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}
