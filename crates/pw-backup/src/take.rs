//! Taking out of a backup: dumps as a stream, folders and files as they were, all of it measured again.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _, lchown, symlink};
use std::path::{Component, Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use pw_run::Failure;
use rustic_core::LsOptions;
use rustic_core::repofile::{Node, NodeType, SnapshotFile};

use crate::failure::unread;
use crate::former::CHECKSUMS;
use crate::make::{ROLES, base_path, dump_path, file_path, folder_path};
use crate::manifest::{Manifest, Measure, Tally};
use crate::repository::{Indexed, Repository, json_of, manifest_of};
use crate::rights::of_host;

/// Files are brought back by so many at once.
const WORKERS: usize = 3;
const SET_USER_AND_GROUP: u32 = 0o6000;

/// A backup, opened to be read.
pub struct Taking {
    open: Indexed,
    snapshot: SnapshotFile,
    pub manifest: Manifest,
}

/// Measures what is written through it.
struct Measuring<W> {
    out: W,
    hasher: blake3::Hasher,
    bytes: u64,
}

impl<W: Write> Write for Measuring<W> {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        let count = self.out.write(buffer)?;
        self.hasher.update(&buffer[..count]);
        self.bytes += count as u64;
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

impl Taking {
    /// # Errors
    /// There is no such backup, the key is wrong, or the repository is damaged.
    pub fn open(repository: &Repository, name: &str) -> Result<Self, Failure> {
        let open = repository.indexed()?;
        let snapshot = repository.snapshot(&open, name)?;
        let manifest = manifest_of(&open, &snapshot)?;
        Ok(Self { open, snapshot, manifest })
    }

    /// Writes the dump of a database to `out`, and compares it with the manifest.
    ///
    /// # Errors
    /// It is damaged, or `out` takes no more.
    pub fn dump(&self, database: &str, out: impl Write) -> Result<(), Failure> {
        let known = self.manifest.databases.get(database);
        let known = known.ok_or_else(|| self.lacks("database", database))?;
        let found = self.stream(&dump_path(database), out)?;
        same(&format!("the dump of `{database}`"), &known.dump, &found)
    }

    /// The roles of a database's server as they were put in; `None` where the backup holds none.
    ///
    /// # Errors
    /// It is damaged.
    pub fn roles(&self, database: &str) -> Result<Option<serde_json::Value>, Failure> {
        if self.manifest.databases.get(database).is_none_or(|known| known.roles.is_empty()) {
            return Ok(None);
        }
        let mut all: BTreeMap<String, serde_json::Value> = json_of(&self.open, &self.snapshot, ROLES)?;
        Ok(all.remove(database))
    }

    /// Writes the files of a server to `out`, as one archive.
    ///
    /// # Errors
    /// It is damaged, or `out` takes no more.
    pub fn base(&self, service: &str, out: impl Write) -> Result<(), Failure> {
        let known = self.manifest.bases.get(service).ok_or_else(|| self.lacks("server", service))?;
        same_stream(&self.open, (&self.snapshot, &base_path(service)), &known.tar, out)
    }

    /// Writes a file of the configuration to `out`.
    ///
    /// # Errors
    /// It is damaged, or `out` takes no more.
    pub fn file(&self, name: &str, out: impl Write) -> Result<(), Failure> {
        let known = self.manifest.files.get(name).ok_or_else(|| self.lacks("file", name))?;
        let found = self.stream(&file_path(name), out)?;
        same(&format!("`{name}`"), &known.measure, &found)
    }

    /// Brings a file of the configuration back to `path`; one that is there already must be the same.
    ///
    /// # Errors
    /// Another one is there, it is damaged, or cannot be written.
    pub fn put_file(&self, name: &str, path: &Path) -> Result<(), Failure> {
        let known = self.manifest.files.get(name).ok_or_else(|| self.lacks("file", name))?;
        match fs::read(path) {
            Ok(there) if blake3::hash(&there).to_hex().as_str() == known.measure.blake3 => return Ok(()),
            Ok(_) => {
                return Err(Failure::new(format!(
                    "`{}` is there, and is not what the backup holds",
                    path.display()
                ))
                .hint("move it away, or name an empty folder with `--project`"));
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(wrong("read", path, error)),
        }
        let folder = path.parent().unwrap_or(Path::new("/"));
        fs::create_dir_all(folder).map_err(|error| wrong("make", folder, error))?;
        // Under another name until it is whole.
        let half = folder.join(format!(".{}.half", path.file_name().unwrap_or_default().to_string_lossy()));
        drop(fs::remove_file(&half));
        let file = File::options().create_new(true).write(true).mode(0o600).open(&half);
        let file = file.map_err(|error| wrong("write", &half, error))?;
        self.file(name, &file)?;
        let what = format!("could not read `{name}` from the repository");
        let node = self.open.node_from_path(self.snapshot.tree, &file_path(name)).map_err(unread(what))?;
        rights(&half, &node).map_err(|error| wrong("set owner and rights of", &half, error))?;
        file.sync_all().and_then(|()| fs::rename(&half, path)).map_err(|error| wrong("write", path, error))
    }

    /// Brings a folder back into `into`, which is made, and compares it with the manifest.
    ///
    /// # Errors
    /// Something is damaged or cannot be written.
    pub fn folder(&self, folder: &str, into: &Path) -> Result<(), Failure> {
        let known = self.manifest.folders.get(folder).ok_or_else(|| self.lacks("folder", folder))?;
        let tally = self.below(&folder_path(folder), into)?;
        if (tally.files(), tally.blake3()) == (known.files, known.blake3.clone()) {
            return Ok(());
        }
        Err(Failure::new(format!("`{folder}` came back other than it was backed up")).because(
            io::Error::other(format!(
                "{} files of {} bytes came, and the manifest says {} of {}",
                tally.files(),
                tally.bytes(),
                known.files,
                known.bytes
            )),
        ))
    }

    /// Brings one file or folder below a folder back to `into`, and compares it with its checksums.
    ///
    /// # Errors
    /// It is not in the backup, damaged, or cannot be written.
    pub fn path(&self, folder: &str, path: &str, into: &Path) -> Result<u64, Failure> {
        let plain = Path::new(path).components().all(|part| matches!(part, Component::Normal(_)));
        if !plain || !self.manifest.folders.contains_key(folder) {
            return Err(self.lacks("path", &format!("{folder}/{path}")));
        }
        let from = folder_path(folder).join(path);
        let tally = self.below(&from, into)?;
        match self.known_below(&from) {
            Some(known) if known.blake3() != tally.blake3() => {
                Err(Failure::new(format!("`{path}` came back other than it was backed up")))
            }
            _ => Ok(tally.files()),
        }
    }

    /// What the files at and below a path measured; backups from before checksums were kept cannot tell.
    fn known_below(&self, from: &Path) -> Option<Tally> {
        let all: BTreeMap<String, Measure> = json_of(&self.open, &self.snapshot, CHECKSUMS).ok()?;
        let mut known = Tally::default();
        for (path, measure) in all {
            if let Ok(below) = Path::new(&path).strip_prefix(from) {
                known.add(below.to_string_lossy().into_owned(), measure);
            }
        }
        Some(known)
    }

    /// Brings the files that are named, by their paths below a folder or below `inner` in it, back to `into`, with the
    /// folders that hold them; what is not in the backup is left out.
    ///
    /// # Errors
    /// There is no such folder or no room, something is damaged or cannot be written, or `stop` was set.
    pub fn named(
        &self,
        (folder, inner): (&str, Option<&str>),
        paths: &BTreeSet<String>,
        (into, stop): (&Path, &AtomicBool),
    ) -> Result<(), Failure> {
        if !self.manifest.folders.contains_key(folder) {
            return Err(self.lacks("folder", folder));
        }
        let from = inner.map_or_else(|| folder_path(folder), |inner| folder_path(folder).join(inner));
        let above: BTreeSet<&str> = paths.iter().flat_map(|path| above(path)).collect();
        let is_named = |path: &Path, node: &Node| {
            let text = path.to_str().unwrap_or_default();
            // A link or a file may stand where a folder is named; it comes along, so that it is found out.
            text.is_empty() || above.contains(text) || !node.is_dir() && paths.contains(text)
        };
        let mut entries = self.entries(&from)?;
        entries.retain(|(path, node)| is_named(path, node));
        fits(&entries, into)?;
        Restoring { open: &self.open, into, entries: &entries, stop: Some(stop) }.run().map(drop)
    }

    fn lacks(&self, what: &str, name: &str) -> Failure {
        let backup = &self.manifest.name;
        Failure::new(format!("backup `{backup}` has no {what} `{name}`"))
            .hint(format!("`partywall backups --show {backup}` says what is in it"))
    }

    fn stream(&self, path: &Path, out: impl Write) -> Result<Measure, Failure> {
        let what = || format!("could not read `{}` from the repository", path.display());
        let node = self.open.node_from_path(self.snapshot.tree, path).map_err(unread(what()))?;
        measured(&self.open, &node, out).map_err(unread(what()))
    }

    fn below(&self, from: &Path, into: &Path) -> Result<Tally, Failure> {
        let entries = self.entries(from)?;
        Restoring { open: &self.open, into, entries: &entries, stop: None }.run()
    }

    /// Everything below a path of the snapshot, and what is there itself under the empty path.
    fn entries(&self, from: &Path) -> Result<Vec<(PathBuf, Node)>, Failure> {
        let what = || format!("could not read `{}` from the repository", from.display());
        let top = self.open.node_from_path(self.snapshot.tree, from).map_err(unread(what()))?;
        let all = self.open.ls(&top, &LsOptions::default()).map_err(unread(what()))?;
        let mut entries = Vec::new();
        if top.is_dir() {
            entries.push((PathBuf::new(), top.clone()));
            for entry in all {
                entries.push(entry.map_err(unread(what()))?);
            }
        } else {
            entries.push((PathBuf::new(), top));
        }
        Ok(entries)
    }
}

struct Restoring<'a> {
    open: &'a Indexed,
    into: &'a Path,
    entries: &'a [(PathBuf, Node)],
    /// Set when nobody waits for it any more.
    stop: Option<&'a AtomicBool>,
}

impl Restoring<'_> {
    /// Folders first, then files by several workers, then rights from the innermost out.
    fn run(&self) -> Result<Tally, Failure> {
        for (path, _) in self.entries.iter().filter(|(_, node)| node.is_dir()) {
            let path = self.place(path)?;
            // Nobody else looks into it before it has its own rights.
            let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(&path);
            made.map_err(|error| wrong("make", &path, error))?;
        }
        let tally = self.files()?;
        for (path, node) in self.entries.iter().rev() {
            let path = self.place(path)?;
            rights(&path, node).map_err(|error| wrong("set owner and rights of", &path, error))?;
        }
        Ok(tally)
    }

    /// A name that leads outside is refused: the repository may have been written by others.
    fn place(&self, below: &Path) -> Result<PathBuf, Failure> {
        if below.as_os_str().is_empty() {
            return Ok(self.into.to_owned());
        }
        match below.components().all(|part| matches!(part, Component::Normal(_))) {
            true => Ok(self.into.join(below)),
            false => Err(Failure::new(format!("`{}` in the backup leads outside", below.display()))),
        }
    }

    fn files(&self) -> Result<Tally, Failure> {
        let (next, tally) = (AtomicUsize::new(0), Mutex::new(Tally::default()));
        let failure = Mutex::new(None);
        std::thread::scope(|scope| {
            for _ in 0..WORKERS {
                scope.spawn(|| {
                    while let Some((path, node)) = self.entries.get(next.fetch_add(1, Ordering::Relaxed)) {
                        match self.entry(path, node) {
                            Ok(Some(measure)) => {
                                let name = path.to_string_lossy().into_owned();
                                tally.lock().unwrap_or_else(PoisonError::into_inner).add(name, measure);
                            }
                            Ok(None) => {}
                            Err(error) => {
                                *failure.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
                                next.store(self.entries.len(), Ordering::Relaxed);
                            }
                        }
                    }
                });
            }
        });
        match failure.into_inner().unwrap_or_else(PoisonError::into_inner) {
            Some(failure) => Err(failure),
            None => Ok(tally.into_inner().unwrap_or_else(PoisonError::into_inner)),
        }
    }

    fn entry(&self, below: &Path, node: &Node) -> Result<Option<Measure>, Failure> {
        if self.stop.is_some_and(|stop| stop.load(Ordering::Relaxed)) {
            return Err(Failure::new("interrupted"));
        }
        let path = self.place(below)?;
        match &node.node_type {
            NodeType::File => self.content(&path, node).map(Some),
            NodeType::Symlink { .. } => {
                drop(fs::remove_file(&path));
                let target = node.node_type.to_link();
                symlink(target, &path).map_err(|error| wrong("make link", &path, error)).map(|()| None)
            }
            // Sockets, pipes and devices are made by who uses them.
            _ => Ok(None),
        }
    }

    fn content(&self, path: &Path, node: &Node) -> Result<Measure, Failure> {
        let new = File::options().write(true).create(true).truncate(true).mode(0o600).open(path);
        let file = new.map_err(|error| wrong("write", path, error))?;
        let what = format!("could not bring `{}` back", path.display());
        measured(self.open, node, file).map_err(unread(what))
    }
}

/// `a/b/c` → `a`, `a/b`.
fn above(path: &str) -> impl Iterator<Item = &str> {
    path.match_indices('/').map(|(at, _)| &path[..at])
}

/// Said before anything is written.
fn fits(entries: &[(PathBuf, Node)], into: &Path) -> Result<(), Failure> {
    let needed: u64 = entries.iter().map(|(_, node)| node.meta.size).sum();
    let there = into.ancestors().find(|path| path.is_dir()).unwrap_or(Path::new("/"));
    let free = rustix::fs::statvfs(there).map_or(u64::MAX, |found| found.f_bavail * found.f_frsize);
    if free > needed {
        return Ok(());
    }
    let (needed, free) = (pw_model::Bytes(needed), pw_model::Bytes(free));
    let cause = format!("they need {needed} at `{}`, and {free} are free", there.display());
    Err(Failure::new("there is no room for the files out of the backup").because(io::Error::other(cause)))
}

fn measured(open: &Indexed, node: &Node, out: impl Write) -> Result<Measure, Box<rustic_core::RusticError>> {
    let mut measuring = Measuring { out, hasher: blake3::Hasher::new(), bytes: 0 };
    open.dump(node, &mut measuring)?;
    Ok(Measure { bytes: measuring.bytes, blake3: measuring.hasher.finalize().to_hex().to_string() })
}

/// Writes one file of a snapshot to `out`, and compares it with what it measured.
pub(crate) fn same_stream(
    open: &Indexed,
    (snapshot, path): (&SnapshotFile, &Path),
    known: &Measure,
    out: impl Write,
) -> Result<(), Failure> {
    let what = || format!("could not read `{}` from the repository", path.display());
    let node = open.node_from_path(snapshot.tree, path).map_err(unread(what()))?;
    let found = measured(open, &node, out).map_err(unread(what()))?;
    same(&format!("`{}`", path.display()), known, &found)
}

fn same(what: &str, known: &Measure, found: &Measure) -> Result<(), Failure> {
    if known == found {
        return Ok(());
    }
    Err(Failure::new(format!("{what} came back other than it was backed up")).because(io::Error::other(
        format!("{} bytes came, and the manifest says {}", found.bytes, known.bytes),
    )))
}

fn rights(path: &Path, node: &Node) -> io::Result<()> {
    if !matches!(node.node_type, NodeType::File | NodeType::Dir | NodeType::Symlink { .. }) {
        return Ok(());
    }
    // Only root may give a file away; for others what they make is theirs.
    let is_root = rustix::process::geteuid().is_root();
    if is_root {
        lchown(path, node.meta.uid, node.meta.gid)?;
    }
    if matches!(node.node_type, NodeType::Symlink { .. }) {
        return Ok(());
    }
    if let Some(mode) = node.meta.mode {
        // After the owner, whose change takes some away; and nobody's rights are lent by a file that is now another's.
        let lent = if is_root { 0 } else { SET_USER_AND_GROUP };
        fs::set_permissions(path, Permissions::from_mode(of_host(mode) & !lent))?;
    }
    if let Some(mtime) = node.meta.mtime {
        let time = std::time::SystemTime::from(mtime);
        File::open(path)?.set_modified(time)?;
    }
    Ok(())
}

fn wrong(what: &str, path: &Path, error: io::Error) -> Failure {
    let full = error.kind() == io::ErrorKind::StorageFull;
    let failure = Failure::new(format!("could not {what} `{}`", path.display())).because(error);
    if full { failure.hint("the disk is full: make room and run it again") } else { failure }
}
