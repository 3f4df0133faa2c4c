//! The objective as a sensor: production's latency and failures, held against what its visitors were promised.

use std::time::Duration;

use super::feeling::Feeling;
use super::{BLIND_AFTER, Reading, Rules};

/// With everybody still for so long, what breaks the objective is production's own.
const VAIN: Duration = Duration::from_secs(30);
/// Before others are squeezed for it again, unless it was kept in between.
const DISBELIEVED: Duration = Duration::from_secs(300);
/// Bytes a second from which somebody keeps a disk, or the network, busy.
pub(super) const WRITES: f64 = 5.0 * 1024.0 * 1024.0;

/// What is remembered of it.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Promise {
    /// A sensor that flaps says, while it is silent, what it said last.
    seen: Option<(Duration, Kept)>,
    /// Since when it is broken though nobody else does anything.
    vain: Option<Duration>,
    disbelieved: Option<Duration>,
}

/// Both over their limits; above 1 is broken.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Kept {
    latency: f64,
    errors: f64,
}

impl Promise {
    pub(super) fn look(&mut self, rules: &Rules, reading: &Reading, now: Duration) {
        if reading.latency.is_some() || reading.errors.is_some() {
            let [latency, errors] = [reading.latency, reading.errors].map(|ratio| ratio.unwrap_or(0.0));
            self.seen = Some((now, Kept { latency, errors }));
        }
        self.seen = self.seen.filter(|(at, _)| now.saturating_sub(*at) <= BLIND_AFTER);
        let broken = self.ratio().is_some_and(|ratio| ratio > 1.0);
        if self.ratio().is_some_and(|ratio| ratio <= 1.0) {
            self.disbelieved = None;
        }
        self.vain = (broken && is_still(rules, reading)).then(|| self.vain.unwrap_or(now));
        if self.vain.is_some_and(|since| now.saturating_sub(since) >= VAIN) {
            (self.vain, self.disbelieved) = (None, Some(now));
        }
        self.disbelieved = self.disbelieved.filter(|since| now.saturating_sub(*since) < DISBELIEVED);
    }

    /// The worse of the two; `None` where nothing is known.
    pub(super) fn ratio(&self) -> Option<f64> {
        self.seen.map(|(_, kept)| kept.latency.max(kept.errors))
    }

    pub(super) fn feeling(&self) -> (Feeling, String) {
        let Some((_, kept)) = self.seen.filter(|_| self.disbelieved.is_none()) else {
            return (Feeling::Unknown, String::new());
        };
        let (ratio, what) = match kept.latency >= kept.errors {
            true => (kept.latency, "latency is"),
            false => (kept.errors, "failures are"),
        };
        let feeling = match ratio {
            _ if ratio > 1.5 => Feeling::Severe,
            _ if ratio > 1.0 => Feeling::Hot,
            _ if ratio > 0.9 => Feeling::Warm,
            _ => Feeling::Unknown,
        };
        (feeling, format!("production's {what} at {:.0} % of the objective", ratio * 100.0))
    }

    /// The clock jumped: what was seen is of another time.
    pub(super) fn restart(&mut self) {
        *self = Self::default();
    }
}

/// Nobody but production does anything to speak of.
fn is_still(rules: &Rules, reading: &Reading) -> bool {
    rules.squeezable().all(|(name, _)| {
        let used = reading.uses.get(name).copied().unwrap_or_default();
        let cpus = used.cpus.is_none_or(|cpus| cpus <= rules.least_cpus() * 1.25);
        cpus && [used.io, used.network].into_iter().flatten().all(|bytes| bytes < WRITES)
    })
}
