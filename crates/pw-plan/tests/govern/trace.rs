//! Reads traces, and runs the governor on them.
//!
//! ```text
//! mode balanced | cpus 2 | memory 8000 MB
//! development budget cpus 1.5 memory 2000
//! 0..10  cpu 2 memory 0 io 1 busy 40 free 60 disk 50 | development 0.3 400 1
//! ```
//! Shares in percent; of development CPUs, MB of memory, MB/s of disk, MB/s of network,
//! MB kept on disk, CPUs that do not yield. `-` is a sensor that does not answer, `!` one
//! that answers nonsense; `2,80` takes turns. `jump 600` sets the clock that many seconds on, `jump -600` back.

use std::collections::BTreeMap;
use std::time::Duration;

use pw_model::config::Class;
use pw_model::name::EnvironmentName;
use pw_plan::govern::{Amount, Mode, Moment, Order, Reading, Rules, State, Subject, Use, govern};

pub(crate) const STEP: f64 = 0.2;
const MB: f64 = 1024.0 * 1024.0;
/// As `governor.wake` is without being written.
pub(crate) const WAKE: Duration = Duration::from_secs(300);

pub(crate) struct Trace {
    pub(crate) rules: Rules,
    readings: Vec<(Moment, Reading)>,
}

/// An order, and when it was given on the trace's own time.
pub(crate) struct Decided {
    pub(crate) at: Duration,
    pub(crate) order: Order,
}

impl Decided {
    pub(crate) fn lever(&self) -> &'static str {
        match self.order.amount {
            Amount::Cpu(_) => "cpu",
            Amount::Memory(_) => "memory",
            Amount::Io(_) => "io",
            Amount::Network(_) => "network",
            Amount::Frozen(_) => "freeze",
            Amount::Asleep(_) | Amount::Evicted => "leave",
        }
    }

    #[expect(clippy::cast_precision_loss, reason = "only compared")]
    pub(crate) fn level(&self) -> f64 {
        match self.order.amount {
            Amount::Cpu(Some(cpus)) => cpus.count(),
            Amount::Memory(Some(bytes)) | Amount::Io(Some(bytes)) | Amount::Network(Some(bytes)) => {
                bytes.0 as f64
            }
            Amount::Frozen(true) => 0.0,
            _ => f64::INFINITY,
        }
    }
}

pub(crate) fn name(text: &str) -> EnvironmentName {
    EnvironmentName::parse(text).expect("a name")
}

pub(crate) fn subject(class: Class, cpus: Option<f64>, memory: Option<f64>) -> Subject {
    Subject { class, cpus, memory, disk: None }
}

impl Trace {
    pub(crate) fn parse(text: &str) -> Self {
        let mut rules = Rules {
            mode: Mode::Balanced,
            cpus: 2.0,
            memory: 8000.0 * MB,
            wake: WAKE,
            subjects: BTreeMap::new(),
        };
        rules.subjects.insert(name("production"), subject(Class::Production, None, None));
        let (mut readings, mut shift) = (Vec::new(), 0.0);
        for line in text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')) {
            let words: Vec<&str> = line.split_whitespace().collect();
            match words[0] {
                "mode" => rules.mode = mode(words[1]),
                "cpus" => rules.cpus = number(words[1]),
                "memory" => rules.memory = number(words[1]) * MB,
                "jump" => shift += number(words[1]),
                span if span.contains("..") => readings.extend(line_of(span, line, shift)),
                environment => {
                    let budget = |key: &str| {
                        words.iter().position(|word| *word == key).map(|at| number(words[at + 1]))
                    };
                    let memory = budget("memory").map(|memory| memory * MB);
                    let disk = budget("disk").map(|disk| disk * MB);
                    let subject = Subject { disk, ..subject(Class::Development, budget("cpus"), memory) };
                    rules.subjects.insert(name(environment), subject);
                }
            }
        }
        Self { rules, readings }
    }

    pub(crate) fn run(&self) -> Vec<Decided> {
        let (mut state, mut decided) = (State::default(), Vec::new());
        for (number, (now, reading)) in (0_u32..).zip(&self.readings) {
            let (next, orders) = govern(&self.rules, state, reading, *now);
            state = next;
            let at = Duration::from_secs_f64(f64::from(number) * STEP);
            decided.extend(orders.into_iter().map(|order| Decided { at, order }));
        }
        decided
    }
}

/// As a person reads it: one line an order.
pub(crate) fn told(decided: &[Decided]) -> String {
    if decided.is_empty() {
        return "nothing\n".into();
    }
    decided.iter().map(|one| format!("{:>6.1}  {}\n", one.at.as_secs_f64(), one.order)).collect()
}

fn mode(word: &str) -> Mode {
    match word {
        "guarantee" => Mode::Guarantee,
        "balanced" => Mode::Balanced,
        "office-hours" => Mode::OfficeHours,
        other => panic!("there is no mode `{other}`"),
    }
}

fn number(word: &str) -> f64 {
    word.parse().unwrap_or_else(|_| panic!("`{word}` is no number"))
}

fn line_of(span: &str, line: &str, shift: f64) -> Vec<(Moment, Reading)> {
    let (from, to) = span.split_once("..").expect("a span");
    let (from, to) = (number(from), number(to));
    let count = ((to - from) / STEP).round();
    let mut readings = Vec::new();
    let mut turn = 0_u32;
    while f64::from(turn) < count {
        let at = (from + f64::from(turn) * STEP + shift).max(0.0);
        let moment = Moment { at: Duration::from_secs_f64(at), office: line.contains(" office") };
        readings.push((moment, reading(line, turn as usize, f64::from(turn) / count)));
        turn += 1;
    }
    readings
}

pub(crate) fn reading(line: &str, turn: usize, passed: f64) -> Reading {
    let mut parts = line.split('|');
    let words: Vec<&str> = parts.next().unwrap_or_default().split_whitespace().collect();
    let share = |key: &str| {
        let at = words.iter().position(|word| *word == key)?;
        value(words[at + 1], turn, passed).map(|value| value / 100.0)
    };
    let uses = parts.map(|part| {
        let words: Vec<&str> = part.split_whitespace().collect();
        let value = |at: usize| value(words.get(at).copied().unwrap_or("-"), turn, passed);
        let bytes = |at: usize| value(at).map(|mb| mb * MB);
        let used = Use {
            cpus: value(1),
            unyielding: value(6),
            memory: bytes(2),
            io: bytes(3),
            network: bytes(4),
            kept: bytes(5),
        };
        (name(words[0]), used)
    });
    Reading {
        cpu: share("cpu"),
        memory: share("memory"),
        io: share("io"),
        latency: share("latency"),
        errors: share("errors"),
        busy: share("busy"),
        memory_free: share("free"),
        disk_free: share("disk"),
        stolen: share("stolen"),
        // Of one CPU, and in MB/s.
        own: share("own"),
        swapped: share("swapped").map(|share| share * 100.0 * MB),
        uses: uses.collect(),
    }
}

/// `7`, `2,80` in turns, `50>10` evenly from one to the other, `-` none, `!` nonsense.
fn value(word: &str, turn: usize, passed: f64) -> Option<f64> {
    let turns: Vec<&str> = word.split(',').collect();
    match turns[turn % turns.len()] {
        "-" => None,
        "!" => Some(f64::NAN),
        word => match word.split_once('>') {
            Some((from, to)) => Some(number(from) + (number(to) - number(from)) * passed),
            None => Some(number(word)),
        },
    }
}
