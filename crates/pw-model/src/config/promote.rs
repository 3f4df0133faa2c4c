//! How a release gets into an environment, and back out of it.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::file::{Config, Objective};
use crate::diagnostic::Diagnostic;
use crate::name::ServiceName;
use crate::source::SourceFile;
use crate::unit::{Share, Span};

/// How a release is promoted.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Promote {
    /// The project's own migration command.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub migrate: Option<Migrate>,
    /// What a rehearsed migration may cost.
    pub limits: Limits,
    /// Requests that the new containers must answer before any visitor meets them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub verify: Vec<Verify>,
    /// How many times in a row each of `verify` must be answered well.
    pub successes: u32,
    /// How often they are asked all of it once more, where visitors ask, so that no visitor waits for what a program
    /// does when it is first asked: pools, caches, compilation. `0` for never.
    pub warm_up: u32,
    /// How long new containers may take until they answer well, e.g. `5m`.
    pub ready: Span,
    /// A part of the visitors meets the new release before all do; left out, all do at once.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub canary: Option<Canary>,
    /// Paths of files that only one release has, e.g. `/static/*`: what the release that serves does not have is fetched from the one before, while that is warm.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub assets: Vec<String>,
    /// How long the new release is watched under real requests, e.g. `30s`; worse than before, it goes back by itself.
    pub watch: Span,
    /// How long requests, streams and websockets may go on in the old containers, e.g. `10m`.
    pub drain: Span,
    /// How long the old containers stay ready for `rollback`, e.g. `10m`; `0s` stops them as soon as they are drained.
    pub warm: Span,
    /// How much longer than `warm` streams and websockets may keep the old containers, e.g. `1h`.
    pub streams: Span,
    /// Services without a route of which two generations may run side by side. All others stop before they start anew.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub overlap: Vec<ServiceName>,
    /// How many releases stay listed, with their images.
    pub keep: usize,
    /// Commands of the host, run in the project's folder; one that fails stops the promotion and takes it back.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub hooks: BTreeMap<Moment, Vec<String>>,
}

/// When a hook runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Moment {
    BeforeBuild,
    /// Before jobs and the migration command.
    BeforeMigrate,
    /// The new containers answer, and no visitor meets them yet.
    BeforeFlip,
    /// Visitors meet the new release, which is not watched yet.
    AfterFlip,
    /// The new release is kept.
    AfterWatch,
}

impl Moment {
    /// As it is written.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::BeforeBuild => "before-build",
            Self::BeforeMigrate => "before-migrate",
            Self::BeforeFlip => "before-flip",
            Self::AfterFlip => "after-flip",
            Self::AfterWatch => "after-watch",
        }
    }
}

impl Default for Promote {
    fn default() -> Self {
        Self {
            migrate: None,
            limits: Limits::default(),
            verify: Vec::new(),
            successes: 3,
            warm_up: 40,
            ready: Span::seconds(300),
            canary: None,
            assets: Vec::new(),
            watch: Span::seconds(30),
            drain: Span::seconds(600),
            warm: Span::seconds(600),
            streams: Span::seconds(3600),
            overlap: Vec::new(),
            keep: 10,
            hooks: BTreeMap::new(),
        }
    }
}

/// A part of the visitors that meets a new release first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Canary {
    /// Its share, e.g. `10%`. Who got a page from one release gets everything else from it, too.
    pub share: String,
    /// How long it is watched before everybody meets the release, e.g. `1m`.
    #[serde(default = "a_minute")]
    pub watch: Span,
}

fn a_minute() -> Span {
    Span::seconds(60)
}

impl Canary {
    /// In millionths; `None` for what is no share between nobody and everybody.
    pub fn millionths(&self) -> Option<u32> {
        let millionths = Share::parse(&self.share).ok()?.part() * 1e6;
        (1.0..1e6).contains(&millionths).then_some(millionths as u32)
    }
}

/// A request, and what must come back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Verify {
    /// Path below the service's first host name, e.g. `/health`.
    pub get: String,
    /// The status; left out, any from 200 to 399.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expect: Option<u16>,
    /// A text that the body holds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body: Option<String>,
    /// How long the answer may take, e.g. `2s`.
    #[serde(default = "five_seconds")]
    pub within: Span,
    /// The service that is asked; left out, every one that has a route.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service: Option<ServiceName>,
}

fn five_seconds() -> Span {
    Span::seconds(5)
}

/// A command that brings a database to a release's schema.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Migrate {
    /// The service whose image and variables it runs with.
    pub service: ServiceName,
    /// The command with its arguments, as in Compose; left out, the service's own.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub command: Vec<String>,
    /// The database that it migrates, by its name under `databases:`, where there are several; a rehearsal copies it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub database: Option<String>,
    /// The way back, rehearsed after the way there.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub down: Vec<String>,
    /// How often it is tried again, with a pause, when it was refused a lock within `limits.lock`.
    #[serde(default = "twice")]
    pub retries: u32,
    /// True when the code before it also runs with the schema after it; then `rollback` needs no way back of the schema.
    #[serde(default)]
    pub compatible: bool,
}

fn twice() -> u32 {
    2
}

/// The most that a migration may cost; beyond, `rehearse` ends with exit code 1.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// How long reads or writes of one table may be kept waiting, e.g. `2s`.
    pub lock: Span,
    /// How long the whole may take, e.g. `10m`; it is stopped there.
    pub total: Span,
}

impl Default for Limits {
    fn default() -> Self {
        Self { lock: Span::seconds(2), total: Span::seconds(600) }
    }
}

/// The limits of an objective, as numbers.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Goals {
    /// 99 of 100 requests are answered within this time.
    pub p99: Option<Span>,
    /// Share of requests that may fail, 0 to 1.
    pub errors: Option<f64>,
}

impl Objective {
    /// What is written, as numbers; what cannot be read is left out, since the check tells it.
    pub fn goals(&self) -> Goals {
        Goals {
            p99: self.p99.as_deref().and_then(|text| Span::parse(text).ok()),
            errors: self.errors.as_deref().and_then(|text| Share::parse(text).ok()).map(Share::part),
        }
    }
}

pub(super) fn check(config: &Config, source: &SourceFile) -> Vec<Diagnostic> {
    let mut found = objective(config, source);
    let Some(promote) = &config.promote else { return found };
    for (number, verify) in promote.verify.iter().enumerate().filter(|(_, one)| !one.get.starts_with('/')) {
        let place = source.find_nearest(&["promote", "verify", &number.to_string()]);
        found.push(
            Diagnostic::error(format!("`{}` is not a path", verify.get))
                .at(place)
                .hint(format!("write `get: /{}`", verify.get)),
        );
    }
    let database = promote.migrate.as_ref().and_then(|migrate| migrate.database.as_ref());
    if let Some(name) = database.filter(|name| !config.databases.contains_key(*name)) {
        let place = source.find_nearest(&["promote", "migrate", "database"]);
        found.push(super::seed::no_such_database(name, config).at(place));
    }
    if let Some(canary) = promote.canary.as_ref().filter(|one| one.millionths().is_none()) {
        let wrong = Diagnostic::error(format!("`{}` is no part of the visitors", canary.share));
        let place = source.find_nearest(&["promote", "canary", "share"]);
        found.push(wrong.at(place).hint("write for example `share: 10%`, more than 0 and less than 100"));
    }
    for (number, path) in promote.assets.iter().enumerate().filter(|(_, path)| !path.starts_with('/')) {
        let place = source.find_nearest(&["promote", "assets", &number.to_string()]);
        let wrong = Diagnostic::error(format!("`{path}` is not a path"));
        found.push(wrong.at(place).hint(format!("write `/{path}`, or `/static/*` for all below a folder")));
    }
    if promote.successes == 0 {
        found.push(
            Diagnostic::error("`successes: 0` lets a release through that answers nothing")
                .at(source.find_nearest(&["promote", "successes"]))
                .hint("write 1 or more"),
        );
    }
    found
}

fn objective(config: &Config, source: &SourceFile) -> Vec<Diagnostic> {
    let Some(objective) = &config.objective else { return Vec::new() };
    let goals = objective.goals();
    let wrong = |key: &str, text: &str, example: &str| {
        Diagnostic::error(format!("`{text}` is no limit"))
            .at(source.find_nearest(&["objective", key]))
            .hint(format!("write for example `{key}: {example}`"))
    };
    let p99 = objective.p99.iter().filter(|_| goals.p99.is_none()).map(|text| wrong("p99", text, "250ms"));
    let errors =
        objective.errors.iter().filter(|_| goals.errors.is_none()).map(|text| wrong("errors", text, "0.1%"));
    p99.chain(errors).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_objective_is_read_as_numbers() {
        let written = Objective { p99: Some("250ms".into()), errors: Some("0.1%".into()) };
        assert_eq!(written.goals().p99.map(|p99| p99.0.as_millis()), Some(250));
        assert!(written.goals().errors.is_some_and(|share| (share - 0.001).abs() < 1e-12));
        let wrong = Objective { p99: Some("fast".into()), errors: Some("few".into()) };
        assert_eq!(wrong.goals(), Goals::default());
    }

    #[test]
    fn a_canary_is_neither_nobody_nor_everybody() {
        let millionths = |share: &str| Canary { share: share.into(), watch: a_minute() }.millionths();
        assert_eq!([millionths("10%"), millionths("0.5 %")], [Some(100_000), Some(5_000)]);
        assert_eq!(["0%", "100%", "10", "-1%", "few"].map(millionths), [None; 5]);
    }
}
