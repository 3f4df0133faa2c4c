//! From what the kernel counts to shares of time.

use std::collections::BTreeMap;
use std::time::Duration;

use pw_model::name::EnvironmentName;

use super::{LONGEST_STEP, Reading, Use};

/// What the kernel has counted up to a moment; each figure only ever grows, until its group is made anew.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Counters {
    /// Since the machine started.
    pub at: Duration,
    /// How long production has waited.
    pub cpu: Option<Duration>,
    pub memory: Option<Duration>,
    pub io: Option<Duration>,
    /// How long the processors have worked, all together.
    pub busy: Option<Duration>,
    pub cpus: f64,
    pub memory_free: Option<f64>,
    pub disk_free: Option<f64>,
    /// Of the objective, as the proxy's answers tell.
    pub latency: Option<f64>,
    pub errors: Option<f64>,
    /// What production itself has used.
    pub own: Option<Duration>,
    /// What the machine's own host gave to somebody else.
    pub stolen: Option<Duration>,
    /// Bytes to and from swap.
    pub swapped: Option<u64>,
    pub uses: BTreeMap<EnvironmentName, Used>,
}

/// What an environment has used.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Used {
    pub cpu: Option<Duration>,
    /// Of it, what production cannot have back the moment that it wants it: in the idle class what the kernel worked in its
    /// name, which it does not interrupt; all of it elsewhere.
    pub unyielding: Option<Duration>,
    /// Bytes at this moment.
    pub memory: Option<u64>,
    /// Bytes read and written.
    pub io: Option<u64>,
    /// Bytes to and from other machines.
    pub network: Option<u64>,
}

/// What happened between two looks. A counter that went back, or a time that cannot be, answers nothing.
pub fn reading(before: &Counters, now: &Counters) -> Reading {
    let passed = now.at.checked_sub(before.at).filter(|passed| !passed.is_zero() && *passed <= LONGEST_STEP);
    let span = Span(passed);
    let uses = now.uses.iter().map(|(name, used)| {
        let former = before.uses.get(name).copied().unwrap_or_default();
        let cpus = span.share(former.cpu, used.cpu);
        let unyielding = span.share(former.unyielding, used.unyielding);
        let io = span.rate(former.io, used.io);
        let network = span.rate(former.network, used.network);
        #[expect(clippy::cast_precision_loss, reason = "bytes of a machine")]
        let memory = used.memory.map(|bytes| bytes as f64);
        (name.clone(), Use { cpus, unyielding, memory, io, network, kept: None })
    });
    Reading {
        cpu: span.share(before.cpu, now.cpu).map(|share| share.min(1.0)),
        memory: span.share(before.memory, now.memory).map(|share| share.min(1.0)),
        io: span.share(before.io, now.io).map(|share| share.min(1.0)),
        latency: now.latency,
        errors: now.errors,
        own: span.share(before.own, now.own),
        busy: span.share(before.busy, now.busy).map(|busy| (busy / now.cpus.max(1.0)).min(1.0)),
        memory_free: now.memory_free,
        disk_free: now.disk_free,
        stolen: span.share(before.stolen, now.stolen).map(|stolen| (stolen / now.cpus.max(1.0)).min(1.0)),
        swapped: span.rate(before.swapped, now.swapped),
        uses: uses.collect(),
    }
}

struct Span(Option<Duration>);

impl Span {
    fn share(&self, before: Option<Duration>, now: Option<Duration>) -> Option<f64> {
        Some(now?.checked_sub(before?)?.as_secs_f64() / self.0?.as_secs_f64())
    }

    #[expect(clippy::cast_precision_loss, reason = "bytes of a machine")]
    fn rate(&self, before: Option<u64>, now: Option<u64>) -> Option<f64> {
        Some(now?.checked_sub(before?)? as f64 / self.0?.as_secs_f64())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64, cpu: u64) -> Counters {
        let cpu = Some(Duration::from_millis(cpu));
        Counters { at: Duration::from_millis(millis), cpu, cpus: 2.0, ..Counters::default() }
    }

    #[test]
    fn only_what_can_be_is_told() {
        assert_eq!(reading(&at(1000, 50), &at(1200, 150)).cpu, Some(0.5));
        for (now, why) in [
            (at(1200, 40), "a group made anew counts from zero"),
            (at(1000, 60), "no time has passed"),
            (at(900, 60), "the clock went back"),
            (at(99_000, 60), "the machine slept"),
        ] {
            assert_eq!(reading(&at(1000, 50), &now).cpu, None, "{why}");
        }
    }
}
