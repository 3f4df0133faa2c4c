//! What else was happening: some seconds of it, so that a cause is still seen after it was dealt with.

use std::collections::VecDeque;
use std::time::Duration;

use crate::govern::Reading;

/// Somebody changed production.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// As it is typed: `promote`, `rollback`, `up`.
    pub operation: String,
    /// Milliseconds since 1970.
    pub begun: i64,
    /// `None` while it goes on.
    pub ended: Option<i64>,
}

/// One second, beside what was answered in it.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Scene {
    pub reading: Reading,
    /// Who is held to what by the governor, in words.
    pub squeezed: Vec<String>,
    /// The machine's.
    pub cpus: f64,
    /// Of production, the newest first.
    pub changes: Vec<Change>,
}

/// So long before the objective was broken, what happened may be why.
const BEFORE: Duration = Duration::from_secs(30);
/// What is usual follows what is, within some minutes.
const FOLLOWS: f64 = 1.0 / 300.0;
/// Seconds after which something is usual.
const LEARNT: u32 = 60;

/// The last scenes, and what is usual.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Memory {
    scenes: VecDeque<(Duration, Scene)>,
    /// Answers a second.
    usual: f64,
    learnt: u32,
    /// Answers a second in the last seconds.
    pub(super) rate: f64,
}

impl Memory {
    pub(super) fn add(&mut self, now: Duration, scene: Scene, answers: Option<u64>, quiet: bool) {
        self.scenes.retain(|(at, _)| *at <= now && now.saturating_sub(*at) < BEFORE);
        self.scenes.push_back((now, scene));
        let Some(answers) = answers else { return };
        self.rate += (answers as f64 - self.rate) * 0.2;
        if quiet {
            self.learnt = self.learnt.saturating_add(1);
            let follows = FOLLOWS.max(1.0 / f64::from(self.learnt));
            self.usual += (self.rate - self.usual) * follows;
        }
    }

    /// How many times the usual rate; `None` before anything is usual.
    pub(super) fn surge(&self) -> Option<f64> {
        (self.learnt >= LEARNT && self.usual >= 1.0).then(|| self.rate / self.usual)
    }

    /// The scene in which a figure was the highest.
    pub(super) fn most(&self, figure: impl Fn(&Scene) -> Option<f64>) -> Option<f64> {
        self.scenes
            .iter()
            .filter_map(|(_, scene)| figure(scene))
            .filter(|value| value.is_finite())
            .reduce(f64::max)
    }

    pub(super) fn least(&self, figure: impl Fn(&Scene) -> Option<f64>) -> Option<f64> {
        self.most(|scene| figure(scene).map(|value| -value)).map(|value| -value)
    }

    pub(super) fn scenes(&self) -> impl DoubleEndedIterator<Item = &Scene> {
        self.scenes.iter().map(|(_, scene)| scene)
    }
}

impl Scene {
    /// CPUs that environments other than production use.
    pub(super) fn others(&self) -> Option<f64> {
        self.reading.uses.values().map(|used| used.cpus).sum()
    }

    /// CPUs that nobody of this project uses.
    pub(super) fn elsewhere(&self) -> Option<f64> {
        let work = self.reading.busy? * self.cpus;
        Some((work - self.reading.own? - self.others()?).max(0.0))
    }

    /// Bytes a second that others read and write.
    pub(super) fn transferred(&self) -> Option<f64> {
        self.reading.uses.values().map(|used| used.io).sum()
    }
}
