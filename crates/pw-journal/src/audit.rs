//! The audit log: who did what, each entry sealed with the hash of the one before.
//!
//! A changed, removed or inserted entry breaks the chain from there on, and [`SqliteJournal::verify`]
//! names it. Who may write the file can also forge the whole chain: to prove more, keep
//! [`Chain::head`] somewhere else, such as in the log of another host.

use pw_run::JournalFailure;
use rusqlite::{Connection, OptionalExtension, Row, Transaction, params};

use crate::{JournalError, SqliteJournal};

/// What the first entry has as its previous hash.
const GENESIS: &str = "";

/// What somebody did; time, name and hashes are added when it is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry<'a> {
    pub what: String,
    pub project: &'a str,
    pub environment: &'a str,
    pub outcome: &'a str,
}

/// An entry of the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Audited {
    pub seq: i64,
    /// Milliseconds since 1970.
    pub at: i64,
    pub who: String,
    pub what: String,
    pub project: String,
    pub environment: String,
    pub outcome: String,
    pub previous: String,
    pub hash: String,
}

/// What [`SqliteJournal::verify`] found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chain {
    pub entries: i64,
    /// Hash of the newest entry.
    pub head: String,
    /// The first entry that does not fit: changed itself, or one before it is gone.
    pub broken_at: Option<i64>,
}

impl SqliteJournal {
    /// Adds an entry for something that is not a plan, such as a shell in production.
    pub fn note(&mut self, entry: &Entry<'_>) -> Result<(), JournalFailure> {
        let (at, by) = (self.now(), self.by.clone());
        self.write("write", |transaction| append(transaction, at, &by, entry))
    }

    /// The newest entries first.
    pub fn history(&self, limit: u32) -> Result<Vec<Audited>, JournalFailure> {
        let query = "SELECT * FROM audit ORDER BY seq DESC LIMIT ?";
        entries(&self.connection, query, limit).map_err(self.at.failed("read"))
    }

    /// Computes the whole chain again.
    pub fn verify(&self) -> Result<Chain, JournalFailure> {
        let all = entries(&self.connection, "SELECT * FROM audit ORDER BY seq LIMIT ?", u32::MAX);
        let given = given_out(&self.connection).map_err(self.at.failed("read"))?;
        Ok(check(&all.map_err(self.at.failed("read"))?, given))
    }
}

pub(crate) fn append(
    transaction: &Transaction<'_>,
    at: i64,
    who: &str,
    entry: &Entry<'_>,
) -> Result<(), JournalError> {
    let last = "SELECT hash FROM audit ORDER BY seq DESC LIMIT 1";
    let previous: Option<String> = transaction.query_row(last, [], |row| row.get(0)).optional()?;
    let mut new = Audited {
        seq: given_out(transaction)? + 1,
        at,
        who: who.to_owned(),
        what: entry.what.clone(),
        project: entry.project.to_owned(),
        environment: entry.environment.to_owned(),
        outcome: entry.outcome.to_owned(),
        previous: previous.unwrap_or_else(|| GENESIS.to_owned()),
        hash: String::new(),
    };
    new.hash = new.seal();
    transaction.execute(
        "INSERT INTO audit VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        params![
            new.seq,
            new.at,
            new.who,
            new.what,
            new.project,
            new.environment,
            new.outcome,
            new.previous,
            new.hash
        ],
    )?;
    Ok(())
}

impl Audited {
    /// blake3 over all other fields as one JSON list, in which no text can run into its neighbour.
    fn seal(&self) -> String {
        let fields = serde_json::json!([
            self.seq,
            self.at,
            self.who,
            self.what,
            self.project,
            self.environment,
            self.outcome,
            self.previous
        ]);
        blake3::hash(fields.to_string().as_bytes()).to_hex().to_string()
    }

    fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            seq: row.get("seq")?,
            at: row.get("at")?,
            who: row.get("who")?,
            what: row.get("what")?,
            project: row.get("project")?,
            environment: row.get("environment")?,
            outcome: row.get("outcome")?,
            previous: row.get("previous")?,
            hash: row.get("hash")?,
        })
    }
}

fn entries(connection: &Connection, query: &str, limit: u32) -> Result<Vec<Audited>, JournalError> {
    let mut query = connection.prepare(query)?;
    let rows = query.query_map([limit], Audited::read)?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

/// The highest number ever given to an entry; SQLite remembers it beside the table, so a cut end shows.
fn given_out(connection: &Connection) -> Result<i64, JournalError> {
    let query = "SELECT seq FROM sqlite_sequence WHERE name = 'audit'";
    Ok(connection.query_row(query, [], |row| row.get(0)).optional()?.unwrap_or(0))
}

fn check(all: &[Audited], given: i64) -> Chain {
    let mut head = GENESIS.to_owned();
    let mut expected = 1;
    for entry in all {
        let fits = entry.seq == expected && entry.previous == head && entry.hash == entry.seal();
        if !fits {
            return Chain { entries: all.len() as i64, head, broken_at: Some(expected) };
        }
        head.clone_from(&entry.hash);
        expected += 1;
    }
    let broken_at = (expected <= given).then_some(expected);
    Chain { entries: all.len() as i64, head, broken_at }
}
