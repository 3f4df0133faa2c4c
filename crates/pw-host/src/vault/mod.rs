//! Files that rows name, from one environment's folder to another's.
//!
//! Route: [`stage`] copies what is new into a staging folder inside the target, which nobody looks into, and
//! writes the [`Manifest`]; [`switch`] puts it into place by renaming and sets aside what it replaces;
//! [`switch_back`] takes that back; [`remove_staged`] forgets both. Folders are written by containers, so no path in them is
//! trusted: [`root`] refuses whatever would lead outside.
//!
//! A file never shares its content with production by a hard link, through which development could change it.

mod copy;
mod manifest;
mod path;
pub(crate) mod root;
mod switch;

use std::collections::BTreeSet;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::sync::atomic::AtomicBool;

use pw_plan::step::{VaultPlace, VaultRun};
use pw_run::Failure;

pub use manifest::Manifest;
pub use switch::{remove_staged, switch, switch_back};

use self::copy::{Job, copy_all};
use self::manifest::{Change, Entry};
use self::root::Root;
use crate::failed::io_failed;

/// Inside the target, for its owner only.
const STAGING: &str = ".partywall-seed";
/// What has not its place yet, and what had it before; each under its number in the manifest.
const NEW: &str = ".partywall-seed/new";
const OLD: &str = ".partywall-seed/old";

/// Told as it goes on.
pub type Tell<'a> = &'a (dyn Fn(&str) + Sync);

/// The folder of a vault. Another kind of place would be listed and read here.
fn folder(place: &VaultPlace) -> &Path {
    match place {
        VaultPlace::Folder { path } => Path::new(path),
    }
}

/// The paths of the files of these keys, but for those that lead outside.
pub fn named(run: &VaultRun, keys: &[String]) -> BTreeSet<String> {
    path::of_keys(run, keys).0
}

/// Copies the files of these keys that the target lacks, and writes the manifest. What was staged before is dropped.
///
/// # Errors
/// A folder cannot be read or written, or `stop` was set.
pub fn stage(run: &VaultRun, keys: &[String], stop: &AtomicBool, tell: Tell<'_>) -> Result<(), Failure> {
    apart(run)?;
    remove_staged(run)?;
    let (from, to) = (open(folder(&run.from))?, open(folder(&run.to))?);
    let failed = |error| io_failed("prepare", folder(&run.to), error);
    for name in [STAGING, NEW, OLD] {
        to.make_private_folder(name).map_err(failed)?;
    }
    let (paths, refused) = path::of_keys(run, keys);
    let job = Job { from: &from, to: &to, paths: &paths, stop, tell };
    let copied = copy_all(&job).map_err(|(path, error)| not_copied(run, &path, error))?;
    to.sync().map_err(failed)?;
    let mut manifest = copied;
    manifest.refused.splice(0..0, refused);
    manifest.entries.extend(gone(run, &paths)?);
    manifest.write(Path::new(&run.manifest))
}

/// Where there is no room is where it is written, not where it is read.
fn not_copied(run: &VaultRun, path: &str, error: io::Error) -> Failure {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            io_failed("write", &folder(&run.to).join(path), error)
        }
        _ => io_failed("copy", &folder(&run.from).join(path), error),
    }
}

/// Files of the seed before that no row names any more.
fn gone(run: &VaultRun, named: &BTreeSet<String>) -> Result<Vec<Entry>, Failure> {
    let Some(former) = &run.former else { return Ok(Vec::new()) };
    let former = Manifest::read(Path::new(former))?.unwrap_or_default();
    let there = former.entries.into_iter().filter(|entry| entry.change != Change::Remove);
    let gone = there.filter(|entry| !named.contains(&entry.path));
    Ok(gone.map(|entry| Entry { change: Change::Remove, ..entry }).collect())
}

/// Source and target must not be one folder, nor one inside the other.
fn apart(run: &VaultRun) -> Result<(), Failure> {
    let real = |path: &Path| path.canonicalize().map_err(|error| io_failed("open", path, error));
    let (from, to) = (real(folder(&run.from))?, real(folder(&run.to))?);
    if from.starts_with(&to) || to.starts_with(&from) || same(&from, &to) {
        return Err(Failure::new(format!("`{}` and `{}` are one folder", from.display(), to.display()))
            .hint("development must have a volume of its own: see `partywall check`"));
    }
    Ok(())
}

fn same(one: &Path, other: &Path) -> bool {
    let number = |path: &Path| path.metadata().map(|known| (known.dev(), known.ino())).ok();
    number(one).is_some() && number(one) == number(other)
}

fn open(path: &Path) -> Result<Root, Failure> {
    Root::open(path).map_err(|error| match error.raw_os_error() {
        Some(code) if code == rustix::io::Errno::NOSYS.raw_os_error() => {
            Failure::new("the kernel cannot keep a path inside its folder")
                .because(error)
                .hint("copying files needs Linux 5.6 or newer")
        }
        _ => io_failed("open", path, error),
    })
}

fn interrupted() -> io::Error {
    io::Error::new(io::ErrorKind::Interrupted, "interrupted")
}
