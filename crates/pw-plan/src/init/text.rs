//! What the text of a Compose file says, without interpolation: enough to tell a whole from a part.

use std::collections::BTreeSet;

use pw_model::name::ServiceName;
use serde_json::{Map, Value};

use super::names;

/// Top-level keys of a Compose file; others begin with `x-`.
const TOP: &[&str] =
    &["version", "name", "services", "networks", "volumes", "secrets", "configs", "include", "models"];
/// Keys of which every real service has at least one.
const SERVICE: &[&str] = &[
    "image",
    "build",
    "extends",
    "deploy",
    "devices",
    "ports",
    "volumes",
    "environment",
    "env_file",
    "command",
    "depends_on",
    "restart",
    "network_mode",
    "networks",
    "profiles",
    "labels",
];
/// From this share of repeated lines on, a file was copied from the base rather than laid over it.
const COPIED: f64 = 1.0 / 3.0;

/// A Compose file before Compose reads it.
#[derive(Debug, Clone)]
pub(super) struct ComposeText {
    path: String,
    top: Map<String, Value>,
    pub(super) text: String,
}

impl ComposeText {
    /// Reads the text; `Ok(None)` when it is YAML of another kind.
    pub(super) fn read(path: &str, text: &str) -> Result<Option<Self>, String> {
        // Files with a hundred services repeat a few anchors, rightly; the other limits stay.
        let options =
            serde_saphyr::options! { budget: serde_saphyr::budget! { enforce_alias_anchor_ratio: false } };
        let value: Value = serde_saphyr::from_str_with_options(text, options)
            .map_err(|error| first_line(&error.to_string()))?;
        let Value::Object(top) = value else { return Ok(None) };
        let this = Self { path: path.to_owned(), top, text: text.to_owned() };
        Ok(this.looks_like_compose().then_some(this))
    }

    /// A file that we cannot read: Compose may, and else says best what is wrong.
    pub(super) fn unread(path: &str, text: &str) -> Self {
        Self { path: path.to_owned(), top: Map::new(), text: text.to_owned() }
    }

    fn looks_like_compose(&self) -> bool {
        let known = self.top.keys().all(|key| TOP.contains(&key.as_str()) || key.starts_with("x-"));
        let includes = self.top.get("include").is_some_and(Value::is_array);
        let named = self.services().all(|(name, _)| ServiceName::parse(name).is_ok());
        let keyed = self.services().any(|(_, service)| SERVICE.iter().any(|key| service.get(key).is_some()));
        let shaped = self.services().all(|(_, service)| service.is_object() || service.is_null());
        known
            && named
            && shaped
            && (includes || keyed || names::says_compose(&self.path) && self.services().count() > 0)
    }

    pub(super) fn services(&self) -> impl Iterator<Item = (&str, &Value)> {
        let services = self.top.get("services").and_then(Value::as_object);
        services.into_iter().flatten().map(|(name, service)| (name.as_str(), service))
    }

    fn service_names(&self) -> BTreeSet<&str> {
        self.services().map(|(name, _)| name).collect()
    }

    /// Top-level `name:`, when it is written out.
    pub(super) fn name(&self) -> Option<&str> {
        self.top.get("name")?.as_str().filter(|name| !name.contains('$'))
    }

    /// Paths of files that this one includes or extends.
    pub(super) fn uses(&self) -> Vec<String> {
        let here = names::folder(&self.path);
        let mut raw: Vec<&str> = self
            .services()
            .filter_map(|(_, service)| service.get("extends")?.get("file")?.as_str())
            .collect();
        raw.extend(self.includes());
        raw.into_iter().map(|path| names::join(here, path)).collect()
    }

    fn includes(&self) -> Vec<&str> {
        let entries = self.top.get("include").and_then(Value::as_array);
        entries.into_iter().flatten().flat_map(|entry| texts(entry.get("path").unwrap_or(entry))).collect()
    }

    pub(super) fn profiles(&self) -> Vec<&str> {
        self.services().filter_map(|(_, service)| service.get("profiles")).flat_map(texts).collect()
    }

    /// True when Compose could load the file alone: every service has something to run, and nothing is named that is elsewhere.
    pub(super) fn is_complete(&self) -> bool {
        let names = self.service_names();
        let includes = self.top.contains_key("include");
        let runs = |service: &Value| ["image", "build", "extends"].iter().any(|key| filled(service, key));
        (includes || !names.is_empty())
            && self.services().all(|(_, service)| runs(service))
            && (includes || self.services().all(|(_, service)| self.stands_alone(service, &names)))
    }

    fn stands_alone(&self, service: &Value, names: &BTreeSet<&str>) -> bool {
        let declared = |section: &str, key: &str| {
            self.top.get(section).is_some_and(|entries| entries.get(key).is_some())
        };
        let networks = keys(service.get("networks"));
        let depends = keys(service.get("depends_on"));
        depends.iter().all(|on| names.contains(on))
            && networks.iter().all(|network| *network == "default" || declared("networks", network))
            && volumes(service).iter().all(|volume| declared("volumes", volume))
    }

    /// True when the file takes the place of `base` instead of being laid over it.
    pub(super) fn replaces(&self, base: &Self) -> bool {
        if self.uses().contains(&base.path) {
            return self.is_complete();
        }
        let (mine, theirs) = (self.service_names(), base.service_names());
        let shared = mine.intersection(&theirs).count();
        self.is_complete()
            && 2 * shared >= theirs.len()
            && shared > 0
            && (shared > 1 || self.copied(base) >= COPIED)
    }

    /// How much of the base's shared services is repeated here word for word.
    fn copied(&self, base: &Self) -> f64 {
        let (mut all, mut same) = (0usize, 0usize);
        for (name, theirs) in base.services() {
            let Some((_, mine)) = self.services().find(|(other, _)| *other == name) else { continue };
            let mine: BTreeSet<String> = leaves(mine).into_iter().collect();
            let theirs = leaves(theirs);
            all += theirs.len();
            same += theirs.iter().filter(|leaf| mine.contains(*leaf)).count();
        }
        if all == 0 { 0.0 } else { same as f64 / all as f64 }
    }

    /// True when the file changes a service of `base`.
    pub(super) fn touches(&self, base: &Self) -> bool {
        !self.service_names().is_disjoint(&base.service_names())
    }

    /// Variables that the file needs and has no default for.
    pub(super) fn needed_variables(&self) -> BTreeSet<String> {
        let lines = self.text.lines().filter(|line| !line.trim_start().starts_with('#'));
        lines.flat_map(variables).collect()
    }
}

/// Names in `${NAME}` and `${NAME:?why}`; not in `$$`, and not where a default is written.
fn variables(line: &str) -> Vec<String> {
    let plain = line.replace("$$", "");
    let open = plain.split("${").skip(1).filter_map(|rest| {
        let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_')?;
        let tail = &rest[end..];
        let needed = tail.starts_with('}') || tail.starts_with('?') || tail.starts_with(":?");
        (needed && end > 0).then(|| rest[..end].to_owned())
    });
    open.collect()
}

fn filled(service: &Value, key: &str) -> bool {
    service.get(key).is_some_and(|value| !value.is_null())
}

fn first_line(text: &str) -> String {
    text.lines().next().unwrap_or(text).trim_start_matches("error: ").to_owned()
}

/// One text or a list of texts.
fn texts(value: &Value) -> Vec<&str> {
    match value {
        Value::Array(items) => items.iter().filter_map(Value::as_str).collect(),
        other => other.as_str().into_iter().collect(),
    }
}

/// Names in list form or the keys of a mapping.
fn keys(value: Option<&Value>) -> Vec<&str> {
    match value {
        Some(Value::Object(map)) => map.keys().map(String::as_str).collect(),
        Some(other) => texts(other),
        None => Vec::new(),
    }
}

/// Named volumes of a service.
fn volumes(service: &Value) -> Vec<&str> {
    let entries = service.get("volumes").and_then(Value::as_array);
    entries.into_iter().flatten().filter_map(named_volume).collect()
}

fn named_volume(entry: &Value) -> Option<&str> {
    let source = match entry.as_str() {
        Some(text) => text.split_once(':')?.0,
        None if entry.get("type").and_then(Value::as_str) == Some("volume") => {
            entry.get("source")?.as_str()?
        }
        None => return None,
    };
    source.starts_with(|c: char| c.is_ascii_alphanumeric()).then_some(source)
}

fn leaves(value: &Value) -> Vec<String> {
    let below =
        |head: String, inner: &Value| leaves(inner).into_iter().map(move |leaf| format!("{head}/{leaf}"));
    match value {
        Value::Object(map) => map.iter().flat_map(|(key, inner)| below(key.clone(), inner)).collect(),
        Value::Array(items) => items.iter().flat_map(|item| below(String::new(), item)).collect(),
        other => vec![other.to_string()],
    }
}

/// `KEY=value` lines of an env file; quotes are taken off, nothing is interpolated.
pub(super) fn env_values(text: &str) -> impl Iterator<Item = (&str, &str)> {
    text.lines().filter_map(|line| {
        let line = line.trim().strip_prefix("export ").unwrap_or(line.trim());
        let (key, value) = line.split_once('=')?;
        let value = value.trim().trim_matches(['"', '\'']);
        (!key.starts_with('#') && !key.trim().is_empty()).then_some((key.trim(), value))
    })
}

/// The value of a key of an env file, with what it takes from other keys, as Compose reads it.
pub(super) fn env_value(text: &str, key: &str) -> Option<String> {
    let raw = |wanted: &str| env_values(text).filter(|(name, _)| *name == wanted).last();
    raw(key).map(|(key, value)| expanded(&raw, value, &mut vec![key]))
}

/// `inside` are the keys whose values are being read: one that leads back to itself has no value of its own.
fn expanded<'t>(
    raw: &dyn Fn(&str) -> Option<(&'t str, &'t str)>,
    value: &'t str,
    inside: &mut Vec<&'t str>,
) -> String {
    let Some((before, rest)) = value.split_once("${") else { return value.to_owned() };
    let Some((reference, after)) = rest.split_once('}') else { return value.to_owned() };
    let end = reference.find([':', '-', '?', '+']).unwrap_or(reference.len());
    let default = reference[end..].trim_start_matches(':').strip_prefix('-').unwrap_or_default();
    let mut found = default.to_owned();
    if let Some((key, value)) =
        raw(&reference[..end]).filter(|(key, value)| !value.is_empty() && !inside.contains(key))
    {
        inside.push(key);
        found = expanded(raw, value, inside);
        inside.pop();
    }
    format!("{before}{found}{}", expanded(raw, after, inside))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(path: &str, text: &str) -> Option<ComposeText> {
        ComposeText::read(path, text).expect("YAML of the test")
    }

    fn compose(text: &str) -> ComposeText {
        read("docker-compose.yml", text).expect("a Compose file")
    }

    #[test]
    fn other_yaml_is_no_compose_file() {
        assert!(read("services.yaml", "services:\n  App\\Kernel: { public: true }\n").is_none());
        assert!(read("config.yml", "services:\n  kong: { url: x }\n").is_none());
        assert!(read("ci.yml", "jobs: {}\nservices: { db: { image: x } }\n").is_none());
        assert!(read("local.yml", "services: { db: { image: x } }\n").is_some());
    }

    #[test]
    fn a_complete_file_replaces_and_a_partial_one_does_not() {
        let base = compose(
            "services:\n  web: { build: ., ports: ['80:80'] }\n  db: { image: pg, volumes: ['d:/d'] }\nvolumes: { d: {} }\n",
        );
        let whole = compose("services:\n  web: { image: app }\n  db: { image: pg }\n");
        let part = compose("services:\n  web: { image: app }\n  db: { restart: always }\n");
        let loose = compose("services:\n  web: { image: app, depends_on: [cache] }\n  db: { image: pg }\n");
        let beside = compose("services:\n  adminer: { image: adminer }\n");
        assert!(whole.replaces(&base));
        for other in [part, loose, beside] {
            assert!(!other.replaces(&base));
        }
    }

    #[test]
    fn one_service_replaces_only_when_it_was_copied() {
        let base = compose("services: { web: { build: ., ports: ['80:80'], restart: always } }");
        assert!(compose("services: { web: { build: ., ports: ['80:80'], command: dev } }").replaces(&base));
        assert!(!compose("services: { web: { image: app } }").replaces(&base));
    }

    #[test]
    fn many_uses_of_few_anchors_are_read() {
        let services: String = (0..200).map(|number| format!("  s{number}: {{<<: *c}}\n")).collect();
        let text = format!("x-c: &c {{ image: app }}\nservices:\n{services}");
        assert!(read("docker-compose.yml", &text).is_some());
    }

    #[test]
    fn a_value_takes_from_other_keys() {
        let text = "STORE=qdrant\nCOMPOSE_PROFILES=${STORE:-weaviate},${DB:-pg},${NONE}\nLOOP=${LOOP}x\n";
        assert_eq!(env_value(text, "COMPOSE_PROFILES").as_deref(), Some("qdrant,pg,"));
        assert_eq!(env_value(text, "LOOP").as_deref(), Some("x"));
        assert_eq!(env_value("A=${A:-b}\nC=${A}-c\n", "C").as_deref(), Some("b-c"));
        assert_eq!(env_value(text, "DB"), None);
    }

    #[test]
    fn variables_with_a_default_are_not_needed() {
        let text = compose("services:\n  a: { image: '${A}:${B:-1}${C:?no}${D-2}$${E}' }\n");
        assert_eq!(text.needed_variables(), BTreeSet::from(["A".to_owned(), "C".to_owned()]));
    }
}
