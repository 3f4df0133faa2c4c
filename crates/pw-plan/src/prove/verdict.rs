//! What results mean. A probe whose control fails proves nothing, and is no success.

use serde::{Deserialize, Serialize};

use super::step::{Control, Probe};

/// How one attempt went.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Outcome {
    pub reached: bool,
    /// What was found, or the kernel's reason.
    pub told: String,
    pub milliseconds: f64,
}

/// One probe, from everywhere.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Tried {
    pub probe: Probe,
    /// Name of the container, and how it went from there.
    pub from: Vec<(String, Outcome)>,
    pub control: Outcome,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// Nobody got through, and the same from the right place did.
    Held,
    /// There is nothing: the host does not reach it either.
    Absent,
    /// It may succeed.
    Allowed,
    /// The control failed, so that the probe proves nothing.
    Unproven,
    /// Somebody got through.
    Through,
}

impl Tried {
    pub fn verdict(&self) -> Verdict {
        let reached = self.from.iter().any(|(_, outcome)| outcome.reached);
        match (&self.probe.allowed, reached, self.control.reached) {
            (Some(_), ..) => Verdict::Allowed,
            (None, true, _) => Verdict::Through,
            (None, false, true) => Verdict::Held,
            (None, false, false) if self.probe.control == Control::HostIfThere => Verdict::Absent,
            (None, false, false) => Verdict::Unproven,
        }
    }
}

impl Verdict {
    pub fn is_good(self) -> bool {
        !matches!(self, Self::Unproven | Self::Through)
    }

    pub fn word(self) -> &'static str {
        match self {
            Self::Held => "held",
            Self::Absent => "not there",
            Self::Allowed => "allowed",
            Self::Unproven => "not proven",
            Self::Through => "GOT THROUGH",
        }
    }
}

/// What visitors felt in one measurement, in milliseconds from when each request was due.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct Felt {
    pub p50: f64,
    pub p99: f64,
    pub p999: f64,
    pub requests: usize,
    pub failed: usize,
}

/// One blast, measured: alone, blast, alone, blast, …, alone.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Blasted {
    pub blast: String,
    pub what: String,
    /// One more than rounds.
    pub alone: Vec<Felt>,
    pub under: Vec<Felt>,
    /// Processes that the kernel killed for memory.
    pub killed_beside: u64,
    pub killed_in_production: u64,
    /// What the attackers got done, as they told it.
    pub done: Vec<String>,
}

/// What production is held to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct Held {
    /// Milliseconds.
    pub p99: Option<f64>,
    /// Share of requests that may fail.
    pub errors: Option<f64>,
    /// How many times slower than alone, where there is no objective.
    pub ratio: f64,
}

impl Blasted {
    /// Production's p99 under the blast, to alone just before and after; the median of the rounds.
    pub fn ratio(&self) -> f64 {
        let beside = |at: usize| (self.alone[at].p99 + self.alone[at + 1].p99) / 2.0;
        let rounds = self.under.len().min(self.alone.len().saturating_sub(1));
        median((0..rounds).map(|at| self.under[at].p99 / beside(at).max(f64::MIN_POSITIVE)).collect())
    }

    /// How far alone is from alone: what the machine itself differs by from one measurement to the next.
    pub fn floor(&self) -> f64 {
        let differs = |pair: &[Felt]| {
            let ratio = pair[1].p99 / pair[0].p99.max(f64::MIN_POSITIVE);
            ratio.max(1.0 / ratio.max(f64::MIN_POSITIVE))
        };
        median(self.alone.windows(2).map(differs).collect())
    }

    pub fn p99(slots: &[Felt]) -> f64 {
        median(slots.iter().map(|slot| slot.p99).collect())
    }

    /// Why production was hurt; `None` when it was not.
    pub fn hurt(&self, held: &Held) -> Option<String> {
        let (alone, under) = (Self::p99(&self.alone), Self::p99(&self.under));
        let share = |slots: &[Felt]| {
            let failed: usize = slots.iter().map(|slot| slot.failed).sum();
            failed as f64 / slots.iter().map(|slot| slot.requests).sum::<usize>().max(1) as f64
        };
        let (lost, lost_alone) = (share(&self.under), share(&self.alone));
        if self.under.is_empty() || lost_alone >= 1.0 {
            return Some("production did not answer, so that nothing was measured".to_owned());
        }
        if self.killed_in_production > 0 {
            return Some(format!(
                "{} processes of production were killed for memory",
                self.killed_in_production
            ));
        }
        if lost > lost_alone.max(held.errors.unwrap_or(0.0)) {
            return Some(format!(
                "{:.2} % of the requests failed, {:.2} % alone",
                lost * 100.0,
                lost_alone * 100.0
            ));
        }
        match held.p99 {
            Some(most) if alone <= most => (under > most)
                .then(|| format!("p99 is {under:.0} ms, the objective {most:.0} ms, and alone it is {alone:.0} ms")),
            _ => (self.ratio() > held.ratio.max(self.floor())).then(|| {
                format!(
                    "p99 is {:.2} times that of alone; {:.2} are borne, and alone differs from itself by {:.2}",
                    self.ratio(),
                    held.ratio,
                    self.floor()
                )
            }),
        }
    }
}

/// 0 for none.
fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or_default()
}
