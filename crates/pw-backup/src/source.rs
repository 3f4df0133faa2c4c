//! What is read into a snapshot, measured as it passes.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, BufReader, Read};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use rustic_core::repofile::{Metadata, Node, NodeType};
use rustic_core::{
    ErrorKind, Excludes, LocalSource, LocalSourceFilterOptions, LocalSourceSaveOptions, ReadSource,
    ReadSourceEntry, ReadSourceOpen, RusticError, RusticResult,
};

use crate::manifest::Measure;
use crate::rights;
use crate::said::Said;

/// The bit of a folder in the modes that the format keeps.
const FOLDER_MODE: u32 = 1 << 31;

/// Bytes read at once: the library asks for one after the other.
const AT_ONCE: usize = 256 * 1024;

/// One thing that goes into a snapshot.
pub(crate) enum Part {
    /// What a program prints.
    Stream {
        path: PathBuf,
        program: Program,
    },
    /// A folder with all that is in it.
    Folder {
        path: PathBuf,
        from: PathBuf,
    },
    File {
        path: PathBuf,
        from: PathBuf,
    },
    Text {
        path: PathBuf,
        text: Vec<u8>,
    },
}

/// A program whose output is kept. Its variables may hold a password; nothing prints them. Its input is empty and stays
/// open for as long as somebody reads, so that one in a container can tell when nobody does any more.
#[derive(Clone)]
pub struct Program {
    pub words: Vec<String>,
    pub variables: Vec<(String, String)>,
    /// What it needs to be there, dropped as soon as its output was read to the end or is not wanted.
    pub needs: Option<Arc<dyn Send + Sync>>,
}

/// What was read, and what went wrong: the library goes on after a file that fails, and we must not.
#[derive(Default)]
pub(crate) struct Ledger {
    read: Mutex<BTreeMap<PathBuf, Measure>>,
    failed: Mutex<Vec<String>>,
    vanished: Mutex<Vec<String>>,
    /// Files that were offered: what is then not opened is the same as in the former backup.
    offered: Mutex<Vec<PathBuf>>,
    pub(crate) bytes: AtomicU64,
    stop: Arc<AtomicBool>,
}

/// The parts of one snapshot, in the order of their paths.
pub(crate) struct Parts {
    pub(crate) parts: Mutex<Vec<Part>>,
    pub(crate) ledger: Arc<Ledger>,
}

/// A file or stream before it is opened.
pub(crate) struct Opening {
    path: PathBuf,
    from: From,
    ledger: Arc<Ledger>,
}

enum From {
    Program(Program),
    File(PathBuf),
    Text(Vec<u8>),
}

enum Input {
    Child(Running),
    File(File),
    Text(io::Cursor<Vec<u8>>),
}

/// A program that is read.
struct Running {
    child: Child,
    /// Taken when it has ended.
    said: Option<Said>,
    needs: Option<Arc<dyn Send + Sync>>,
}

/// A reader that measures what passes through it.
pub(crate) struct Measured {
    path: PathBuf,
    input: Input,
    hasher: blake3::Hasher,
    bytes: u64,
    ended: bool,
    ledger: Arc<Ledger>,
}

impl Ledger {
    pub(crate) fn stopped_by(stop: Arc<AtomicBool>) -> Self {
        Self { stop, ..Self::default() }
    }

    fn note(list: &Mutex<Vec<String>>, text: String) {
        list.lock().unwrap_or_else(PoisonError::into_inner).push(text);
    }

    pub(crate) fn fail(&self, text: String) {
        Self::note(&self.failed, text);
    }

    pub(crate) fn failures(&self) -> Vec<String> {
        self.failed.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Each once: a folder is told when it is looked at, and when it is opened.
    pub(crate) fn vanished(&self) -> Vec<String> {
        let mut all = self.vanished.lock().unwrap_or_else(PoisonError::into_inner).clone();
        all.sort();
        all.dedup();
        all
    }

    fn offer(&self, path: &Path) {
        self.offered.lock().unwrap_or_else(PoisonError::into_inner).push(path.to_owned());
    }

    pub(crate) fn offered(&self) -> Vec<PathBuf> {
        std::mem::take(&mut *self.offered.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(crate) fn read(&self) -> BTreeMap<PathBuf, Measure> {
        self.read.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl ReadSource for Parts {
    type Open = Opening;
    type Iter = Box<dyn Iterator<Item = RusticResult<ReadSourceEntry<Opening>>> + Send>;

    fn size(&self) -> RusticResult<Option<u64>> {
        Ok(None)
    }

    fn entries(&self) -> Self::Iter {
        let parts = std::mem::take(&mut *self.parts.lock().unwrap_or_else(PoisonError::into_inner));
        let ledger = Arc::clone(&self.ledger);
        Box::new(parts.into_iter().flat_map(move |part| entries(part, &ledger)))
    }
}

type Entries = Box<dyn Iterator<Item = RusticResult<ReadSourceEntry<Opening>>> + Send>;

fn entries(part: Part, ledger: &Arc<Ledger>) -> Entries {
    let (path, from) = match part {
        Part::Folder { path, from } => return folder(path, from, ledger),
        Part::Stream { path, program } => (path, From::Program(program)),
        Part::File { path, from } => (path, From::File(from)),
        Part::Text { path, text } => (path, From::Text(text)),
    };
    let meta = match &from {
        From::File(file) => std::fs::metadata(file).map(|found| metadata(&found, 0)).unwrap_or_default(),
        // Its time is new each time: it is never taken for that of the former backup.
        _ => Metadata { mode: Some(0o600), mtime: Some(jiff::Timestamp::now()), ..Metadata::default() },
    };
    let node = Node::new_node(path.file_name().unwrap_or_default(), NodeType::File, meta);
    if matches!(from, From::File(_)) {
        ledger.offer(&path);
    }
    let open = Some(Opening { path: path.clone(), from, ledger: Arc::clone(ledger) });
    Box::new(std::iter::once(Ok(ReadSourceEntry { path, node, open })))
}

/// The folder itself, whose owner and rights count, then all that is in it.
fn folder(path: PathBuf, from: PathBuf, ledger: &Arc<Ledger>) -> Entries {
    let walk = std::fs::metadata(&from).map_err(|error| error.to_string()).and_then(|found| {
        let all = LocalSource::new(
            LocalSourceSaveOptions::default(),
            &Excludes::default(),
            &LocalSourceFilterOptions::default(),
            &[&from],
        );
        Ok((found, all.map_err(|error| error.display_log())?))
    });
    let (found, all) = match walk {
        Ok(walk) => walk,
        Err(error) => {
            ledger.fail(format!("`{}` cannot be read: {error}", from.display()));
            return Box::new(std::iter::empty());
        }
    };
    let name = path.file_name().unwrap_or_default();
    let top = Node::new_node(name, NodeType::Dir, metadata(&found, FOLDER_MODE));
    let top = ReadSourceEntry { path: path.clone(), node: top, open: None };
    let ledger = Arc::clone(ledger);
    let inner = all.entries().filter_map(move |entry| inside(entry, (&path, &from), &ledger));
    Box::new(std::iter::once(Ok(top)).chain(inner))
}

fn inside<O>(
    entry: RusticResult<ReadSourceEntry<O>>,
    (path, from): (&Path, &Path),
    ledger: &Arc<Ledger>,
) -> Option<RusticResult<ReadSourceEntry<Opening>>> {
    let entry = match entry {
        Ok(entry) => entry,
        Err(error) => {
            match gone(&error).and_then(|gone| gone.strip_prefix(from).ok()) {
                // Without the folder itself nothing of it is known.
                Some(below) if below.components().next().is_some() => {
                    Ledger::note(&ledger.vanished, path.join(below).display().to_string());
                }
                _ => ledger.fail(error.display_log()),
            }
            return None;
        }
    };
    let below = entry.path.strip_prefix(from).unwrap_or(&entry.path);
    let inside = path.join(below);
    if entry.open.is_some() && entry.node.is_file() {
        ledger.offer(&inside);
    }
    let open = entry.open.map(|_| Opening {
        path: inside.clone(),
        from: From::File(entry.path.clone()),
        ledger: Arc::clone(ledger),
    });
    Some(Ok(ReadSourceEntry { path: inside, node: entry.node, open }))
}

/// What was listed and is not there any more.
fn gone(error: &RusticError) -> Option<&Path> {
    let mut next: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(error) = next {
        if let Some(found @ ignore::Error::WithPath { path, .. }) = error.downcast_ref() {
            let cause = found.io_error().map(io::Error::kind);
            return (cause == Some(io::ErrorKind::NotFound)).then_some(path);
        }
        next = error.source();
    }
    None
}

fn metadata(found: &std::fs::Metadata, kind: u32) -> Metadata {
    Metadata {
        mode: Some(kind | rights::kept(found.mode())),
        mtime: found.modified().ok().and_then(|time| time.try_into().ok()),
        ctime: jiff::Timestamp::new(found.ctime(), found.ctime_nsec() as i32).ok(),
        inode: found.ino(),
        uid: Some(found.uid()),
        gid: Some(found.gid()),
        size: if found.is_file() { found.len() } else { 0 },
        ..Metadata::default()
    }
}

impl ReadSourceOpen for Opening {
    type Reader = BufReader<Measured>;

    fn open(self) -> RusticResult<Self::Reader> {
        let Self { path, from, ledger } = self;
        let input = match input(&from) {
            Ok(input) => input,
            Err(error) => {
                let shown = path.display().to_string();
                match (&from, error.kind()) {
                    (From::File(_), io::ErrorKind::NotFound) => Ledger::note(&ledger.vanished, shown),
                    _ => ledger.fail(format!("`{shown}` cannot be read: {error}")),
                }
                return Err(RusticError::with_source(ErrorKind::InputOutput, "could not open", error));
            }
        };
        let measured =
            Measured { path, input, hasher: blake3::Hasher::new(), bytes: 0, ended: false, ledger };
        Ok(BufReader::with_capacity(AT_ONCE, measured))
    }
}

fn input(from: &From) -> io::Result<Input> {
    match from {
        From::File(path) => File::open(path).map(Input::File),
        From::Text(text) => Ok(Input::Text(io::Cursor::new(text.clone()))),
        From::Program(program) => program.start().map(Input::Child),
    }
}

impl Program {
    fn start(&self) -> io::Result<Running> {
        let (first, rest) = self.words.split_first().ok_or(io::ErrorKind::InvalidInput)?;
        let mut command = Command::new(OsStr::new(first));
        command.args(rest).envs(self.variables.iter().map(|(name, value)| (name, value)));
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn()?;
        let said = Some(Said::of(child.stderr.take()));
        Ok(Running { child, said, needs: self.needs.clone() })
    }
}

impl Input {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Child(running) => running.child.stdout.as_mut().map_or(Ok(0), |out| out.read(buffer)),
            Self::File(file) => file.read(buffer),
            Self::Text(text) => text.read(buffer),
        }
    }

    /// A program that fails has printed only a part, whatever it printed.
    fn end(&mut self) -> Result<(), String> {
        let Self::Child(running) = self else { return Ok(()) };
        // Closed after it has ended: before, it would be told that nobody reads.
        let input = running.child.stdin.take();
        let ended = running.child.wait();
        drop(input);
        let said = running.said.take().map_or_else(String::new, Said::text);
        running.needs = None;
        match ended {
            Ok(status) if status.success() => Ok(()),
            Ok(status) => Err(format!("{}: {}", status, said.trim())),
            Err(error) => Err(error.to_string()),
        }
    }
}

impl Read for Measured {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.ledger.stop.load(Ordering::Relaxed) {
            return Err(io::Error::other("called off"));
        }
        let count = self.input.read(buffer)?;
        if count > 0 {
            self.hasher.update(&buffer[..count]);
            self.bytes += count as u64;
            self.ledger.bytes.fetch_add(count as u64, Ordering::Relaxed);
        } else if !buffer.is_empty() && !std::mem::replace(&mut self.ended, true) {
            self.end()?;
        }
        Ok(count)
    }
}

impl Measured {
    fn end(&mut self) -> io::Result<()> {
        if let Err(error) = self.input.end() {
            self.ledger.fail(format!("`{}` was cut off: {error}", self.path.display()));
            return Err(io::Error::other(error));
        }
        let measure = Measure { bytes: self.bytes, blake3: self.hasher.finalize().to_hex().to_string() };
        let mut read = self.ledger.read.lock().unwrap_or_else(PoisonError::into_inner);
        read.insert(self.path.clone(), measure);
        Ok(())
    }
}

impl Drop for Measured {
    fn drop(&mut self) {
        if !self.ended {
            self.ledger.fail(format!("`{}` was not read to its end", self.path.display()));
            if let Input::Child(running) = &mut self.input {
                drop(running.child.kill());
                drop(running.child.wait());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_goes_away_after_it_was_listed_is_no_failure() {
        let place = tempfile::tempdir().expect("a folder");
        let at = |name: &str| place.path().join(name);
        for name in ["first", "second"] {
            std::fs::write(at(name), name).expect("written");
        }
        std::fs::create_dir(at("third")).expect("made");
        let ledger = Arc::<Ledger>::default();
        let mut all = folder("folders/vault".into(), place.path().into(), &ledger);
        let mut next = || all.next().map(|entry| entry.expect("an entry").path);
        assert_eq!(next().as_deref(), Some(Path::new("folders/vault")));
        assert_eq!(next().as_deref(), Some(Path::new("folders/vault/first")));
        std::fs::remove_file(at("second")).expect("removed");
        std::fs::remove_dir(at("third")).expect("removed");
        assert_eq!(next(), None);
        assert_eq!(ledger.failures(), Vec::<String>::new());
        assert_eq!(ledger.vanished(), ["folders/vault/second", "folders/vault/third"]);
    }

    #[test]
    fn what_a_program_needs_goes_with_its_last_word() {
        let needs = Arc::new(());
        let held = Arc::downgrade(&needs);
        let program = Program {
            // More complaints than a pipe holds, and an input that must not end before the program does.
            words: ["sh", "-c", "head -c 1000000 /dev/zero >&2; timeout 0.2 cat; echo a dump"]
                .map(str::to_owned)
                .to_vec(),
            variables: Vec::new(),
            needs: Some(needs),
        };
        let part = Part::Stream { path: "databases/main.dump".into(), program };
        let entry = entries(part, &Arc::default()).next().expect("one").expect("an entry");
        let mut reader = entry.open.expect("a stream").open().expect("it starts");
        assert!(held.upgrade().is_some());
        let mut text = String::new();
        reader.read_to_string(&mut text).expect("read");
        assert_eq!((text.as_str(), held.upgrade()), ("a dump\n", None));
    }

    #[test]
    fn a_folder_that_is_gone_is_a_failure() {
        let place = tempfile::tempdir().expect("a folder");
        let (from, ledger) = (place.path().join("vault"), Arc::<Ledger>::default());
        std::fs::create_dir(&from).expect("made");
        let all = folder("folders/vault".into(), from.clone(), &ledger);
        std::fs::remove_dir(&from).expect("removed");
        assert_eq!(all.count(), 1);
        assert_eq!((ledger.failures().len(), ledger.vanished().len()), (1, 0));
    }
}
