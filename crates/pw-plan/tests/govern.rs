//! The governor on traces: what is seen on the left, what is decided on the right.
//!
//! A trace is a text of two parts; the second is what the governor decides, compared as it stands. With
//! `PARTYWALL_BLESS=1` the second part is written anew, to be read in the difference.
#![expect(clippy::expect_used, clippy::panic, reason = "helpers of tests fail by panicking")]
#![expect(clippy::disallowed_methods, reason = "traces are files; what is tested reads none")]

#[path = "govern/plant.rs"]
mod plant;
#[path = "govern/rules.rs"]
mod rules;
#[path = "govern/trace.rs"]
mod trace;

use std::path::{Path, PathBuf};
use std::time::Duration;

use trace::{Decided, Trace};

const TRACES: [&str; 22] = [
    "burst",
    "clock-jump",
    "disk-filling",
    "flapping-sensor",
    "memory-gone",
    "missing-sensor",
    "network-busy",
    "network-packets",
    "noisy-development",
    "nothing-helps",
    "objective-broken",
    "objective-flapping",
    "objective-office",
    "objective-own-doing",
    "only-computes",
    "over-quota",
    "own-waiting",
    "production-overload",
    "relapse",
    "slow-leak",
    "steady",
    "thundering-herd",
];
/// From the first reading that shows pressure to the squeeze.
const AT_MOST: Duration = Duration::from_millis(500);

fn file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/traces").join(name).with_extension("txt")
}

#[test]
fn every_trace_is_decided_as_written() {
    let mut wrong = Vec::new();
    for name in TRACES {
        let text = std::fs::read_to_string(file(name)).expect("a trace");
        let (seen, expected) = text.split_once("\n---\n").unwrap_or((&text, ""));
        let decided = trace::told(&Trace::parse(seen).run());
        if std::env::var_os("PARTYWALL_BLESS").is_some() {
            std::fs::write(file(name), format!("{}\n---\n{decided}", seen.trim_end())).expect("written");
        } else if decided != expected {
            wrong.push(format!("{name}: decided\n{decided}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn no_file_of_traces_is_left_out() {
    let folder = std::fs::read_dir(file("x").parent().expect("a folder")).expect("a folder");
    assert_eq!(folder.count(), TRACES.len());
}

/// A lever that is let go must not be pulled again soon, unless what is seen comes and goes by itself.
#[test]
fn nothing_swings() {
    for name in TRACES {
        let text = std::fs::read_to_string(file(name)).expect("a trace");
        let decided = Trace::parse(text.split("\n---\n").next().unwrap_or_default()).run();
        for lever in ["cpu", "memory", "io", "network"] {
            let turns = turns(&decided, lever);
            assert!(turns <= 1, "{name}: {lever} turned back {turns} times within a minute");
        }
    }
}

/// How often a lever went down after having gone up, in its busiest minute.
fn turns(decided: &[Decided], lever: &str) -> usize {
    let moves: Vec<(Duration, f64)> =
        decided.iter().filter(|one| one.lever() == lever).map(|one| (one.at, one.level())).collect();
    let ups_and_downs: Vec<(Duration, bool)> =
        moves.windows(2).map(|pair| (pair[1].0, pair[1].1 > pair[0].1)).collect();
    let back: Vec<Duration> =
        ups_and_downs.windows(2).filter(|pair| pair[0].1 && !pair[1].1).map(|pair| pair[1].0).collect();
    let within = |from: &Duration| {
        back.iter().filter(|at| **at >= *from && **at - *from <= Duration::from_secs(60)).count()
    };
    back.iter().map(within).max().unwrap_or(0)
}

#[test]
fn a_squeeze_follows_the_first_sign_in_half_a_second() {
    for (name, sign) in [("burst", 10.0), ("thundering-herd", 5.0), ("noisy-development", 5.0)] {
        let text = std::fs::read_to_string(file(name)).expect("a trace");
        let decided = Trace::parse(text.split("\n---\n").next().unwrap_or_default()).run();
        let sign = Duration::from_secs_f64(sign);
        let squeeze = decided.iter().find(|one| one.at >= sign && one.lever() == "cpu").expect("a squeeze");
        assert!(squeeze.at - sign < AT_MOST, "{name}: {:?} after the first sign", squeeze.at - sign);
    }
}
