//! When a receiver is told, and of what.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::kind::{Alert, Severity};

/// What comes within so many milliseconds is told together.
const TOGETHER: i64 = 10_000;
/// What was not seen for so long is over.
const GONE: i64 = 60_000;

/// An alert that stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Standing {
    pub alert: Alert,
    /// Milliseconds since 1970.
    pub since: i64,
    seen: i64,
}

/// All that is seen, whether anybody is told yet or not. Kept over a restart.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Book {
    standing: BTreeMap<String, Standing>,
}

/// What one receiver was told. Kept over a restart.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Told {
    told: BTreeMap<String, Last>,
    /// Since when there is something to tell.
    waiting: Option<i64>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Last {
    at: i64,
    alert: Alert,
}

/// How a receiver wants it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Way {
    /// Milliseconds after which what still stands is told again.
    pub repeat: i64,
    /// It is within its quiet hours.
    pub quiet: bool,
}

/// What is told at once.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Message {
    pub project: String,
    /// Milliseconds since 1970.
    pub at: i64,
    pub standing: Vec<Standing>,
    pub resolved: Vec<Alert>,
}

impl Book {
    /// Takes in what is seen now; what was not seen for a while goes.
    pub fn see(&mut self, alerts: Vec<Alert>, now: i64) {
        for alert in alerts {
            let entry = self.standing.entry(key(&alert));
            let standing = entry.or_insert_with(|| Standing { alert: alert.clone(), since: now, seen: now });
            // A clock that was set back begins anew.
            (standing.alert, standing.seen, standing.since) = (alert, now, standing.since.min(now));
        }
        self.standing.retain(|_, standing| now - standing.seen < GONE);
    }

    /// What stood long enough to be told.
    pub fn standing(&self) -> impl Iterator<Item = &Standing> {
        self.standing.values().filter(|one| one.seen - one.since >= one.alert.kind.endures())
    }
}

fn key(alert: &Alert) -> String {
    format!("{} {}", alert.kind, alert.subject)
}

/// One look: what the receiver is told now, if anything.
pub fn notify(way: Way, mut told: Told, book: &Book, now: i64) -> (Told, Option<Message>) {
    let passes = |alert: &Alert| !way.quiet || alert.kind.severity() == Severity::Critical;
    let standing: BTreeMap<String, Standing> =
        book.standing().filter(|one| passes(&one.alert)).map(|one| (key(&one.alert), one.clone())).collect();
    let over = |key: &String, last: &Last| !book.standing.contains_key(key) && passes(&last.alert);
    let resolved: Vec<String> =
        told.told.iter().filter(|(key, last)| over(key, last)).map(|(key, _)| key.clone()).collect();
    let due = |key: &String| told.told.get(key).is_none_or(|last| now - last.at >= way.repeat);
    if !standing.keys().any(due) && resolved.is_empty() {
        told.waiting = None;
        return (told, None);
    }
    // A clock that was set back must not keep anybody waiting.
    let since = told.waiting.filter(|since| *since <= now).unwrap_or(now);
    told.waiting = Some(since);
    if now - since < TOGETHER {
        return (told, None);
    }
    told.waiting = None;
    let resolved = resolved.iter().filter_map(|key| told.told.remove(key)).map(|last| last.alert).collect();
    let last = |one: &Standing| Last { at: now, alert: one.alert.clone() };
    told.told.extend(standing.iter().map(|(key, one)| (key.clone(), last(one))));
    let standing = standing.into_values().collect();
    (told, Some(Message { project: String::new(), at: now, standing, resolved }))
}

impl Message {
    pub fn of(self, project: &str) -> Self {
        Self { project: project.to_owned(), ..self }
    }

    /// The most urgent of what stands; `None` where all is over.
    pub fn severity(&self) -> Option<Severity> {
        self.standing.iter().map(|one| one.alert.kind.severity()).max()
    }

    /// In one line.
    pub fn title(&self) -> String {
        let name = |alert: &Alert| format!("{} {}", alert.kind, alert.subject);
        match (self.standing.as_slice(), self.resolved.as_slice()) {
            ([one], _) => format!("{}: {}", self.project, name(&one.alert)),
            ([], [one]) => format!("{}: over: {}", self.project, name(one)),
            ([], over) => format!("{}: {} alerts are over", self.project, over.len()),
            (all, _) => format!("{}: {} alerts", self.project, all.len()),
        }
    }

    /// A line for each alert, with where to read what to do.
    pub fn lines(&self) -> Vec<String> {
        let standing = self.standing.iter().map(|one| {
            let Alert { kind, subject, words } = &one.alert;
            format!("{} {kind} {subject}: {words} (docs/runbooks/{}.md)", kind.severity(), kind.runbook())
        });
        let resolved = self.resolved.iter().map(|one| format!("over {} {}", one.kind, one.subject));
        standing.chain(resolved).collect()
    }
}
