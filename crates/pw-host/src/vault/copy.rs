//! Copying many files, several at once.

use std::collections::BTreeSet;
use std::fs::{File, FileTimes, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use rustix::fs::Stat;

use super::manifest::{Change, Entry};
use super::root::{Root, give};
use super::{Manifest, NEW, Tell, interrupted};

/// Files that are copied at once; a disk is busy with that many.
const WORKERS: usize = 4;
/// Files between two words of progress.
const STRIDE: usize = 500;

pub(super) struct Job<'a> {
    pub(super) from: &'a Root,
    pub(super) to: &'a Root,
    pub(super) paths: &'a BTreeSet<String>,
    pub(super) stop: &'a AtomicBool,
    pub(super) tell: Tell<'a>,
}

/// What became of one file.
enum Fate {
    Missing,
    Refused,
    Same { size: u64 },
    Copied { size: u64, shared: bool },
}

type Wrong = (String, io::Error);

/// Copies what the target lacks to its number in the staging folder.
pub(super) fn copy_all(job: &Job<'_>) -> Result<Manifest, Wrong> {
    let paths: Vec<&String> = job.paths.iter().collect();
    let (next, fates) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    let work = || -> Result<(), Wrong> {
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            let Some(path) = paths.get(number) else { return Ok(()) };
            let fate = one(job, path, number).map_err(|error| ((*path).clone(), error))?;
            fates.lock().unwrap_or_else(std::sync::PoisonError::into_inner).push((number, fate));
            if number % STRIDE == STRIDE - 1 {
                (job.tell)(&format!("{} of {} files", number + 1, paths.len()));
            }
        }
    };
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..WORKERS).map(|_| scope.spawn(work)).collect();
        // Every one is waited for; the first that went wrong is told.
        let ended: Vec<Result<(), Wrong>> = workers.into_iter().map(joined).collect();
        ended.into_iter().collect::<Result<(), Wrong>>()
    })?;
    let mut fates = fates.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    fates.sort_by_key(|(number, _)| *number);
    let mut manifest = gathered(&paths, fates);
    renumber(job, &mut manifest).map_err(|error| (String::from("."), error))?;
    Ok(manifest)
}

fn joined(worker: std::thread::ScopedJoinHandle<'_, Result<(), Wrong>>) -> Result<(), Wrong> {
    worker.join().unwrap_or_else(|_| Err((String::from("."), io::Error::other("a worker ended early"))))
}

fn one(job: &Job<'_>, path: &str, number: usize) -> io::Result<Fate> {
    if job.stop.load(Ordering::Relaxed) {
        return Err(interrupted());
    }
    let there = match job.from.look(path) {
        Err(error) if leads_away(&error) => return Ok(Fate::Refused),
        other => other?,
    };
    let Some(there) = there else { return Ok(Fate::Missing) };
    if rustix::fs::FileType::from_raw_mode(there.st_mode) != rustix::fs::FileType::RegularFile {
        return Ok(Fate::Refused);
    }
    let mut from = match job.from.open_file(path) {
        // Removed between the two calls.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Fate::Missing),
        other => other?,
    };
    let known = from.metadata()?;
    if job.to.look(path)?.is_some_and(|there| is_same(&there, &known)) {
        return Ok(Fate::Same { size: known.len() });
    }
    let mut to = job.to.create(&format!("{NEW}/{number}"))?;
    let shared = rustix::fs::ioctl_ficlone(&to, &from).is_ok();
    if !shared {
        io::copy(&mut from, &mut to)?;
    }
    finish(&to, &known)?;
    Ok(Fate::Copied { size: known.len(), shared })
}

/// A link stands in the way.
fn leads_away(error: &io::Error) -> bool {
    let codes = [rustix::io::Errno::LOOP, rustix::io::Errno::XDEV];
    codes.iter().any(|code| error.raw_os_error() == Some(code.raw_os_error()))
}

/// Owner, rights and time of the source. By its time a file is known the next time.
fn finish(to: &File, known: &Metadata) -> io::Result<()> {
    give(to, known)?;
    to.set_times(FileTimes::new().set_modified(known.modified()?))
}

/// Size and time to the nanosecond, of a regular file.
fn is_same(there: &Stat, known: &Metadata) -> bool {
    let regular = rustix::fs::FileType::from_raw_mode(there.st_mode) == rustix::fs::FileType::RegularFile;
    let time = (there.st_mtime, i64::try_from(there.st_mtime_nsec).unwrap_or(-1));
    regular && u64::try_from(there.st_size) == Ok(known.len()) && time == (known.mtime(), known.mtime_nsec())
}

fn gathered(paths: &[&String], fates: Vec<(usize, Fate)>) -> Manifest {
    let mut manifest = Manifest::default();
    for (number, fate) in fates {
        let path = paths[number].clone();
        let (size, change) = match fate {
            Fate::Missing => {
                manifest.missing.push(path);
                continue;
            }
            Fate::Refused => {
                manifest.refused.push(path);
                continue;
            }
            Fate::Same { size } => (size, Change::Same),
            Fate::Copied { size, shared } => {
                manifest.shared += usize::from(shared);
                manifest.copied_bytes += if shared { 0 } else { size };
                (size, Change::Put)
            }
        };
        manifest.entries.push(Entry { path, size, change });
    }
    manifest
}

/// Staged files get the number of their entry, and the folders that they need are listed, those above first.
fn renumber(job: &Job<'_>, manifest: &mut Manifest) -> io::Result<()> {
    let numbers: std::collections::BTreeMap<&String, usize> =
        job.paths.iter().enumerate().map(|(number, path)| (path, number)).collect();
    let mut folders = BTreeSet::new();
    for (index, entry) in manifest.entries.iter().enumerate().filter(|(_, entry)| entry.change == Change::Put)
    {
        // Numbers only get smaller, in order, so none is taken.
        if let Some(number) = numbers.get(&entry.path).filter(|number| **number != index) {
            job.to.rename(&format!("{NEW}/{number}"), &format!("{NEW}/{index}"))?;
        }
        folders.extend(entry.path.match_indices('/').map(|(at, _)| entry.path[..at].to_owned()));
    }
    for folder in folders {
        if !job.to.has_folder(&folder)? {
            manifest.folders.push(folder);
        }
    }
    Ok(())
}
