//! What was tried on a copy, and how it ended: rehearsals, drills.

use pw_run::JournalFailure;
use rusqlite::{OptionalExtension, params};

use crate::SqliteJournal;

/// One trial. `summary` is JSON of the kind's own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proof {
    /// `rehearsal`, `drill`, `backup`; `repository` remembers into which one backups go.
    pub kind: String,
    pub environment: String,
    pub passed: bool,
    pub summary: String,
}

impl SqliteJournal {
    /// Remembers how a trial ended.
    ///
    /// # Errors
    /// The journal cannot be written.
    pub fn prove(&mut self, proof: &Proof) -> Result<(), JournalFailure> {
        let at = self.now();
        self.write("write a result to", |transaction| {
            transaction.execute(
                "INSERT INTO proofs (at, kind, environment, passed, summary) VALUES (?, ?, ?, ?, ?)",
                params![at, proof.kind, proof.environment, proof.passed, proof.summary],
            )?;
            Ok(())
        })
    }

    /// The newest trial of a kind, and when it was, in seconds since 1970.
    ///
    /// # Errors
    /// The journal cannot be read.
    pub fn newest_proof(
        &self,
        kind: &str,
        environment: &str,
    ) -> Result<Option<(i64, Proof)>, JournalFailure> {
        self.newest_of(kind, environment, "")
    }

    /// The newest one that passed.
    ///
    /// # Errors
    /// The journal cannot be read.
    pub fn newest_passed(
        &self,
        kind: &str,
        environment: &str,
    ) -> Result<Option<(i64, Proof)>, JournalFailure> {
        self.newest_of(kind, environment, "AND passed")
    }

    fn newest_of(
        &self,
        kind: &str,
        environment: &str,
        besides: &str,
    ) -> Result<Option<(i64, Proof)>, JournalFailure> {
        // A journal of an older version, opened for reading only, has no such table yet.
        let query = "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'proofs'";
        let there = self.connection.query_row(query, [], |_| Ok(())).optional();
        if there.map_err(self.at.failed("read"))?.is_none() {
            return Ok(None);
        }
        let query = format!(
            "SELECT at, passed, summary FROM proofs WHERE kind = ? AND environment = ? {besides} ORDER BY id DESC LIMIT 1"
        );
        let found = self.connection.query_row(&query, [kind, environment], |row| {
            let proof = Proof {
                kind: kind.to_owned(),
                environment: environment.to_owned(),
                passed: row.get(1)?,
                summary: row.get(2)?,
            };
            Ok((row.get::<_, i64>(0)?.div_euclid(1000), proof))
        });
        found.optional().map_err(self.at.failed("read"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_of_its_kind_is_answered() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut journal = SqliteJournal::open(&folder.path().join("journal.db")).expect("opens");
        let proof = |kind: &str, passed| Proof {
            kind: kind.into(),
            environment: "production".into(),
            passed,
            summary: "{}".into(),
        };
        assert_eq!(journal.newest_proof("drill", "production").expect("reads"), None);
        for one in [proof("drill", true), proof("rehearsal", false), proof("drill", false)] {
            journal.prove(&one).expect("writes");
        }
        let newest = journal.newest_proof("drill", "production").expect("reads").expect("one");
        assert_eq!(newest.1, proof("drill", false));
        let passed = journal.newest_passed("drill", "production").expect("reads").expect("one");
        assert_eq!(passed.1, proof("drill", true));
        assert_eq!(journal.newest_proof("drill", "development").expect("reads"), None);
    }
}
