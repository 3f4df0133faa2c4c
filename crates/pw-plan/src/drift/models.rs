//! Two environments: their Compose models, as the user's files describe them, before the wall.
//!
//! Environments are meant to differ where an overlay or a variable says so. Such differences are marked as deliberate;
//! what only one environment's own files hold, and the variables that only one of them has, are not.

use std::collections::{BTreeMap, BTreeSet};

use pw_model::source::SourceFile;
use serde_json::{Map, Value};

use super::{Difference, Part};
use crate::wall::{Loaded, entry_place};

/// Keys compared entry by entry.
const BY_ENTRY: [&str; 5] = ["environment", "volumes", "ports", "networks", "depends_on"];
/// Keys whose value may be shown: none of them holds a secret.
const SHOWN: [&str; 14] = [
    "image",
    "platform",
    "user",
    "restart",
    "init",
    "read_only",
    "privileged",
    "network_mode",
    "working_dir",
    "stop_signal",
    "stop_grace_period",
    "mem_limit",
    "cpus",
    "pids_limit",
];
/// Keys that say which software runs. A variable that makes them differ is still worth a word.
const SOFTWARE: [&str; 2] = ["image", "platform"];
/// Names that Compose derives from the name of the environment.
const DERIVED: [&str; 1] = ["container_name"];

/// One environment as it is compared.
#[derive(Clone, Copy)]
pub struct Side<'a> {
    pub loaded: &'a Loaded,
    /// Names of its Compose files that the other environment does not have.
    pub own_files: &'a BTreeSet<String>,
}

/// Everything that differs between two environments' Compose models, in the order of the paths.
pub fn models(left: Side<'_>, right: Side<'_>) -> Vec<Difference> {
    let shared = left.loaded.sources.iter().any(|source| !left.own_files.contains(&source.name));
    let mut found = Found { left, right, shared, all: Vec::new() };
    found.services();
    for section in ["volumes", "networks", "secrets", "configs"] {
        found.section(section);
    }
    found.all.sort();
    found.all
}

struct Found<'a> {
    left: Side<'a>,
    right: Side<'a>,
    /// True: both are described by a common file and overlays.
    shared: bool,
    all: Vec<Difference>,
}

impl<'a> Found<'a> {
    fn names(&self) -> (&'a str, &'a str) {
        (self.left.loaded.name.as_str(), self.right.loaded.name.as_str())
    }

    /// `path` is both where it shows and where the files say it.
    fn note(&mut self, path: &[&str], sides: (&str, &str), by_variable: bool) {
        self.note_entry(path, &Value::Null, sides, by_variable);
    }

    fn note_entry(&mut self, path: &[&str], entry: &Value, sides: (&str, &str), by_variable: bool) {
        let written = [self.left, self.right].into_iter().find_map(|side| written(side, path, entry));
        let (left, right) = self.names();
        let repair = match (&written, sides) {
            (Some(file), _) => format!("make both alike in {file}, or accept it"),
            (None, ("not set", _)) => format!("set it for `{left}` too, or accept it"),
            (None, (_, "not set")) => format!("set it for `{right}` too, or accept it"),
            (None, _) => "give both environments' variables the same value, or accept it".to_owned(),
        };
        let mut difference = Difference::new(Part::Model, path.join("."), sides, repair);
        difference.deliberate = self.shared && (written.is_some() || by_variable);
        self.all.push(difference);
    }

    fn services(&mut self) {
        let (left, right) = (services(self.left), services(self.right));
        for name in keys(left, right) {
            match (left.and_then(|all| all.get(name)), right.and_then(|all| all.get(name))) {
                (Some(left), Some(right)) => self.service(name, left, right),
                (left, _) => self.note(&["services", name], there(left.is_some()), false),
            }
        }
    }

    fn service(&mut self, name: &str, left: &Value, right: &Value) {
        let (left, right) = (left.as_object(), right.as_object());
        for key in keys(left, right).into_iter().filter(|key| !DERIVED.contains(key)) {
            let of = |side: Option<&Map<String, Value>>| side.and_then(|side| side.get(key)).cloned();
            let sides = (of(left).unwrap_or_default(), of(right).unwrap_or_default());
            if BY_ENTRY.contains(&key) {
                self.entries(&["services", name, key], &sides.0, &sides.1);
            } else if !alike(&sides.0, &sides.1) {
                let told = told(key, &sides.0, &sides.1);
                let by_variable = !SOFTWARE.contains(&key);
                self.note(&["services", name, key], (&told.0, &told.1), by_variable);
            }
        }
    }

    /// Only which entries there are: their values are each environment's own.
    fn entries(&mut self, path: &[&str], left: &Value, right: &Value) {
        let (left, right) = (entries(left), entries(right));
        let only = |these: &BTreeMap<String, Value>,
                    others: &BTreeMap<String, Value>,
                    told: (&'static str, &'static str)| {
            let only = these.iter().filter(|(name, _)| !others.contains_key(*name));
            only.map(|(name, entry)| (name.clone(), entry.clone(), told)).collect::<Vec<_>>()
        };
        let lefts = only(&left, &right, ("set", "not set"));
        for (name, entry, told) in lefts.into_iter().chain(only(&right, &left, ("not set", "set"))) {
            let path: Vec<&str> = path.iter().copied().chain([name.as_str()]).collect();
            self.note_entry(&path, &entry, told, false);
        }
    }

    fn section(&mut self, section: &str) {
        let names = |side: Side<'a>| -> BTreeSet<&'a str> {
            side.loaded
                .model
                .section(section)
                .map(|(name, _)| name)
                .filter(|name| *name != "default")
                .collect()
        };
        let (left, right) = (names(self.left), names(self.right));
        for name in left.symmetric_difference(&right) {
            self.note(&[section, name], there(left.contains(name)), false);
        }
    }
}

fn services(side: Side<'_>) -> Option<&Map<String, Value>> {
    side.loaded.model.0.get("services").and_then(Value::as_object)
}

fn keys<'v>(
    left: Option<&'v Map<String, Value>>,
    right: Option<&'v Map<String, Value>>,
) -> BTreeSet<&'v str> {
    left.into_iter().chain(right).flat_map(Map::keys).map(String::as_str).collect()
}

fn there(left: bool) -> (&'static str, &'static str) {
    if left { ("there", "not there") } else { ("not there", "there") }
}

/// Nothing, `null` and an empty collection all mean that nothing is set.
fn alike(left: &Value, right: &Value) -> bool {
    left == right || is_nothing(left) && is_nothing(right)
}

fn is_nothing(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Array(items) => items.is_empty(),
        Value::Object(entries) => entries.is_empty(),
        _ => false,
    }
}

/// Both values where they may be shown; else only that they are not the same.
fn told(key: &str, left: &Value, right: &Value) -> (String, String) {
    let shown = |value: &Value| match value {
        _ if is_nothing(value) => Some("not set".to_owned()),
        Value::String(text) if SHOWN.contains(&key) => Some(text.clone()),
        Value::Bool(_) | Value::Number(_) if SHOWN.contains(&key) => Some(value.to_string()),
        _ => None,
    };
    match (shown(left), shown(right)) {
        (Some(left), Some(right)) => (left, right),
        (Some(left), None) => (left, "set".to_owned()),
        (None, Some(right)) => ("set".to_owned(), right),
        (None, None) => ("one value".to_owned(), "another value".to_owned()),
    }
}

/// What a mapping or a list holds, by name: mounts by where they are mounted, ports by where the service listens.
fn entries(value: &Value) -> BTreeMap<String, Value> {
    match value {
        Value::Object(entries) => entries.keys().map(|name| (name.clone(), Value::Null)).collect(),
        Value::Array(items) => items.iter().filter_map(|item| Some((name(item)?, item.clone()))).collect(),
        _ => BTreeMap::new(),
    }
}

fn name(item: &Value) -> Option<String> {
    match &item["target"] {
        Value::String(path) => Some(path.clone()),
        Value::Number(port) => Some(format!("{port}/{}", item["protocol"].as_str().unwrap_or("tcp"))),
        _ => item.as_str().map(str::to_owned),
    }
}

/// The file of its own in which an environment says this.
fn written(side: Side<'_>, path: &[&str], entry: &Value) -> Option<String> {
    let own = side.loaded.sources.iter().filter(|source| side.own_files.contains(&source.name));
    own.filter(|source| says(source, path, entry)).map(|source| source.name.clone()).next()
}

/// As a key, or as an entry of a list: `NAME=value`, a port, a mount.
fn says(source: &SourceFile, path: &[&str], entry: &Value) -> bool {
    if source.find(path).is_some() {
        return true;
    }
    let Some((name, list)) = path.split_last().filter(|(_, list)| list.len() == 3) else { return false };
    let begins = |text: &String| text.split(['=', ':']).next() == Some(name);
    source.items(list).iter().any(|item| item.text.as_ref().is_some_and(begins))
        || !entry.is_null() && entry_place(std::slice::from_ref(source), list, entry).is_some()
}

#[cfg(test)]
mod tests {
    use pw_model::compose::ComposeModel;
    use pw_model::name::EnvironmentName;
    use serde_json::json;

    use super::*;

    fn loaded(name: &str, model: &Value, overlay: &str) -> Loaded {
        let model = ComposeModel::from_json(&model.to_string()).expect("a model");
        let base = SourceFile::new("compose.yaml", "services: { web: { image: app } }\n");
        let sources = vec![base, SourceFile::new(format!("compose.{name}.yaml"), overlay)];
        Loaded { sources, ..Loaded::new(EnvironmentName::parse(name).expect("a name"), model) }
    }

    fn compared(left: &Loaded, right: &Loaded) -> Vec<Difference> {
        let own = |loaded: &Loaded| BTreeSet::from([format!("compose.{}.yaml", loaded.name)]);
        let (of_left, of_right) = (own(left), own(right));
        models(Side { loaded: left, own_files: &of_left }, Side { loaded: right, own_files: &of_right })
    }

    fn told(all: &[Difference], deliberate: bool) -> Vec<&str> {
        all.iter().filter(|one| one.deliberate == deliberate).map(|one| one.path.as_str()).collect()
    }

    #[test]
    fn what_an_overlay_says_is_deliberate_and_the_rest_is_not() {
        let left = json!({"services": {
            "web": {
                "image": "app:1", "command": ["serve"], "environment": {"A": "1", "OLD": "x", "LIST": "1"},
                "volumes": [{"type": "volume", "source": "data", "target": "/data"}], "ports": null,
            },
            "db": {"image": "postgres:17", "environment": {"POSTGRES_PASSWORD": "secret-of-production"}},
            "mail": {"image": "relay"},
        }, "volumes": {"data": {"name": "shop-production_data"}}});
        let right = json!({"services": {
            "web": {
                "image": "app:2", "command": ["serve", "--reload"], "environment": {"A": "2", "DEBUG": "1"},
                "volumes": [
                    {"type": "volume", "source": "data", "target": "/data"},
                    {"type": "bind", "source": "/src", "target": "/app"},
                ],
                "ports": [{"target": 8000, "published": "8000", "protocol": "tcp"}],
            },
            "db": {"image": "postgres:16", "environment": {"POSTGRES_PASSWORD": "other"}, "user": "999"},
        }, "volumes": {"data": {"name": "shop-development_data"}, "cache": {"name": "x"}}});
        let left = loaded("production", &left, "services: { web: { environment: [LIST=1] } }\n");
        let overlay = "services: { web: { image: app:2, command: [serve, --reload], environment: { DEBUG: '1' }, \
                       ports: ['8000:8000'], volumes: ['./src:/app'] } }\n";
        let right = loaded("development", &right, overlay);
        let all = compared(&left, &right);
        assert_eq!(
            told(&all, false),
            ["services.db.image", "services.mail", "services.web.environment.OLD", "volumes.cache"]
        );
        assert_eq!(
            told(&all, true),
            [
                "services.db.user", // by a variable of the common file
                "services.web.command",
                "services.web.environment.DEBUG",
                "services.web.environment.LIST",
                "services.web.image",
                "services.web.ports.8000/tcp",
                "services.web.volumes./app",
            ]
        );
        assert!(!format!("{all:?}").contains("secret"));
        assert_eq!(compared(&left, &left), []);
    }
}
