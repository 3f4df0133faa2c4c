//! The table, the goals and the last line.

use std::collections::BTreeMap;

use super::sockets::{End, Talk};
use super::verdict::{
    Added, Life, Time, added, lost_and_duplicated, may_close, median, misrouted, p99, switch_times,
};
use super::{ALL, DRAIN, LOOK, Phase, Who};
use crate::run::{Result, say};

/// The switch itself, in milliseconds.
const SWITCH: f64 = 100.0;
/// Of the 99th percentile after a switch, against quiet times.
const ADDED: f64 = 0.10;

/// The figures of one who deploys.
struct Figures {
    deployments: usize,
    requests: usize,
    failed: usize,
    misrouted: usize,
    lost: usize,
    duplicated: usize,
    sockets: Sockets,
    /// Of development.
    beside: Sockets,
    seconds: f64,
    quiet: f64,
    during: f64,
    reasons: Vec<String>,
}

/// What became of websockets.
#[derive(Default)]
struct Sockets {
    /// Ended when they might.
    drained: usize,
    dropped: usize,
    refused: usize,
    reasons: Vec<String>,
}

/// The figures of all flips.
struct Flips {
    /// Milliseconds.
    switch: f64,
    longest: f64,
    /// To the 99th percentile after a switch, against the quiet time before.
    added: Added,
    /// To one quiet time against another: the machine's own unrest.
    floor: Added,
}

pub(super) fn report(wanted: u32, phases: &[Phase; 3]) -> Result<()> {
    let figures = phases.each_ref().map(of);
    let flips = flips(&phases[0]);
    table(&figures);
    for (who, figures) in ALL.iter().zip(&figures) {
        let all = figures.reasons.iter().chain(&figures.sockets.reasons).chain(&figures.beside.reasons);
        counted(all).iter().take(8).for_each(|reason| say(&format!("  {}: {reason}", who.name())));
    }
    say(&format!(
        "ours: the 99th percentile in the {LOOK} s after a switch, all flips together, is {:+.1} % of that before (quiet against \
         quiet: {:+.1} %); the median of each flip for itself is {:+.1} % ({:+.1} %)",
        flips.added.together * 100.0,
        flips.floor.together * 100.0,
        flips.added.median * 100.0,
        flips.floor.median * 100.0,
    ));
    say(&format!("ours: the drain limit ended {} websockets", figures[0].sockets.drained));
    say(&last_line(&figures, &flips));
    let missed = missed(wanted, &figures[0], &flips);
    if missed.is_empty() { Ok(()) } else { Err(missed.join("; ").into()) }
}

fn last_line(figures: &[Figures; 3], flips: &Flips) -> String {
    let [ours, recreate, rollout] = figures;
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    format!(
        "promote: promotions={} failed={} misrouted={} lost={} duplicated={} dropped={} refused={} beside_dropped={} \
         switch_ms={:.1} switch_longest_ms={:.1} added_p99={:.3} floor={:.3} median_added_p99={:.3} median_floor={:.3} recreate_failed={} recreate_dropped={} \
         rollout_failed={} rollout_dropped={} load={}",
        ours.deployments,
        ours.failed,
        ours.misrouted,
        ours.lost,
        ours.duplicated,
        ours.sockets.dropped,
        ours.sockets.refused,
        ours.beside.dropped + ours.beside.refused,
        flips.switch,
        flips.longest,
        flips.added.together,
        flips.floor.together,
        flips.added.median,
        flips.floor.median,
        recreate.failed,
        recreate.sockets.dropped,
        rollout.failed,
        rollout.sockets.dropped,
        load.split(' ').next().unwrap_or_default(),
    )
}

fn missed(wanted: u32, ours: &Figures, flips: &Flips) -> Vec<String> {
    let done = u32::try_from(ours.deployments).unwrap_or_default();
    let beside = ours.beside.dropped + ours.beside.refused;
    let goals = [
        (done == wanted, format!("{done} of {wanted} promotions came to be")),
        (ours.failed == 0, format!("failed requests: {}", ours.failed)),
        (ours.misrouted == 0, format!("{} requests were misrouted", ours.misrouted)),
        (ours.lost == 0, format!("{} acknowledged writes are lost", ours.lost)),
        (ours.duplicated == 0, format!("{} writes are there twice", ours.duplicated)),
        (ours.sockets.dropped == 0, format!("{} websockets were dropped", ours.sockets.dropped)),
        (ours.sockets.refused == 0, format!("{} websockets were refused", ours.sockets.refused)),
        (beside == 0, format!("{beside} websockets of development were touched")),
        (flips.switch < SWITCH, format!("a switch takes {:.1} ms, not under {SWITCH}", flips.switch)),
        (
            flips.added.together < ADDED,
            format!("the 99th percentile is {:.1} % higher after a switch", flips.added.together * 100.0),
        ),
        (
            flips.added.median < ADDED,
            format!("it is {:.1} % higher after the middle one of all switches", flips.added.median * 100.0),
        ),
    ];
    goals.into_iter().filter(|(held, _)| !held).map(|(_, what)| what).collect()
}

fn of(phase: &Phase) -> Figures {
    let lives = phase.lives();
    let (lost, duplicated) = lost_and_duplicated(&phase.acknowledged(), &phase.rows());
    let wrong = misrouted(&phase.seen, &lives);
    let quiet: Vec<Time> = phase.deployments.iter().map(|one| (one.begun - LOOK, one.begun)).collect();
    let during: Vec<Time> = phase.deployments.iter().map(|one| (one.begun, one.ended)).collect();
    let told = wrong.iter().take(3).map(|one| format!("misrouted: {one:?}"));
    Figures {
        deployments: phase.done(),
        requests: phase.requests,
        failed: phase.failed,
        misrouted: wrong.len(),
        lost,
        duplicated,
        sockets: ended(phase, &lives),
        beside: judged(&phase.beside, |_| false),
        seconds: median(phase.deployments.iter().map(|one| one.ended - one.begun).collect()),
        quiet: p99(&phase.seen, &quiet).unwrap_or(f64::NAN),
        during: p99(&phase.seen, &during).unwrap_or(f64::NAN),
        reasons: phase.reasons.iter().cloned().chain(told).collect(),
    }
}

/// With us, the drain limit may end a websocket; nothing else may, and with nobody else.
fn ended(phase: &Phase, lives: &[Life]) -> Sockets {
    let drain = DRAIN.as_secs_f64();
    judged(&phase.talks, |talk| {
        phase.who == Who::Ours
            && talk.release.is_some_and(|release| may_close(lives, release, talk.ended, drain))
    })
}

fn judged(talks: &[Talk], may_close: impl Fn(&Talk) -> bool) -> Sockets {
    let mut sockets = Sockets::default();
    for talk in talks {
        match &talk.end {
            End::Ours => continue,
            End::Closed(_) if may_close(talk) => {
                sockets.drained += 1;
                continue;
            }
            End::Closed(_) | End::Wrong(_) => sockets.dropped += 1,
            End::Refused(_) => sockets.refused += 1,
        }
        sockets.reasons.push(format!("websocket: {:?}", talk.end));
    }
    sockets
}

/// Each once, with how often it was said.
fn counted<'a>(reasons: impl Iterator<Item = &'a String>) -> Vec<String> {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for reason in reasons {
        *counts.entry(reason).or_default() += 1;
    }
    counts.into_iter().map(|(reason, count)| format!("{count} times {reason}")).collect()
}

fn flips(ours: &Phase) -> Flips {
    let times = switch_times(&ours.switches, &ours.routed);
    let longest = times.iter().copied().fold(0.0, f64::max) * 1000.0;
    let quiet = |before: f64, begun: f64| (begun - before - LOOK, begun - before);
    let flips: Vec<_> = ours
        .deployments
        .iter()
        .filter_map(|one| {
            let switch = ours.switches.iter().find(|switch| switch.at > one.begun)?;
            Some([quiet(0.0, one.begun), (switch.at, switch.at + LOOK)])
        })
        .collect();
    let floor: Vec<_> =
        ours.deployments.iter().map(|one| [quiet(LOOK, one.begun), quiet(0.0, one.begun)]).collect();
    let nothing = |figure| Added { together: figure, median: figure };
    Flips {
        // What was not measured is not under the goal.
        switch: if times.is_empty() { f64::INFINITY } else { median(times) * 1000.0 },
        longest,
        added: added(&ours.seen, &flips).unwrap_or(nothing(f64::INFINITY)),
        floor: added(&ours.seen, &floor).unwrap_or(nothing(f64::NAN)),
    }
}

#[expect(clippy::cast_precision_loss, reason = "figures for people")]
fn table(figures: &[Figures; 3]) {
    let whole = |of: fn(&Figures) -> usize| figures.each_ref().map(|one| of(one) as f64);
    let each = |of: fn(&Figures) -> usize| {
        figures.each_ref().map(|one| of(one) as f64 / one.deployments.max(1) as f64)
    };
    let rows: [(&str, [f64; 3], usize); 12] = [
        ("deployments", whole(|one| one.deployments), 0),
        ("requests", whole(|one| one.requests), 0),
        ("failed requests", whole(|one| one.failed), 0),
        ("failed requests per deployment", each(|one| one.failed), 1),
        ("misrouted requests", whole(|one| one.misrouted), 0),
        ("acknowledged writes lost", whole(|one| one.lost), 0),
        ("writes there twice", whole(|one| one.duplicated), 0),
        ("websockets dropped per deployment", each(|one| one.sockets.dropped), 1),
        ("new websockets refused", whole(|one| one.sockets.refused), 0),
        ("a deployment takes, s (median)", figures.each_ref().map(|one| one.seconds), 1),
        ("p99 in quiet times, ms", figures.each_ref().map(|one| one.quiet), 1),
        ("p99 during deployments, ms", figures.each_ref().map(|one| one.during), 1),
    ];
    say(&format!("{:<34}{}", "", ALL.map(|who| format!("{:>21}", who.name())).concat()));
    for (name, values, digits) in rows {
        say(&format!("{name:<34}{}", values.map(|value| format!("{value:>21.digits$}")).concat()));
    }
    let ratio = figures.each_ref().map(|one| format!("{:>21.2}", one.during / one.quiet));
    say(&format!("{:<34}{}", "p99, deployments : quiet", ratio.concat()));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn talk(end: End, at: f64) -> Talk {
        Talk { release: Some(1), ended: at, end }
    }

    #[test]
    fn a_websocket_that_ends_before_its_time_is_dropped() {
        let closed = || End::Closed("a close frame".into());
        let talks = [
            talk(closed(), 3.0),
            talk(closed(), 7.0),
            talk(End::Ours, 3.0),
            talk(End::Wrong("no echo".into()), 9.0),
            talk(End::Refused("502".into()), 9.0),
        ];
        let found = judged(&talks, |talk| talk.ended > 5.0);
        assert_eq!((found.drained, found.dropped, found.refused), (1, 2, 1));
        assert_eq!(counted(found.reasons.iter()).len(), 3);
    }

    #[test]
    fn each_goal_that_is_missed_is_told() {
        let good = || Figures {
            deployments: 2,
            requests: 9,
            failed: 0,
            misrouted: 0,
            lost: 0,
            duplicated: 0,
            sockets: Sockets::default(),
            beside: Sockets::default(),
            seconds: 1.0,
            quiet: 1.0,
            during: 1.0,
            reasons: Vec::new(),
        };
        let same = |figure| Added { together: figure, median: figure };
        let flips = || Flips { switch: 1.0, longest: 2.0, added: same(0.0), floor: same(0.0) };
        assert!(missed(2, &good(), &flips()).is_empty());
        assert_eq!(missed(3, &good(), &flips()), ["2 of 3 promotions came to be"]);
        assert_eq!(missed(2, &Figures { failed: 1, ..good() }, &flips()), ["failed requests: 1"]);
        let touched = Sockets { dropped: 1, ..Sockets::default() };
        assert_eq!(missed(2, &Figures { beside: touched, ..good() }, &flips()).len(), 1);
        let unmeasured = Flips { switch: f64::INFINITY, added: same(f64::INFINITY), ..flips() };
        assert_eq!(missed(2, &good(), &unmeasured).len(), 3);
        let slow = Flips { added: Added { median: 0.11, ..same(0.0) }, ..flips() };
        assert_eq!(missed(2, &good(), &slow), ["it is 11.0 % higher after the middle one of all switches"]);
    }
}
