//! Incidents on traces: what was answered and what else happened on the left, what is opened and closed on the right.
//!
//! ```text
//! objective p99 250 errors 0.1 | cpus 2
//! change promote 100..130
//! 0..60  rate 50 ms 40 slow 0 failed 0 | cpu 3 memory 0 io 1 busy 40 free 60 disk 50 own 40 | development 0.3 400 1
//! ```
//! Answers a second, their milliseconds, and how many of them took ten times the limit or failed; `rate -` is a log
//! that cannot be read. What follows is as in the governor's traces. `held` is what the governor holds development to.
//! With `PARTYWALL_BLESS=1` the second part is written anew, to be read in the difference.
#![expect(clippy::expect_used, clippy::panic, reason = "helpers of tests fail by panicking")]
#![expect(clippy::disallowed_methods, reason = "traces are files; what is tested reads none")]

#[path = "govern/trace.rs"]
#[expect(dead_code, reason = "the governor's traces have more to them")]
mod trace;

use std::path::{Path, PathBuf};
use std::time::Duration;

use pw_model::unit::Span;
use pw_plan::latency::Tally;
use pw_plan::objective::{Change, Event, Goals, Incident, Moment, Scene, State, watch};

/// When the traces begin, in milliseconds since 1970.
const BEGIN: i64 = 1_000_000_000_000;

struct Trace {
    goals: Goals,
    cpus: f64,
    changes: Vec<Change>,
    looks: Vec<(f64, String, usize, f64)>,
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/incidents")
}

fn number(words: &[&str], key: &str) -> Option<f64> {
    let at = words.iter().position(|word| *word == key)?;
    words[at + 1].parse().ok()
}

impl Trace {
    fn parse(text: &str) -> Self {
        let mut all = Self { goals: Goals::default(), cpus: 2.0, changes: Vec::new(), looks: Vec::new() };
        for line in text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
            let words: Vec<&str> = line.split_whitespace().collect();
            match words[0] {
                "objective" => {
                    all.goals = Goals {
                        p99: number(&words, "p99").map(|ms| Span(Duration::from_secs_f64(ms / 1000.0))),
                        errors: number(&words, "errors").map(|percent| percent / 100.0),
                    };
                    all.cpus = number(&words, "cpus").unwrap_or(all.cpus);
                }
                "change" => all.changes.push(change(&words)),
                span => {
                    let (from, to) = span.split_once("..").expect("a span");
                    let (from, to): (u32, u32) = (from.parse().expect("from"), to.parse().expect("to"));
                    all.looks.extend((from..to).map(|at| {
                        let (turn, count) = (at - from, to - from);
                        (f64::from(at), line.to_owned(), turn as usize, f64::from(turn) / f64::from(count))
                    }));
                }
            }
        }
        all
    }

    /// `killed`: the agent ends so often, and another goes on from what is written down.
    fn run(&self, killed: Option<usize>) -> Vec<(f64, Event)> {
        let (mut state, mut told) = (State::default(), Vec::new());
        for (index, (at, line, turn, passed)) in self.looks.iter().enumerate() {
            if killed.is_some_and(|every| index % every == every - 1) {
                state = State::resumed(state.open().cloned());
            }
            let now = Moment { at: Duration::from_secs_f64(*at), wall: BEGIN + (*at * 1000.0) as i64 };
            let (next, event) = watch(
                &self.goals,
                state,
                (self.answered(line, *turn), self.scene(line, *turn, *passed, now)),
                now,
            );
            state = next;
            told.extend(event.map(|event| (*at, event)));
        }
        told
    }

    fn answered(&self, line: &str, turn: usize) -> Option<Tally> {
        let words: Vec<&str> = line.split('|').next().unwrap_or_default().split_whitespace().collect();
        let count = |key: &str| {
            let at = words.iter().position(|word| *word == key)?;
            let turns: Vec<&str> = words[at + 1].split(',').collect();
            turns[turn % turns.len()].parse::<u32>().ok()
        };
        let (rate, slow, failed) = (count("rate")?, count("slow").unwrap_or(0), count("failed").unwrap_or(0));
        let usual = f64::from(count("ms").unwrap_or(40)) / 1000.0;
        let late = self.goals.p99.map_or(1.0, |limit| limit.0.as_secs_f64() * 10.0);
        let mut all = Tally::default();
        for number in 0..rate {
            let seconds = if number >= failed && number < failed + slow { late } else { usual };
            let limit = self.goals.p99.map_or(f64::INFINITY, |limit| limit.0.as_secs_f64());
            all.take(seconds, number < failed, seconds > limit);
        }
        Some(all)
    }

    fn scene(&self, line: &str, turn: usize, passed: f64, now: Moment) -> Scene {
        let (_, rest) = line.split_once('|').unwrap_or((line, ""));
        let (rest, held) =
            rest.split_once("held").map_or((rest, None), |(rest, held)| (rest, Some(held.trim())));
        let changes = self
            .changes
            .iter()
            .filter(|change| change.begun <= now.wall)
            .cloned()
            .map(|change| Change { ended: change.ended.filter(|ended| *ended <= now.wall), ..change });
        Scene {
            reading: trace::reading(rest, turn, passed),
            squeezed: held.map(|held| format!("development: {held}")).into_iter().collect(),
            cpus: self.cpus,
            changes: changes.collect(),
        }
    }
}

fn change(words: &[&str]) -> Change {
    let (begun, ended) = words[2].split_once("..").expect("a span");
    let at = |text: &str| text.parse::<i64>().ok().map(|second| BEGIN + second * 1000);
    Change { operation: words[1].to_owned(), begun: at(begun).expect("a time"), ended: at(ended) }
}

fn told(events: &[(f64, Event)]) -> String {
    if events.is_empty() {
        return "nothing\n".into();
    }
    events.iter().map(|(at, event)| format!("{at:>5}  {}\n", line(event))).collect()
}

fn line(event: &Event) -> String {
    let (what, incident) = match event {
        Event::Opened(incident) => ("opened", incident),
        Event::Closed(incident) => ("closed", incident),
    };
    let second = |wall: i64| (wall - BEGIN) / 1000;
    let Incident { start, end, developing, evidence, .. } = incident;
    let end = end.map_or_else(|| "goes on".to_owned(), |end| format!("to {}", second(end)));
    let beside = if *developing { "with" } else { "without" };
    let more: String = evidence.iter().skip(1).map(|words| format!("\n         also: {words}")).collect();
    format!("{what}, from {} {end}, {beside} development: {incident}{more}", second(*start))
}

#[test]
fn every_trace_is_decided_as_written() {
    let (mut wrong, mut count) = (Vec::new(), 0);
    for entry in std::fs::read_dir(folder()).expect("traces").flatten() {
        let text = std::fs::read_to_string(entry.path()).expect("a trace");
        let (seen, expected) = text.split_once("\n---\n").unwrap_or((&text, ""));
        let decided = told(&Trace::parse(seen).run(None));
        if std::env::var_os("PARTYWALL_BLESS").is_some() {
            std::fs::write(entry.path(), format!("{}\n---\n{decided}", seen.trim_end())).expect("written");
        } else if decided != expected {
            wrong.push(format!("{}: decided\n{decided}", entry.path().display()));
        }
        count += 1;
    }
    assert!(wrong.is_empty() && count >= 10, "{count} traces\n{}", wrong.join("\n"));
}

/// An agent that is killed over and over opens no incident twice, and closes what another opened.
#[test]
fn an_agent_that_is_killed_goes_on_with_what_is_open() {
    for name in ["development", "release", "hysteresis"] {
        let text = std::fs::read_to_string(folder().join(name).with_extension("txt")).expect("a trace");
        let trace = Trace::parse(text.split("\n---\n").next().unwrap_or_default());
        let told = trace.run(Some(67));
        let opened = told.iter().filter(|(_, event)| matches!(event, Event::Opened(_))).count();
        let starts: Vec<i64> = told
            .iter()
            .map(|(_, event)| match event {
                Event::Opened(incident) | Event::Closed(incident) => incident.start,
            })
            .collect();
        assert_eq!((opened, told.len()), (1, 2), "{name}: {}", self::told(&told));
        assert_eq!(starts[0], starts[1], "{name}: another was closed than was opened");
    }
}
