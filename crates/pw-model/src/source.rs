//! Where a value stands: YAML paths to file, line, column and the offending text.
//!
//! Compose decides what a file *means*; this only finds where it was *written*, so that a
//! diagnostic and `render --explain` can point at it. It follows `<<`, `extends` and list or map
//! form of the same key, and answers the nearest known ancestor when the exact path is not written.

use std::borrow::Cow;
use std::collections::BTreeMap;

use saphyr::{LoadableYamlNode, MarkedYaml, YamlData};
use serde::{Deserialize, Serialize};

/// Deeper than any key.
const FAR: &str = "                                        ";

/// One place in a text file. Lines and columns count from 1; `length` is in characters.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    pub file: String,
    pub line: usize,
    pub column: usize,
    pub length: usize,
    /// The whole line, without its end.
    pub text: String,
}

impl Place {
    /// The place without its line, which may hold a secret.
    #[must_use]
    pub fn without_text(self) -> Self {
        Self { text: String::new(), ..self }
    }
}

/// A text file that the user wrote, as shown in diagnostics.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceFile {
    /// The path as the user would type it.
    pub name: String,
    pub text: String,
}

impl SourceFile {
    pub fn new(name: impl Into<String>, text: impl Into<String>) -> Self {
        Self { name: name.into(), text: text.into() }
    }

    /// The place at a line and column, both from 1.
    pub fn place(&self, line: usize, column: usize, length: usize) -> Place {
        // YAML ends lines at a lone carriage return too; an editor does not.
        let line = line.clamp(1, self.text.lines().count().max(1));
        let text = self.text.lines().nth(line - 1).unwrap_or("").to_owned();
        let rest = text.chars().count().saturating_sub(column.saturating_sub(1));
        Place { file: self.name.clone(), line, column, length: length.min(rest.max(1)), text }
    }

    /// The place of a key's path such as `["services", "web", "mem_limit"]`, when exactly it is written here.
    pub fn find(&self, path: &[&str]) -> Option<Place> {
        self.search(path).filter(|(_, depth)| *depth == path.len()).map(|(place, _)| place)
    }

    /// The place of the longest prefix of `path` that is written here.
    pub fn find_nearest(&self, path: &[&str]) -> Option<Place> {
        self.search(path).map(|(place, _)| place)
    }

    /// The entries of the list at `path`, in the order in which they are written.
    pub fn items(&self, path: &[&str]) -> Vec<Item> {
        let text = self.parsable();
        let documents = MarkedYaml::load_from_str(&text).unwrap_or_default();
        let list = documents.first().and_then(|document| value_at(document, path));
        let entries = list.and_then(|list| list.data.as_sequence()).into_iter().flatten();
        entries.map(|entry| self.item(entry)).collect()
    }

    /// An entry of a list or the one text that stands for it.
    pub(crate) fn item(&self, node: &MarkedYaml<'_>) -> Item {
        let node = untagged(node);
        let ((line, column), length, _) = mark(node, 0);
        let fields = node.data.as_mapping().into_iter().flatten();
        let fields = fields.filter_map(|(key, value)| Some((key.data.as_str()?.to_owned(), scalar(value)?)));
        Item { place: self.place(line, column, length), text: scalar(node), fields: fields.collect() }
    }

    fn search(&self, path: &[&str]) -> Option<(Place, usize)> {
        let text = self.parsable();
        let documents = MarkedYaml::load_from_str(&text).ok()?;
        let (span_start, length, depth) = descend(documents.first()?, path, 0)?;
        Some((self.place(span_start.0, span_start.1, length), depth))
    }

    /// The keys of a top-level mapping such as `services`.
    pub fn keys(&self, section: &str) -> Vec<String> {
        let text = self.parsable();
        let documents = MarkedYaml::load_from_str(&text).unwrap_or_default();
        let top = documents.first().and_then(|document| document.data.as_mapping());
        let entry = top.and_then(|map| map.iter().find(|(key, _)| key.data.as_str() == Some(section)));
        let entries = entry.and_then(|(_, value)| value.data.as_mapping()).into_iter().flatten();
        entries.filter_map(|(key, _)| key.data.as_str().map(str::to_owned)).collect()
    }

    /// The text with closing brackets moved to the right: our parser wants them deeper than their key, Compose does not.
    pub(crate) fn parsable(&self) -> Cow<'_, str> {
        let closes = |line: &str| line.trim_start().starts_with([']', '}']);
        if !self.text.lines().any(closes) {
            return Cow::Borrowed(&self.text);
        }
        let moved = |line: &str| if closes(line) { format!("{FAR}{line}\n") } else { format!("{line}\n") };
        Cow::Owned(self.text.lines().map(moved).collect())
    }

    /// The first line on which `needle` stands, for messages that name a text but no path.
    pub fn find_text(&self, needle: &str) -> Option<Place> {
        let (number, line) = self.text.lines().enumerate().find(|(_, line)| line.contains(needle))?;
        let column = line.split(needle).next().map_or(0, |before| before.chars().count()) + 1;
        Some(self.place(number + 1, column, needle.chars().count()))
    }
}

/// One entry of a list: a text, or the fields of a mapping that hold one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    pub place: Place,
    pub text: Option<String>,
    pub fields: BTreeMap<String, String>,
}

/// Where most of `path` is written; of equals, in the last file, which wins in Compose.
pub fn find_in(sources: &[SourceFile], path: &[&str]) -> Option<Place> {
    let found = sources.iter().rev().filter_map(|source| source.search(path));
    found.reduce(|best, next| if next.1 > best.1 { next } else { best }).map(|(place, _)| place)
}

/// The value at `path`, through merge keys and tags.
pub(crate) fn value_at<'n, 'i>(node: &'n MarkedYaml<'i>, path: &[&str]) -> Option<&'n MarkedYaml<'i>> {
    let node = untagged(node);
    let Some((head, rest)) = path.split_first() else { return Some(node) };
    match &node.data {
        YamlData::Mapping(map) => {
            let value = |key: &str| map.iter().find(|(known, _)| known.data.as_str() == Some(key));
            match (value(head), value("<<")) {
                (Some((_, value)), _) => value_at(value, rest),
                (None, Some((_, merged))) => merged_at(merged, path),
                (None, None) => None,
            }
        }
        YamlData::Sequence(items) => value_at(items.get(head.parse::<usize>().ok()?)?, rest),
        _ => None,
    }
}

fn merged_at<'n, 'i>(merged: &'n MarkedYaml<'i>, path: &[&str]) -> Option<&'n MarkedYaml<'i>> {
    match &merged.data {
        YamlData::Sequence(items) => items.iter().find_map(|item| value_at(item, path)),
        _ => value_at(merged, path),
    }
}

pub(crate) fn untagged<'n, 'i>(node: &'n MarkedYaml<'i>) -> &'n MarkedYaml<'i> {
    match &node.data {
        YamlData::Tagged(_, inner) => untagged(inner),
        _ => node,
    }
}

/// A scalar as it is written.
fn scalar(node: &MarkedYaml<'_>) -> Option<String> {
    let data = &untagged(node).data;
    let number = || data.as_integer().map(|number| number.to_string());
    data.as_str().map(str::to_owned).or_else(number)
}

type Found = ((usize, usize), usize, usize);

fn descend(node: &MarkedYaml<'_>, path: &[&str], depth: usize) -> Option<Found> {
    let (head, rest) = path.split_first()?;
    match &node.data {
        YamlData::Tagged(_, inner) => descend(inner, path, depth),
        YamlData::Mapping(map) => {
            let written = map.iter().find(|(key, _)| key.data.as_str() == Some(*head));
            let Some((key, value)) = written else { return through_merge(node, path, depth) };
            let here = mark(key, depth + 1);
            if rest.is_empty() { Some(here) } else { descend(value, rest, depth + 1).or(Some(here)) }
        }
        YamlData::Sequence(items) => {
            let by_index = head.parse::<usize>().ok().and_then(|index| items.get(index));
            let item = by_index.or_else(|| items.iter().find(|item| names(item, head)))?;
            let here = mark(item, depth + 1);
            if rest.is_empty() { Some(here) } else { descend(item, rest, depth + 1).or(Some(here)) }
        }
        _ => None,
    }
}

fn through_merge(node: &MarkedYaml<'_>, path: &[&str], depth: usize) -> Option<Found> {
    let map = node.data.as_mapping()?;
    let (_, merged) = map.iter().find(|(key, _)| key.data.as_str() == Some("<<"))?;
    match &merged.data {
        YamlData::Sequence(items) => items.iter().find_map(|item| descend(item, path, depth)),
        _ => descend(merged, path, depth),
    }
}

/// True for an item of list form (`KEY=value`, `name:…`) that is written for `head`.
fn names(item: &MarkedYaml<'_>, head: &str) -> bool {
    item.data.as_str().is_some_and(|text| {
        text == head || text.strip_prefix(head).is_some_and(|rest| rest.starts_with(['=', ':']))
    })
}

fn mark(node: &MarkedYaml<'_>, depth: usize) -> Found {
    let length = node.data.as_str().map_or(1, |text| text.chars().count().max(1));
    ((node.span.start.line(), node.span.start.col() + 1), length, depth)
}

#[cfg(test)]
mod tests {
    use super::*;

    const COMPOSE: &str = "\
x-common: &common
  mem_limit: 1g
services:
  web:
    <<: *common
    image: app
    environment:
      - DEBUG=1
    ports: !override
      - 80:80
";

    #[test]
    fn a_path_is_found_where_it_is_written() {
        let file = SourceFile::new("c.yml", COMPOSE);
        let at = |path: &[&str]| file.find(path).map(|place| (place.line, place.column));
        assert_eq!(at(&["services", "web", "image"]), Some((6, 5)));
        assert_eq!(at(&["services", "web", "mem_limit"]), Some((2, 3)), "through the merge key");
        assert_eq!(at(&["services", "web", "environment", "DEBUG"]), Some((8, 9)), "list form");
        assert_eq!(at(&["services", "web", "ports", "0"]), Some((10, 9)), "under a tag");
        assert_eq!(at(&["services", "web", "cpus"]), None);
        assert_eq!(file.find_nearest(&["services", "web", "cpus"]).map(|p| p.line), Some(4));
    }

    #[test]
    fn a_closing_bracket_below_its_key_hides_nothing() {
        let text = "services:\n  web:\n    command: [\n      run\n    ]\n    image: app\n";
        let file = SourceFile::new("c.yml", text);
        assert_eq!(file.find(&["services", "web", "image"]).map(|place| place.line), Some(6));
    }

    #[test]
    fn services_are_listed() {
        assert_eq!(SourceFile::new("c.yml", COMPOSE).keys("services"), ["web"]);
        assert!(SourceFile::new("c.yml", COMPOSE).keys("volumes").is_empty());
    }

    #[test]
    fn a_broken_file_has_no_places() {
        assert_eq!(SourceFile::new("c.yml", "a: [").find(&["a"]), None);
    }
}
