//! `./x bench govern`: what production's visitors feel while development does its worst, without protection and with
//! several kinds of it, in one run. Rounds are interleaved, and each ratio is to production alone in the same round.
//!
//! Route: `blast` is what development does, `scene` the two environments and what protects production, `watch` and `sign`
//! see what comes of it from outside of the agent, `judge` prints and says what was missed.

mod blast;
mod commits;
mod judge;
mod scene;
mod sign;
mod watch;

use std::time::Duration;

use crate::bench::process::Process;
use crate::run::{Result, say};
use blast::{BLASTS, Blast, Kind};
use pw_load::{Load, Running};
use scene::{CLIENT, Scene};
use sign::{Waited, Witness};
use watch::{Killed, Watch, Watched};

/// Requests in a second, open loop.
const RATE: f64 = 200.0;
/// The agent has watched production alone for so long before development begins, as it does all day.
const CALM: Duration = Duration::from_secs(3);
/// Without an agent: connections are open, and files in memory.
const BEFORE: Duration = Duration::from_millis(500);
/// The first sign, the squeeze, and what was queued before.
const ONSET: Duration = Duration::from_secs(2);

/// What protects production.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Protection {
    /// Development does nothing: what production is measured against.
    Alone,
    /// The same again: how far the machine itself differs.
    AloneAgain,
    Nothing,
    /// `cpus: 1` and 1 GB of memory on each container of development.
    Static,
    /// As light as weights go, without the idle class.
    Weights,
    /// What `up` sets, without the agent.
    Wall,
    /// What `up` sets, and the agent.
    Partywall,
}

const ALL: [Protection; 7] = [
    Protection::Alone,
    Protection::AloneAgain,
    Protection::Nothing,
    Protection::Static,
    Protection::Weights,
    Protection::Wall,
    Protection::Partywall,
];
/// Against bombs.
const FEW: [Protection; 3] = [Protection::Alone, Protection::Nothing, Protection::Partywall];

impl Protection {
    fn name(self) -> &'static str {
        match self {
            Self::Alone => "production alone",
            Self::AloneAgain => "alone again (floor)",
            Self::Nothing => "nothing",
            Self::Static => "static limits",
            Self::Weights => "weights only",
            Self::Wall => "partywall, no agent",
            Self::Partywall => "partywall",
        }
    }

    fn is_alone(self) -> bool {
        matches!(self, Self::Alone | Self::AloneAgain)
    }
}

/// One measurement.
#[derive(Debug, Clone, Copy, Default)]
struct Slot {
    p50: f64,
    p99: f64,
    p999: f64,
    /// To production alone in the same round.
    ratio: f64,
    /// 99th percentile of the database's transactions, and its ratio.
    commit: f64,
    commit_ratio: f64,
    /// Of what production alone left of the processors in the same round, what development had.
    share: f64,
    failed: usize,
    watched: Watched,
    killed: Killed,
    squeezed: Squeezed,
}

/// Milliseconds to the agent's first squeeze; NaN where there was none.
#[derive(Debug, Clone, Copy)]
struct Squeezed {
    /// Since development began.
    from_blast: f64,
    /// Since production first waited for more than it is to wait.
    from_sign: f64,
}

impl Default for Squeezed {
    fn default() -> Self {
        Self { from_blast: f64::NAN, from_sign: f64::NAN }
    }
}

/// What each contender's rounds gave.
type Results = Vec<(Protection, Vec<Slot>)>;

pub(super) fn run() -> Result<()> {
    let of = |name: &str, default: &str| std::env::var(name).unwrap_or_else(|_| default.to_owned());
    let rounds: usize = of("PARTYWALL_BENCH_ROUNDS", "5").parse()?;
    let time = Duration::from_secs(of("PARTYWALL_BENCH_SECONDS", "6").parse()?);
    let wanted = of("PARTYWALL_BENCH_BLASTS", "");
    let chosen: Vec<&Blast> = BLASTS
        .iter()
        .filter(|blast| wanted.is_empty() || wanted.split(',').any(|one| one == blast.name))
        .collect();
    if chosen.is_empty() {
        let known = BLASTS.map(|blast| blast.name).join(", ");
        return Err(format!("PARTYWALL_BENCH_BLASTS={wanted} names none of {known}").into());
    }
    let scene = Scene::open()?;
    scene.warm_up()?;
    let mut missed = Vec::new();
    for blast in chosen {
        let contenders = if blast.kind == Kind::Bomb { FEW.as_slice() } else { ALL.as_slice() };
        let mut results: Results = contenders.iter().map(|contender| (*contender, Vec::new())).collect();
        for round in 0..rounds {
            one_round(&scene, blast, (round, time), &mut results)?;
        }
        judge::table(blast, &results);
        missed.extend(judge::judge(blast, &results));
    }
    if missed.is_empty() { Ok(()) } else { Err(missed.join("; ").into()) }
}

/// Each round begins with another contender, so that none is always first.
fn one_round(
    scene: &Scene,
    blast: &Blast,
    (round, time): (usize, Duration),
    results: &mut Results,
) -> Result<()> {
    let count = results.len();
    for turn in 0..count {
        let (protection, slots) = &mut results[(turn + round) % count];
        slots.push(measured(scene, blast, *protection, time)?);
    }
    let Some(alone) = results[0].1.last().copied() else { return Ok(()) };
    let left = cpus() - alone.watched.production;
    for slot in results.iter_mut().filter_map(|(_, slots)| slots.last_mut()) {
        slot.ratio = slot.p99 / alone.p99;
        slot.commit_ratio = slot.commit / alone.commit;
        slot.share = slot.watched.development / left;
    }
    Ok(())
}

fn cpus() -> f64 {
    std::thread::available_parallelism().map_or(1.0, |count| count.get() as f64)
}

fn measured(scene: &Scene, blast: &Blast, protection: Protection, time: Duration) -> Result<Slot> {
    scene.protect(protection)?;
    let agent = (protection == Protection::Partywall).then(|| scene.agent()).transpose()?;
    let groups = scene.groups();
    let (killed, before) = (Killed::so_far(&groups), load(scene));
    let calm = Waited::of(&groups[0]);
    std::thread::sleep(if agent.is_some() { CALM } else { BEFORE });
    let (witness, began) = (Witness::start(&calm), sign::now());
    if !protection.is_alone() {
        scene.blast(blast)?;
    }
    std::thread::sleep(ONSET);
    let (before, sign) = (before.stop(), witness.stop());
    let watch = Watch::start(groups.clone(), agent.as_ref().map(Process::id));
    let (running, commits) = (load(scene), scene.commits(time)?);
    std::thread::sleep(time);
    let report = running.stop();
    let watched = watch.stop();
    let commit = commits.stop()?;
    let killed = Killed::so_far(&groups).since(killed);
    let squeezed = agent.as_ref().map(|_| scene.squeezed(began)).transpose()?.flatten();
    drop(agent);
    scene.calm()?;
    let millis = |share| report.quantile(share).as_secs_f64() * 1000.0;
    Ok(Slot {
        p50: millis(0.5),
        p99: millis(0.99),
        p999: millis(0.999),
        commit,
        failed: report.failures + before.failures,
        watched,
        killed,
        squeezed: squeezed.map_or_else(Squeezed::default, |at| Squeezed {
            from_blast: at - began,
            // A squeeze before the first sign is one that came in time.
            from_sign: sign.map_or(0.0, |sign| (at - sign).max(0.0)),
        }),
        ..Slot::default()
    })
}

fn load(scene: &Scene) -> Running {
    let load = Load::new(scene.address, "production", "/", RATE);
    load.start(|answer| answer.status == 200 && answer.body.ends_with(CLIENT.as_bytes()))
}
