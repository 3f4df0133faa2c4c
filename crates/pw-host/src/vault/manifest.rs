//! The list of what a seed did with files.

use std::fs;
use std::io;
use std::path::Path;

use pw_run::Failure;
use serde::{Deserialize, Serialize};

use crate::failed::io_failed;
use crate::files;

/// What a seed did with the files of one vault.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    pub(super) entries: Vec<Entry>,
    /// Folders that the files need and the target has not.
    pub(super) folders: Vec<String>,
    /// Named by a row, and not there.
    pub missing: Vec<String>,
    /// Keys that lead outside, or to what is no file.
    pub refused: Vec<String>,
    /// Files whose content is shared with the source until one of the two changes.
    pub shared: usize,
    pub copied_bytes: u64,
}

/// One file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Entry {
    pub(super) path: String,
    pub(super) size: u64,
    pub(super) change: Change,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Change {
    /// The target had it already.
    Same,
    /// It is new, or replaces another.
    Put,
    Remove,
}

impl Manifest {
    /// `None` when there is no such file.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn read(path: &Path) -> Result<Option<Self>, Failure> {
        let text = match fs::read_to_string(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            other => other.map_err(|error| io_failed("read", path, error))?,
        };
        let damaged =
            |error| Failure::new(format!("the list `{}` is damaged", path.display())).because(error);
        serde_json::from_str(&text).map(Some).map_err(damaged)
    }

    pub(super) fn write(&self, path: &Path) -> Result<(), Failure> {
        let text = serde_json::to_string(self)
            .map_err(|error| Failure::new("could not list files").because(error))?;
        files::write(path, text.as_bytes(), 0o600)
    }

    /// Files that rows name and that are there.
    pub fn files(&self) -> usize {
        self.entries.len() - self.of(Change::Remove)
    }

    /// Of these, how many were copied this time.
    pub fn copied(&self) -> usize {
        self.of(Change::Put)
    }

    /// Files of the seed before that no row names any more.
    pub fn removed(&self) -> usize {
        self.of(Change::Remove)
    }

    pub fn bytes(&self) -> u64 {
        self.entries.iter().filter(|entry| entry.change != Change::Remove).map(|entry| entry.size).sum()
    }

    fn of(&self, change: Change) -> usize {
        self.entries.iter().filter(|entry| entry.change == change).count()
    }
}
