//! Sliding windows over the last minutes' answers.

use std::collections::VecDeque;
use std::time::Duration;

use pw_model::config::Goals;
use serde::{Deserialize, Serialize};

use crate::latency::Tally;

/// Notices: what happens now.
const SHORT: Duration = Duration::from_secs(15);
/// Confirms: an accident of a second is none in it.
const LONG: Duration = Duration::from_secs(300);
/// Of fewer answers, only failures in number say something.
const ANSWERS_BELIEVED: u64 = 20;
/// Fewer bad answers are an accident.
const BAD_BELIEVED: u64 = 3;
/// 99 of 100 are within the limit; so many may be later.
const MAY_BE_SLOW: f64 = 0.01;

/// The last minutes, second by second.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Windows {
    seconds: VecDeque<(Duration, Tally)>,
}

/// What a window says.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct Measure {
    pub answers: u64,
    pub failed: u64,
    pub slow: u64,
    /// In seconds.
    pub p99: Option<f64>,
    /// How many times over what the objective allows; 1 is just kept.
    pub burn: f64,
}

/// Both windows at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct Standing {
    pub short: Measure,
    pub long: Measure,
}

impl Windows {
    /// What was answered since the last time; `now` counts from the start of the machine. After a jump of the clock
    /// nothing of before is believed.
    pub fn add(&mut self, now: Duration, answered: Tally) {
        if self.seconds.back().is_some_and(|(last, _)| *last > now) {
            self.seconds.clear();
        }
        self.seconds.retain(|(at, _)| now.saturating_sub(*at) < LONG);
        self.seconds.push_back((now, answered));
    }

    pub fn standing(&self, goals: &Goals, now: Duration) -> Standing {
        Standing { short: self.within(SHORT, goals, now), long: self.within(LONG, goals, now) }
    }

    /// Of a window of so long.
    pub fn within(&self, window: Duration, goals: &Goals, now: Duration) -> Measure {
        let mut all = Tally::default();
        for (_, answered) in self.seconds.iter().filter(|(at, _)| now.saturating_sub(*at) < window) {
            all.add(answered);
        }
        Measure::of(&all, goals)
    }
}

impl Measure {
    pub(super) fn of(all: &Tally, goals: &Goals) -> Self {
        let answers = all.count();
        let share = |bad: u64| if answers == 0 { 0.0 } else { bad as f64 / answers as f64 };
        let slow = goals.p99.map(|_| share(all.slow) / MAY_BE_SLOW);
        // An objective of no failure at all is broken by any.
        let failed = goals.errors.map(|limit| share(all.failures) / limit.max(1e-9));
        Self {
            answers,
            failed: all.failures,
            slow: all.slow,
            p99: all.percentile(0.99),
            burn: slow.into_iter().chain(failed).fold(0.0, f64::max),
        }
    }

    /// Enough was answered to say something.
    pub fn is_known(&self) -> bool {
        self.answers >= ANSWERS_BELIEVED || self.failed.max(self.slow) >= BAD_BELIEVED
    }

    pub(super) fn is_broken(&self) -> bool {
        self.burn > 1.0 && self.failed.max(self.slow) >= BAD_BELIEVED
    }

    pub fn errors(&self) -> f64 {
        if self.answers == 0 { 0.0 } else { self.failed as f64 / self.answers as f64 }
    }

    /// For the governor: latency over its limit, failures over theirs, above 1 when broken. Of an accident no more
    /// than that it is near.
    pub fn ratios(&self, goals: &Goals) -> (Option<f64>, Option<f64>) {
        if !self.is_known() {
            return (None, None);
        }
        let believed = |ratio: f64, bad: u64| if bad < BAD_BELIEVED { ratio.min(NEAR) } else { ratio };
        let late = self.slow as f64 / self.answers.max(1) as f64;
        // A percentile is known within its class only; whether the limit is kept was counted.
        let exact = |ratio: f64| if late > MAY_BE_SLOW { ratio.max(1.01) } else { ratio.min(1.0) };
        let latency = goals.p99.and_then(|limit| Some(exact(self.p99? / limit.0.as_secs_f64())));
        let errors = goals.errors.map(|limit| self.errors() / limit.max(1e-9));
        (latency.map(|ratio| believed(ratio, self.slow)), errors.map(|ratio| believed(ratio, self.failed)))
    }
}

/// So near to the objective that nobody is indulged, and nobody squeezed.
const NEAR: f64 = 0.85;

impl Standing {
    pub(super) fn is_broken(&self) -> bool {
        self.long.is_broken() && self.short.burn > 1.0
    }
}
