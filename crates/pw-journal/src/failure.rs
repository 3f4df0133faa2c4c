//! SQLite's errors, as something that a person can act on.

use std::io;
use std::path::{Path, PathBuf};

use pw_run::JournalFailure;
use rusqlite::ErrorCode;

/// Where the journal lies; turns errors into failures that name the place.
#[derive(Debug, Clone)]
pub(crate) struct At(PathBuf);

/// Why the journal could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    #[error(transparent)]
    Sqlite(#[from] rusqlite::Error),
    #[error(transparent)]
    File(#[from] io::Error),
    #[error("a row cannot be understood")]
    Text(#[from] serde_json::Error),
    #[error("plan {id} (`{operation}` of `{environment}`) is unfinished")]
    AnotherUnfinished { id: i64, operation: String, environment: String },
    #[error("plan {0} is not among the unfinished")]
    NotUnfinished(i64),
    #[error("it was written by a newer Partywall (schema {found}, this one knows {known})")]
    Newer { found: i64, known: i64 },
}

impl At {
    pub(crate) fn new(path: &Path) -> Self {
        Self(path.to_owned())
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    /// For `map_err`: the failure of `what`, with a hint where the kind of error allows one.
    pub(crate) fn failed<E: Into<JournalError>>(
        &self,
        what: &'static str,
    ) -> impl FnOnce(E) -> JournalFailure {
        move |error| {
            let error = error.into();
            JournalFailure { what, hint: self.hint(&error), source: Box::new(error) }
        }
    }

    fn hint(&self, error: &JournalError) -> Option<String> {
        match error {
            JournalError::Sqlite(error) => self.hint_for_sqlite(error.sqlite_error_code()?),
            JournalError::File(error) => self.hint_for_file(error.kind()),
            JournalError::Text(_) => Some(self.damaged()),
            JournalError::AnotherUnfinished { .. } => {
                Some("finish it with `partywall resume` or take it back with `partywall abandon`".into())
            }
            JournalError::NotUnfinished(_) => {
                Some("another `partywall` ended it meanwhile; see `partywall status`".into())
            }
            JournalError::Newer { .. } => Some("install the newer Partywall again".into()),
        }
    }

    fn hint_for_sqlite(&self, code: ErrorCode) -> Option<String> {
        match code {
            ErrorCode::DiskFull => Some(self.full()),
            ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt => Some(self.damaged()),
            ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked => {
                Some("another `partywall` is writing; try again in a moment".into())
            }
            ErrorCode::CannotOpen | ErrorCode::PermissionDenied | ErrorCode::ReadOnly => Some(self.denied()),
            _ => None,
        }
    }

    fn hint_for_file(&self, kind: io::ErrorKind) -> Option<String> {
        match kind {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Some(self.full()),
            io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => Some(self.denied()),
            _ => None,
        }
    }

    fn damaged(&self) -> String {
        let path = self.0.display();
        format!(
            "`{path}` is damaged: put a copy of it back, or move it away to begin an empty journal (what runs is not touched)"
        )
    }

    fn full(&self) -> String {
        format!(
            "the disk is full; free some space where `{}` lies, then run the command again",
            self.0.display()
        )
    }

    fn denied(&self) -> String {
        format!("run as a user who may write `{}` and its folder, such as with `sudo`", self.0.display())
    }
}
