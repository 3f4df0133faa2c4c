//! What ran in an environment: one release, as it is kept.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// One set of code, configuration and images that ran in an environment.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Release {
    /// Counted from 1 in each environment.
    pub number: u64,
    /// The commit, whole.
    pub commit: String,
    /// First line of the commit's message.
    pub subject: String,
    /// Folder with the commit's files, of which Compose files and build contexts are read.
    pub tree: String,
    /// The repository's folder, whose files stand in for those of the tree where the commit does not decide.
    pub repository: String,
    /// Service → image tag; of services that are built.
    pub images: BTreeMap<String, String>,
    /// Service → identity of the image that ran.
    pub digests: BTreeMap<String, String>,
    /// Hash of the rendered Compose file; its text lies in the environment's store.
    pub compose: String,
    /// The number of the release that this one brings back.
    pub of: Option<u64>,
    /// The release whose migration was taken back when this one came.
    pub undid: Option<u64>,
    /// The schema's migrations as they were applied before it, by the tool's own names.
    pub migrations: Vec<String>,
    /// True when the code before it runs with its schema too, or it changed none.
    pub compatible: bool,
    /// Seconds since 1970.
    pub at: i64,
    pub why: String,
    /// Name of the backup that was made before it.
    pub restore_point: Option<String>,
}

impl Release {
    /// Where a path of the repository lies in the commit's files; a path elsewhere is itself.
    pub fn in_tree(&self, path: &str) -> String {
        match path.strip_prefix(&self.repository) {
            Some(rest) if rest.is_empty() || rest.starts_with('/') => format!("{}{rest}", self.tree),
            _ => path.to_owned(),
        }
    }

    /// The commit as people write it.
    pub fn short(&self) -> &str {
        self.commit.get(..10).unwrap_or(&self.commit)
    }
}
