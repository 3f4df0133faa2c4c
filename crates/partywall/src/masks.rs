//! Values that are not shown on a screen: passwords, keys, and addresses that hold one.

use std::collections::BTreeSet;

use serde_json::Value;

pub(crate) const HIDDEN: &str = "***";
/// A shorter value would be found in half of all words.
const SHORTEST: usize = 6;

/// The secrets of a rendered model, wherever in it they turn up: Compose puts them into commands and labels too.
pub(crate) struct Masks(BTreeSet<String>);

impl Masks {
    pub(crate) fn of(model: &Value) -> Self {
        let services = model.get("services").and_then(Value::as_object);
        let variables = services
            .into_iter()
            .flatten()
            .filter_map(|(_, service)| service.get("environment")?.as_object())
            .flatten();
        let values = variables.filter_map(|(key, value)| Some((key, value.as_str()?)));
        let secret = values.filter(|(key, value)| value.chars().count() >= SHORTEST && is_secret(key, value));
        Self(secret.map(|(_, value)| value.to_owned()).collect())
    }

    /// Hides what is secret in the value at `key`. Answers how many texts were changed.
    pub(crate) fn hide(&self, key: &str, value: &mut Value) -> usize {
        match value {
            Value::String(text) => {
                let hidden = self.hide_text(key, text);
                let changed = hidden != *text;
                *text = hidden;
                usize::from(changed)
            }
            // The entries of a list of `environment` or `args` in its short form are `KEY=value`.
            Value::Array(items) => items.iter_mut().map(|item| self.hide("", item)).sum(),
            Value::Object(map) => map.iter_mut().map(|(key, value)| self.hide(key, value)).sum(),
            _ => 0,
        }
    }

    fn hide_text(&self, key: &str, text: &str) -> String {
        if text.is_empty() {
            return String::new();
        }
        if is_secret(key, text) || key == "content" {
            return HIDDEN.to_owned();
        }
        self.in_text(text)
    }

    /// A line of a file without the secrets in it.
    pub(crate) fn in_text(&self, text: &str) -> String {
        // The longest first: one may be the beginning of another.
        let mut known: Vec<&String> = self.0.iter().collect();
        known.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
        known.into_iter().fold(text.to_owned(), |text, secret| text.replace(secret.as_str(), HIDDEN))
    }
}

pub(crate) fn is_secret(key: &str, value: &str) -> bool {
    let key = key.to_uppercase();
    let named = ["PASS", "SECRET", "TOKEN", "KEY", "CREDENTIAL", "SALT", "DSN", "PRIVATE"]
        .iter()
        .any(|word| key.contains(word));
    let in_address = value
        .split_once("://")
        .is_some_and(|(_, rest)| rest.split('/').next().is_some_and(|host| host.contains('@')));
    named && !key.ends_with("_FILE") || in_address
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_secret_is_hidden_wherever_it_turns_up() {
        let mut model = json!({"services": {"cache": {
            "environment": {"REDIS_PASSWORD": "hunter22", "MODE": "dev", "URL": "redis://u:p@cache/0", "KEY_FILE": "/run/k"},
            "command": ["redis-server", "--requirepass", "hunter22"], "labels": {"note": "is hunter22!"},
        }}});
        let masks = Masks::of(&model);
        assert_eq!(masks.hide("", &mut model), 4);
        let shown = model.to_string();
        assert!(!shown.contains("hunter22") && !shown.contains("u:p@"), "{shown}");
        assert!(
            shown.contains("\"MODE\":\"dev\"") && shown.contains("/run/k") && shown.contains("is ***!"),
            "{shown}"
        );
        assert_eq!(masks.in_text("  REDIS_PASSWORD: hunter22"), "  REDIS_PASSWORD: ***");
    }
}
