//! What of a service can differ, by names that a person knows: to say why a container is made again.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

/// Keys that no container is made again for.
const IDLE: [&str; 6] = ["build", "depends_on", "deploy", "profiles", "pull_policy", "scale"];
/// Mappings whose entries are told one by one.
const TOLD_BY_NAME: [&str; 3] = ["environment", "labels", "sysctls"];

/// `image`, `environment NOTE`, `mount /data` → hash of the value. Never the value: it may be a secret.
pub fn aspects(service: &Value) -> BTreeMap<String, String> {
    let keys = service.as_object().into_iter().flatten();
    keys.filter(|(key, value)| !IDLE.contains(&key.as_str()) && !value.is_null())
        .flat_map(|(key, value)| parts(key, value))
        .collect()
}

fn parts(key: &str, value: &Value) -> Vec<(String, String)> {
    let hashed = |name: String, value: &Value| (name, crate::hash(&value.to_string()));
    match value {
        Value::Object(entries) if TOLD_BY_NAME.contains(&key) => {
            entries.iter().map(|(name, value)| hashed(format!("{key} {name}"), value)).collect()
        }
        Value::Array(mounts) if key == "volumes" => {
            let target = |mount: &Value| mount.get("target")?.as_str().map(|path| format!("mount {path}"));
            mounts.iter().map(|mount| hashed(target(mount).unwrap_or_else(|| key.into()), mount)).collect()
        }
        other => vec![hashed(key.to_owned(), other)],
    }
}

/// Names of the aspects that one side lacks or has otherwise.
pub fn differing<'a>(
    now: &'a BTreeMap<String, String>,
    wanted: &'a BTreeMap<String, String>,
) -> BTreeSet<&'a str> {
    let names = now.keys().chain(wanted.keys());
    names.filter(|name| now.get(*name) != wanted.get(*name)).map(String::as_str).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_differs_is_named_and_no_value_is_told() {
        let before = json!({
            "image": "app:1", "environment": {"NOTE": "a", "KEPT": "x", "PASSWORD": "hunter2"},
            "volumes": [{"type": "bind", "source": "/a", "target": "/data"}], "mem_limit": "1", "command": null,
        });
        let after = json!({
            "image": "app:2", "environment": {"NOTE": "b", "KEPT": "x"}, "labels": {"a.b": "c"}, "scale": 2,
            "volumes": [{"type": "bind", "source": "/b", "target": "/data"}], "mem_limit": "1",
        });
        let (before, after) = (aspects(&before), aspects(&after));
        assert_eq!(
            differing(&before, &after).into_iter().collect::<Vec<_>>(),
            ["environment NOTE", "environment PASSWORD", "image", "labels a.b", "mount /data"]
        );
        assert!(!format!("{before:?}").contains("hunter2"));
    }
}
