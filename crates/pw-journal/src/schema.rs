//! The tables, by version. A migration is never changed once released; a new one is added at the end.

use std::time::Duration;

use pw_run::JournalFailure;
use rusqlite::{Connection, TransactionBehavior};

use crate::failure::{At, JournalError};

/// Times are milliseconds since 1970.
const MIGRATIONS: &[&str] = &[
    "
    CREATE TABLE plans (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        operation TEXT NOT NULL,
        project TEXT NOT NULL,
        environment TEXT NOT NULL,
        plan TEXT NOT NULL,
        basis TEXT NOT NULL,
        begun INTEGER NOT NULL,
        ended INTEGER,
        outcome TEXT CHECK (outcome IN ('applied', 'taken-back')),
        by TEXT NOT NULL,
        CHECK ((ended IS NULL) = (outcome IS NULL))
    ) STRICT;
    CREATE INDEX plans_unfinished ON plans (id) WHERE ended IS NULL;

    CREATE TABLE events (
        id INTEGER PRIMARY KEY,
        plan INTEGER NOT NULL REFERENCES plans (id),
        at INTEGER NOT NULL,
        event TEXT NOT NULL,
        step INTEGER,
        detail TEXT
    ) STRICT;
    CREATE INDEX events_of_plan ON events (plan, id);

    CREATE TABLE audit (
        seq INTEGER PRIMARY KEY AUTOINCREMENT,
        at INTEGER NOT NULL,
        who TEXT NOT NULL,
        what TEXT NOT NULL,
        project TEXT NOT NULL,
        environment TEXT NOT NULL,
        outcome TEXT NOT NULL,
        previous TEXT NOT NULL,
        hash TEXT NOT NULL
    ) STRICT;
    CREATE TRIGGER audit_is_never_changed BEFORE UPDATE ON audit
        BEGIN SELECT RAISE(ABORT, 'the audit log is never changed'); END;
    CREATE TRIGGER audit_is_never_shortened BEFORE DELETE ON audit
        BEGIN SELECT RAISE(ABORT, 'the audit log is never shortened'); END;
",
    "
    CREATE TABLE proofs (
        id INTEGER PRIMARY KEY,
        at INTEGER NOT NULL,
        kind TEXT NOT NULL,
        environment TEXT NOT NULL,
        passed INTEGER NOT NULL CHECK (passed IN (0, 1)),
        summary TEXT NOT NULL
    ) STRICT;
    CREATE INDEX proofs_newest ON proofs (kind, environment, id);
",
];

const KNOWN: i64 = MIGRATIONS.len() as i64;

/// How long a write waits for another process to end its own.
const PATIENCE: Duration = Duration::from_secs(10);

/// Makes every commit durable and brings the tables up to date.
pub(crate) fn prepare(connection: &mut Connection, at: &At) -> Result<(), JournalFailure> {
    connection.busy_timeout(PATIENCE).map_err(at.failed("open"))?;
    check(connection, at)?;
    pragmas(connection).map_err(at.failed("open"))?;
    migrate(connection).map_err(at.failed("prepare"))
}

/// Refuses a journal that this version does not understand.
pub(crate) fn check(connection: &Connection, at: &At) -> Result<(), JournalFailure> {
    let found = version(connection).map_err(at.failed("read"))?;
    if found > KNOWN {
        return Err(at.failed("open")(JournalError::Newer { found, known: KNOWN }));
    }
    Ok(())
}

fn pragmas(connection: &Connection) -> rusqlite::Result<()> {
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "foreign_keys", true)
}

fn migrate(connection: &mut Connection) -> rusqlite::Result<()> {
    if version(connection)? == KNOWN {
        return Ok(());
    }
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    // Read again: another process may have migrated while this one waited for the lock.
    let done = usize::try_from(version(&transaction)?).unwrap_or(0);
    for migration in MIGRATIONS.iter().skip(done) {
        transaction.execute_batch(migration)?;
    }
    transaction.pragma_update(None, "user_version", KNOWN)?;
    transaction.commit()
}

fn version(connection: &Connection) -> rusqlite::Result<i64> {
    connection.pragma_query_value(None, "user_version", |row| row.get(0))
}
