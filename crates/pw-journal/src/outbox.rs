//! Messages that wait to be delivered, and what their sender remembers; kept over a restart.

use pw_run::JournalFailure;
use rusqlite::{OptionalExtension as _, params};

use crate::History;

/// Messages that may wait; the oldest go first.
const MOST: i64 = 200;

pub(crate) const TABLES: &str = "
    CREATE TABLE IF NOT EXISTS outbox (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        receiver TEXT NOT NULL,
        message TEXT NOT NULL,
        at INTEGER NOT NULL,
        due INTEGER NOT NULL,
        attempts INTEGER NOT NULL,
        failure TEXT
    ) STRICT;
    CREATE TABLE IF NOT EXISTS memory (name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT;
";

/// A message that waits. Times are milliseconds since 1970.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Waiting {
    pub id: i64,
    pub receiver: String,
    #[serde(skip)]
    pub message: String,
    pub at: i64,
    /// When it is tried again.
    pub due: i64,
    pub attempts: u32,
    /// Why it was not delivered the last time.
    pub failure: Option<String>,
}

impl History {
    /// Puts messages, each for a receiver, into the outbox, and remembers `value` under `name` in the same moment: a
    /// sender that is killed tells nothing twice, and leaves nothing out.
    pub fn announce(
        &mut self,
        messages: &[(String, String)],
        (name, value): (&str, &str),
        now: i64,
    ) -> Result<(), JournalFailure> {
        self.write(|connection| {
            let transaction = connection.unchecked_transaction()?;
            for (receiver, message) in messages {
                let query =
                    "INSERT INTO outbox (receiver, message, at, due, attempts) VALUES (?, ?, ?, ?, 0)";
                transaction.execute(query, params![receiver, message, now, now])?;
            }
            let oldest =
                "DELETE FROM outbox WHERE id <= (SELECT id FROM outbox ORDER BY id DESC LIMIT 1 OFFSET ?)";
            transaction.execute(oldest, [MOST])?;
            let query =
                "INSERT INTO memory VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value";
            transaction.execute(query, [name, value])?;
            transaction.commit()
        })
    }

    /// The oldest first.
    pub fn waiting(&self) -> Result<Vec<Waiting>, JournalFailure> {
        self.read_prepared("outbox", |connection| {
            let query = "SELECT id, receiver, message, at, due, attempts, failure FROM outbox ORDER BY id";
            let mut query = connection.prepare(query)?;
            let rows = query.query_map([], |row| {
                Ok(Waiting {
                    id: row.get(0)?,
                    receiver: row.get(1)?,
                    message: row.get(2)?,
                    at: row.get(3)?,
                    due: row.get(4)?,
                    attempts: row.get(5)?,
                    failure: row.get(6)?,
                })
            })?;
            rows.collect()
        })
    }

    /// Delivered, or given up.
    pub fn take_out(&mut self, id: i64) -> Result<(), JournalFailure> {
        self.write(|connection| connection.execute("DELETE FROM outbox WHERE id = ?", [id]).map(|_| ()))
    }

    pub fn put_off(&mut self, id: i64, due: i64, failure: &str) -> Result<(), JournalFailure> {
        self.write(|connection| {
            let query = "UPDATE outbox SET due = ?, attempts = attempts + 1, failure = ? WHERE id = ?";
            connection.execute(query, params![due, failure, id]).map(|_| ())
        })
    }

    pub fn remember(&mut self, name: &str, value: &str) -> Result<(), JournalFailure> {
        self.announce(&[], (name, value), 0)
    }

    pub fn forget(&mut self, name: &str) -> Result<(), JournalFailure> {
        self.write(|connection| connection.execute("DELETE FROM memory WHERE name = ?", [name]).map(|_| ()))
    }

    pub fn recall(&self, name: &str) -> Result<Option<String>, JournalFailure> {
        self.read_prepared("memory", |connection| {
            let query = "SELECT value FROM memory WHERE name = ?";
            connection.query_row(query, [name], |row| row.get(0)).optional()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_waits_is_bounded_and_outlives_its_sender() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("agent.db");
        let mut history = History::open(&path).expect("opens");
        assert_eq!(history.recall("alerts").expect("reads"), None);
        for number in 0..MOST + 7 {
            let message = ("hook".to_owned(), format!("message {number}"));
            history.announce(&[message], ("alerts", &number.to_string()), number).expect("writes");
        }
        drop(history);
        let mut history = History::open(&path).expect("opens");
        let waiting = history.waiting().expect("reads");
        assert_eq!(waiting.len(), usize::try_from(MOST).expect("fits"));
        assert_eq!((waiting[0].message.as_str(), waiting[0].attempts), ("message 7", 0));
        assert_eq!(history.recall("alerts").expect("reads"), Some((MOST + 6).to_string()));
        history.put_off(waiting[0].id, 99, "it did not answer in time").expect("writes");
        history.take_out(waiting[1].id).expect("writes");
        let after = history.waiting().expect("reads");
        assert_eq!((after[0].due, after[0].attempts, after[1].message.as_str()), (99, 1, "message 9"));
        history.forget("alerts").expect("writes");
        assert_eq!(history.recall("alerts").expect("reads"), None);
    }
}
