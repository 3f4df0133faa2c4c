//! Why the objective was broken, from what was happening at the time.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::scene::{Change, Memory};
use super::windows::Measure;

/// Whose doing it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Cause {
    /// Another environment of the project used what production waited for.
    Development,
    /// A promotion or a rollback in the minutes before.
    Release,
    /// More was asked of production than usual, or it works harder, and nobody else does.
    Load,
    /// The machine itself, or who else uses it.
    Host,
    Unknown,
}

impl Cause {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Development => "development",
            Self::Release => "release",
            Self::Load => "load",
            Self::Host => "host",
            Self::Unknown => "unknown",
        }
    }

    /// What [`Cause::as_str`] wrote.
    pub fn parse(text: &str) -> Self {
        let all = [Self::Development, Self::Release, Self::Load, Self::Host];
        all.into_iter().find(|cause| cause.as_str() == text).unwrap_or(Self::Unknown)
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A release shows in so many minutes, or its doing is somebody else's.
const RELEASE_MINUTES: i64 = 10;
/// Shares of time from which production waits for others; those of the governor's mode `balanced`.
const WAITS: [(f64, &str); 3] = [(0.10, "a processor"), (0.05, "memory"), (0.20, "a disk")];
/// Of the machine's processors; who uses less presses nobody.
const PRESSES: f64 = 0.25;
/// Bytes a second from which somebody keeps a disk busy.
const WRITES: f64 = 5.0 * 1024.0 * 1024.0;
/// Of the machine; who uses this much does not wait for others.
const OWN: f64 = 0.7;
/// Times the usual rate.
const SURGE: f64 = 1.5;

/// What speaks for a cause, and how strongly.
struct Clue {
    cause: Cause,
    weight: u8,
    words: String,
}

/// The cause that most speaks for, and what speaks for it; then what speaks for others.
pub(super) fn cause(memory: &Memory, broken: &Measure, (start, now): (i64, i64)) -> (Cause, Vec<String>) {
    let mut clues: Vec<Clue> = host(memory);
    clues.extend(development(memory));
    clues.extend(release(memory, broken, (start, now)));
    clues.extend(load(memory));
    clues.sort_by_key(|clue| std::cmp::Reverse(clue.weight));
    match clues.first() {
        Some(first) => (first.cause, clues.iter().map(|clue| clue.words.clone()).collect()),
        None => (
            Cause::Unknown,
            vec!["nobody else was busy, nothing was released, and no more was asked than usual".into()],
        ),
    }
}

fn host(memory: &Memory) -> Vec<Clue> {
    let least = |figure: fn(&super::Scene) -> Option<f64>| memory.least(figure);
    let most = |figure: fn(&super::Scene) -> Option<f64>| memory.most(figure);
    let cpus = most(|scene| Some(scene.cpus)).unwrap_or(1.0);
    let percent = |share: f64| share * 100.0;
    let disk = least(|scene| scene.reading.disk_free).filter(|free| *free < 0.02);
    let stolen = most(|scene| scene.reading.stolen).filter(|share| *share > 0.1);
    let swapped = most(|scene| scene.reading.swapped).filter(|bytes| *bytes > WRITES);
    let left = least(|scene| scene.reading.memory_free).filter(|free| *free < 0.04);
    let elsewhere =
        most(super::Scene::elsewhere).filter(|used| *used > cpus * 0.5 && waits(memory).is_some());
    let clue = |weight, words| Clue { cause: Cause::Host, weight, words };
    [
        disk.map(|free| clue(100, format!("{:.1} % of the disk was left", percent(free)))),
        stolen.map(|share| {
            clue(90, format!("the machine's own host took {:.0} % of its processors", percent(share)))
        }),
        swapped.map(|bytes| clue(88, format!("the machine swapped {:.0} MB/s", bytes / 1_048_576.0))),
        left.map(|free| clue(86, format!("{:.0} % of the memory was left", percent(free)))),
        elsewhere.map(|used| clue(65, format!("{used:.1} CPUs were used by who is not of this project"))),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// For what production waited longest, against its limit.
fn waits(memory: &Memory) -> Option<(f64, &'static str)> {
    let waited = [
        memory.most(|scene| scene.reading.cpu),
        memory.most(|scene| scene.reading.memory),
        memory.most(|scene| scene.reading.io),
    ];
    let over = waited.into_iter().zip(WAITS).filter_map(|(waited, (limit, what))| {
        let waited = waited.filter(|waited| *waited >= limit)?;
        Some((waited / limit, waited, what))
    });
    over.max_by(|a, b| a.0.total_cmp(&b.0)).map(|(_, waited, what)| (waited, what))
}

fn development(memory: &Memory) -> Option<Clue> {
    let (waited, what) = waits(memory)?;
    let cpus = memory.most(|scene| Some(scene.cpus)).unwrap_or(1.0);
    let used = memory.most(super::Scene::others).unwrap_or_default();
    let transferred = memory.most(super::Scene::transferred).unwrap_or_default();
    if used < cpus * PRESSES && transferred < WRITES {
        return None;
    }
    let disk = format!(" and {:.0} MB/s of disk", transferred / 1_048_576.0);
    let disk = if transferred < WRITES { String::new() } else { disk };
    let waited = waited * 100.0;
    let mut words = format!(
        "production waited {waited:.0} % of the time for {what} while other environments used {used:.1} CPUs{disk}"
    );
    if let Some(held) = memory.scenes().rev().find_map(|scene| scene.squeezed.first()) {
        words.push_str(&format!("; the governor held {held}"));
    }
    Some(Clue { cause: Cause::Development, weight: 75, words })
}

fn release(memory: &Memory, broken: &Measure, (start, now): (i64, i64)) -> Option<Clue> {
    let since = start - RELEASE_MINUTES * 60_000;
    let shows = |change: &&Change| change.begun <= start && change.ended.unwrap_or(now) >= since;
    let newest = memory.scenes().next_back()?;
    let change = newest.changes.iter().find(shows)?;
    let when = match change.ended.filter(|ended| *ended <= start) {
        Some(ended) => format!("ended {} s before", (start - ended) / 1000),
        None => format!("had been going on for {} s", (start - change.begun) / 1000),
    };
    // Failures are what a release brings; slowness comes from others, too.
    let weight = if broken.failed > broken.slow { 80 } else { 70 };
    Some(Clue {
        cause: Cause::Release,
        weight,
        words: format!("a `{}` of production {when}", change.operation),
    })
}

fn load(memory: &Memory) -> Option<Clue> {
    let cpus = memory.most(|scene| Some(scene.cpus)).unwrap_or(1.0);
    let own = memory.most(|scene| scene.reading.own).filter(|own| *own >= cpus * OWN);
    let surge = memory.surge().filter(|surge| *surge >= SURGE);
    let words = match (surge, own) {
        (None, None) => return None,
        (Some(surge), None) => {
            format!("{surge:.1} times the usual rate was asked: {:.0} a second", memory.rate)
        }
        (None, Some(own)) => format!("production itself used {own:.1} of {cpus} CPUs"),
        (Some(surge), Some(own)) => format!(
            "{surge:.1} times the usual rate was asked, {:.0} a second, and production itself used {own:.1} of {cpus} CPUs",
            memory.rate
        ),
    };
    Some(Clue { cause: Cause::Load, weight: 60, words })
}
