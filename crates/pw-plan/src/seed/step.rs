//! What the steps of a seed work on, and how they read.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::step::{Action, Stored};

/// A PostgreSQL database of an environment. Address and password are looked up when they are needed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DatabasePlace {
    /// Compose project and service of the server.
    pub project: String,
    pub service: String,
    pub name: String,
    pub user: String,
    /// The service's variable that holds the password, where it is not the usual one.
    pub password: Option<String>,
}

/// A Redis of an environment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CachePlace {
    pub project: String,
    pub service: String,
}

/// The database that is sampled.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum SourcePlace {
    /// Of an environment, or of a server that stands in for one.
    Database(DatabasePlace),
    /// On a server that this host can reach.
    Server {
        /// Without a password, or `env:NAME`, the variable that holds it.
        dsn: String,
        /// The environment's Compose project whose rows it has.
        project: String,
    },
}

/// A backup from which data comes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackupOrigin {
    pub name: String,
    /// The environment that was backed up.
    pub environment: String,
    /// When, as RFC 3339.
    pub at: String,
}

/// Files that rows name, out of a folder of a backup.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TakeRun {
    /// The database whose rows name them.
    pub database: DatabasePlace,
    /// Its part is the folder.
    pub stored: Stored,
    /// Below the folder, where the vault is not the whole of it.
    pub below: Option<String>,
    /// Its source is the folder that is made.
    pub vault: VaultRun,
}

/// From which database to which, and by which rules.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SampleRun {
    pub from: SourcePlace,
    /// What the source was made from, where it is not an environment's own database.
    #[serde(default)]
    pub backup: Option<BackupOrigin>,
    pub to: DatabasePlace,
    /// Name of the database that is made.
    pub scratch: String,
    /// Of the stored partywall.yaml whose rules hold.
    pub rules: String,
    /// Size of the cohort, where it is not that of the rules.
    pub size: Option<String>,
    /// Bytes of the source that are read in a second at most.
    #[serde(default)]
    pub rate: Option<u64>,
    /// File with the key of the masks.
    pub key: String,
    /// File for figures and proof.
    pub record: String,
    /// What a failed run made stays to be looked at.
    pub keep_failed: bool,
}

/// Files that rows name, on their way from one environment to another.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VaultRun {
    pub from: VaultPlace,
    pub to: VaultPlace,
    /// The column that names them.
    pub column: String,
    /// Beginning of the key that is no part of the path.
    pub strip: Option<String>,
    /// Paths of the files of one key; `{key}` stands for it.
    pub files: Vec<String>,
    /// File for the list of what was copied.
    pub manifest: String,
    /// The same of the seed before.
    pub former: Option<String>,
}

/// Where files are kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum VaultPlace {
    /// A folder of the host: a bind mount, or what is in a local volume.
    Folder { path: String },
}

impl Action {
    pub(crate) fn fmt_seed(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SampleDatabase { sample } => {
                let size = sample.size.as_ref().map(|size| format!(" of {size}")).unwrap_or_default();
                write!(f, "make {}, a masked sample{size} of {}", sample.scratch, sample.from)
            }
            Self::RewriteRows { database, .. } => write!(f, "rewrite own rows of {}", database.name),
            Self::RenameDatabases { renames, .. } => {
                let each: Vec<String> =
                    renames.iter().map(|(from, to)| format!("database {from} to {to}")).collect();
                write!(f, "rename {}", each.join(" and "))
            }
            Self::RemoveDatabases { names, .. } => write!(f, "remove database {}", names.join(", ")),
            Self::LoadDump { stored, server } => {
                let Stored { backup, part, .. } = stored;
                write!(f, "load {part} of backup {backup} into {}", server.compose.project)
            }
            Self::TakeFiles { take } => {
                let (column, into) = (&take.vault.column, &take.vault.from);
                write!(f, "take the files that {column} names out of backup {} to {into}", take.stored.backup)
            }
            Self::LookAtSample { from, .. } => write!(f, "look at what a sample of {from} would be"),
            Self::StageFiles { vault, .. } => {
                write!(f, "copy the files that {} names to {}", vault.column, vault.to)
            }
            Self::SwitchFiles { vault } => write!(f, "put the copied files of {} in place", vault.column),
            Self::SwitchFilesBack { vault } => {
                write!(f, "put the former files of {} back", vault.column)
            }
            Self::RemoveStaged { vault } => write!(f, "remove what is set aside in {}", vault.to),
            Self::SetCacheAside { cache, .. } => write!(f, "empty {}, its content set aside", cache.service),
            Self::BringCacheBack { cache, .. } => write!(f, "bring the content of {} back", cache.service),
            Self::RemoveCacheAside { cache, .. } => {
                write!(f, "forget the former content of {}", cache.service)
            }
            other => other.fmt_part(f),
        }
    }
}

impl fmt::Display for DatabasePlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} in {}/{}", self.name, self.project, self.service)
    }
}

impl From<DatabasePlace> for SourcePlace {
    fn from(place: DatabasePlace) -> Self {
        Self::Database(place)
    }
}

impl fmt::Display for SourcePlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Database(place) => place.fmt(f),
            Self::Server { dsn, .. } => f.write_str(dsn),
        }
    }
}

impl fmt::Display for VaultPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Folder { path } => f.write_str(path),
        }
    }
}
