//! What a backup holds, as its own `manifest.json` says: what a restore is measured against.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// Name of the file at the top of the snapshot.
pub const FILE: &str = "manifest.json";

/// A whole backup.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    pub version: u32,
    pub name: String,
    pub project: String,
    pub environment: String,
    /// The moment of the databases: what came later is not in it.
    pub at: Timestamp,
    /// Version of Partywall.
    pub by: String,
    /// Service → image with its digest.
    pub release: BTreeMap<String, String>,
    pub databases: BTreeMap<String, Database>,
    pub folders: BTreeMap<String, Folder>,
    /// Service → the files of its server.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub bases: BTreeMap<String, Base>,
    /// Name in the backup → where it was.
    pub files: BTreeMap<String, File>,
    /// Files that went away while they were read.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub vanished: Vec<String>,
}

/// A logical dump, and what was counted in the same snapshot of the server.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Database {
    pub service: String,
    pub name: String,
    pub user: String,
    pub image: String,
    /// `17.5 (Debian …)`.
    pub server: String,
    /// Hash of all columns, constraints, indexes, views and functions.
    pub schema: String,
    pub foreign_keys: u64,
    /// Those that were declared `NOT VALID` and nobody has held against the rows.
    #[serde(default)]
    pub not_valid: u64,
    pub tables: BTreeMap<String, Table>,
    /// Roles of its server; true for those that it needs. Empty where a backup holds none.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub roles: BTreeMap<String, bool>,
    pub dump: Measure,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Table {
    pub rows: u64,
    /// Value of the newest row, where a column notes when rows are made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub newest: Option<Newest>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Newest {
    pub column: String,
    pub at: Timestamp,
}

/// Size and checksum of one stream.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Measure {
    pub bytes: u64,
    pub blake3: String,
}

/// The files of a server, as `pg_basebackup` sends them: what the log is played onto.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Base {
    pub user: String,
    pub image: String,
    pub server: String,
    /// Where the server kept them.
    pub data: String,
    /// Of all its databases, when they were read.
    pub size: u64,
    /// The server's own number, which its log carries too.
    pub system: String,
    pub segment_bytes: u64,
    /// From this segment on the log is needed.
    pub first: String,
    /// When they had been read: no moment before it can be restored from them.
    pub ended: Timestamp,
    pub tar: Measure,
}

/// What lay in a volume or in a folder of the host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Folder {
    pub path: String,
    /// Engine name, of a volume.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub volume: Option<String>,
    /// `service:/path`.
    pub mounted: Vec<String>,
    pub files: u64,
    pub bytes: u64,
    /// Of the sorted list of paths, sizes and checksums.
    pub blake3: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct File {
    pub path: String,
    #[serde(flatten)]
    pub measure: Measure,
}

impl Manifest {
    /// Bytes of everything, before compression.
    pub fn bytes(&self) -> u64 {
        let databases = self.databases.values().map(|database| database.dump.bytes);
        let folders = self.folders.values().map(|folder| folder.bytes);
        let files = self.files.values().map(|file| file.measure.bytes);
        let bases = self.bases.values().map(|base| base.tar.bytes);
        databases.chain(bases).chain(folders).chain(files).sum()
    }

    pub fn rows(&self) -> u64 {
        self.databases.values().flat_map(|database| database.tables.values()).map(|table| table.rows).sum()
    }
}

/// The files of a folder, measured one by one, in any order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tally {
    files: BTreeMap<String, Measure>,
}

impl Tally {
    pub fn add(&mut self, path: String, measure: Measure) {
        self.files.insert(path, measure);
    }

    pub fn files(&self) -> u64 {
        self.files.len() as u64
    }

    pub fn bytes(&self) -> u64 {
        self.files.values().map(|measure| measure.bytes).sum()
    }

    /// One checksum for all of them.
    pub fn blake3(&self) -> String {
        let mut hasher = blake3::Hasher::new();
        for (path, measure) in &self.files {
            hasher.update(format!("{path}\0{}\0{}\n", measure.bytes, measure.blake3).as_bytes());
        }
        hasher.finalize().to_hex().to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tally_knows_no_order_and_sees_every_change() {
        let of = |bytes, text: &str| Measure { bytes, blake3: text.into() };
        let (mut one, mut other) = (Tally::default(), Tally::default());
        one.add("a".into(), of(1, "x"));
        one.add("b".into(), of(2, "y"));
        other.add("b".into(), of(2, "y"));
        other.add("a".into(), of(1, "x"));
        assert_eq!(one.blake3(), other.blake3());
        other.add("a".into(), of(1, "z"));
        assert_ne!(one.blake3(), other.blake3());
    }
}
