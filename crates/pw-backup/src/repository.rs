//! The repository: opened with its key, listed, locked.

use std::collections::BTreeMap;
use std::fs::{self, File, TryLockError};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use pw_plan::step::RepositoryPlace;
use pw_run::Failure;
use rustic_backend::LocalBackend;
use rustic_core::repofile::{MasterKey, SnapshotFile};
use rustic_core::{
    CheckOptions, ConfigOptions, Credentials, IndexedFullStatus, KeyOptions, OpenStatus, RepositoryBackends,
    RepositoryOptions,
};
use serde::de::DeserializeOwned;

use crate::failure::{failed, unread};
use crate::key;
use crate::manifest::{FILE, Manifest};

/// Marks a snapshot that is not whole yet.
pub(crate) const UNFINISHED: &str = "unfinished";
/// Marks what was taken of servers' logs.
pub(crate) const LOG: &str = "log";
/// Marks ours, among those that other programs may keep in the same repository.
pub(crate) const OURS: &str = "partywall";
/// How long another writer may take.
const PATIENCE: Duration = Duration::from_secs(600);
const POLL: Duration = Duration::from_millis(200);

type Open = rustic_core::Repository<OpenStatus>;
pub(crate) type Indexed = rustic_core::Repository<IndexedFullStatus>;

/// What keys have opened in this process: stretching a key takes long on purpose.
static OPENED: Mutex<BTreeMap<String, MasterKey>> = Mutex::new(BTreeMap::new());

/// A repository that its key has opened.
pub struct Repository {
    pub(crate) place: RepositoryPlace,
}

/// One backup, as a list shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Backup {
    pub name: String,
    /// As restic shows it.
    pub snapshot: String,
    pub environment: String,
    pub project: String,
    pub at: Timestamp,
    /// What it added to the repository.
    pub added: u64,
}

/// One writer at a time. Held until it is dropped.
pub(crate) struct Writing(#[expect(dead_code, reason = "held, never read")] File);

impl Repository {
    /// Opens nothing yet.
    pub fn new(place: RepositoryPlace) -> Self {
        Self { place }
    }

    pub fn place(&self) -> &RepositoryPlace {
        &self.place
    }

    /// Of its folder.
    pub fn path(&self) -> &str {
        &self.place.path
    }

    /// True when the folder holds a repository, whoever made it.
    pub fn exists(&self) -> bool {
        Path::new(&self.place.path).join("config").is_file()
    }

    /// # Errors
    /// The key is missing or wrong, or the repository is damaged.
    pub(crate) fn open(&self) -> Result<Open, Failure> {
        let what = format!("could not open the repository `{}`", self.place.path);
        if !self.exists() {
            return Err(self.absent(what));
        }
        let key = self.key()?;
        let known = key::of(Path::new(&self.place.path), &key);
        let opened = || OPENED.lock().unwrap_or_else(PoisonError::into_inner);
        let credentials = match opened().get(&known) {
            Some(master) => Credentials::Masterkey(master.clone()),
            None => Credentials::password(key),
        };
        let open = self.closed()?.open(&credentials).map_err(|error| {
            let wrong = error.is_incorrect_password();
            let failure = failed(what.clone())(error);
            if wrong {
                failure.hint(format!("`{}` is the key of another repository", self.place.key))
            } else {
                failure
            }
        })?;
        match &self.place.id {
            Some(known) if *known != open.config().id.to_string() => Err(self.absent(what)),
            _ => {
                opened().insert(known, open.key());
                Ok(open)
            }
        }
    }

    /// What is not there is told by what is remembered of it.
    fn absent(&self, what: String) -> Failure {
        let failure = Failure::new(what);
        match &self.place.id {
            None => failure
                .because(std::io::Error::other("there is no repository"))
                .hint("`partywall backup ENV` makes one; or correct `backup.repository`"),
            Some(id) => failure
                .because(std::io::Error::other(format!(
                    "backups went into the repository {id:.8}, which is not there"
                )))
                .hint("mount the disk that holds it, or correct `backup.repository`"),
        }
    }

    /// By which it is known wherever it is mounted; `None` when there is none.
    ///
    /// # Errors
    /// The key is missing or wrong, or the repository is damaged.
    pub fn id(&self) -> Result<Option<String>, Failure> {
        if !self.exists() {
            return Ok(None);
        }
        let anyone = Self::new(RepositoryPlace { id: None, ..self.place.clone() });
        Ok(Some(anyone.open()?.config().id.to_string()))
    }

    /// Makes an empty one, unless there is one.
    ///
    /// # Errors
    /// The folder cannot be written, or the key cannot be read.
    pub fn make(&self) -> Result<(), Failure> {
        if self.exists() {
            return Ok(());
        }
        let what = format!("could not make the repository `{}`", self.place.path);
        let folder = Path::new(&self.place.path);
        private(folder).map_err(|error| Failure::new(what.clone()).because(error))?;
        let credentials = Credentials::Masterkey(key::make(folder, &self.key()?)?);
        let mut config = ConfigOptions::default();
        // Several packs are in memory at once.
        config.set_datapack_size = "16MiB".parse().ok();
        let made = self.closed()?.init(&credentials, &KeyOptions::default(), &config);
        made.map(drop).map_err(failed(what))
    }

    pub(crate) fn indexed(&self) -> Result<Indexed, Failure> {
        let what = format!("could not read the index of `{}`", self.place.path);
        self.open()?.to_indexed().map_err(failed(what))
    }

    fn closed(&self) -> Result<rustic_core::Repository<()>, Failure> {
        let what = || format!("could not open the repository `{}`", self.place.path);
        let none: [(String, String); 0] = [];
        let backend = LocalBackend::new(&self.place.path, none).map_err(failed(what()))?;
        let backends = RepositoryBackends::new(Arc::new(backend), None);
        let options = RepositoryOptions::default().no_cache(true);
        rustic_core::Repository::new(&options, &backends).map_err(failed(what()))
    }

    fn key(&self) -> Result<String, Failure> {
        let text = fs::read_to_string(&self.place.key).map_err(|error| {
            Failure::new(format!("could not read the key `{}`", self.place.key))
                .because(error)
                .hint("put the key that you kept outside this machine there, readable by root only; without it no backup can be read")
        })?;
        Ok(text.trim().to_owned())
    }

    /// Waits for another writer to end.
    pub(crate) fn writing(&self) -> Result<Writing, Failure> {
        let wrong = |error| Failure::new(format!("could not lock `{}`", self.place.lock)).because(error);
        let file = File::options().create(true).append(true).open(&self.place.lock).map_err(wrong)?;
        let until = Instant::now() + PATIENCE;
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(Writing(file)),
                Err(TryLockError::Error(error)) => return Err(wrong(error)),
                Err(TryLockError::WouldBlock) if Instant::now() < until => std::thread::sleep(POLL),
                Err(TryLockError::WouldBlock) => {
                    return Err(Failure::new("another backup is being written")
                        .hint("wait until it ends, and run the command again"));
                }
            }
        }
    }

    /// Whole backups, the newest first.
    ///
    /// # Errors
    /// The repository cannot be opened or read.
    pub fn list(&self) -> Result<Vec<Backup>, Failure> {
        let mut all: Vec<Backup> = self.whole(&self.open()?)?.iter().filter_map(backup).collect();
        all.sort_by(|one, other| other.name.cmp(&one.name));
        Ok(all)
    }

    pub(crate) fn whole<S>(&self, open: &rustic_core::Repository<S>) -> Result<Vec<SnapshotFile>, Failure>
    where
        S: rustic_core::Open,
    {
        let all = self.snapshots(open)?;
        let no_backup = |one: &SnapshotFile| one.tags.contains(UNFINISHED) || one.tags.contains(LOG);
        Ok(all.into_iter().filter(|one| !no_backup(one)).collect())
    }

    pub(crate) fn snapshots<S>(&self, open: &rustic_core::Repository<S>) -> Result<Vec<SnapshotFile>, Failure>
    where
        S: rustic_core::Open,
    {
        let what = format!("could not list the backups in `{}`", self.place.path);
        let all = open.get_all_snapshots().map_err(failed(what))?;
        Ok(all.into_iter().filter(|one| one.tags.contains(OURS)).collect())
    }

    /// The whole backup of that name.
    pub(crate) fn snapshot(&self, open: &Indexed, name: &str) -> Result<SnapshotFile, Failure> {
        let found = self.whole(open)?.into_iter().find(|one| one.label == name);
        found.ok_or_else(|| {
            Failure::new(format!("there is no backup `{name}`")).hint("`partywall backups` lists them")
        })
    }

    /// What a backup says of itself.
    ///
    /// # Errors
    /// There is no such backup, or its manifest is damaged.
    pub fn manifest(&self, name: &str) -> Result<Manifest, Failure> {
        let open = self.indexed()?;
        let snapshot = self.snapshot(&open, name)?;
        manifest_of(&open, &snapshot)
    }

    /// Reads every byte of the repository back and compares it with its checksum.
    ///
    /// # Errors
    /// Something is damaged; all of it is named.
    pub fn check(&self, read_data: bool) -> Result<(), Failure> {
        let open = self.open()?;
        let options = CheckOptions::default().read_data(read_data);
        let what = format!("the repository `{}` is damaged", self.place.path);
        let mut found = open.check(options).map_err(failed(what.clone()))?;
        found.0.retain(|(_, error)| !is_refuse(&error.to_string()));
        if found.is_ok().is_ok() {
            return Ok(());
        }
        let words: Vec<String> = found.0.iter().map(|(_, error)| error.to_string()).collect();
        Err(Failure::new(what).because(std::io::Error::other(words.join("; "))).hint(format!(
            "look with `restic -r {} -p {} check --read-data`; copy the repository before you repair it",
            self.place.path, self.place.key
        )))
    }
}

/// Whether an error is only about a pack that waits to be deleted. One that a killed prune left without an index is
/// marked by the next, and loses its size in the index of the one after; nothing that is kept is in it. The library
/// keeps the kinds of its errors to itself, so that their words have to tell.
fn is_refuse(words: &str) -> bool {
    words.contains("marked to delete: true: size computed by index")
}

pub(crate) fn manifest_of(open: &Indexed, snapshot: &SnapshotFile) -> Result<Manifest, Failure> {
    json_of(open, snapshot, FILE)
}

/// A file of ours at the top of a snapshot.
pub(crate) fn json_of<T: DeserializeOwned>(
    open: &Indexed,
    snapshot: &SnapshotFile,
    file: &str,
) -> Result<T, Failure> {
    let what = format!("could not read {file} of `{}`", snapshot.label);
    let lost = || unread(what.clone());
    let node = open.node_from_path(snapshot.tree, Path::new(file)).map_err(lost())?;
    let mut text = Vec::new();
    open.dump(&node, &mut text).map_err(lost())?;
    serde_json::from_slice(&text).map_err(|error| Failure::new(what).because(error))
}

fn backup(snapshot: &SnapshotFile) -> Option<Backup> {
    let tag = |prefix: &str| snapshot.tags.iter().find_map(|tag| tag.strip_prefix(prefix)).map(str::to_owned);
    Some(Backup {
        name: snapshot.label.clone(),
        snapshot: snapshot.id.to_string().chars().take(8).collect(),
        environment: tag("environment:")?,
        project: tag("project:")?,
        at: moment(&snapshot.label).unwrap_or_else(|| snapshot.time.timestamp()),
        added: snapshot.summary.as_ref().map_or(0, |summary| summary.data_added_packed),
    })
}

/// The time in the name of a backup is that of its data; the snapshot's own is that of its end.
pub(crate) fn moment(name: &str) -> Option<Timestamp> {
    let time = jiff::civil::DateTime::strptime("%Y%m%d-%H%M%S", name).ok()?;
    Some(time.to_zoned(jiff::tz::TimeZone::UTC).ok()?.timestamp())
}

/// Makes a folder that only its owner may enter.
fn private(path: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::DirBuilderExt as _;
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent)?;
    }
    if path.is_dir() {
        return Ok(());
    }
    fs::DirBuilder::new().mode(0o700).create(path)
}
