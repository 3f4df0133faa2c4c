//! Growing pauses between attempts to reach a service that is away.

use std::time::Duration;

const FIRST: Duration = Duration::from_millis(200);
const LONGEST: Duration = Duration::from_secs(5);

pub struct Backoff {
    next: Duration,
}

impl Backoff {
    pub fn new() -> Self {
        Self { next: FIRST }
    }

    pub fn reset(&mut self) {
        self.next = FIRST;
    }

    pub async fn pause(&mut self) {
        tokio::time::sleep(self.next).await;
        self.next = (self.next * 2).min(LONGEST);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn pauses_grow_to_a_limit_and_start_over() {
        let mut backoff = Backoff::new();
        for _ in 0..10 {
            backoff.pause().await;
        }
        assert_eq!(backoff.next, LONGEST);
        backoff.reset();
        assert_eq!(backoff.next, FIRST);
    }
}
