//! What the steps of a backup, a restore and a drill work on, and how they read.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::step::{Action, ComposeRun, DatabasePlace};

/// A repository, and how it is opened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RepositoryPlace {
    pub path: String,
    /// File with the key.
    pub key: String,
    /// File that one writer at a time locks.
    pub lock: String,
    /// The repository that must be there, where one is remembered: a folder whose disk is away holds none, or another.
    #[serde(default)]
    pub id: Option<String>,
}

/// Everything that goes into one backup.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackupRun {
    pub repository: RepositoryPlace,
    /// Time of the plan, such as `20261121-070301`.
    pub name: String,
    pub project: String,
    pub environment: String,
    pub databases: BTreeMap<String, DatabasePlace>,
    pub folders: BTreeMap<String, FolderPlace>,
    /// Name in the backup → path on the host.
    pub files: BTreeMap<String, String>,
    /// Service → image.
    pub release: BTreeMap<String, String>,
    /// Servers, by service, whose files are taken whole: what their log is played onto.
    #[serde(default)]
    pub bases: BTreeMap<String, DatabasePlace>,
}

/// The log that a server keeps until a backup has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogHold {
    pub server: DatabasePlace,
    pub slot: String,
    /// The most that it holds back; `None` takes back what `ALTER SYSTEM` set.
    pub megabytes: Option<u64>,
    /// False where the server has a limit of its own.
    pub sets_limit: bool,
    /// The limit before, where `ALTER SYSTEM` had set one.
    #[serde(default)]
    pub before: Option<u64>,
    /// True where the slot is there already, and only the limit changes.
    #[serde(default)]
    pub is_held: bool,
}

impl LogHold {
    /// What makes it as it was.
    pub fn back(&self) -> Action {
        let hold = Box::new(Self { megabytes: self.before, before: self.megabytes, ..self.clone() });
        if self.is_held { Action::HoldLog { hold } } else { Action::ReleaseLog { hold } }
    }
}

/// The log that is taken from servers into the repository.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogRun {
    pub repository: RepositoryPlace,
    /// Time of the plan, such as `20261121-070301`.
    pub name: String,
    pub project: String,
    pub environment: String,
    pub servers: BTreeMap<String, DatabasePlace>,
    pub slot: String,
}

/// The files of a server, with the log that is played onto them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BaseRun {
    /// Its part is the service.
    pub stored: Stored,
    /// Name of what was taken together → segments in it, in order.
    pub log: Vec<(String, Vec<String>)>,
    /// Compose project and service that receive them.
    pub project: String,
    pub service: String,
    pub data: String,
    pub socket: String,
}

/// A volume, or a folder of the host, in which services keep data.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FolderPlace {
    /// Engine name of the volume.
    pub volume: Option<String>,
    pub path: String,
    /// `service:/path`.
    pub mounted: Vec<String>,
}

/// Which backups stay.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kept {
    pub last: u32,
    pub hourly: u32,
    pub daily: u32,
    pub weekly: u32,
    pub monthly: u32,
    pub yearly: u32,
    /// Names of those that a release which is still listed goes back to.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub points: Vec<String>,
}

/// A backup that is brought back to be tried.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DrillRun {
    /// Its part is a database, where there is one.
    pub stored: Stored,
    /// Into which the dump is loaded; `None` for a backup of folders alone.
    pub server: Option<ScratchServer>,
    /// On the host: where the folders of the backup are brought back.
    pub folders: Option<String>,
    pub timeout_seconds: u64,
    /// Where the server plays its log instead: how many segments, and up to when.
    #[serde(default)]
    pub played: Option<PlayedLog>,
}

/// A log that a server of a scratch place plays while it starts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlayedLog {
    pub segments: usize,
    pub until: String,
}

/// A server of a scratch place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScratchServer {
    pub compose: ComposeRun,
    pub service: String,
    pub user: String,
    pub database: String,
    /// On the host: the folder with the server's socket.
    pub socket: String,
    /// The service that checks, when there is one.
    pub job: Option<String>,
}

/// A table, as its server knows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableName {
    pub schema: String,
    pub name: String,
}

impl fmt::Display for TableName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.schema, self.name)
    }
}

/// One part of a backup.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stored {
    pub repository: RepositoryPlace,
    /// Name of the backup.
    pub backup: String,
    /// Name of the database or folder in it.
    pub part: String,
}

impl Action {
    pub(crate) fn fmt_backup(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::MakeBackup { backup } => {
                let names = ["configuration"].into_iter().map(str::to_owned);
                let names = names.chain(backup.databases.keys().chain(backup.folders.keys()).cloned());
                let names = names.collect::<Vec<_>>().join(", ");
                write!(f, "back {} up as {}: {names}", backup.environment, backup.name)
            }
            Self::MakeRepository { repository } => write!(f, "make repository {}", repository.path),
            Self::RemoveBackup { repository, name } => {
                write!(f, "remove backup {name} from {}", repository.path)
            }
            Self::ForgetBackups { repository, prune, .. } => {
                let more = if *prune { ", and give back the room that nobody needs" } else { "" };
                write!(f, "forget old backups in {}{more}", repository.path)
            }
            Self::RestoreDatabase { stored, to, .. } => {
                write!(f, "make {} from {} of backup {}", to.name, stored.part, stored.backup)
            }
            Self::RestoreFolder { stored, into } => {
                write!(f, "make {into} from {} of backup {}", stored.part, stored.backup)
            }
            Self::RestoreFiles { stored, files } => {
                let paths: Vec<&str> = files.values().map(String::as_str).collect();
                write!(f, "write {} from backup {}", paths.join(", "), stored.backup)
            }
            Self::CopyKey { from, to } => write!(f, "copy the key {from} to {to}"),
            Self::Drill { drill } if drill.played.is_some() => {
                write!(f, "play the log of backup {} and try it", drill.stored.backup)
            }
            Self::Drill { drill } => write!(f, "bring backup {} back and try it", drill.stored.backup),
            Self::RemoveRestored { path } => write!(f, "remove {path} with all in it"),
            Self::SwapFolders { path, new, aside } => {
                write!(f, "rename {path} to {aside}, and {new} to {path}")
            }
            other => other.fmt_log(f),
        }
    }

    fn fmt_log(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::HoldLog { hold } => {
                write!(f, "hold the log of {} back by slot {}", hold.server.service, hold.slot)?;
                match hold.megabytes.filter(|_| hold.sets_limit) {
                    Some(megabytes) => write!(f, ", at most {megabytes} MB of it"),
                    None => Ok(()),
                }
            }
            Self::ReleaseLog { hold } => {
                write!(f, "release the log of {} by removing slot {}", hold.server.service, hold.slot)
            }
            Self::TakeLog { log } => {
                let servers: Vec<&str> = log.servers.keys().map(String::as_str).collect();
                write!(f, "take the log of {} as {}", servers.join(", "), log.name)
            }
            Self::RestoreBase { base } => {
                let count: usize = base.log.iter().map(|(_, segments)| segments.len()).sum();
                let Stored { backup, part, .. } = &base.stored;
                write!(
                    f,
                    "fill {} with {part} of backup {backup}, and {count} segments of its log",
                    base.project
                )
            }
            Self::CopyRestored { from, to, .. } => {
                write!(f, "make {} from {} of {}", to.name, from.database, from.compose.project)
            }
            _ => f.write_str("something"),
        }
    }

    /// Parts of a backup, and copies of all of them.
    pub(crate) fn fmt_part(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::CopyRepository { repository, to } => write!(f, "copy {} to {to}", repository.path),
            Self::RestorePath { stored, path, into } => {
                write!(f, "make {into} from {path} in {} of backup {}", stored.part, stored.backup)
            }
            Self::RestoreTable { stored, table, to, .. } => {
                write!(
                    f,
                    "make {} from the definitions in {} of backup {}, and the rows of {table}",
                    to.name, stored.part, stored.backup
                )
            }
            Self::PlaceTable { from, table, to, schema } => {
                write!(f, "put {table} of database {} into schema {schema} of {}", from.name, to.name)
            }
            Self::MakeRoles { stored, server, names } => {
                write!(f, "make {} on {} from backup {}", roles(names), server.service, stored.backup)
            }
            Self::RemoveRoles { server, names } => write!(f, "remove {} on {}", roles(names), server.service),
            Self::RemovePlaced { from, schema } => {
                write!(f, "remove schema {schema} of database {}", from.name)
            }
            promotion => promotion.fmt_promote(f),
        }
    }
}

fn roles(names: &BTreeSet<String>) -> String {
    let word = if names.len() == 1 { "role" } else { "roles" };
    format!("{word} {}", names.iter().map(String::as_str).collect::<Vec<_>>().join(", "))
}
