//! The former backup of an environment: what has not changed since is not read again.
//!
//! A file is the same when its size, both its times and its number on the disk are. What it measured stands in the
//! former backup, whose blocks the new one shares.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use pw_plan::step::BackupRun;
use pw_run::Failure;

use crate::manifest::Measure;
use crate::repository::Repository;
use crate::source::Ledger;

/// Name of the list, at the top of the snapshot.
pub(crate) const CHECKSUMS: &str = "checksums.json";

/// Nothing, for the first backup.
#[derive(Default)]
pub(crate) struct Former {
    /// Id of its snapshot.
    pub(crate) snapshot: Option<String>,
    /// Path in the backup → what the file measured.
    measures: BTreeMap<String, Measure>,
}

impl Former {
    /// The newest whole one, where it can be read: otherwise everything is read, which is only slower.
    pub(crate) fn of(repository: &Repository, run: &BackupRun) -> Self {
        Self::read(repository, run).unwrap_or_default()
    }

    fn read(repository: &Repository, run: &BackupRun) -> Option<Self> {
        let open = repository.indexed().ok()?;
        let tags = [format!("project:{}", run.project), format!("environment:{}", run.environment)];
        let mut all = repository.whole(&open).ok()?;
        all.retain(|one| tags.iter().all(|tag| one.tags.contains(tag)));
        let newest = all.into_iter().max_by(|one, other| one.label.cmp(&other.label))?;
        let node = open.node_from_path(newest.tree, Path::new(CHECKSUMS)).ok()?;
        let mut text = Vec::new();
        open.dump(&node, &mut text).ok()?;
        let measures: BTreeMap<String, Measure> = serde_json::from_slice(&text).ok()?;
        // Two names that are no UTF-8 may read alike.
        if measures.keys().any(|path| path.contains(char::REPLACEMENT_CHARACTER)) {
            return None;
        }
        Some(Self { snapshot: Some(newest.id.to_string()), measures })
    }

    /// What was read, and what was not because it is as it was.
    ///
    /// # Errors
    /// A file was not read, and nobody knows it.
    pub(crate) fn complete(&self, ledger: &Ledger) -> Result<BTreeMap<PathBuf, Measure>, Failure> {
        let (mut read, vanished) = (ledger.read(), ledger.vanished());
        for path in ledger.offered() {
            let shown = path.to_string_lossy().into_owned();
            if read.contains_key(&path) || vanished.contains(&shown) {
                continue;
            }
            let known = self.measures.get(&shown).cloned();
            let known = known.ok_or_else(|| Failure::new(format!("`{shown}` was not read")))?;
            read.insert(path, known);
        }
        Ok(read)
    }
}

/// What the next backup needs of this one.
pub(crate) fn kept(read: &BTreeMap<PathBuf, Measure>) -> BTreeMap<String, &Measure> {
    read.iter().map(|(path, measure)| (path.to_string_lossy().into_owned(), measure)).collect()
}
