//! The network: rates that are prepared in the firewall before anybody is squeezed, so that a squeeze is one switch.

use pw_model::unit::Bytes;

use super::feeling::Feeling;
use super::lever::{Bounds, Growth, Lever};
use super::order::Amount;
use super::{Order, Turn, promise, worse};

/// Bytes in a second, each way; the first is what everybody keeps.
pub const NETWORK_RATES: [Bytes; 4] = [Bytes(1 << 20), Bytes(4 << 20), Bytes(16 << 20), Bytes(64 << 20)];
/// A ceiling that no longer holds anybody who was held to the highest of them.
const MOST: f64 = 256.0 * 1024.0 * 1024.0;

impl Turn<'_> {
    /// For a broken objective, or for waiting that no processor helps against that could be taken: packets are
    /// handled in the kernel's own time, which no quota holds.
    pub(super) fn network(&self, lever: &mut Lever, no_cpu_to_take: bool) -> Option<Order> {
        let [least, ..] = NETWORK_RATES;
        let bounds = Bounds {
            least: least.0 as f64,
            most: MOST,
            growth: Growth::Times(2.0),
            factor: self.mood.factor,
        };
        let used = self.used.network.unwrap_or(0.0);
        let (felt, because) = worse(&self.mood.cpu, &self.mood.promise);
        let from_waiting = *felt > self.mood.promise.0;
        let spared = used < promise::WRITES || from_waiting && !no_cpu_to_take;
        let felt = if spared { (*felt).min(Feeling::Warm) } else { *felt };
        let before = prepared(lever.ceiling());
        let turned = lever.turn(felt, used, bounds, self.now.at)?;
        let rate = prepared(turned.ceiling);
        (rate != before).then(|| self.order(Amount::Network(rate), turned.why(because)))
    }
}

/// The highest rate that is not above the ceiling.
pub(super) fn prepared(ceiling: Option<f64>) -> Option<Bytes> {
    let ceiling = ceiling?;
    let [least, ..] = NETWORK_RATES;
    Some(NETWORK_RATES.into_iter().rfind(|rate| rate.0 as f64 <= ceiling).unwrap_or(least))
}
