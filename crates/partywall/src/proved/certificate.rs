//! The certificate: all figures, and what they were measured on.

use std::collections::BTreeMap;

use pw_model::host::HostFacts;
use pw_plan::prove::verdict::{Blasted, Held, Tried, Verdict};
use serde::Serialize;
use serde_json::{Value, json};

use super::Proved;

#[derive(Debug, Clone, Serialize)]
pub(crate) struct Certificate {
    pub(crate) project: String,
    /// The environment that is protected.
    pub(crate) environment: String,
    /// UTC.
    pub(crate) at: String,
    pub(crate) seconds: u64,
    pub(crate) facts: Facts,
    pub(crate) walls: Vec<Wall>,
    pub(crate) held: Held,
    #[serde(skip)]
    pub(crate) proved: Proved,
}

/// The machine, and what ran on it.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Facts {
    pub(crate) partywall: &'static str,
    pub(crate) kernel: String,
    pub(crate) host: HostFacts,
    /// What of production was asked, and how.
    pub(crate) asked: Option<String>,
}

/// What stood around one environment.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Wall {
    pub(crate) environment: String,
    pub(crate) containers: Vec<String>,
    /// As the kernel tells it.
    pub(crate) group: Option<String>,
    pub(crate) firewall: Option<String>,
    /// Rule → how many values it set.
    pub(crate) rules: BTreeMap<String, usize>,
}

impl Certificate {
    pub(crate) fn passed(&self) -> bool {
        self.proved.tried.iter().all(|one| one.verdict().is_good())
            && self.proved.blasted.iter().all(|one| one.hurt(&self.held).is_none())
    }

    /// One sentence for all of it.
    pub(crate) fn verdict(&self) -> String {
        let through = self.with(Verdict::Through);
        let unproven = self.with(Verdict::Unproven);
        let hurt = self.proved.blasted.iter().filter(|one| one.hurt(&self.held).is_some()).count();
        let mut parts = Vec::new();
        if through > 0 {
            parts.push(format!("{through} of {} probes got through", self.proved.tried.len()));
        }
        if unproven > 0 {
            parts.push(format!("{unproven} probes prove nothing"));
        }
        if hurt > 0 {
            parts.push(format!("{hurt} of {} blasts hurt {}", self.proved.blasted.len(), self.environment));
        }
        if !parts.is_empty() {
            return parts.join(", ");
        }
        if !self.proved.tried.is_empty() {
            parts.push(format!("none of {} probes got through", self.proved.tried.len()));
        }
        if !self.proved.blasted.is_empty() {
            parts.push(format!("none of {} blasts hurt {}", self.proved.blasted.len(), self.environment));
        }
        parts.join(", ")
    }

    pub(crate) fn with(&self, verdict: Verdict) -> usize {
        self.proved.tried.iter().filter(|one| one.verdict() == verdict).count()
    }

    pub(crate) fn json(&self) -> Value {
        let mut value = json!(self);
        value["passed"] = json!(self.passed());
        value["verdict"] = json!(self.verdict());
        value["probes"] = self.proved.tried.iter().map(probe).collect();
        value["blasts"] = self.proved.blasted.iter().map(|one| self.blast(one)).collect();
        value
    }

    fn blast(&self, one: &Blasted) -> Value {
        let mut value = json!(one);
        value["p99_alone"] = json!(Blasted::p99(&one.alone));
        value["p99_under"] = json!(Blasted::p99(&one.under));
        (value["ratio"], value["floor"]) = (json!(one.ratio()), json!(one.floor()));
        value["hurt"] = json!(one.hurt(&self.held));
        value
    }
}

fn probe(one: &Tried) -> Value {
    let from = one.from.iter().map(|(name, outcome)| json!({"container": name, "outcome": outcome}));
    json!({
        "kind": one.probe.kind, "what": one.probe.what, "attempt": one.probe.attempt, "allowed": one.probe.allowed,
        "verdict": one.verdict(), "from": from.collect::<Vec<_>>(),
        "control": {"from": one.probe.control.to_string(), "outcome": one.control},
    })
}
