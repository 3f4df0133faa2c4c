//! A view over the model that `docker compose config --format json` answers.
//!
//! The JSON itself stays whole, so that keys of Compose that we do not know pass through `render`.

use serde_json::{Map, Value};

use crate::unit::Cpus;

/// Microseconds over which the engine counts a quota, where nothing else is said.
const PERIOD: f64 = 100_000.0;

/// The canonical model of one environment: what Compose made of the user's files.
///
/// Texts are still escaped (`$$`), so that the model can be written as a Compose file again.
#[derive(Debug, Clone, PartialEq)]
pub struct ComposeModel(pub Map<String, Value>);

/// One service of a model.
#[derive(Debug, Clone, Copy)]
pub struct Service<'a> {
    name: &'a str,
    value: &'a Value,
}

/// A port that a service publishes on the host.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct PublishedPort {
    pub host_address: Option<String>,
    /// One port, a range `8000-8010`, or empty for one that the engine chooses.
    pub published: String,
    pub target: u16,
    pub protocol: String,
}

/// A folder or file of the host that a service mounts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BindMount {
    pub source: String,
    pub target: String,
    pub read_only: bool,
}

impl ComposeModel {
    /// Reads the JSON text. An answer without services is legal.
    pub fn from_json(text: &str) -> Result<Self, serde_json::Error> {
        serde_json::from_str(text).map(Self)
    }

    /// Services in the order of the model, which is alphabetical.
    pub fn services(&self) -> impl Iterator<Item = Service<'_>> {
        let services = self.0.get("services").and_then(Value::as_object);
        services.into_iter().flatten().map(|(name, value)| Service { name, value })
    }

    pub fn service(&self, name: &str) -> Option<Service<'_>> {
        self.services().find(|service| service.name == name)
    }

    /// Names of top-level `networks`, `volumes`, `secrets` or `configs`.
    pub fn section(&self, section: &str) -> impl Iterator<Item = (&str, &Value)> {
        let entries = self.0.get(section).and_then(Value::as_object);
        entries.into_iter().flatten().map(|(name, value)| (name.as_str(), value))
    }

    /// Variables that secrets and configs take their content from.
    pub fn content_variables(&self) -> Vec<String> {
        let entries = self.section("secrets").chain(self.section("configs"));
        entries.filter_map(|(_, entry)| entry.get("environment")?.as_str().map(str::to_owned)).collect()
    }

    /// True when another service waits for `name` to end successfully.
    pub fn is_awaited(&self, name: &str) -> bool {
        self.services().any(|service| {
            service
                .dependencies()
                .any(|(on, condition)| on == name && condition == "service_completed_successfully")
        })
    }
}

impl<'a> Service<'a> {
    pub fn new(name: &'a str, value: &'a Value) -> Self {
        Self { name, value }
    }

    pub fn name(&self) -> &'a str {
        self.name
    }

    pub fn get(&self, key: &str) -> Option<&'a Value> {
        self.value.get(key).filter(|value| !value.is_null())
    }

    fn text(&self, key: &str) -> Option<&'a str> {
        self.get(key).and_then(Value::as_str)
    }

    pub fn image(&self) -> Option<&'a str> {
        self.text("image")
    }

    pub fn is_built(&self) -> bool {
        self.get("build").is_some()
    }

    pub fn build_context(&self) -> Option<&'a str> {
        self.get("build")?.get("context")?.as_str()
    }

    pub fn restart(&self) -> Option<&'a str> {
        self.text("restart")
    }

    pub fn container_name(&self) -> Option<&'a str> {
        self.text("container_name")
    }

    pub fn network_mode(&self) -> Option<&'a str> {
        self.text("network_mode")
    }

    /// Entry point and command, joined by blanks, in lower case.
    pub fn command_text(&self) -> String {
        let words =
            ["entrypoint", "command"].into_iter().filter_map(|key| self.get(key)).flat_map(
                |value| match value {
                    Value::Array(items) => items.iter().filter_map(Value::as_str).collect::<Vec<_>>(),
                    other => other.as_str().into_iter().collect(),
                },
            );
        words.collect::<Vec<_>>().join(" ").to_lowercase()
    }

    pub fn has_healthcheck(&self) -> bool {
        self.get("healthcheck").is_some_and(|check| check.get("disable") != Some(&Value::Bool(true)))
    }

    /// The most that each container may use, as `cpus`, a limit of `deploy`, or a quota and its period says.
    pub fn cpus(&self) -> Option<Cpus> {
        let number = |value: &Value| value.as_f64().or_else(|| value.as_str()?.parse().ok());
        let set = |value: Option<&Value>| value.and_then(number).filter(|number| *number > 0.0);
        let deployed = || self.get("deploy")?.get("resources")?.get("limits")?.get("cpus");
        let quota = || Some(set(self.get("cpu_quota"))? / set(self.get("cpu_period")).unwrap_or(PERIOD));
        set(self.get("cpus")).or_else(|| set(deployed())).or_else(quota).and_then(Cpus::from_number)
    }

    /// How many containers Compose starts for the service.
    pub fn scale(&self) -> u64 {
        let replicas = self.get("deploy").and_then(|deploy| deploy.get("replicas"));
        self.get("scale").or(replicas).and_then(Value::as_u64).unwrap_or(1)
    }

    /// Services that this one needs, with the condition it waits for.
    pub fn dependencies(&self) -> impl Iterator<Item = (&'a str, &'a str)> + use<'a> {
        let depends = self.get("depends_on").and_then(Value::as_object);
        depends.into_iter().flatten().map(|(name, how)| {
            (name.as_str(), how.get("condition").and_then(Value::as_str).unwrap_or("service_started"))
        })
    }

    pub fn environment(&self) -> impl Iterator<Item = (&'a str, &'a str)> + use<'a> {
        let environment = self.get("environment").and_then(Value::as_object);
        environment.into_iter().flatten().filter_map(|(key, value)| Some((key.as_str(), value.as_str()?)))
    }

    pub fn published_ports(&self) -> Vec<PublishedPort> {
        let ports = self.get("ports").and_then(Value::as_array);
        ports.into_iter().flatten().filter_map(published_port).collect()
    }

    pub fn publishes(&self) -> bool {
        self.get("ports").and_then(Value::as_array).is_some_and(|ports| !ports.is_empty())
    }

    /// Ports that the service listens on inside its container: published ones first, then `expose`.
    pub fn container_ports(&self) -> Vec<u16> {
        let mut ports: Vec<u16> = self.published_ports().iter().map(|port| port.target).collect();
        let exposed = self.get("expose").and_then(Value::as_array).into_iter().flatten();
        ports.extend(exposed.filter_map(|port| match port {
            Value::String(text) => text.split(['/', '-']).next()?.parse::<u16>().ok(),
            other => u16::try_from(other.as_u64()?).ok(),
        }));
        let mut seen = std::collections::BTreeSet::new();
        ports.retain(|port| seen.insert(*port));
        ports
    }

    pub fn has_volumes(&self) -> bool {
        self.get("volumes").and_then(Value::as_array).is_some_and(|volumes| !volumes.is_empty())
    }

    pub fn bind_mounts(&self) -> Vec<BindMount> {
        self.mounts("bind")
            .filter_map(|mount| {
                Some(BindMount {
                    source: mount.get("source")?.as_str()?.to_owned(),
                    target: mount.get("target")?.as_str()?.to_owned(),
                    read_only: mount.get("read_only").and_then(Value::as_bool).unwrap_or(false),
                })
            })
            .collect()
    }

    /// Keys of the named volumes that the service mounts.
    pub fn volume_keys(&self) -> impl Iterator<Item = &'a str> + use<'a> {
        self.mounts("volume").filter_map(|mount| mount.get("source").and_then(Value::as_str))
    }

    fn mounts(&self, kind: &'static str) -> impl Iterator<Item = &'a Value> + use<'a> {
        let volumes = self.get("volumes").and_then(Value::as_array);
        volumes
            .into_iter()
            .flatten()
            .filter(move |mount| mount.get("type").and_then(Value::as_str) == Some(kind))
    }
}

fn published_port(port: &Value) -> Option<PublishedPort> {
    Some(PublishedPort {
        host_address: port.get("host_ip").and_then(Value::as_str).map(str::to_owned),
        published: port.get("published").map(scalar_text).unwrap_or_default(),
        target: port.get("target")?.as_u64()?.try_into().ok()?,
        protocol: port.get("protocol").and_then(Value::as_str).unwrap_or("tcp").to_owned(),
    })
}

fn scalar_text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}
