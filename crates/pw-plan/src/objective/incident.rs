//! Incidents: opened when the objective is broken, closed when it has been kept for a while.

use std::fmt;
use std::time::Duration;

use pw_model::config::Goals;
use serde::{Deserialize, Serialize};

use super::cause::{Cause, cause};
use super::scene::Memory;
use super::{Scene, Standing, Windows};
use crate::latency::Tally;

/// Broken for so long before it is an incident.
const ENDURED: Duration = Duration::from_secs(3);
/// Kept for so long before it is over.
const KEPT: Duration = Duration::from_secs(60);
/// So many answers must have shown that it is kept.
const ANSWERS_SHOWN: u64 = 20;
/// Where nobody asks any more, it ends unseen.
const SILENT: Duration = Duration::from_secs(600);

/// When something was seen, by both clocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moment {
    /// Since the machine started.
    pub at: Duration,
    /// Milliseconds since 1970.
    pub wall: i64,
}

/// A period in which production broke its objective.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Incident {
    /// Milliseconds since 1970; no two begin in the same.
    pub start: i64,
    pub end: Option<i64>,
    /// The worst 99th percentile of a short window, in seconds.
    pub p99: Option<f64>,
    /// The worst share of failures in a short window, 0 to 1.
    pub errors: f64,
    /// Requests that failed or were answered too late.
    pub hit: u64,
    pub cause: Cause,
    /// What speaks for the cause, in words; then what speaks for another.
    pub evidence: Vec<String>,
    /// Other environments worked while it began.
    pub developing: bool,
}

/// What became of an incident.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    Opened(Incident),
    Closed(Incident),
}

/// What is remembered between two looks.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct State {
    windows: Windows,
    memory: Memory,
    /// Since when it is broken, with no incident yet.
    broken: Option<Moment>,
    open: Option<Incident>,
    kept: Option<Kept>,
}

/// The objective is kept again.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Kept {
    since: Moment,
    answers: u64,
}

impl State {
    /// Goes on with the incident that an agent before had open.
    pub fn resumed(open: Option<Incident>) -> Self {
        Self { open, ..Self::default() }
    }

    pub fn open(&self) -> Option<&Incident> {
        self.open.as_ref()
    }

    pub fn windows(&self) -> &Windows {
        &self.windows
    }
}

/// One look. `answered` is what was answered since the last one; `None` where that cannot be known.
pub fn watch(
    goals: &Goals,
    mut state: State,
    (answered, scene): (Option<Tally>, Scene),
    now: Moment,
) -> (State, Option<Event>) {
    let count = answered.as_ref().map(Tally::count);
    let bad = answered.as_ref().map_or(0, |answered| answered.failures.max(answered.slow));
    let seen = answered.is_some();
    if let Some(answered) = answered {
        state.windows.add(now.at, answered);
    }
    let standing = state.windows.standing(goals, now.at);
    let quiet = state.open.is_none() && !standing.is_broken();
    state.memory.add(now.at, scene, count, quiet);
    let event = match state.open.take() {
        Some(open) => state.go_on(open, &standing, (count.unwrap_or(0), bad), now),
        None if seen => state.look_for_one(&standing, now),
        None => None,
    };
    (state, event)
}

impl State {
    fn look_for_one(&mut self, standing: &Standing, now: Moment) -> Option<Event> {
        if !standing.is_broken() {
            self.broken = None;
            return None;
        }
        let since = *self.broken.get_or_insert(now);
        if now.at.saturating_sub(since.at) < ENDURED {
            return None;
        }
        let others = self.memory.most(Scene::others).unwrap_or_default();
        let (cause, evidence) = cause(&self.memory, &standing.short, (since.wall, now.wall));
        let mut open = Incident {
            start: since.wall,
            end: None,
            p99: None,
            errors: 0.0,
            hit: standing.short.failed.max(standing.short.slow),
            cause,
            evidence,
            developing: others > WORKS,
        };
        open.worsen(standing);
        (self.broken, self.kept) = (None, None);
        self.open = Some(open.clone());
        Some(Event::Opened(open))
    }

    fn go_on(
        &mut self,
        mut open: Incident,
        standing: &Standing,
        counts: (u64, u64),
        now: Moment,
    ) -> Option<Event> {
        let (answers, bad) = counts;
        open.hit += bad;
        if standing.short.burn > 1.0 {
            self.kept = None;
            open.worsen(standing);
            if open.cause == Cause::Unknown {
                (open.cause, open.evidence) = cause(&self.memory, &standing.short, (open.start, now.wall));
            }
            self.open = Some(open);
            return None;
        }
        let kept = self.kept.get_or_insert(Kept { since: now, answers: 0 });
        kept.answers += answers;
        let long = now.at.saturating_sub(kept.since.at);
        if !(long >= KEPT && kept.answers >= ANSWERS_SHOWN || long >= SILENT) {
            self.open = Some(open);
            return None;
        }
        open.end = Some(kept.since.wall);
        self.kept = None;
        Some(Event::Closed(open))
    }
}

/// CPUs from which an environment is at work.
const WORKS: f64 = 0.1;

impl Incident {
    fn worsen(&mut self, standing: &Standing) {
        self.p99 = self.p99.into_iter().chain(standing.short.p99).reduce(f64::max);
        self.errors = self.errors.max(standing.short.errors());
    }
}

impl fmt::Display for Incident {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let p99 = self.p99.map_or_else(|| "?".into(), |p99| format!("{:.0} ms", p99 * 1000.0));
        write!(
            f,
            "p99 {p99}, {:.1} % failed, {} requests hit; cause: {}",
            self.errors * 100.0,
            self.hit,
            self.cause
        )?;
        self.evidence.first().map_or(Ok(()), |first| write!(f, ", {first}"))
    }
}
