//! Decisions are written down by a thread of their own: a disk that is slow must not keep the governor waiting.

use std::sync::mpsc::{SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;

use jiff::Timestamp;
use pw_journal::{Decision, History};
use pw_model::name::EnvironmentName;
use pw_plan::govern::Order;
use pw_run::{Failure, JournalFailure};

/// Decisions that may wait for the disk; those beyond are not written.
const WAITING: usize = 1024;

pub(crate) struct Recorder {
    decisions: Option<SyncSender<Decision>>,
    thread: Option<JoinHandle<()>>,
}

impl Recorder {
    pub(crate) fn none() -> Self {
        Self { decisions: None, thread: None }
    }

    /// A history that cannot be opened does not keep the governor from governing.
    pub(crate) fn start(history: Result<History, JournalFailure>) -> Self {
        let Ok(mut history) = history else { return Self::none() };
        let (decisions, received) = sync_channel::<Decision>(WAITING);
        let thread = std::thread::spawn(move || {
            for decision in received {
                // A full disk has one place less to be written to; the next decision tries again.
                drop(history.add(&decision));
            }
        });
        Self { decisions: Some(decisions), thread: Some(thread) }
    }

    pub(crate) fn ordered(&self, order: &Order, failure: Option<&Failure>) {
        let outcome = failure.map_or_else(|| "done".to_owned(), ToString::to_string);
        self.add(order.environment.to_string(), order.amount.to_string(), &order.because, outcome);
    }

    pub(crate) fn own(&self, environment: &EnvironmentName, what: &str, because: &str) {
        self.add(environment.to_string(), what.to_owned(), because, "done".into());
    }

    fn add(&self, environment: String, what: String, because: &str, outcome: String) {
        let at = Timestamp::now().as_millisecond();
        let decision = Decision { at, environment, what, because: because.to_owned(), outcome };
        if let Some(decisions) = &self.decisions {
            match decisions.try_send(decision) {
                Ok(()) | Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => {}
            }
        }
    }

    /// Waits until everything is written.
    pub(crate) fn finish(&mut self) {
        self.decisions = None;
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}
