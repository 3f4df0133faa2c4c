//! Medians over rounds, as a table; and what was missed.

use super::blast::{Blast, Kind};
use super::watch::Killed;
use super::{Protection, Results, Slot, say};

/// Production may be so much slower than alone.
const AT_MOST: f64 = 1.05;
/// Of the machine; below, there is no contention to protect from.
const BUSY: f64 = 0.8;
/// Milliseconds from the first sign of pressure to the squeeze.
const SOON: f64 = 500.0;

/// Of the numbers among them; NaN where there are none.
fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.filter(|value| !value.is_nan()).collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

fn of(results: &Results, protection: Protection, figure: fn(&Slot) -> f64) -> f64 {
    let slots = results.iter().find(|(one, _)| *one == protection).map(|(_, slots)| slots);
    median(slots.into_iter().flatten().map(figure))
}

fn failed(slots: &[Slot]) -> usize {
    slots.iter().map(|slot| slot.failed).sum()
}

pub(super) fn table(blast: &Blast, results: &Results) {
    say(&format!("\ndevelopment's blast: {} ({})", blast.name, blast.what));
    say(&format!(
        "{:<20} {:>8} {:>8} {:>8} {:>7} {:>8} {:>7} {:>6} {:>12} {:>6} {:>7} {:>15}",
        "protection",
        "p50 ms",
        "p99",
        "p99.9",
        "ratio",
        "commit",
        "ratio",
        "busy",
        "development",
        "share",
        "failed",
        "killed dev/prod"
    ));
    for (protection, slots) in results {
        let of = |figure: fn(&Slot) -> f64| median(slots.iter().map(figure));
        let all = |figure: fn(&Slot) -> f64| slots.iter().map(figure).sum::<f64>();
        say(&format!(
            "{:<20} {:>8.2} {:>8.2} {:>8.2} {:>7.2} {:>8.2} {:>7.2} {:>4.0} % {:>7.2} CPUs {:>4.0} % {:>7} {:>15}",
            protection.name(),
            of(|slot| slot.p50),
            of(|slot| slot.p99),
            of(|slot| slot.p999),
            of(|slot| slot.ratio),
            of(|slot| slot.commit),
            of(|slot| slot.commit_ratio),
            of(|slot| slot.watched.busy * 100.0),
            of(|slot| slot.watched.development),
            of(|slot| slot.share * 100.0),
            failed(slots),
            format!("{}/{}", all(|slot| slot.killed.development), all(|slot| slot.killed.production)),
        ));
    }
}

/// How far production alone is from itself, whichever of the two was slower.
fn floor(results: &Results, ratio: fn(&Slot) -> f64) -> f64 {
    let again = of(results, Protection::AloneAgain, ratio);
    if again.is_nan() { 1.0 } else { again.max(1.0 / again) }
}

/// Ours must be as alone, or as far from it as alone is from itself on this machine.
pub(super) fn judge(blast: &Blast, results: &Results) -> Vec<String> {
    let ratio = |protection| of(results, protection, |slot| slot.ratio);
    let ours = |figure| of(results, Protection::Partywall, figure);
    let no_slots = Vec::new();
    let slots = results.iter().find(|(one, _)| *one == Protection::Partywall);
    let slots = slots.map_or(&no_slots, |(_, slots)| slots);
    let squeezed = slots.iter().filter(|slot| !slot.squeezed.from_blast.is_nan()).count();
    let killed = |figure: fn(&Killed) -> f64| slots.iter().map(|slot| figure(&slot.killed)).sum::<f64>();
    say(&format!(
        "govern: blast={} ratio={:.3} floor={:.3} nothing={:.3} static={:.3} weights={:.3} wall={:.3} commit_ratio={:.3} \
         commit_floor={:.3} busy={:.2} share={:.2} \
         squeezed={squeezed} from_sign_ms={:.0} from_blast_ms={:.0} agent_cpu={:.4} agent_mb={:.1} failed={} \
         killed_development={} killed_production={} killed_elsewhere={} rounds={}",
        blast.name,
        ratio(Protection::Partywall),
        floor(results, |slot| slot.ratio),
        ratio(Protection::Nothing),
        ratio(Protection::Static),
        ratio(Protection::Weights),
        ratio(Protection::Wall),
        ours(|slot| slot.commit_ratio),
        floor(results, |slot| slot.commit_ratio),
        ours(|slot| slot.watched.busy),
        ours(|slot| slot.share),
        ours(|slot| slot.squeezed.from_sign),
        ours(|slot| slot.squeezed.from_blast),
        ours(|slot| slot.watched.agent),
        ours(|slot| slot.watched.agent_mb),
        failed(slots),
        killed(|one| one.development),
        killed(|one| one.production),
        killed(|one| one.machine - one.development - one.production),
        slots.len(),
    ));
    let is_felt = blast.kind != Kind::Bomb;
    let misses = [
        slow("answers'", ours(|slot| slot.ratio), floor(results, |slot| slot.ratio)).filter(|_| is_felt),
        slow("commits'", ours(|slot| slot.commit_ratio), floor(results, |slot| slot.commit_ratio))
            .filter(|_| is_felt),
        idle(ours(|slot| slot.watched.busy)).filter(|_| blast.kind == Kind::Processors),
        late(ours(|slot| slot.squeezed.from_sign)),
        // Who only computes is not squeezed; who writes has to be.
        (blast.kind == Kind::Disk && squeezed < slots.len())
            .then(|| "not every round had a squeeze".to_owned()),
        lost(slots),
        others(slots),
    ];
    misses.into_iter().flatten().map(|miss| format!("{}: {miss}", blast.name)).collect()
}

fn slow(whose: &str, ratio: f64, floor: f64) -> Option<String> {
    (ratio.is_nan() || ratio > AT_MOST.max(floor))
        .then(|| format!("production's {whose} p99 is {ratio:.2} of alone"))
}

fn idle(busy: f64) -> Option<String> {
    (busy < BUSY).then(|| format!("the machine is not {:.0} % busy", BUSY * 100.0))
}

fn late(millis: f64) -> Option<String> {
    (millis > SOON).then(|| format!("the squeeze came {millis:.0} ms after the first sign"))
}

fn lost(slots: &[Slot]) -> Option<String> {
    let failed = failed(slots);
    (failed > 0).then(|| format!("{failed} requests failed"))
}

fn others(slots: &[Slot]) -> Option<String> {
    let sum = |figure: fn(&Slot) -> f64| slots.iter().map(figure).sum::<f64>();
    let others = sum(|slot| slot.killed.machine - slot.killed.development);
    (others > 0.0).then(|| format!("memory ended for {others} processes outside of development"))
}
