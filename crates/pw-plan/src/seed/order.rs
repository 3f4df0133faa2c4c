//! What a seed is planned from.

use std::collections::{BTreeMap, BTreeSet};

use super::backup::FromBackup;
use crate::step::{CachePlace, DatabasePlace, SourcePlace, VaultPlace};

/// What is asked for.
#[derive(Debug, Clone, PartialEq)]
pub struct Order {
    pub from: SourcePlace,
    /// From which a server is made that stands in for the environment's own.
    pub backup: Option<FromBackup>,
    pub to: DatabasePlace,
    /// The whole partywall.yaml, whose rules hold.
    pub rules: String,
    /// Size of the cohort, where it is not that of the rules.
    pub size: Option<String>,
    /// Bytes of the source that are read in a second at most.
    pub rate: Option<u64>,
    /// File with the key of the masks.
    pub key: String,
    /// Folder of all seeds of the environment.
    pub folder: String,
    /// Rows that get other values, as the text that is stored; `None` when there are none.
    pub rewrites: Option<String>,
    pub vaults: Vec<VaultOrder>,
    /// Redis services that are flushed.
    pub caches: Vec<CachePlace>,
    /// Services that use the database.
    pub users: BTreeSet<String>,
    /// In which order they start; empty: as they need each other.
    pub restart: Vec<String>,
    /// The former database stays until the next seed.
    pub keep: bool,
    /// What a failed run made stays to be looked at.
    pub keep_failed: bool,
}

/// Files that rows name, from where to where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VaultOrder {
    pub from: VaultSource,
    pub to: VaultPlace,
    /// The target is below a mount, and is not there yet.
    pub is_new: bool,
    pub column: String,
    pub strip: Option<String>,
    pub files: Vec<String>,
}

/// From where files come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum VaultSource {
    Place(VaultPlace),
    /// A folder of the backup, or what lies in it at `below`.
    Stored {
        part: String,
        below: Option<String>,
    },
}

/// What is there, of which a plan without a seed knows nothing.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Found {
    /// Databases of development's server.
    pub databases: BTreeSet<String>,
    /// Service → what its Redis holds.
    pub caches: BTreeMap<String, Keyspace>,
    /// Numbers of seeds that left a folder.
    pub seeds: BTreeSet<u64>,
    /// The number of the seed that is in use.
    pub current: Option<u64>,
    pub has_key: bool,
}

/// The numbered databases of a Redis.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Keyspace {
    pub used: BTreeSet<u32>,
    /// How many there can be.
    pub limit: u32,
}
