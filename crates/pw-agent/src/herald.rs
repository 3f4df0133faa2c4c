//! Tells who is to be told, on a thread of its own: a receiver that is slow keeps nobody else waiting than the next.
//!
//! What is to be told, and that it was decided, are written down in the same moment; a message leaves the outbox when
//! it was delivered. So an agent that is killed tells nothing twice, unless it was killed between the two.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::mpsc::{Receiver as Inbox, RecvTimeoutError, SyncSender, sync_channel};
use std::time::Duration;

use jiff::{Timestamp, Zoned};
use pw_host::deliver::deliver;
use pw_journal::{History, Waiting};
use pw_model::config::{Config, Receiver};
use pw_plan::alert::{Alert, Book, Message, Told, Way, notify};
use serde::{Deserialize, Serialize};

use crate::Settings;
use crate::governor::is_within;
use crate::overdue::Overdue;

/// Under this name the book is kept.
const BOOK: &str = "alerts";
const LOOK: Duration = Duration::from_secs(2);
/// Alertmanager believes in what it hears again, and repeats by its own rules.
const HEARTBEAT: i64 = 60_000;
/// What could not be delivered in a day is no news.
const STALE: i64 = 86_400_000;
/// Between two attempts: at first, and at the most.
const FIRST: i64 = 10_000;
const LONGEST: i64 = 600_000;

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
struct Remembered {
    book: Book,
    told: BTreeMap<String, Told>,
}

pub(crate) struct Herald(Option<SyncSender<Vec<Alert>>>);

impl Herald {
    pub(crate) fn none() -> Self {
        Self(None)
    }

    /// Without receivers nobody is told. Where there is no place to write to yet, it is looked for again.
    pub(crate) fn start(settings: &Settings) -> Self {
        if settings.config.alerts.is_empty() {
            return Self::none();
        }
        let (seen, inbox) = sync_channel(1);
        let path = PathBuf::from(settings.layout.agent_history(&settings.config.project));
        let (config, overdue) = (settings.config.clone(), Overdue::new(settings));
        let tells = move || {
            let history = loop {
                match (inbox.recv(), History::open(&path)) {
                    (Err(_), _) => return,
                    (Ok(_), Ok(history)) => break history,
                    (Ok(_), Err(_)) => {}
                }
            };
            Teller::new(&config, history, overdue).run(&inbox);
        };
        let thread = std::thread::Builder::new().name("herald".into()).spawn(tells);
        Self(thread.is_ok().then_some(seen))
    }

    pub(crate) fn is_there(&self) -> bool {
        self.0.is_some()
    }

    /// What is wrong at this moment. Where the thread is busy, the next list says it.
    pub(crate) fn see(&self, alerts: Vec<Alert>) {
        if let Some(seen) = &self.0 {
            drop(seen.try_send(alerts));
        }
    }
}

struct Teller {
    project: String,
    receivers: Vec<(String, Receiver)>,
    history: History,
    overdue: Overdue,
    remembered: Remembered,
}

impl Teller {
    fn new(config: &Config, history: History, overdue: Overdue) -> Self {
        let remembered = history.recall(BOOK).ok().flatten();
        let remembered = remembered.and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default();
        let receivers = config.receivers().into_iter().map(|(name, one)| (name, one.clone())).collect();
        Self { project: config.project.to_string(), receivers, history, overdue, remembered }
    }

    fn run(&mut self, inbox: &Inbox<Vec<Alert>>) {
        loop {
            match inbox.recv_timeout(LOOK) {
                Ok(mut alerts) => {
                    alerts.extend(self.overdue.alerts());
                    self.announce(alerts);
                }
                Err(RecvTimeoutError::Timeout) => {}
                // What waits is delivered by the next agent.
                Err(RecvTimeoutError::Disconnected) => return,
            }
            self.deliver();
        }
    }

    fn announce(&mut self, alerts: Vec<Alert>) {
        let (now, zoned) = (Timestamp::now().as_millisecond(), Zoned::now());
        let mut next = self.remembered.clone();
        next.book.see(alerts, now);
        let mut messages = Vec::new();
        for (name, receiver) in &self.receivers {
            let quiet = receiver.quiet.is_some_and(|hours| is_within(&hours, &zoned));
            let repeat = i64::try_from(receiver.repeat.0.as_millis()).unwrap_or(i64::MAX);
            let repeat = if receiver.alertmanager.is_some() { HEARTBEAT } else { repeat };
            let told = next.told.remove(name).unwrap_or_default();
            let (told, message) = notify(Way { repeat, quiet }, told, &next.book, now);
            next.told.insert(name.clone(), told);
            let text = message.and_then(|message| serde_json::to_string(&message.of(&self.project)).ok());
            messages.extend(text.map(|text| (name.clone(), text)));
        }
        if next == self.remembered {
            return;
        }
        let text = serde_json::to_string(&next).unwrap_or_default();
        // Where the disk is full nothing is decided, and the next look decides it again.
        if self.history.announce(&messages, (BOOK, &text), now).is_ok() {
            self.remembered = next;
        }
    }

    /// One attempt for each receiver: to each the messages come in their order.
    fn deliver(&mut self) {
        let waiting = self.history.waiting().unwrap_or_default();
        for (name, receiver) in self.receivers.clone() {
            let now = Timestamp::now().as_millisecond();
            let mut own = waiting.iter().filter(|one| one.receiver == name);
            let Some(one) = self.next(&receiver, &mut own) else { continue };
            if one.due > now && now >= one.at {
                continue;
            }
            match attempt(&receiver, one) {
                Ok(()) => drop(self.history.take_out(one.id)),
                Err(_) if now - one.at > STALE => drop(self.history.take_out(one.id)),
                Err(why) => {
                    let wait = (FIRST << one.attempts.min(10)).min(LONGEST);
                    drop(self.history.put_off(one.id, now + wait, &why));
                }
            }
        }
        let known = |one: &&Waiting| self.receivers.iter().any(|(name, _)| *name == one.receiver);
        let strangers: Vec<i64> = waiting.iter().filter(|one| !known(one)).map(|one| one.id).collect();
        for id in strangers {
            drop(self.history.take_out(id));
        }
    }

    /// The oldest. Alertmanager is told what stands, and what stood before is no news to it.
    fn next<'w>(
        &mut self,
        receiver: &Receiver,
        own: &mut dyn Iterator<Item = &'w Waiting>,
    ) -> Option<&'w Waiting> {
        if receiver.alertmanager.is_none() {
            return own.next();
        }
        let mut newest = own.next()?;
        for newer in own {
            drop(self.history.take_out(newest.id));
            newest = newer;
        }
        Some(newest)
    }
}

/// A message that cannot be read was written by another version; nobody is told of it.
fn attempt(receiver: &Receiver, one: &Waiting) -> Result<(), String> {
    let Ok(message) = serde_json::from_str::<Message>(&one.message) else { return Ok(()) };
    match deliver(receiver, &message) {
        Ok(_) => Ok(()),
        Err(failure) => Err(failure
            .source
            .as_ref()
            .map_or_else(|| failure.to_string(), |why| format!("{failure}: {why}"))),
    }
}
