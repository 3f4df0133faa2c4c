//! Which line wrote an entry of a merged list: Compose appends the lists of all files, so that its own count says nothing.

use pw_model::source::{Item, Place, SourceFile};
use serde_json::Value;

/// Where the entry of the list at `path` is written; the last file wins, as in Compose.
pub fn place_of(sources: &[SourceFile], path: &[&str], entry: &Value) -> Option<Place> {
    let list = path.last()?;
    sources.iter().rev().find_map(|source| {
        {
            let found = source.items(path).into_iter().filter(|item| is_written_as(list, item, entry));
            // Of several with the same target, as of a port on two addresses, the one that says more of it.
            found.reduce(
                |best, next| if agreement(&next, entry) > agreement(&best, entry) { next } else { best },
            )
        }
        .map(|item| item.place)
    })
}

fn is_written_as(list: &str, item: &Item, entry: &Value) -> bool {
    let field = |key: &str| entry.get(key).map(scalar);
    match (list, &item.text) {
        ("ports", Some(text)) => is_port(text, entry),
        ("ports", None) => item.fields.get("target").cloned() == field("target"),
        ("volumes", Some(text)) => field("target").is_some_and(|target| mounts_at(text, &target)),
        ("volumes", None) => {
            let target = item.fields.get("target").map(|target| target.trim_end_matches('/').to_owned());
            target == field("target").map(|target| target.trim_end_matches('/').to_owned())
        }
        ("secrets" | "configs" | "devices", written) => {
            let source = field("source").unwrap_or_else(|| scalar(entry));
            let written = written.as_ref().or_else(|| item.fields.get("source"));
            written.is_some_and(|text| text.split(':').next() == Some(source.split(':').next().unwrap_or("")))
        }
        (_, Some(text)) => normal(text) == normal(&scalar(entry)),
        (_, None) => false,
    }
}

/// How many words of the entry stand in the item.
fn agreement(item: &Item, entry: &Value) -> usize {
    let words = entry.as_object().into_iter().flatten().map(|(_, value)| scalar(value));
    let stands = |word: &String| {
        item.text.as_ref().is_some_and(|text| text.split([':', '/']).any(|part| part == word))
            || item.fields.values().any(|field| field == word)
    };
    words.filter(stands).count()
}

/// `8000:80`, `127.0.0.1:8000-8010:80-90/udp`, `80`: the port of the container and the protocol are as in the entry.
fn is_port(text: &str, entry: &Value) -> bool {
    let (address, protocol) = text.split_once('/').unwrap_or((text, "tcp"));
    let target = address.rsplit(':').next().unwrap_or(address);
    let (first, last) = target.split_once('-').unwrap_or((target, target));
    let wanted = entry.get("target").and_then(Value::as_u64);
    let within = |first: u64, last: u64| wanted.is_some_and(|wanted| (first..=last).contains(&wanted));
    entry.get("protocol").and_then(Value::as_str).unwrap_or("tcp") == protocol
        && first.parse().is_ok_and(|first| last.parse().is_ok_and(|last| within(first, last)))
}

/// `source:/target`, `source:/target:ro`, `/target`.
fn mounts_at(text: &str, target: &str) -> bool {
    let target = target.trim_end_matches('/');
    let (last, before) = {
        let (before, last) = text.rsplit_once(':').unwrap_or(("", text));
        (last.trim_end_matches('/'), before.trim_end_matches('/'))
    };
    last == target || before.ends_with(&format!(":{target}")) || before == target
}

/// `host:address` is answered as `host=address`.
fn normal(text: &str) -> String {
    text.replacen(':', "=", 1)
}

fn scalar(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}
