//! Making a backup: read once, measured while it is read, whole or not there.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use pw_plan::step::BackupRun;
use pw_run::Failure;
use rustic_core::repofile::SnapshotFile;
use rustic_core::{BackupOptions, ParentOptions, SnapshotOptions};

use crate::failure::failed;
use crate::former;
use crate::former::{CHECKSUMS, Former};
use crate::manifest::{FILE, File, Folder, Manifest, Measure, Tally};
use crate::repository::{OURS, Repository, UNFINISHED, Writing};
use crate::source::{Ledger, Part, Parts};

pub use crate::source::Program;

const BASES: &str = "bases";
const DATABASES: &str = "databases";
const FOLDERS: &str = "folders";
const FILES: &str = "configuration";
/// At the top of the snapshot, and not in the manifest, which is shown to who asks for it.
pub(crate) const ROLES: &str = "roles.json";
const TELL_EVERY: Duration = Duration::from_millis(500);

/// What is put into the backup beside what the run names.
pub struct Order<'a> {
    pub run: &'a BackupRun,
    /// Database → the program that prints its dump.
    pub dumps: BTreeMap<String, Program>,
    /// Service → the program that prints its server's files.
    pub bases: BTreeMap<String, Program>,
    /// Database → its roles, with what its server keeps of their passwords.
    pub roles: BTreeMap<String, serde_json::Value>,
    /// What is known of the databases before their dumps are read; the rest is filled in here.
    pub manifest: Manifest,
    /// Set to call it off.
    pub stop: Arc<AtomicBool>,
    /// Told how many bytes were read, now and then.
    pub tell: &'a (dyn Fn(u64) + Sync),
}

/// The place of a database's dump in every backup.
pub(crate) fn dump_path(database: &str) -> PathBuf {
    Path::new(DATABASES).join(format!("{database}.dump"))
}

/// The place of a server's files.
pub(crate) fn base_path(service: &str) -> PathBuf {
    Path::new(BASES).join(format!("{service}.tar"))
}

pub(crate) fn folder_path(folder: &str) -> PathBuf {
    Path::new(FOLDERS).join(folder)
}

pub(crate) fn file_path(file: &str) -> PathBuf {
    Path::new(FILES).join(file)
}

/// Makes the backup, unless there is a whole one of its name.
///
/// # Errors
/// Something could not be read to its end, or the repository could not be written; then no backup is listed.
pub fn make(order: Order<'_>) -> Result<Manifest, Failure> {
    let repository = Repository::new(order.run.repository.clone());
    let writing = repository.writing()?;
    let open = repository.open()?;
    if repository.whole(&open)?.iter().any(|one| one.label == order.run.name) {
        return repository.manifest(&order.run.name);
    }
    sweep(&repository, &writing)?;
    let made = archive_all(&repository, order);
    if made.is_err() {
        // What is left of it is not listed, and the next backup sweeps again.
        drop(sweep(&repository, &writing));
    }
    made
}

/// Removes a backup, and what a cut-off one left.
///
/// # Errors
/// The repository cannot be written.
pub fn remove(repository: &Repository, name: &str) -> Result<(), Failure> {
    if !repository.exists() {
        return Ok(());
    }
    let _writing = repository.writing()?;
    remove_where(repository, |one| one.label == name)
}

pub(crate) fn sweep(repository: &Repository, _writing: &Writing) -> Result<(), Failure> {
    remove_where(repository, |one| one.tags.contains(UNFINISHED))
}

fn remove_where(repository: &Repository, wanted: impl Fn(&SnapshotFile) -> bool) -> Result<(), Failure> {
    let open = repository.open()?;
    let all = repository.snapshots(&open)?;
    let ids: Vec<_> = all.into_iter().filter(|one| wanted(one)).map(|one| one.id).collect();
    if ids.is_empty() {
        return Ok(());
    }
    open.delete_snapshots(&ids).map_err(failed("could not remove a backup"))
}

/// Two snapshots, data and manifest, become one: only then it is a backup.
fn archive_all(repository: &Repository, order: Order<'_>) -> Result<Manifest, Failure> {
    let Order { run, dumps, bases, roles, mut manifest, stop, tell } = order;
    let ledger = Arc::new(Ledger::stopped_by(stop));
    let former = Former::of(repository, run);
    let data =
        watched(&ledger, tell, || archive(repository, (run, &former), parts(run, dumps, bases), &ledger))?;
    let read = former.complete(&ledger)?;
    fill(&mut manifest, run, &read)?;
    manifest.vanished = ledger.vanished();
    let text = |path: &str, text: Result<Vec<u8>, serde_json::Error>| {
        let text = text.map_err(|error| Failure::new(format!("could not write {path}")).because(error))?;
        Ok::<_, Failure>(Part::Text { path: PathBuf::from(path), text })
    };
    let told = vec![
        text(CHECKSUMS, serde_json::to_vec(&former::kept(&read)))?,
        text(FILE, serde_json::to_vec_pretty(&manifest))?,
        text(ROLES, serde_json::to_vec(&roles))?,
    ];
    let written = archive(repository, (run, &Former::default()), told, &ledger)?;
    whole(&ledger)?;
    join(repository, snapshot(run, &[])?, [data, written])?;
    Ok(manifest)
}

/// From then on it is whole.
pub(crate) fn join(
    repository: &Repository,
    mut whole: SnapshotFile,
    parts: [SnapshotFile; 2],
) -> Result<(), Failure> {
    let indexed = repository.indexed()?;
    let what = "could not finish the backup";
    whole.summary = parts[0].summary.clone();
    let ids: Vec<_> = parts.iter().map(|one| one.id).collect();
    indexed.merge_snapshots(&parts, &|_, _| std::cmp::Ordering::Equal, whole).map_err(failed(what))?;
    indexed.delete_snapshots(&ids).map_err(failed(what))
}

/// Runs the work beside a thread that tells how far it is.
fn watched<T: Send>(ledger: &Ledger, tell: &(dyn Fn(u64) + Sync), work: impl FnOnce() -> T + Send) -> T {
    let ended = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let telling = scope.spawn(|| {
            loop {
                std::thread::park_timeout(TELL_EVERY);
                tell(ledger.bytes.load(Ordering::Relaxed));
                if ended.load(Ordering::Relaxed) {
                    return;
                }
            }
        });
        let done = work();
        ended.store(true, Ordering::Relaxed);
        telling.thread().unpark();
        done
    })
}

fn parts(
    run: &BackupRun,
    mut dumps: BTreeMap<String, Program>,
    bases: BTreeMap<String, Program>,
) -> Vec<Part> {
    let bases = bases.into_iter().map(|(name, program)| Part::Stream { path: base_path(&name), program });
    let files = run.files.iter().map(|(name, from)| Part::File { path: file_path(name), from: from.into() });
    let streams = run
        .databases
        .keys()
        .filter_map(|name| Some(Part::Stream { path: dump_path(name), program: dumps.remove(name)? }));
    let streams: Vec<Part> = streams.collect();
    let folders = run.folders.iter();
    let folders =
        folders.map(|(name, place)| Part::Folder { path: folder_path(name), from: (&place.path).into() });
    // In the order of their paths, which the former backup is compared in.
    bases.chain(files).chain(streams).chain(folders).collect()
}

pub(crate) fn archive(
    repository: &Repository,
    (run, former): (&BackupRun, &Former),
    parts: Vec<Part>,
    ledger: &Arc<Ledger>,
) -> Result<SnapshotFile, Failure> {
    let what = || format!("could not write to the repository `{}`", run.repository.path);
    let open = repository.open()?.to_indexed_ids().map_err(failed(what()))?;
    let parent = match &former.snapshot {
        Some(snapshot) => ParentOptions::default().parents(vec![snapshot.clone()]),
        None => ParentOptions::default().force(true),
    };
    let options = BackupOptions::default().no_scan(true).parent_opts(parent);
    let source = Parts { parts: Mutex::new(parts), ledger: Arc::clone(ledger) };
    let place = [PathBuf::from("/")];
    let made = open.archive(&options, &source, snapshot(run, &[UNFINISHED])?, &place).map_err(failed(what()));
    // What was read wrongly is the cause, where both are told.
    whole(ledger)?;
    made
}

pub(crate) fn snapshot(run: &BackupRun, tags: &[&str]) -> Result<SnapshotFile, Failure> {
    let mut options = SnapshotOptions::default()
        .label(run.name.clone())
        .command(format!("partywall backup {}", run.environment));
    let ours =
        [OURS.to_owned(), format!("project:{}", run.project), format!("environment:{}", run.environment)];
    for tag in ours.iter().map(String::as_str).chain(tags.iter().copied()) {
        options = options.add_tags(tag).map_err(failed("could not name the backup"))?;
    }
    options.to_snapshot().map_err(failed("could not name the backup"))
}

/// Anything that was not read to its end makes it no backup.
pub(crate) fn whole(ledger: &Ledger) -> Result<(), Failure> {
    let failures = ledger.failures();
    match failures.first() {
        None => Ok(()),
        Some(first) => {
            let more = match failures.len() {
                1 => String::new(),
                count => format!(" (and {} more)", count - 1),
            };
            Err(Failure::new("the backup is not whole and was dropped")
                .because(std::io::Error::other(format!("{first}{more}"))))
        }
    }
}

/// What was measured while it was read.
fn fill(manifest: &mut Manifest, run: &BackupRun, read: &BTreeMap<PathBuf, Measure>) -> Result<(), Failure> {
    let of = |path: &Path| -> Result<Measure, Failure> {
        let found = read.get(path).cloned();
        found.ok_or_else(|| Failure::new(format!("`{}` was not read", path.display())))
    };
    for (name, database) in &mut manifest.databases {
        database.dump = of(&dump_path(name))?;
    }
    for (name, base) in &mut manifest.bases {
        (base.tar, base.ended) = (of(&base_path(name))?, jiff::Timestamp::now());
    }
    for (name, path) in &run.files {
        manifest.files.insert(name.clone(), File { path: path.clone(), measure: of(&file_path(name))? });
    }
    for (name, place) in &run.folders {
        let top = folder_path(name);
        let mut tally = Tally::default();
        for (path, measure) in read {
            if let Ok(below) = path.strip_prefix(&top) {
                tally.add(below.to_string_lossy().into_owned(), measure.clone());
            }
        }
        let folder = Folder {
            path: place.path.clone(),
            volume: place.volume.clone(),
            mounted: place.mounted.clone(),
            files: tally.files(),
            bytes: tally.bytes(),
            blake3: tally.blake3(),
        };
        manifest.folders.insert(name.clone(), folder);
    }
    Ok(())
}
