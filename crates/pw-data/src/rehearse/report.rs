//! What came out of a rehearsal, for people, for other programs and for the record.

use serde::{Deserialize, Serialize};

use super::lock::Mode;

/// One run of one command on the copy.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// Name of the service that ran.
    pub service: String,
    pub seconds: f64,
    /// `None` when it was stopped at its limit.
    pub exit_code: Option<i64>,
    /// Its last lines, kept when it did not end well.
    pub words: String,
    pub statements: Vec<Statement>,
    /// What visitors waited longest, by table, where they were kept waiting at all; measured by queueing there.
    pub waited: Vec<Waited>,
    pub wal_bytes: u64,
    /// By how much the databases grew; negative when they shrank.
    pub grown_bytes: i64,
    pub findings: Vec<Finding>,
    /// Why it must not go on, each a sentence; empty when all limits hold.
    pub exceeded: Vec<String>,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Statement {
    /// As it was sent, with its constants; passwords are taken out.
    pub text: String,
    pub seconds: f64,
    /// Locks that it took of tables that were there before.
    pub locks: Vec<Held>,
    /// Rows that it inserted, updated or deleted in tables that were there before.
    pub rows: u64,
    /// Tables that it wrote anew as a whole.
    pub rewritten: Vec<String>,
    /// In milliseconds; `None` when it would wait for a lock without end.
    pub lock_timeout: Option<u64>,
    /// True when further statements share its transaction.
    pub in_transaction: bool,
    /// What the server said when it failed.
    pub error: Option<String>,
}

/// A lock, from the beginning of the statement that took it to the end of its transaction.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Held {
    pub table: String,
    pub mode: Mode,
    pub seconds: f64,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Waited {
    pub table: String,
    /// Of one who reads a row by its key; 0 when nobody was kept waiting.
    pub read_seconds: f64,
    /// Of one who writes it, in a transaction of his own.
    pub write_seconds: f64,
}

/// A danger.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    pub rule: String,
    /// Counts from 0.
    pub statement: usize,
    pub message: String,
    pub hint: Option<String>,
}

impl Statement {
    /// The strongest lock, and of those the longest held.
    pub fn strongest(&self) -> Option<&Held> {
        self.locks.iter().max_by(|a, b| a.mode.cmp(&b.mode).then(a.seconds.total_cmp(&b.seconds)))
    }
}

impl Report {
    /// True when it ended well and within its limits.
    pub fn passed(&self) -> bool {
        self.exit_code == Some(0) && self.exceeded.is_empty()
    }

    /// The lock that kept reads or writes out for the longest time.
    pub fn worst_lock(&self) -> Option<&Held> {
        let locks = self.statements.iter().flat_map(|statement| &statement.locks);
        locks.filter(|held| held.mode.blocks_writes()).max_by(|a, b| a.seconds.total_cmp(&b.seconds))
    }
}
