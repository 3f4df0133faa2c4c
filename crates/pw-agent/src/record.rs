//! Decisions and incidents are written down by a thread of their own: a disk that is slow must not keep the governor waiting.

use std::sync::mpsc::{SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

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

    /// `after`: how long there was pressure before this first squeeze for it.
    pub(crate) fn ordered(&self, order: &Order, after: Option<Duration>, failure: Option<&Failure>) {
        let outcome = failure.map_or_else(|| "done".to_owned(), ToString::to_string);
        let decision = decision(&order.environment, order.amount.to_string(), &order.because);
        let after_ms = after.and_then(|after| i64::try_from(after.as_millis()).ok());
        self.send(Entry::Decision(Decision { outcome, after_ms, ..decision }));
    }

    pub(crate) fn own(&self, environment: &EnvironmentName, what: &str, because: &str) {
        self.send(Entry::Decision(decision(environment, what.to_owned(), because)));
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

fn decision(environment: &EnvironmentName, what: String, because: &str) -> Decision {
    Decision {
        at: Timestamp::now().as_millisecond(),
        environment: environment.to_string(),
        what,
        because: because.to_owned(),
        outcome: "done".into(),
        after_ms: None,
    }
}
