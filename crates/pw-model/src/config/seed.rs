//! The `seed:` section: which part of production development gets, and what is its own.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::file::Config;
use crate::diagnostic::{Diagnostic, nearest};
use crate::name::ServiceName;
use crate::source::SourceFile;
use crate::unit::Bytes;

/// How development gets its data. What speaks of tables and columns is checked against the database when it is read.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Seed {
    /// Which of `databases`. Left out, there is only one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub database: Option<String>,
    /// Where the rows come from, as `--from` says it: an environment, `latest` or the name of a backup, or `env:NAME` for the
    /// DSN of a read replica. Left out: production.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// How fast the source is read at most, in a second: `50MB`. Left out: as fast as it can be masked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rate: Option<Bytes>,
    /// The rows that everything starts from: `{ table: users, sample: 10%, where: "…" }`, or a list of such.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cohort: Option<Value>,
    /// Rows that never come along: `posts where visibility = 'private'`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub exclude: Vec<String>,
    /// What replaces a value: `users.email: email`, `sessions: drop`.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub masks: BTreeMap<String, Value>,
    /// Tables that come `whole` or `empty`.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub tables: BTreeMap<String, Value>,
    /// Which rows come along with those that they belong to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub children: Option<Value>,
    /// References that the database does not know of.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub references: Vec<Value>,
    /// References that no row may lose.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hold: Option<Value>,
    /// Columns besides those of type `oid` or `lo` whose numbers are those of large objects: `documents.content`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub large_objects: Vec<String>,
    /// Roles of the source that have another name in development: `app: app_dev`.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub roles: BTreeMap<String, String>,
    /// Files that rows name; those of the sampled rows come along.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub vault: Vec<Vault>,
    /// Rows that are development's own, changed before it sees them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub rewrite: Vec<Rewrite>,
    /// What becomes of each Redis. Left out, it is flushed.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub caches: BTreeMap<ServiceName, CacheRule>,
    /// Services to stop and start, in this order of starting. Left out: all that need the database.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub restart: Vec<ServiceName>,
}

/// Files that rows name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Vault {
    /// The volume that holds them, as Compose calls it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub volume: Option<String>,
    /// Instead of `volume`: where a service mounts them, such as `web:/vault`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mount: Option<String>,
    /// The column that names them, `table.column`.
    pub key: String,
    /// Beginning of the key that is no part of the path, such as `/media/`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub strip: Option<String>,
    /// Paths of the files that belong to one key. Left out: `["{key}"]`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub files: Vec<String>,
}

/// Rows that get other values. Texts may hold `{project}`, `{environment}` and `{host:SERVICE}`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Rewrite {
    pub table: String,
    /// Column → value.
    pub set: BTreeMap<String, Value>,
    /// Which rows, as SQL. Left out: all.
    #[serde(rename = "where", default, skip_serializing_if = "Option::is_none")]
    pub filter: Option<String>,
}

/// What becomes of a Redis.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum CacheRule {
    /// Emptied; what was in it comes back when the seed is taken back.
    #[default]
    Flush,
    Leave,
}

impl Seed {
    /// The database that is sampled: the named one, or the only one.
    pub fn database<'a>(&'a self, config: &'a Config) -> Option<(&'a str, &'a super::Database)> {
        let mut all = config.databases.iter();
        let found = match &self.database {
            Some(name) => all.find(|(known, _)| *known == name),
            None => all.next().filter(|_| config.databases.len() == 1),
        };
        found.map(|(name, database)| (name.as_str(), database))
    }
}

/// What is wrong with the section by itself.
pub(super) fn check(config: &Config, source: &SourceFile) -> Vec<Diagnostic> {
    let Some(seed) = &config.seed else { return Vec::new() };
    let mut found: Vec<Diagnostic> = which_database(seed, config, source).into_iter().collect();
    if seed.rate == Some(Bytes(0)) {
        let told = Diagnostic::error("`rate: 0` reads nothing").at(source.find_nearest(&["seed", "rate"]));
        found.push(told.hint("write for example `rate: 50MB`, or leave it out"));
    }
    for (index, vault) in seed.vault.iter().enumerate() {
        let index = index.to_string();
        let at = |key: &str| source.find_nearest(&["seed", "vault", &index, key]);
        found.extend(check_vault(vault, at));
    }
    for (index, rewrite) in seed.rewrite.iter().enumerate().filter(|(_, one)| one.set.is_empty()) {
        let place = source.find_nearest(&["seed", "rewrite", &index.to_string(), "set"]);
        let told = Diagnostic::error(format!("the rewrite of `{}` sets no column", rewrite.table));
        found.push(told.at(place).hint("write `set: { column: value }`"));
    }
    found
}

fn which_database(seed: &Seed, config: &Config, source: &SourceFile) -> Option<Diagnostic> {
    if seed.database(config).is_some() {
        return None;
    }
    let known = || config.databases.keys().map(String::as_str);
    let place = source.find_nearest(&["seed", "database"]);
    let told = match &seed.database {
        Some(name) => return Some(no_such_database(name, config).at(place)),
        None if config.databases.is_empty() => Diagnostic::error("`seed` has no database to fill")
            .hint("add `databases: { main: { service: db } }`, with the service that runs PostgreSQL"),
        None => Diagnostic::error("`seed` does not say which database it fills")
            .because(format!("`databases` describes {}", known().collect::<Vec<_>>().join(", ")))
            .hint("add `database: NAME` under `seed:`"),
    };
    Some(told.at(place))
}

/// What is wrong where a section names a database that is not described.
pub(super) fn no_such_database(name: &str, config: &Config) -> Diagnostic {
    let told = Diagnostic::error(format!("`databases` describes no `{name}`"));
    match nearest(name, config.databases.keys().map(String::as_str)) {
        Some(near) => told.hint(format!("write `database: {near}`")),
        None => told.hint(format!("add `{name}: {{ service: … }}` under `databases:`")),
    }
}

fn check_vault(vault: &Vault, at: impl Fn(&str) -> Option<crate::source::Place>) -> Vec<Diagnostic> {
    let mut found = Vec::new();
    if vault.volume.is_some() == vault.mount.is_some() {
        let told = Diagnostic::error("a vault is one `volume` or one `mount`").at(at("volume"));
        found.push(told.hint("write `volume: NAME` as Compose calls it, or `mount: SERVICE:/PATH`"));
    }
    let is_mount = |text: &&String| text.split_once(":/").is_some_and(|(service, _)| !service.is_empty());
    if let Some(mount) = vault.mount.as_ref().filter(|text| !is_mount(text)) {
        let told = Diagnostic::error(format!("`{mount}` is no mount")).at(at("mount"));
        found.push(told.hint("write `SERVICE:/PATH`, the path as it is inside the container"));
    }
    if !vault.key.split_once('.').is_some_and(|(table, column)| !table.is_empty() && !column.is_empty()) {
        let told = Diagnostic::error(format!("`{}` is no column", vault.key)).at(at("key"));
        found.push(told.hint("write `table.column`"));
    }
    if let Some(path) = vault.files.iter().find(|path| !path.contains("{key}")) {
        let told = Diagnostic::error(format!("`{path}` is the same path for every key")).at(at("files"));
        found.push(told.hint("write `{key}` where the key stands in it"));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn complaints(rest: &str) -> Vec<String> {
        let text = format!("project: shop\ncompose: [c.yml]\nenvironments: {{}}\n{rest}");
        let source = SourceFile::new("partywall.yaml", text);
        let config = super::super::parse(&source).unwrap_or_else(|error| panic!("{error}"));
        check(&config, &source).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_seed_wants_one_database() {
        let found = complaints("seed: { exclude: [] }\n");
        assert!(found[0].contains("`seed` has no database to fill"), "{found:?}");
        let two = "databases:\n  main: { service: db }\n  stats: { service: db2 }\n";
        let found = complaints(&format!("{two}seed: {{ exclude: [] }}\n"));
        assert!(found[0].contains("does not say which"), "{found:?}");
        let found = complaints(&format!("{two}seed:\n  database: mian\n"));
        assert!(
            found[0].contains("partywall.yaml:8:3") && found[0].contains("write `database: main`"),
            "{found:?}"
        );
        assert!(complaints(&format!("{two}seed: {{ database: stats }}\n")).is_empty());
    }

    #[test]
    fn a_vault_names_its_place_and_its_column() {
        let head = "databases: { main: { service: db } }\nseed:\n  vault:\n";
        let found = complaints(&format!("{head}    - {{ volume: v, mount: web:/v, key: files }}\n"));
        assert!(found[0].contains("one `volume` or one `mount`"), "{found:?}");
        assert!(
            found[1].contains("partywall.yaml:7:35") && found[1].contains("write `table.column`"),
            "{found:?}"
        );
        let found = complaints(&format!("{head}    - {{ mount: /v, key: a.b, files: [x.png] }}\n"));
        assert!(found[0].contains("write `SERVICE:/PATH`"), "{found:?}");
        assert!(found[1].contains("write `{key}`"), "{found:?}");
        assert!(complaints(&format!("{head}    - {{ volume: v, key: a.b }}\n")).is_empty());
    }

    #[test]
    fn an_unknown_key_is_shown_with_the_nearest() {
        let text = "project: shop\nenvironments: {}\nseed:\n  maskes: {}\n";
        let told = super::super::parse(&SourceFile::new("partywall.yaml", text)).expect_err("refused");
        assert!(told.to_string().contains("did you mean `masks`?"), "{told}");
    }
}
