//! An HTTP client that sends by the clock: the n-th request is due at a fixed time, whether or not those before it
//! were answered, and its latency counts from then. A client that waits for answers sends less while the server is
//! slow, and measures a stall once in place of a hundred times (coordinated omission).
//!
//! `Load::run` sends for a given time, `Load::start` until `Running::stop`. Every answer is judged by the caller.

mod http;
mod report;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

pub use http::{Answer, Connection, Post};
use http::{Line, Turn};
pub use report::Report;

/// Requests to one address, so many in a second.
#[derive(Debug, Clone)]
pub struct Load {
    pub address: SocketAddr,
    /// The `Host` header.
    pub host: String,
    pub path: String,
    /// What is sent; `None` asks with GET.
    pub post: Option<Post>,
    /// Requests in a second, evenly.
    pub rate: f64,
    /// Requests that may be under way at once; those that are due beyond wait, and their wait counts.
    pub lines: usize,
    pub connection: Connection,
    /// After so long a request has failed.
    pub patience: Duration,
}

/// Whether an answer is what it should be.
pub trait Judge: Fn(&Answer) -> bool + Send + Sync + 'static {}
impl<F: Fn(&Answer) -> bool + Send + Sync + 'static> Judge for F {}

/// Requests that are being sent.
pub struct Running {
    stopped: Arc<AtomicBool>,
    lines: Vec<JoinHandle<Report>>,
}

/// What all lines share: whose turn it is, and since when.
struct Clock {
    load: Load,
    begun: Instant,
    next: AtomicU32,
    stopped: Arc<AtomicBool>,
}

impl Load {
    /// Forty requests a second at once on kept connections, with two seconds of patience.
    pub fn new(address: SocketAddr, host: &str, path: &str, rate: f64) -> Self {
        let (host, path) = (host.to_owned(), path.to_owned());
        let patience = Duration::from_secs(2);
        Self { address, host, path, post: None, rate, lines: 40, connection: Connection::Kept, patience }
    }

    pub fn run(self, time: Duration, right: impl Judge) -> Report {
        let running = self.start(right);
        std::thread::sleep(time);
        running.stop()
    }

    pub fn start(self, right: impl Judge) -> Running {
        let stopped = Arc::new(AtomicBool::new(false));
        let lines = self.lines;
        let clock = Clock {
            load: self,
            begun: Instant::now(),
            next: AtomicU32::new(0),
            stopped: Arc::clone(&stopped),
        };
        let (clock, right) = (Arc::new(clock), Arc::new(right));
        let line = |_| {
            let (clock, right) = (Arc::clone(&clock), Arc::clone(&right));
            std::thread::spawn(move || clock.send(&*right))
        };
        Running { stopped, lines: (0..lines).map(line).collect() }
    }
}

impl Running {
    /// Sends no more, waits for what is under way, and answers what was measured.
    pub fn stop(mut self) -> Report {
        self.stopped.store(true, Ordering::Relaxed);
        let reports = std::mem::take(&mut self.lines).into_iter().filter_map(|line| line.join().ok());
        reports.fold(Report::default(), Report::and).sorted()
    }
}

impl Drop for Running {
    /// Whom nobody waits for any more ends after the request that is under way.
    fn drop(&mut self) {
        self.stopped.store(true, Ordering::Relaxed);
    }
}

impl Clock {
    fn send(&self, right: &dyn Fn(&Answer) -> bool) -> Report {
        let mut report = Report::default();
        let mut line = Line::new(&self.load);
        while let Some(turn) = self.next_due() {
            match line.ask(turn) {
                Ok(answer) if right(&answer) => report.answered(answer.ended.duration_since(answer.due)),
                Ok(answer) => report.failed(format!("{} {}", answer.status, answer.excerpt())),
                Err(error) => report.failed(error.to_string()),
            }
        }
        report
    }

    /// Waits until the next request is due; `None` when no more are wanted.
    fn next_due(&self) -> Option<Turn> {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let due = self.begun + Duration::from_secs_f64(f64::from(number) / self.load.rate);
        // In short sleeps, so that a slow schedule ends soon after it is stopped.
        while !self.stopped.load(Ordering::Relaxed) {
            let left = due.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Some(Turn { number, due });
            }
            std::thread::sleep(left.min(Duration::from_millis(50)));
        }
        None
    }
}

#[cfg(test)]
mod tests;
