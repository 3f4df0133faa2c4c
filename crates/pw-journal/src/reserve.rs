//! Room on the disk that is kept for going back, and the sign that an event is missing.
//!
//! A file lies beside the journal while everything could be written. When a write fails the file is
//! removed: that needs no room, frees some for the events of going back, and its absence tells
//! [`pw_run::resume`] that the journal has a gap.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use crate::file;

/// Enough for the events of a plan of a thousand steps, with details.
const SIZE: usize = 512 * 1024;

#[derive(Debug, Clone)]
pub(crate) struct Reserve(PathBuf);

impl Reserve {
    pub(crate) fn beside(journal: &Path) -> Self {
        Self(file::beside(journal, "-reserve"))
    }

    /// True while no write has failed.
    pub(crate) fn is_whole(&self) -> bool {
        self.0.exists()
    }

    /// Takes the room. Written under another name first, so that a half written reserve never counts as one.
    pub(crate) fn take(&self) -> io::Result<()> {
        if self.is_whole() {
            return Ok(());
        }
        let draft = file::beside(&self.0, ".new");
        let written = fill(&draft).and_then(|()| fs::rename(&draft, &self.0));
        if written.is_err() {
            drop(fs::remove_file(&draft));
        }
        written?;
        file::sync_folder(&self.0)
    }

    /// Gives the room back. Answers whether there was any.
    pub(crate) fn release(&self) -> bool {
        let removed = fs::remove_file(&self.0).is_ok();
        drop(file::sync_folder(&self.0));
        removed
    }
}

/// Fills the file with bytes that no file system can compress, or the room would not be there.
fn fill(path: &Path) -> io::Result<()> {
    let mut bytes = vec![0; SIZE];
    blake3::Hasher::new().finalize_xof().fill(&mut bytes);
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)?;
    file.write_all(&bytes)?;
    file.sync_all()
}
