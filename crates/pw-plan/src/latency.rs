//! How long answers took, in bounded space: for who watches for as long as the machine runs.

use serde::{Deserialize, Serialize};

/// Steps of the bounds.
const STEPS: usize = 33;

/// Upper bounds of the classes, in seconds: from 1 ms on, each √2 times the one before, to 65.5 s.
/// A percentile that is read from them lies in the right class, so that it is off by less than a factor of √2.
pub const BOUNDS: [f64; STEPS] = bounds();

/// Answers of one service: counts that only grow, of which two, a while apart, tell of the time between.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Tally {
    /// Answers by class; the last has no bound. Empty is none.
    classes: Vec<u64>,
    /// All durations together, in seconds.
    pub seconds: f64,
    /// Answers with status 500 and above.
    pub failures: u64,
    /// Answers that took longer than they were allowed to, counted one by one; 0 where nothing was said of that.
    pub slow: u64,
}

const fn bounds() -> [f64; STEPS] {
    let mut bounds = [0.001; STEPS];
    let mut at = 1;
    while at < STEPS {
        // Every second one is exact, so that no error piles up.
        bounds[at] =
            if at % 2 == 0 { bounds[at - 2] * 2.0 } else { bounds[at - 1] * std::f64::consts::SQRT_2 };
        at += 1;
    }
    bounds
}

impl Tally {
    /// Counts one answer.
    pub fn take(&mut self, seconds: f64, is_failure: bool, is_slow: bool) {
        self.classes.resize(STEPS + 1, 0);
        if let Some(count) = self.classes.get_mut(BOUNDS.partition_point(|bound| *bound < seconds)) {
            *count += 1;
        }
        self.seconds += seconds.max(0.0);
        self.failures += u64::from(is_failure);
        self.slow += u64::from(is_slow);
    }

    /// Answers in all.
    pub fn count(&self) -> u64 {
        self.classes.iter().sum()
    }

    /// Answers within each of [`BOUNDS`], cumulated as Prometheus wants them; those beyond the last are in [`Tally::count`] only.
    pub fn within(&self) -> impl Iterator<Item = (f64, u64)> + '_ {
        let counts = self.classes.iter().copied().chain(std::iter::repeat(0));
        BOUNDS.into_iter().zip(counts).scan(0, |all, (bound, count)| {
            *all += count;
            Some((bound, *all))
        })
    }

    pub fn add(&mut self, other: &Self) {
        self.classes.resize(self.classes.len().max(other.classes.len()), 0);
        self.classes.iter_mut().zip(&other.classes).for_each(|(count, more)| *count += more);
        self.seconds += other.seconds;
        self.failures += other.failures;
        self.slow += other.slow;
    }

    /// What came since `earlier`, a state of the same tally.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Self {
        let before = earlier.classes.iter().copied().chain(std::iter::repeat(0));
        Self {
            classes: self.classes.iter().zip(before).map(|(now, then)| now.saturating_sub(then)).collect(),
            seconds: (self.seconds - earlier.seconds).max(0.0),
            failures: self.failures.saturating_sub(earlier.failures),
            slow: self.slow.saturating_sub(earlier.slow),
        }
    }

    /// The duration within which `part` of the answers came, 0 to 1, in seconds; `None` without answers.
    ///
    /// By nearest rank, and between the bounds of a class as if its answers lay evenly there.
    pub fn percentile(&self, part: f64) -> Option<f64> {
        let rank = (part * self.count() as f64).ceil().max(1.0);
        let mut before = 0.0;
        for (at, count) in self.classes.iter().enumerate().filter(|(_, count)| **count > 0) {
            let count = *count as f64;
            if before + count >= rank {
                let lower = at.checked_sub(1).and_then(|at| BOUNDS.get(at)).copied().unwrap_or(0.0);
                let upper = BOUNDS.get(at).copied().unwrap_or(lower);
                return Some(lower + (upper - lower) * (rank - before) / count);
            }
            before += count;
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_reach_from_a_millisecond_over_a_minute() {
        assert_eq!(BOUNDS[0], 0.001);
        assert_eq!(BOUNDS[2], 0.002);
        assert_eq!(BOUNDS[STEPS - 1], 65.536);
        assert!(BOUNDS.windows(2).all(|pair| (pair[1] / pair[0] - std::f64::consts::SQRT_2).abs() < 1e-9));
    }

    #[test]
    fn percentiles_are_near_those_of_all_answers() {
        let mut tally = Tally::default();
        assert_eq!(tally.percentile(0.5), None);
        let mut all: Vec<f64> = (1..=10_000).map(|n| 0.002 * 1.000_7_f64.powi(n)).collect();
        all.iter().for_each(|seconds| tally.take(*seconds, false, *seconds > 1.0));
        all.sort_by(f64::total_cmp);
        for part in [0.01, 0.5, 0.9, 0.99] {
            let (exact, told) =
                (all[(part * 10_000.0) as usize - 1], tally.percentile(part).expect("answers"));
            assert!((told / exact - 1.0).abs() < 0.2, "{part}: {told} for {exact}");
        }
        assert_eq!(tally.slow, all.iter().filter(|seconds| **seconds > 1.0).count() as u64);
    }

    #[test]
    fn a_while_is_the_difference_of_two_states() {
        let (mut tally, mut whole) = (Tally::default(), Tally::default());
        tally.take(0.0005, false, false);
        let earlier = tally.clone();
        tally.take(100.0, true, true);
        tally.take(0.0012, false, false);
        let since = tally.since(&earlier);
        assert_eq!((since.count(), since.failures, since.slow), (2, 1, 1));
        assert_eq!(since.percentile(1.0), Some(65.536), "beyond the last bound nothing is known but that");
        let within: Vec<u64> = since.within().map(|(_, count)| count).collect();
        assert_eq!((within[0], within[1], within[STEPS - 1]), (0, 1, 1));
        whole.add(&earlier);
        whole.add(&since);
        assert_eq!(whole.count(), tally.count());
        assert_eq!(Tally::default().since(&tally).count(), 0);
    }
}
