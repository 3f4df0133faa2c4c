//! What a phase of the benchmark comes to: who answered when they should not have, what was lost, how long it took.

use std::collections::{BTreeMap, BTreeSet};

use super::switches::{Routed, Switch};
use super::traffic::{Kind, Seen};

/// After a switch, the release before may still be met for so long: what the goal of the switch is, in seconds.
const SWITCHING: f64 = 0.1;

/// From and until, in seconds since 1970.
pub(super) type Time = (f64, f64);

/// Fewer quick requests have no 99th percentile.
const ENOUGH: usize = 100;

/// One deployment, in seconds since 1970.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Deployment {
    pub(super) release: u32,
    pub(super) begun: f64,
    pub(super) ended: f64,
    /// Why it did not come to be.
    pub(super) failed: Option<String>,
}

/// When a release may be met.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Life {
    pub(super) release: u32,
    pub(super) from: f64,
    pub(super) until: f64,
}

/// By the switches: within a deployment the first leads to its release, the next back to the one before.
pub(super) fn switched_lives(first: u32, deployments: &[Deployment], switches: &[Switch]) -> Vec<Life> {
    let mut lives = vec![Life { release: first, from: f64::MIN, until: f64::MAX }];
    let mut before = first;
    for deployment in deployments {
        let within = |one: &&Switch| (deployment.begun..=deployment.ended).contains(&one.at);
        for (number, switch) in switches.iter().filter(within).enumerate() {
            let release = if number % 2 == 0 { deployment.release } else { before };
            if let Some(last) = lives.last_mut() {
                last.until = switch.at;
            }
            lives.push(Life { release, from: switch.at, until: f64::MAX });
        }
        before = lives.last().map_or(first, |last| last.release);
    }
    lives
}

/// Where no switch tells it: a release may be met from the beginning of its deployment to the end of the next.
pub(super) fn deployed_lives(first: u32, deployments: &[Deployment]) -> Vec<Life> {
    let begin = (first, f64::MIN);
    let begins: Vec<(u32, f64)> =
        std::iter::once(begin).chain(deployments.iter().map(|one| (one.release, one.begun))).collect();
    let ends = deployments.iter().map(|one| one.ended).chain([f64::MAX]);
    begins.into_iter().zip(ends).map(|((release, from), until)| Life { release, from, until }).collect()
}

/// Answers of another environment, or of a release that nobody should have met at that time.
pub(super) fn misrouted<'a>(seen: &'a [Seen], lives: &[Life]) -> Vec<&'a Seen> {
    let is_live = |one: &Seen, release: u32| {
        lives.iter().any(|life| {
            life.release == release
                && one.sent <= life.until + SWITCHING
                && one.ended >= life.from - SWITCHING
        })
    };
    seen.iter().filter(|one| !one.here || one.release.is_some_and(|release| !is_live(one, release))).collect()
}

/// Whether a websocket of the release may have been closed at that time.
pub(super) fn may_close(lives: &[Life], release: u32, at: f64, drain: f64) -> bool {
    let mut own = lives.iter().filter(|life| life.release == release);
    own.any(|life| at >= life.until + drain)
}

/// How long after each switch a request still went where it led before, in seconds.
pub(super) fn switch_times(switches: &[Switch], routed: &[Routed]) -> Vec<f64> {
    let pairs = switches.iter().zip(switches.iter().skip(1)).enumerate();
    pairs
        .map(|(number, (before, switch))| {
            // A colour is used again: two switches later. Who comes just before that may be led by it already.
            let until = switches.get(number + 2).map_or(f64::MAX, |next| next.at - SWITCHING);
            let old = routed.iter().filter(|one| one.to == before.address && one.began < until);
            let last = old.map(|one| one.began).fold(f64::MIN, f64::max);
            (last - switch.at).max(0.0)
        })
        .collect()
}

/// Rows by what was acknowledged: how many are not there, and how many are there more than once.
pub(super) fn lost_and_duplicated(acknowledged: &BTreeSet<String>, rows: &[String]) -> (usize, usize) {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for row in rows {
        *counts.entry(row).or_default() += 1;
    }
    let lost = acknowledged.iter().filter(|title| !counts.contains_key(title.as_str())).count();
    (lost, counts.values().filter(|count| **count > 1).count())
}

/// The 99th percentile of quick requests that were due in any of these times, in milliseconds; `None` for too few.
pub(super) fn p99(seen: &[Seen], times: &[Time]) -> Option<f64> {
    let is_quick = |one: &&Seen| matches!(one.kind, Kind::Kept | Kind::Each);
    let within = |one: &&Seen| times.iter().any(|(from, until)| (*from..*until).contains(&one.due));
    let mut all: Vec<f64> =
        seen.iter().filter(is_quick).filter(within).map(|one| one.ended - one.due).collect();
    all.sort_by(f64::total_cmp);
    if all.len() < ENOUGH { None } else { all.get(all.len() * 99 / 100).map(|seconds| seconds * 1000.0) }
}

/// How much higher the 99th percentile is in the second of each pair of times: 0.1 is a tenth.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Added {
    /// Of all pairs together. Of the few hundred requests of one flip it is the fourth slowest, which is chance.
    pub(super) together: f64,
    /// The median of what each pair has for itself, for a neighbour's burst hits one of them.
    pub(super) median: f64,
}

/// `None` where no pair has requests enough.
pub(super) fn added(seen: &[Seen], pairs: &[[Time; 2]]) -> Option<Added> {
    let times = |which: usize| pairs.iter().map(|pair| pair[which]).collect::<Vec<_>>();
    let ratio = |before: &[Time], after: &[Time]| Some(p99(seen, after)? / p99(seen, before)?);
    let each: Vec<f64> = pairs.iter().filter_map(|[before, after]| ratio(&[*before], &[*after])).collect();
    let together = ratio(&times(0), &times(1)).filter(|_| !each.is_empty())?;
    Some(Added { together: together - 1.0, median: median(each) - 1.0 })
}

/// The middle one; 0 of none.
pub(super) fn median(mut numbers: Vec<f64>) -> f64 {
    numbers.sort_by(f64::total_cmp);
    numbers.get(numbers.len() / 2).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(release: u32, sent: f64, ended: f64) -> Seen {
        Seen { kind: Kind::Kept, number: 0, due: sent, sent, ended, release: Some(release), here: true }
    }

    fn deployment(release: u32, begun: f64, ended: f64) -> Deployment {
        Deployment { release, begun, ended, failed: None }
    }

    fn switch(at: f64, address: &str) -> Switch {
        Switch { at, address: address.into() }
    }

    #[test]
    fn an_answer_of_a_release_that_does_not_serve_is_misrouted() {
        let deployments = [deployment(2, 10.0, 20.0), deployment(3, 30.0, 40.0)];
        let switches = [switch(0.0, "web"), switch(15.0, "blue"), switch(35.0, "green")];
        let lives = switched_lives(1, &deployments, &switches);
        let right = [seen(1, 14.0, 14.1), seen(1, 14.9, 17.0), seen(2, 14.9, 17.0), seen(2, 20.0, 20.1)];
        assert!(misrouted(&right, &lives).is_empty(), "{lives:?}");
        let wrong = [seen(2, 12.0, 12.1), seen(1, 15.2, 15.3), seen(1, 36.0, 36.1), seen(9, 15.0, 15.1)];
        assert_eq!(misrouted(&wrong, &lives).len(), wrong.len());
        let elsewhere = [Seen { here: false, ..seen(1, 14.0, 14.1) }];
        assert_eq!(misrouted(&elsewhere, &lives).len(), 1);
    }

    #[test]
    fn a_promotion_that_went_back_leaves_the_release_before() {
        let deployments = [deployment(2, 10.0, 20.0)];
        let lives =
            switched_lives(1, &deployments, &[switch(0.0, "web"), switch(12.0, "blue"), switch(14.0, "web")]);
        assert_eq!(lives.iter().map(|life| life.release).collect::<Vec<_>>(), [1, 2, 1]);
        assert!(misrouted(&[seen(2, 13.0, 13.1), seen(1, 16.0, 16.1)], &lives).is_empty());
        assert_eq!(misrouted(&[seen(2, 16.0, 16.1), seen(1, 13.0, 13.1)], &lives).len(), 2);
    }

    #[test]
    fn without_a_switch_both_may_be_met_while_one_replaces_the_other() {
        let lives = deployed_lives(1, &[deployment(2, 10.0, 20.0)]);
        assert!(misrouted(&[seen(1, 15.0, 15.1), seen(2, 15.0, 15.1)], &lives).is_empty());
        assert_eq!(misrouted(&[seen(2, 9.0, 9.1), seen(1, 21.0, 21.1)], &lives).len(), 2);
    }

    #[test]
    fn a_websocket_may_close_after_its_drain_limit_only() {
        let lives =
            switched_lives(1, &[deployment(2, 10.0, 30.0)], &[switch(0.0, "web"), switch(15.0, "blue")]);
        assert!(!may_close(&lives, 1, 14.0, 5.0) && !may_close(&lives, 1, 19.9, 5.0));
        assert!(may_close(&lives, 1, 20.1, 5.0));
        assert!(!may_close(&lives, 2, 100.0, 5.0), "nothing came after it");
    }

    #[test]
    fn the_last_request_on_the_old_colour_ends_the_switch() {
        let switches =
            [switch(0.0, "web"), switch(10.0, "blue"), switch(20.0, "green"), switch(30.0, "blue")];
        let to = |began: f64, to: &str| Routed { began, to: to.into() };
        let routed = [
            to(9.0, "web"),
            to(10.03, "web"),
            to(10.1, "blue"),
            to(19.9, "blue"),
            to(20.5, "green"),
            to(29.99, "blue"),
            to(31.0, "blue"),
        ];
        let times = switch_times(&switches, &routed);
        assert!((times[0] - 0.03).abs() < 1e-9, "{times:?}");
        assert_eq!(times[1..], [0.0, 0.0]);
    }

    #[test]
    fn each_acknowledged_row_is_there_once() {
        let acknowledged = ["a", "b", "c"].map(str::to_owned).into();
        let rows = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        assert_eq!(lost_and_duplicated(&acknowledged, &rows(&["a", "b", "c", "unanswered"])), (0, 0));
        assert_eq!(lost_and_duplicated(&acknowledged, &rows(&["a", "b", "b", "d", "d"])), (1, 2));
    }

    #[test]
    fn only_quick_requests_of_the_time_count() {
        let mut all: Vec<Seen> =
            (0..100).map(|number| seen(1, 5.0, 5.0 + f64::from(number) / 1000.0)).collect();
        all.push(seen(1, 50.0, 60.0));
        all.push(Seen { kind: Kind::Slow, ..seen(1, 5.0, 9.0) });
        assert!(p99(&all, &[(4.0, 6.0)]).is_some_and(|found| (found - 99.0).abs() < 0.001));
        assert_eq!(p99(&all, &[(40.0, 60.0)]), None, "one request has no percentile");
    }

    #[test]
    fn what_flips_add_is_told_of_all_together_and_of_the_middle_one() {
        let mut all = Vec::new();
        let mut second = |at: f64, seconds: f64| all.extend((0..100).map(|_| seen(1, at, at + seconds)));
        for (at, flipped) in [(10.0, 0.011), (20.0, 5.0), (30.0, 0.012)] {
            second(at, 0.010);
            second(at + 1.0, flipped);
        }
        let pair = |at: f64| [(at, at + 1.0), (at + 1.0, at + 2.0)];
        let found = added(&all, &[pair(10.0), pair(20.0), pair(30.0)]).expect("three flips");
        assert!((found.median - 0.2).abs() < 0.001, "{found:?}");
        assert!((found.together - 499.0).abs() < 0.001, "a third of all requests was slow: {found:?}");
        let one = added(&all, &[pair(10.0)]).expect("a flip");
        assert!((one.median - 0.1).abs() < 0.001 && (one.together - 0.1).abs() < 0.001, "{one:?}");
        assert_eq!(added(&all, &[pair(70.0)]), None);
    }
}
