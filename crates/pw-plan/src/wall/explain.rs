//! Which line of which file, or which rule of ours, set a value of the rendered file.

use pw_model::source::{Place, SourceFile};
use serde_json::Value;

use super::{Loaded, Rendered, Rule, place_in};

/// Where a value comes from.
#[derive(Debug, Clone, PartialEq)]
pub enum Origin {
    Rule {
        rule: Rule,
    },
    Written {
        place: Place,
    },
    /// In one of the environment's variable files.
    Variable {
        place: Place,
    },
    /// Compose's own default or normal form.
    Compose,
}

/// The value at `path` (dotted, `services.web.mem_limit`) and its origin; `None` when there is no such value and no rule removed it.
pub fn explain(
    rendered: &Rendered,
    loaded: &Loaded,
    variables: &[SourceFile],
    path: &str,
) -> Option<(Option<Value>, Origin)> {
    let parts = segments(&rendered.model, path);
    let value = parts.iter().try_fold(&rendered.model, |value, part| child(value, part)).cloned();
    let keys: Vec<&str> = parts.iter().map(String::as_str).collect();
    if let Some(rule) = rule_for(rendered, &keys) {
        return Some((value, Origin::Rule { rule }));
    }
    value.as_ref()?;
    Some((value, written(loaded, variables, &keys)))
}

/// Where the files say it: the exact line, the variable of an `env_file`, or the nearest line that speaks of it.
fn written(loaded: &Loaded, variables: &[SourceFile], keys: &[&str]) -> Origin {
    if let Some(place) = loaded.sources.iter().rev().find_map(|source| source.find(keys)) {
        return Origin::Written { place };
    }
    let variable = keys.last().filter(|_| keys.get(2) == Some(&"environment"));
    let variable = variable.and_then(|name| variables.iter().rev().find_map(|file| assignment(file, name)));
    if let Some(place) = variable {
        return Origin::Variable { place };
    }
    place_in(&loaded.sources, keys)
        .filter(|place| keys.iter().skip(2).any(|key| place.text.contains(key)))
        .map_or(Origin::Compose, |place| Origin::Written { place })
}

/// The last line `NAME=…` of a variable file, as the last one wins there.
fn assignment(file: &SourceFile, name: &str) -> Option<Place> {
    let assigns = |line: &str| {
        let line = line.trim_start();
        let rest = line.strip_prefix("export ").unwrap_or(line).trim_start().strip_prefix(name);
        rest.is_some_and(|rest| rest.trim_start().starts_with(['=', ':']))
    };
    let (number, line) = file.text.lines().enumerate().filter(|(_, line)| assigns(line)).last()?;
    let column = line.split(name).next().map_or(0, |before| before.chars().count()) + 1;
    Some(file.place(number + 1, column, name.chars().count()))
}

/// The rule with the longest path that is the asked one or leads to it.
fn rule_for(rendered: &Rendered, keys: &[&str]) -> Option<Rule> {
    let leads =
        |rule: &&Rule| rule.path.len() <= keys.len() && rule.path.iter().zip(keys).all(|(a, b)| a == b);
    rendered.rules.iter().filter(leads).max_by_key(|rule| rule.path.len()).cloned()
}

fn child<'v>(value: &'v Value, key: &str) -> Option<&'v Value> {
    match value {
        Value::Array(items) => items.get(key.parse::<usize>().ok()?),
        other => other.get(key),
    }
}

/// Splits at dots, but keeps names together that themselves hold dots, such as the service `php8.3`.
fn segments(model: &Value, path: &str) -> Vec<String> {
    let parts: Vec<&str> = path.split('.').collect();
    let mut found = Vec::new();
    let mut at = Some(model);
    let mut index = 0;
    while index < parts.len() {
        let longest = (index + 1..=parts.len())
            .rev()
            .find(|end| at.and_then(|value| child(value, &parts[index..*end].join("."))).is_some());
        let end = longest.unwrap_or(index + 1);
        let key = parts[index..end].join(".");
        at = at.and_then(|value| child(value, &key));
        found.push(key);
        index = end;
    }
    found
}
