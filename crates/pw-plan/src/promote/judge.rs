//! When a new release is worse than the one before.

use std::fmt;

use crate::step::Watch;

/// Fewer failures than this are an accident.
const FAILURES_BELIEVED: u64 = 3;
/// Fewer answers than this have no 99th percentile to speak of.
const ANSWERS_BELIEVED: usize = 100;
/// This many answers tell a median.
const ANSWERS_WITH_MEDIAN: usize = 10;
/// The new release may be slower than the one before by this factor; measured minutes apart, neither is exact.
const SLOWER: f64 = 2.0;

/// What a generation answered while it was looked at.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Answers {
    /// Of each answer, in seconds, in no order.
    pub seconds: Vec<f64>,
    /// Answers with status 500 and above.
    pub failures: u64,
}

/// Why a new release is not kept.
#[derive(Debug, Clone, PartialEq)]
pub enum Worse {
    Fails {
        failures: u64,
        of: usize,
        share: f64,
        before: f64,
        limit: f64,
    },
    Slow {
        p99: f64,
        before: Option<f64>,
        limit: f64,
    },
    /// Half of a few answers took longer than all but one of a hundred may.
    Slower {
        median: f64,
        limit: f64,
    },
}

impl Answers {
    /// Share of answers that are failures, 0 to 1.
    pub fn share(&self) -> f64 {
        if self.seconds.is_empty() { 0.0 } else { self.failures as f64 / self.seconds.len() as f64 }
    }

    /// The 99th percentile; `None` for too few.
    pub fn p99(&self) -> Option<f64> {
        self.percentile(0.99, ANSWERS_BELIEVED)
    }

    /// By nearest rank; `None` for fewer answers than are believed.
    fn percentile(&self, part: f64, believed: usize) -> Option<f64> {
        if self.seconds.len() < believed {
            return None;
        }
        let mut sorted = self.seconds.clone();
        sorted.sort_by(f64::total_cmp);
        let rank = (sorted.len() as f64 * part).ceil() as usize;
        sorted.get(rank.saturating_sub(1)).copied()
    }
}

/// Compares the two generations of a service, and the new one with the objective.
///
/// Failures count when there are three of them and their share is over the objective's (1 % where there is none) and
/// twice that of the generation before. Slowness counts when the 99th percentile is over the objective's and twice
/// that before; without an objective, over three times that before. Of few answers, the median must be over it.
pub fn judge(before: &Answers, after: &Answers, watch: &Watch) -> Option<Worse> {
    let limit = watch.errors_per_million.map_or(0.01, |errors| errors as f64 / 1e6);
    let share = after.share();
    if after.failures >= FAILURES_BELIEVED && share > limit && share > 2.0 * before.share() {
        let (failures, of) = (after.failures, after.seconds.len());
        return Some(Worse::Fails { failures, of, share, before: before.share(), limit });
    }
    let old = before.p99();
    let goal = watch.p99_milliseconds.map(|goal| goal as f64 / 1000.0);
    let limit = match (goal, old) {
        (Some(goal), old) => goal.max(old.unwrap_or(0.0) * SLOWER),
        (None, Some(old)) => old * (SLOWER + 1.0),
        (None, None) => return None,
    };
    if let Some(p99) = after.p99() {
        return (p99 > limit).then_some(Worse::Slow { p99, before: old, limit });
    }
    let median = after.percentile(0.5, ANSWERS_WITH_MEDIAN)?;
    (median > limit).then_some(Worse::Slower { median, limit })
}

impl fmt::Display for Worse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fails { failures, of, share, before, limit } => write!(
                f,
                "{failures} of {of} answers failed: {:.2} %, where {:.2} % may and {:.2} % did before",
                share * 100.0,
                limit * 100.0,
                before * 100.0
            ),
            Self::Slower { median, limit } => {
                let [median, limit] = [median, limit].map(|seconds| seconds * 1000.0);
                write!(f, "half of its answers took over {median:.0} ms, where 99 of 100 may take {limit:.0}")
            }
            Self::Slow { p99, before, limit } => {
                write!(
                    f,
                    "99 of 100 answers took {:.0} ms, where {:.0} may be",
                    p99 * 1000.0,
                    limit * 1000.0
                )?;
                match before {
                    Some(before) => write!(f, " and {:.0} were before", before * 1000.0),
                    None => Ok(()),
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn watch(errors: Option<u64>, p99: Option<u64>) -> Watch {
        Watch {
            folder: String::new(),
            milliseconds: 1000,
            routes: Vec::new(),
            p99_milliseconds: p99,
            errors_per_million: errors,
        }
    }

    fn answers(count: usize, seconds: f64, failures: u64) -> Answers {
        Answers { seconds: vec![seconds; count], failures }
    }

    #[test]
    fn failures_count_against_the_objective_and_the_release_before() {
        let (good, held) = (answers(1000, 0.01, 0), watch(Some(1000), None));
        assert_eq!(judge(&good, &answers(40, 0.01, 2), &held), None, "two are an accident");
        let told = judge(&good, &answers(60, 0.01, 3), &held).map(|worse| worse.to_string());
        assert_eq!(
            told.as_deref(),
            Some("3 of 60 answers failed: 5.00 %, where 0.10 % may and 0.00 % did before")
        );
        let bad = answers(1000, 0.01, 40);
        assert_eq!(judge(&bad, &answers(60, 0.01, 3), &held), None, "no worse than before");
        assert_eq!(judge(&good, &answers(600, 0.01, 5), &watch(None, None)), None, "below one of a hundred");
    }

    #[test]
    fn slowness_needs_answers_enough() {
        let (good, held) = (answers(1000, 0.01, 0), watch(None, Some(250)));
        assert_eq!(judge(&good, &answers(9, 1.0, 0), &held), None);
        let told = judge(&good, &answers(10, 1.0, 0), &held).map(|worse| worse.to_string());
        let said = "half of its answers took over 1000 ms, where 99 of 100 may take 250";
        assert_eq!(told.as_deref(), Some(said));
        let told = judge(&good, &answers(100, 1.0, 0), &held).map(|worse| worse.to_string());
        assert_eq!(
            told.as_deref(),
            Some("99 of 100 answers took 1000 ms, where 250 may be and 10 were before")
        );
        assert_eq!(judge(&answers(200, 0.6, 0), &answers(200, 1.0, 0), &held), None, "was slow before");
        assert!(judge(&good, &answers(200, 0.031, 0), &watch(None, None)).is_some());
        assert_eq!(judge(&good, &answers(200, 0.029, 0), &watch(None, None)), None);
    }
}
