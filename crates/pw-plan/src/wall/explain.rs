//! Which line of which file, or which rule of ours, set a value of the rendered file.

use pw_model::source::{Place, SourceFile, find_in};
use serde_json::Value;

use super::{Loaded, Rendered, Rule, entries};

/// Where a value comes from.
#[derive(Debug, Clone, PartialEq)]
pub enum Origin {
    Rule {
        rule: Rule,
    },
    Written {
        place: Place,
    },
    /// In one of the service's env files.
    Variable {
        place: Place,
    },
    /// Compose's own default or normal form.
    Compose,
    /// Of nobody as a whole: it holds only what rules put into it.
    Parts,
}

/// A value with its origin, and the rules that set or removed parts of it, with their paths below it.
#[derive(Debug, Clone, PartialEq)]
pub struct Explained {
    /// `None` when a rule removed it.
    pub value: Option<Value>,
    pub origin: Origin,
    pub inside: Vec<Rule>,
}

/// The value at `path` (dotted, `services.web.mem_limit`) and its origin; `None` when there is no such value and no rule removed it.
pub fn explain(rendered: &Rendered, loaded: &Loaded, path: &str) -> Option<Explained> {
    let parts = segments(&rendered.model, path);
    let keys: Vec<&str> = parts.iter().map(String::as_str).collect();
    let value = at(&rendered.model, &keys).cloned();
    if let Some(rule) = rule_for(rendered, &keys) {
        return Some(Explained { value, origin: Origin::Rule { rule }, inside: Vec::new() });
    }
    value.as_ref()?;
    let inside = rules_inside(rendered, &keys);
    let origin = match written(rendered, loaded, &keys) {
        Origin::Compose if !inside.is_empty() && !compose_has(loaded, &keys) => Origin::Parts,
        origin => origin,
    };
    Some(Explained { value, origin, inside })
}

/// Where a variable of a service comes from.
pub(crate) fn variable_origin(rendered: &Rendered, loaded: &Loaded, service: &str, name: &str) -> Origin {
    written(rendered, loaded, &["services", service, "environment", name])
}

/// True when the value was there before any rule of ours.
fn compose_has(loaded: &Loaded, keys: &[&str]) -> bool {
    let Some((head, rest)) = keys.split_first() else { return true };
    loaded.model.0.get(*head).is_some_and(|value| at(value, rest).is_some())
}

/// Where the files say it: the exact line, the service's env file, or the nearest line that speaks of it.
fn written(rendered: &Rendered, loaded: &Loaded, keys: &[&str]) -> Origin {
    if let Some(place) = listed(rendered, loaded, keys) {
        return Origin::Written { place };
    }
    let in_list = (1..keys.len()).any(|end| at(&rendered.model, &keys[..end]).is_some_and(Value::is_array));
    let exact = loaded.sources.iter().rev().find_map(|source| source.find(keys));
    if let Some(place) = exact.filter(|_| !in_list) {
        return Origin::Written { place };
    }
    if let Some(place) = in_env_file(loaded, keys) {
        return Origin::Variable { place };
    }
    let speaks = |place: &Place| keys.iter().skip(2).any(|key| place.text.contains(key));
    let nearest = find_in(&loaded.sources, keys).filter(|place| in_list || speaks(place));
    nearest.map_or(Origin::Compose, |place| Origin::Written { place })
}

/// An entry of a list by what it is, not by its number; of what lies in it, the key that is written.
fn listed(rendered: &Rendered, loaded: &Loaded, keys: &[&str]) -> Option<Place> {
    let list = (1..keys.len()).find(|end| at(&rendered.model, &keys[..*end]).is_some_and(Value::is_array))?;
    let entry = at(&rendered.model, &keys[..=list])?;
    entries::place_of(&loaded.sources, &keys[..list], entry)
}

fn in_env_file(loaded: &Loaded, keys: &[&str]) -> Option<Place> {
    let ["services", service, "environment", name] = keys else { return None };
    let files = loaded.service_files.iter().rev().filter(|file| file.service == *service);
    files.map(|file| &file.file).find_map(|file| assignment(file, name))
}

/// Rules about what lies below `keys`, with paths that count from there.
fn rules_inside(rendered: &Rendered, keys: &[&str]) -> Vec<Rule> {
    let below =
        |rule: &&Rule| rule.path.len() > keys.len() && rule.path.iter().zip(keys).all(|(a, b)| a == b);
    let relative = |rule: &Rule| Rule { path: rule.path[keys.len()..].to_vec(), ..rule.clone() };
    rendered.rules.iter().filter(below).map(relative).collect()
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

fn at<'v>(model: &'v Value, keys: &[&str]) -> Option<&'v Value> {
    keys.iter().try_fold(model, |value, key| child(value, key))
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
