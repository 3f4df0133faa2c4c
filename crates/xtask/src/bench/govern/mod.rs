//! `./x bench govern`: what production's visitors feel while development does its worst, without protection and with
//! several kinds of it, in one run. Rounds are interleaved, and each ratio is to production alone in the same round.

mod blast;
mod scene;
mod watch;

use std::time::Duration;

use crate::run::{Result, say};
use blast::{BLASTS, Blast};
use pw_load::Load;
use scene::{Agent, CLIENT, Scene};
use watch::{Watch, Watched};

/// Production may be so much slower than alone.
const AT_MOST: f64 = 1.05;
/// Of the machine; below, there is no contention to protect from.
const BUSY: f64 = 0.8;
/// Requests in a second, open loop.
const RATE: f64 = 200.0;

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
    /// What `up` sets, and the agent.
    Partywall,
}

const ALL: [Protection; 6] = [
    Protection::Alone,
    Protection::AloneAgain,
    Protection::Nothing,
    Protection::Static,
    Protection::Weights,
    Protection::Partywall,
];

impl Protection {
    fn name(self) -> &'static str {
        match self {
            Self::Alone => "production alone",
            Self::AloneAgain => "alone again (floor)",
            Self::Nothing => "nothing",
            Self::Static => "static limits",
            Self::Weights => "weights only",
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
    /// To production alone in the same round.
    ratio: f64,
    failed: usize,
    watched: Watched,
}

pub(super) fn run() -> Result<()> {
    let of = |name: &str, default: &str| std::env::var(name).unwrap_or_else(|_| default.to_owned());
    let rounds: usize = of("PARTYWALL_BENCH_ROUNDS", "5").parse()?;
    let time = Duration::from_secs(of("PARTYWALL_BENCH_SECONDS", "6").parse()?);
    let wanted = of("PARTYWALL_BENCH_BLASTS", "");
    let chosen: Vec<&Blast> = BLASTS
        .iter()
        .filter(|blast| wanted.is_empty() || wanted.split(',').any(|one| one == blast.name))
        .collect();
    let scene = Scene::open()?;
    scene.warm_up()?;
    let mut missed = Vec::new();
    for blast in chosen {
        let mut results: [Vec<Slot>; ALL.len()] = Default::default();
        for round in 0..rounds {
            one_round(&scene, blast, (round, time), &mut results)?;
        }
        table(blast, &results);
        missed.extend(judge(blast, &results));
    }
    if missed.is_empty() { Ok(()) } else { Err(missed.join("; ").into()) }
}

/// Each round begins with another contender, so that none is always first.
fn one_round(
    scene: &Scene,
    blast: &Blast,
    (round, time): (usize, Duration),
    results: &mut [Vec<Slot>; ALL.len()],
) -> Result<()> {
    let mut slots = [Slot::default(); ALL.len()];
    for turn in 0..ALL.len() {
        let at = (turn + round) % ALL.len();
        slots[at] = measured(scene, blast, ALL[at], time)?;
    }
    let alone = slots[0].p99;
    for (slot, all) in slots.into_iter().zip(results) {
        all.push(Slot { ratio: slot.p99 / alone, ..slot });
    }
    Ok(())
}

fn measured(scene: &Scene, blast: &Blast, protection: Protection, time: Duration) -> Result<Slot> {
    scene.protect(protection)?;
    let agent = (protection == Protection::Partywall).then(|| scene.agent()).transpose()?;
    if !protection.is_alone() {
        scene.blast(blast)?;
    }
    // The first sign, the squeeze, and what was queued before.
    std::thread::sleep(Duration::from_secs(2));
    let watch = Watch::start(scene.groups(), agent.as_ref().map(Agent::id));
    let load = Load::new(scene.address, "production", "/", RATE);
    let report = load.run(time, |answer| answer.status == 200 && answer.body.ends_with(CLIENT.as_bytes()));
    let watched = watch.stop();
    drop(agent);
    scene.calm()?;
    let millis = |share| report.quantile(share).as_secs_f64() * 1000.0;
    Ok(Slot { p50: millis(0.5), p99: millis(0.99), ratio: 1.0, failed: report.failures, watched })
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

fn table(blast: &Blast, results: &[Vec<Slot>; ALL.len()]) {
    say(&format!("\ndevelopment's blast: {} ({})", blast.name, blast.what));
    say(&format!(
        "{:<22} {:>9} {:>9} {:>9} {:>7} {:>12} {:>7}",
        "protection", "p50 ms", "p99 ms", "ratio", "busy", "development", "failed"
    ));
    for (protection, slots) in ALL.iter().zip(results) {
        let of = |figure: fn(&Slot) -> f64| median(slots.iter().map(figure));
        say(&format!(
            "{:<22} {:>9.2} {:>9.2} {:>9.2} {:>5.0} % {:>7.2} CPUs {:>7}",
            protection.name(),
            of(|slot| slot.p50),
            of(|slot| slot.p99),
            of(|slot| slot.ratio),
            of(|slot| slot.watched.busy * 100.0),
            of(|slot| slot.watched.development),
            slots.iter().map(|slot| slot.failed).sum::<usize>(),
        ));
    }
}

/// Ours must be as alone, or as far from it as alone is from itself on this machine.
fn judge(blast: &Blast, results: &[Vec<Slot>; ALL.len()]) -> Vec<String> {
    let ratio = |at: usize| median(results[at].iter().map(|slot| slot.ratio));
    let (floor, ours) = (ratio(1).max(1.0 / ratio(1)), ratio(ALL.len() - 1));
    let last = &results[ALL.len() - 1];
    let of = |figure: fn(&Slot) -> f64| median(last.iter().map(figure));
    say(&format!(
        "govern: blast={} ratio={ours:.3} floor={floor:.3} nothing={:.3} static={:.3} weights={:.3} busy={:.2} development_cpus={:.2} \
         agent_cpu={:.4} agent_mb={:.1} rounds={}",
        blast.name,
        ratio(2),
        ratio(3),
        ratio(4),
        of(|slot| slot.watched.busy),
        of(|slot| slot.watched.development),
        of(|slot| slot.watched.agent),
        of(|slot| slot.watched.agent_mb),
        last.len(),
    ));
    let mut missed = Vec::new();
    if ours > AT_MOST.max(floor) {
        missed.push(format!("{}: production's p99 is {ours:.2} of alone", blast.name));
    }
    if blast.fills_processors && of(|slot| slot.watched.busy) < BUSY {
        missed.push(format!("{}: the machine is not {:.0} % busy", blast.name, BUSY * 100.0));
    }
    let failed: usize = last.iter().map(|slot| slot.failed).sum();
    if failed > 0 {
        missed.push(format!("{}: {failed} requests failed", blast.name));
    }
    missed
}
