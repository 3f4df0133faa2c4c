//! How fast the source may be read: what is not read waits in the server's socket, and the server with it.

use std::cell::Cell;
use std::time::{Duration, Instant};

/// Bytes over time, of all connections together.
pub(crate) struct Pace {
    in_a_second: Option<u64>,
    begun: Cell<Option<Instant>>,
    spent: Cell<u64>,
}

/// Less is not worth a timer.
const SHORTEST: Duration = Duration::from_millis(20);

impl Pace {
    pub(crate) fn new(in_a_second: Option<u64>) -> Self {
        Self { in_a_second, begun: Cell::new(None), spent: Cell::new(0) }
    }

    /// Counts bytes that came, and waits until they may have come.
    pub(crate) async fn spend(&self, bytes: usize) {
        let Some(in_a_second) = self.in_a_second else { return };
        let begun = self.begun.get().unwrap_or_else(Instant::now);
        self.begun.set(Some(begun));
        self.spent.set(self.spent.get() + bytes as u64);
        let early = due(self.spent.get(), in_a_second).saturating_sub(begun.elapsed());
        if early >= SHORTEST {
            tokio::time::sleep(early).await;
        }
    }
}

/// When so many bytes may have been read, counted from the first.
fn due(bytes: u64, in_a_second: u64) -> Duration {
    let nanoseconds = u128::from(bytes) * 1_000_000_000 / u128::from(in_a_second.max(1));
    Duration::from_nanos(u64::try_from(nanoseconds).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_due_when_the_rate_allows_them() {
        assert_eq!(due(50_000_000, 50_000_000), Duration::from_secs(1));
        assert_eq!(due(1, 1000), Duration::from_millis(1));
        assert_eq!(due(u64::MAX, 1), Duration::from_nanos(u64::MAX));
    }

    #[tokio::test]
    async fn what_came_too_early_waits() {
        let (pace, begun) = (Pace::new(Some(1000)), Instant::now());
        for _ in 0..5 {
            pace.spend(20).await;
        }
        assert!(begun.elapsed() >= Duration::from_millis(100) - SHORTEST);
    }
}
