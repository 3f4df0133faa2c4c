//! Whether taking processors from an environment would help production at all.
//!
//! Who is in the idle class and computes gives a processor back the moment that production wants it: what production waits for
//! then is itself. What the kernel does in its name, above all writing, is not interrupted, and production waits for it.

use std::time::Duration;

use super::Use;

/// Of what it uses: who has the kernel work less than that for it only computes. A compiler is at a tenth, a writer at all of it.
const COMPUTES: f64 = 0.25;
/// The kernel counts its own work in ticks of up to 10 ms: what was seen is half forgotten after this time.
const HALF_LIFE: f64 = 0.5;

/// What was used lately, and how much of it does not yield; in CPU seconds, the older the less.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Yields {
    used: f64,
    unyielding: f64,
    seen: Option<Duration>,
}

impl Yields {
    pub(super) fn learn(&mut self, used: &Use, now: Duration) {
        let passed = self.seen.replace(now).map_or(0.0, |seen| now.saturating_sub(seen).as_secs_f64());
        let left = 0.5_f64.powf(passed / HALF_LIFE);
        // Who cannot be seen yields nothing.
        let unyielding = used.keeps_from_production().unwrap_or(1.0);
        self.used = self.used * left + used.cpus.unwrap_or(unyielding) * passed;
        self.unyielding = self.unyielding * left + unyielding * passed;
    }

    pub(super) fn only_computes(&self) -> bool {
        self.unyielding < self.used * COMPUTES
    }
}
