//! The journal on disk: one SQLite file that remembers plans, their events, and who did what.
//!
//! Route: [`SqliteJournal::open`] prepares the file (`file`, `schema`); `plans` implements
//! [`pw_run::Journal`]; `proofs` remembers trials; [`audit`] chains one entry per begin and end of a plan.
//!
//! **Invariant:** when a call returns, what it wrote survives a power cut (WAL, `synchronous = FULL`).
//! **Invariant:** the texts that a plan installs are never in here, for they hold secrets.

pub mod audit;
mod failure;
mod file;
mod history;
mod incidents;
pub mod metrics;
mod outbox;
mod plans;
mod proofs;
mod reserve;
mod schema;
mod who;

use std::path::Path;

use jiff::Timestamp;
use pw_run::JournalFailure;
use rusqlite::Connection;

use crate::failure::At;
use crate::reserve::Reserve;

pub use crate::failure::JournalError;
pub use crate::history::{Decision, History};
pub use crate::incidents::{Hour, Side};
pub use crate::outbox::Waiting;
pub use crate::plans::PlanSummary;
pub use crate::proofs::Proof;

/// Answers the present time. A function, so that tests decide what time it is.
pub type Clock = fn() -> Timestamp;

/// The journal in an SQLite file.
#[derive(Debug)]
pub struct SqliteJournal {
    connection: Connection,
    at: At,
    reserve: Reserve,
    clock: Clock,
    by: String,
}

impl SqliteJournal {
    /// Opens the journal for writing and makes what is missing: the folder (0700), the file (0600), the tables.
    pub fn open(path: &Path) -> Result<Self, JournalFailure> {
        let at = At::new(path);
        file::prepare(path).map_err(at.failed("open"))?;
        let mut connection = Connection::open(path).map_err(at.failed("open"))?;
        schema::prepare(&mut connection, &at)?;
        Ok(Self::with(connection, at))
    }

    /// Opens the journal for reading only and creates nothing, not even SQLite's own files. `None` when there is no journal yet.
    pub fn open_read_only(path: &Path) -> Result<Option<Self>, JournalFailure> {
        let at = At::new(path);
        if !path.try_exists().map_err(at.failed("open"))? {
            return Ok(None);
        }
        let connection = file::read_only(path).map_err(at.failed("open"))?;
        schema::check(&connection, &at)?;
        Ok(Some(Self::with(connection, at)))
    }

    /// Takes the time from `clock` in place of the system's.
    #[must_use]
    pub fn with_clock(mut self, clock: Clock) -> Self {
        self.clock = clock;
        self
    }

    /// Signs what is written from now on as done by `by`, such as the caller of the agent's socket.
    #[must_use]
    pub fn signed(mut self, by: impl Into<String>) -> Self {
        self.by = by.into();
        self
    }

    fn with(connection: Connection, at: At) -> Self {
        let reserve = Reserve::beside(at.path());
        Self { connection, at, reserve, clock: Timestamp::now, by: who::runs_this() }
    }
}
