//! What a load measured.

use std::time::Duration;

/// Failures whose words are kept; the rest is counted.
const KEPT: usize = 10;

#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Report {
    /// Of right answers, from when each request was due; in ascending order.
    pub latencies: Vec<Duration>,
    pub failures: usize,
    /// What some of the failures were.
    pub reasons: Vec<String>,
}

impl Report {
    /// The latency that this share of the right answers kept within: `0.99`.
    pub fn quantile(&self, share: f64) -> Duration {
        let last = self.latencies.len().saturating_sub(1);
        #[expect(
            clippy::cast_precision_loss,
            clippy::cast_sign_loss,
            clippy::cast_possible_truncation,
            reason = "a place in a list"
        )]
        let at = (self.latencies.len() as f64 * share) as usize;
        self.latencies.get(at.min(last)).copied().unwrap_or_default()
    }

    pub fn requests(&self) -> usize {
        self.latencies.len() + self.failures
    }

    pub(crate) fn answered(&mut self, latency: Duration) {
        self.latencies.push(latency);
    }

    pub(crate) fn failed(&mut self, reason: String) {
        self.failures += 1;
        if self.reasons.len() < KEPT {
            self.reasons.push(reason);
        }
    }

    pub(crate) fn and(mut self, other: Self) -> Self {
        self.latencies.extend(other.latencies);
        self.failures += other.failures;
        self.reasons.extend(other.reasons);
        self.reasons.truncate(KEPT);
        self
    }

    pub(crate) fn sorted(mut self) -> Self {
        self.latencies.sort_unstable();
        self
    }
}
