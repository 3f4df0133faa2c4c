//! How production feels: what its waiting means, and what of it is its own doing.

use std::time::Duration;

use pw_model::unit::Bytes;

use super::rules::Limits;
use super::{Reading, Rules, Use};

/// From nothing to be seen to help at once; the order is that of urgency.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Feeling {
    Unknown,
    Calm,
    /// Neither squeeze nor let go: the band in which nothing changes keeps levers still.
    Warm,
    Hot,
    Severe,
}

impl Feeling {
    pub(super) fn is_pressed(self) -> bool {
        self >= Self::Hot
    }

    /// By how much `value` is above or below `limit`.
    fn of(value: Option<f64>, limit: f64) -> Self {
        Self::beyond(value, 0.0, limit)
    }

    /// The same of what is beyond `own`: who has that anyhow is calm with it.
    fn beyond(value: Option<f64>, own: f64, limit: f64) -> Self {
        match value {
            None => Self::Unknown,
            Some(value) if value >= (own + limit * 4.0).min(0.9) => Self::Severe,
            Some(value) if value >= own + limit => Self::Hot,
            Some(value) if value >= own + limit * 0.5 => Self::Warm,
            Some(_) => Self::Calm,
        }
    }
}

/// Production waits for itself, too: its own share is what is seen while nobody else keeps it from a processor.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Own {
    share: f64,
    seen: Option<Duration>,
    /// Since when the others are still.
    alone: Option<Duration>,
}

/// The others must have been still for so long before what is seen is production's own.
const SETTLED: Duration = Duration::from_secs(1);
/// Of the machine's processors: who has no more hardly keeps anybody from one. Several containers at their least have more than
/// one has.
const STILL: f64 = 0.125;
/// How much one reading counts against all before.
const WEIGHT: f64 = 0.1;
/// What is not seen again is half forgotten after this time.
const HALF_LIFE: f64 = 120.0;
/// Beyond, production is overloaded whoever's doing it is, and nobody is let go.
const OVERLOAD: f64 = 0.5;

impl Own {
    pub(super) fn learn(&mut self, rules: &Rules, reading: &Reading, now: Duration) {
        let used: Option<f64> = rules
            .squeezable()
            .map(|(name, _)| reading.uses.get(name).map_or(Some(0.0), Use::keeps_from_production))
            .sum();
        let still = used.is_some_and(|used| used <= rules.cpus * STILL);
        self.alone = still.then(|| self.alone.unwrap_or(now));
        let settled = self.alone.is_some_and(|since| now.saturating_sub(since) >= SETTLED);
        match reading.cpu.filter(|_| settled) {
            Some(share) => self.share += (share - self.share) * WEIGHT,
            None => self.forget(now),
        }
        self.seen = Some(now);
    }

    fn forget(&mut self, now: Duration) {
        let passed = self.seen.map_or(Duration::ZERO, |seen| now.saturating_sub(seen));
        self.share *= 0.5_f64.powf(passed.as_secs_f64() / HALF_LIFE);
    }

    pub(super) fn restart(&mut self, now: Duration) {
        self.seen = Some(now);
        self.alone = None;
    }

    /// What is added to a limit, so that production's own waiting does not count against others.
    fn allowance(&self) -> f64 {
        (self.share * 1.25).min(OVERLOAD)
    }
}

/// Below, a processor is free whenever production wants one.
const IDLE_MACHINE: f64 = 0.5;

pub(super) fn cpu(limits: &Limits, own: &Own, reading: &Reading) -> (Feeling, String) {
    let mut feeling = Feeling::beyond(reading.cpu, own.allowance(), limits.cpu);
    if reading.busy.is_some_and(|busy| busy < IDLE_MACHINE) {
        feeling = feeling.min(Feeling::Warm);
    }
    (feeling, format!("production waited {} of the time for a processor", percent(reading.cpu)))
}

/// Of the machine; what the kernel needs to breathe.
const LITTLE_MEMORY: f64 = 0.08;
const NO_MEMORY: f64 = 0.04;

pub(super) fn memory(limits: &Limits, reading: &Reading) -> (Feeling, String) {
    let waited = Feeling::of(reading.memory, limits.memory);
    let left = match reading.memory_free {
        None => Feeling::Unknown,
        Some(free) if free < NO_MEMORY => Feeling::Severe,
        Some(free) if free < LITTLE_MEMORY => Feeling::Hot,
        Some(free) if free < LITTLE_MEMORY * 1.5 => Feeling::Warm,
        Some(_) => Feeling::Calm,
    };
    if left > waited {
        return (left, format!("{} of the memory is left", percent(reading.memory_free)));
    }
    (waited, format!("production waited {} of the time for memory", percent(reading.memory)))
}

pub(super) fn io(limits: &Limits, reading: &Reading) -> (Feeling, String) {
    let because = format!("production waited {} of the time for a disk", percent(reading.io));
    (Feeling::of(reading.io, limits.io), because)
}

/// Of the disk; databases stop at nothing, and so does the engine a little before.
const LITTLE_DISK: f64 = 0.05;
const NO_DISK: f64 = 0.02;

pub(super) fn disk(reading: &Reading) -> (Feeling, String) {
    let because = format!("{} of the disk is left", percent(reading.disk_free));
    let feeling = match reading.disk_free {
        None => Feeling::Unknown,
        Some(free) if free < NO_DISK => Feeling::Severe,
        Some(free) if free < LITTLE_DISK => Feeling::Hot,
        Some(free) if free < LITTLE_DISK * 1.25 => Feeling::Warm,
        Some(_) => Feeling::Calm,
    };
    (feeling, because)
}

/// Of its budget: below, who was beyond may write again.
const ROOM: f64 = 0.95;

/// Who keeps more on disk than its budget; never calm, for it says nothing of production.
pub(super) fn quota(kept: Option<f64>, budget: Option<f64>) -> (Feeling, String) {
    let (Some(kept), Some(budget)) = (kept, budget) else { return (Feeling::Unknown, String::new()) };
    let feeling = match kept / budget.max(1.0) {
        part if part > 1.0 => Feeling::Severe,
        part if part > ROOM => Feeling::Warm,
        _ => Feeling::Unknown,
    };
    (feeling, over(kept, budget))
}

/// In words.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "bytes of a disk")]
pub(super) fn over(kept: f64, budget: f64) -> String {
    format!("it keeps {} on disk, and its budget is {}", Bytes(kept as u64), Bytes(budget as u64))
}

fn percent(share: Option<f64>) -> String {
    share.map_or_else(|| "?".into(), |share| format!("{:.0} %", share * 100.0))
}
