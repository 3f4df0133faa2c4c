//! What the governor decided: in a file of its own, so that neither waits for the other, and in bounded space.
//!
//! A decision does not wait for the disk: it is written after it was carried out, and the last second of them may be
//! lost in a power cut. The kernel forgets what was squeezed in the same moment.

use std::path::Path;

use pw_run::JournalFailure;
use rusqlite::{Connection, params};

use crate::failure::At;
use crate::file;
use crate::{incidents, outbox};

/// Some megabytes; at the pace of a bad day, weeks.
const MOST: i64 = 20_000;
/// Rows beyond are removed so many at a time.
const SLACK: i64 = 500;

const TABLES: &str = "
    CREATE TABLE IF NOT EXISTS decisions (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        at INTEGER NOT NULL,
        environment TEXT NOT NULL,
        what TEXT NOT NULL,
        because TEXT NOT NULL,
        outcome TEXT NOT NULL,
        after_ms INTEGER
    ) STRICT;
";

/// One decision.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Decision {
    /// Milliseconds since 1970.
    pub at: i64,
    /// Empty where it is the agent's own.
    pub environment: String,
    pub what: String,
    pub because: String,
    /// `done`, or why not.
    pub outcome: String,
    /// Milliseconds that production was under pressure before this first squeeze for it was carried out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after_ms: Option<i64>,
}

/// The governor's past.
#[derive(Debug)]
pub struct History {
    connection: Connection,
    at: At,
}

impl History {
    /// Opens the file and makes what is missing.
    pub fn open(path: &Path) -> Result<Self, JournalFailure> {
        let at = At::new(path);
        file::prepare(path).map_err(at.failed("open"))?;
        let connection = Connection::open(path).map_err(at.failed("open"))?;
        let prepared = connection
            .pragma_update(None, "journal_mode", "WAL")
            .and_then(|()| connection.pragma_update(None, "synchronous", "NORMAL"))
            .and_then(|()| connection.execute_batch(TABLES))
            .and_then(|()| grow(&connection))
            .and_then(|()| connection.execute_batch(incidents::TABLES))
            .and_then(|()| connection.execute_batch(outbox::TABLES));
        prepared.map_err(at.failed("prepare"))?;
        Ok(Self { connection, at })
    }

    /// Opens the file for reading only; `None` when there is none.
    pub fn open_read_only(path: &Path) -> Result<Option<Self>, JournalFailure> {
        let at = At::new(path);
        if !path.try_exists().map_err(at.failed("open"))? {
            return Ok(None);
        }
        Ok(Some(Self { connection: file::read_only(path).map_err(at.failed("open"))?, at }))
    }

    /// Adds a decision; the oldest go when there are too many.
    pub fn add(&mut self, decision: &Decision) -> Result<(), JournalFailure> {
        let Decision { at, environment, what, because, outcome, after_ms } = decision;
        let query = "INSERT INTO decisions (at, environment, what, because, outcome, after_ms) VALUES (?, ?, ?, ?, ?, ?)";
        self.connection
            .execute(query, params![at, environment, what, because, outcome, after_ms])
            .map_err(self.at.failed("write"))?;
        let newest = self.connection.last_insert_rowid();
        if newest % SLACK == 0 {
            self.connection
                .execute("DELETE FROM decisions WHERE id <= ?", [newest - MOST])
                .map_err(self.at.failed("write"))?;
        }
        Ok(())
    }

    /// The newest first.
    pub fn newest(&self, count: u32) -> Result<Vec<Decision>, JournalFailure> {
        self.read_prepared("decisions", |connection| read(connection, count))
    }

    /// An agent that is being started has made the file, and not yet the table.
    pub(crate) fn read_prepared<T: Default>(
        &self,
        table: &str,
        read: impl FnOnce(&Connection) -> rusqlite::Result<T>,
    ) -> Result<T, JournalFailure> {
        let query = "SELECT count(*) FROM sqlite_master WHERE type = 'table' AND name = ?";
        let there = self.connection.query_row(query, [table], |row| row.get::<_, i64>(0));
        let found = there.and_then(|count| if count > 0 { read(&self.connection) } else { Ok(T::default()) });
        found.map_err(self.at.failed("read"))
    }

    pub(crate) fn write(
        &mut self,
        body: impl FnOnce(&Connection) -> rusqlite::Result<()>,
    ) -> Result<(), JournalFailure> {
        body(&self.connection).map_err(self.at.failed("write"))
    }
}

/// Files of before have one column less.
fn grow(connection: &Connection) -> rusqlite::Result<()> {
    match is_grown(connection)? {
        true => Ok(()),
        false => connection.execute_batch("ALTER TABLE decisions ADD COLUMN after_ms INTEGER"),
    }
}

fn is_grown(connection: &Connection) -> rusqlite::Result<bool> {
    let query = "SELECT count(*) FROM pragma_table_info('decisions') WHERE name = 'after_ms'";
    connection.query_row(query, [], |row| row.get::<_, i64>(0)).map(|count| count > 0)
}

fn read(connection: &Connection, count: u32) -> rusqlite::Result<Vec<Decision>> {
    let after = if is_grown(connection)? { "after_ms" } else { "NULL" };
    let query = format!(
        "SELECT at, environment, what, because, outcome, {after} FROM decisions ORDER BY id DESC LIMIT ?"
    );
    let mut query = connection.prepare(&query)?;
    let rows = query.query_map([count], |row| {
        Ok(Decision {
            at: row.get(0)?,
            environment: row.get(1)?,
            what: row.get(2)?,
            because: row.get(3)?,
            outcome: row.get(4)?,
            after_ms: row.get(5)?,
        })
    })?;
    rows.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_stay() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("agent.db");
        assert!(History::open_read_only(&path).expect("looks").is_none());
        std::fs::write(&path, "").expect("a file");
        let empty = History::open_read_only(&path).expect("opens").expect("there");
        assert_eq!(empty.newest(5).expect("reads"), vec![]);
        // As agents before made it.
        let old = Connection::open(&path).expect("opens");
        old.execute_batch(&TABLES.replace(",\n        after_ms INTEGER", "")).expect("a table");
        assert_eq!(empty.newest(5).expect("reads"), vec![]);
        let mut history = History::open(&path).expect("opens");
        history.connection.execute_batch("BEGIN").expect("begins");
        for at in 1..=MOST + 2 * SLACK {
            let decision = Decision {
                at,
                environment: "development".into(),
                what: "at most 1 CPUs".into(),
                because: "a test".into(),
                outcome: "done".into(),
                after_ms: (at == MOST).then_some(380),
            };
            history.add(&decision).expect("writes");
        }
        history.connection.execute_batch("COMMIT").expect("ends");
        let reader = History::open_read_only(&path).expect("opens").expect("there");
        let all = reader.newest(u32::MAX).expect("reads");
        assert_eq!(all.len(), usize::try_from(MOST).expect("fits"));
        assert_eq!(all[0].at, MOST + 2 * SLACK);
        let timed: Vec<(i64, Option<i64>)> =
            all.iter().filter(|one| one.after_ms.is_some()).map(|one| (one.at, one.after_ms)).collect();
        assert_eq!(timed, [(MOST, Some(380))]);
    }
}
