//! What is shown, in numbers.

use std::collections::{BTreeMap, VecDeque};
use std::path::Path;

use anstream::adapter::strip_str;
use jiff::Timestamp;
use pw_agent::collect::{EnvironmentPicture, Picture};
use pw_agent::past::{of_environment_between, of_machine_between};
use pw_host::meter::{MachineFigures, Used};
use pw_journal::metrics::Tier;
use pw_model::config::{Class, Config};
use pw_model::name::EnvironmentName;
use pw_plan::latency::Tally;
use serde_json::{Value, json};

use super::source::Seen;
use crate::governed;
use crate::session::Session;

/// Load is told over so many looks, answers over more: in one second there may be few.
const LOOKS: usize = 2;
const ANSWER_LOOKS: usize = 10;
/// Seconds that the small curves tell of.
pub(super) const TRAIL: i64 = 600;

/// In which order services stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sort {
    Name,
    Cpu,
    Memory,
    Disk,
    Network,
    Requests,
    P99,
}

/// One line of the table.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Row {
    pub(super) name: String,
    /// `None` for a service.
    pub(super) class: Option<Class>,
    pub(super) used: Used,
    pub(super) cpu_limit: Option<f64>,
    pub(super) memory_limit: Option<f64>,
    pub(super) answers: Tally,
    /// Seconds in which these were given.
    pub(super) seconds: f64,
    /// CPUs in use: when, and how many.
    pub(super) trail: Vec<(i64, f64)>,
}

#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Screen {
    pub(super) project: String,
    pub(super) at: Timestamp,
    pub(super) machine: MachineFigures,
    pub(super) machine_trail: Vec<(i64, f64)>,
    /// Of production.
    pub(super) waits: Option<Used>,
    /// What the agent says, line by line.
    pub(super) said: Vec<String>,
    pub(super) is_agent: bool,
    /// Environments, each before its services.
    pub(super) rows: Vec<Row>,
}

/// The newest pictures, and the past.
pub(super) struct View {
    config: Config,
    wanted: Option<String>,
    newest: VecDeque<Picture>,
    /// Of each environment and, without a name, of the machine.
    trails: BTreeMap<Option<EnvironmentName>, Vec<(i64, f64)>>,
    said: Vec<String>,
    is_agent: bool,
}

impl Sort {
    const ALL: [Self; 7] =
        [Self::Name, Self::Cpu, Self::Memory, Self::Disk, Self::Network, Self::Requests, Self::P99];

    pub(super) fn next(self) -> Self {
        let at = Self::ALL.iter().position(|one| *one == self).unwrap_or(0);
        Self::ALL.get(at + 1).copied().unwrap_or(Self::Name)
    }

    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Name => "name",
            Self::Cpu => "CPU",
            Self::Memory => "memory",
            Self::Disk => "disk",
            Self::Network => "network",
            Self::Requests => "requests",
            Self::P99 => "p99",
        }
    }

    /// The largest first; by name where this answers nothing.
    fn weight(self, row: &Row) -> f64 {
        let weight = match self {
            Self::Name => None,
            Self::Cpu => row.used.cpu_seconds,
            Self::Memory => row.used.memory_bytes,
            Self::Disk => row.disk(),
            Self::Network => row.network(),
            Self::Requests => row.requests(),
            Self::P99 => row.answers.percentile(0.99),
        };
        weight.unwrap_or(0.0)
    }
}

fn both(one: Option<f64>, other: Option<f64>) -> Option<f64> {
    Some(one? + other?)
}

impl Row {
    /// Bytes read and written in a second.
    pub(super) fn disk(&self) -> Option<f64> {
        both(self.used.read_bytes, self.used.written_bytes)
    }

    pub(super) fn network(&self) -> Option<f64> {
        both(self.used.received_bytes, self.used.sent_bytes)
    }

    /// Answers in a second; `None` for who was not asked.
    pub(super) fn requests(&self) -> Option<f64> {
        let count = self.answers.count();
        (count > 0 && self.seconds > 0.0).then(|| count as f64 / self.seconds)
    }

    /// Share of answers that failed.
    pub(super) fn errors(&self) -> Option<f64> {
        let count = self.answers.count();
        (count > 0).then(|| self.answers.failures as f64 / count as f64)
    }
}

impl View {
    pub(super) fn new(session: &Session, wanted: Option<&str>) -> Self {
        let now = Timestamp::now().as_second();
        let mut trails = BTreeMap::new();
        let path = session.layout.agent_metrics(&session.config.project);
        let (path, between) = (Path::new(&path), (now - TRAIL, now + 1));
        // Without an agent there is no past, and a past that cannot be read is no reason to show nothing.
        for name in session.config.environments.keys() {
            let past = of_environment_between(path, name, Tier::Second, between).unwrap_or_default();
            let cpus = past.iter().filter_map(|then| Some((then.at, then.used.cpu_seconds?)));
            trails.insert(Some(name.clone()), cpus.collect());
        }
        let past = of_machine_between(path, Tier::Second, between).unwrap_or_default();
        let cpus = past.iter().filter_map(|(at, machine)| Some((*at, machine.cpu_seconds?)));
        trails.insert(None, cpus.collect());
        Self {
            config: session.config.clone(),
            wanted: wanted.map(str::to_owned),
            newest: VecDeque::new(),
            trails,
            said: Vec::new(),
            is_agent: false,
        }
    }

    pub(super) fn take(&mut self, seen: Seen) {
        self.is_agent = seen.status.is_some();
        let said = seen.status.map(|status| governed::lines(&status)).unwrap_or_default();
        self.said = strip_str(&said).to_string().lines().map(str::to_owned).collect();
        // The agent has not looked since.
        if self.newest.back().is_some_and(|last| last.seconds >= seen.picture.seconds) {
            return;
        }
        self.newest.push_back(seen.picture);
        while self.newest.len() > ANSWER_LOOKS + 1 {
            self.newest.pop_front();
        }
        if let Some(rates) = self.since(1) {
            self.remember(&rates);
        }
    }

    fn remember(&mut self, rates: &Picture) {
        let at = rates.at.as_second();
        let environments =
            rates.environments.iter().map(|(name, one)| (Some(name.clone()), one.used.cpu_seconds));
        for (of, cpus) in environments.chain([(None, rates.machine.cpu_seconds)]) {
            let trail = self.trails.entry(of).or_default();
            trail.extend(cpus.map(|cpus| (at, cpus)));
            trail.retain(|(then, _)| *then > at - TRAIL);
        }
    }

    /// From so many looks ago to the newest; from the first where there are fewer.
    fn since(&self, looks: usize) -> Option<Picture> {
        let last = self.newest.len().checked_sub(1)?;
        let before = self.newest.get(last.saturating_sub(looks))?;
        (last > 0).then(|| self.newest.get(last).map(|now| now.since(before))).flatten()
    }

    pub(super) fn screen(&self, sort: Sort) -> Screen {
        let (Some(rates), Some(answers)) = (self.since(LOOKS), self.since(ANSWER_LOOKS)) else {
            return Screen { project: self.config.project.to_string(), ..Screen::default() };
        };
        let mut rows = Vec::new();
        let mut waits = None;
        for (name, environment) in self.config.environments_in_order() {
            let Some(used) = rates.environments.get(name) else { continue };
            if environment.class(name) == Class::Production {
                waits = waits.or(Some(used.used));
            }
            if self.wanted.as_ref().is_none_or(|wanted| wanted == name.as_str()) {
                let asked = answers.environments.get(name).unwrap_or(used);
                rows.extend(self.block(name, used, (asked, answers.seconds), sort));
            }
        }
        Screen {
            project: self.config.project.to_string(),
            at: rates.at,
            machine: rates.machine,
            machine_trail: self.trails.get(&None).cloned().unwrap_or_default(),
            waits,
            said: self.said.clone(),
            is_agent: self.is_agent,
            rows,
        }
    }

    /// An environment, then its services.
    fn block(
        &self,
        name: &EnvironmentName,
        used: &EnvironmentPicture,
        (asked, seconds): (&EnvironmentPicture, f64),
        sort: Sort,
    ) -> Vec<Row> {
        let budget = self.config.environments.get(name).map(|one| one.budget.clone()).unwrap_or_default();
        let whole = Row {
            name: name.to_string(),
            class: Some(used.class),
            used: used.used,
            cpu_limit: budget.cpus.map(|cpus| cpus.count()),
            memory_limit: budget.memory.map(|bytes| bytes.0 as f64),
            answers: asked.answered(None),
            seconds,
            trail: self.trails.get(&Some(name.clone())).cloned().unwrap_or_default(),
        };
        let services = used.services().into_iter().map(|service| {
            let own = used.service(service);
            Row {
                name: service.to_owned(),
                used: own,
                memory_limit: own.memory_limit_bytes,
                answers: asked.answered(Some(service)),
                seconds,
                ..Row::default()
            }
        });
        let mut services: Vec<Row> = services.collect();
        services.sort_by(|a, b| sort.weight(b).total_cmp(&sort.weight(a)));
        std::iter::once(whole).chain(services).collect()
    }
}

impl Screen {
    pub(super) fn to_json(&self) -> Value {
        let mut environments: Vec<Value> = Vec::new();
        for row in &self.rows {
            match (row.class, environments.last_mut().and_then(|last| last["services"].as_array_mut())) {
                (None, Some(services)) => services.push(row.to_json("service")),
                _ => {
                    let mut whole = row.to_json("environment");
                    whole["class"] = json!(row.class);
                    whole["services"] = json!([]);
                    environments.push(whole);
                }
            }
        }
        json!({
            "project": self.project, "at": self.at, "agent": self.is_agent, "said": self.said,
            "machine": self.machine, "environments": environments,
        })
    }
}

impl Row {
    /// Counters are told by the second.
    fn to_json(&self, kind: &str) -> Value {
        let milliseconds = |part| self.answers.percentile(part).map(|seconds: f64| seconds * 1000.0);
        json!({
            kind: self.name, "used_per_second": self.used, "cpu_limit": self.cpu_limit,
            "memory_limit_bytes": self.memory_limit, "requests_per_second": self.requests(),
            "p50_milliseconds": milliseconds(0.5), "p99_milliseconds": milliseconds(0.99), "failed": self.errors(),
        })
    }
}
