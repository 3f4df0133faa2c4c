//! Decisions and incidents are written down by a thread of their own: a disk that is slow must not keep the governor waiting.

use std::sync::mpsc::{SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;

use jiff::Timestamp;
use pw_journal::{Decision, History, Hour};
use pw_model::name::EnvironmentName;
use pw_plan::govern::Order;
use pw_plan::objective::Incident;
use pw_run::{Failure, JournalFailure};

/// Entries that may wait for the disk; those beyond are not written.
const WAITING: usize = 1024;

/// What is written.
enum Entry {
    Decision(Decision),
    Incident(Incident),
    Hour(Hour),
}

pub(crate) struct Recorder {
    entries: Option<SyncSender<Entry>>,
    thread: Option<JoinHandle<()>>,
}

impl Recorder {
    pub(crate) fn none() -> Self {
        Self { entries: None, thread: None }
    }

    /// A history that cannot be opened does not keep the governor from governing.
    pub(crate) fn start(history: Result<History, JournalFailure>) -> Self {
        let Ok(mut history) = history else { return Self::none() };
        let (entries, received) = sync_channel::<Entry>(WAITING);
        let thread = std::thread::spawn(move || {
            for entry in received {
                // A full disk has one place less to be written to; the next entry tries again.
                drop(match &entry {
                    Entry::Decision(decision) => history.add(decision),
                    Entry::Incident(incident) => history.keep(incident),
                    Entry::Hour(hour) => history.add_hour(hour),
                });
            }
        });
        Self { entries: Some(entries), thread: Some(thread) }
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
        self.send(Entry::Decision(decision));
    }

    pub(crate) fn incident(&self, incident: &Incident) {
        self.send(Entry::Incident(incident.clone()));
    }

    pub(crate) fn hours(&self, hours: Vec<Hour>) {
        hours.into_iter().for_each(|hour| self.send(Entry::Hour(hour)));
    }

    fn send(&self, entry: Entry) {
        if let Some(entries) = &self.entries {
            match entries.try_send(entry) {
                Ok(()) | Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => {}
            }
        }
    }

    /// Waits until everything is written.
    pub(crate) fn finish(&mut self) {
        self.entries = None;
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}
