//! Bringing back: a dump becomes a database beside the old one and is counted, a folder one beside its own.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{ChildStdin, Command, Stdio};

use pw_backup::manifest::{Database, Manifest};
use pw_backup::take::Taking;
use pw_backup::{Repository, Said};
use pw_data::count::{Counts, counted};
use pw_data::server::quoted;
use pw_host::Host;
use pw_plan::step::{DatabasePlace, Stored};
use pw_run::Failure;

use super::dumped::UNPACKED;
use super::perform::blocking;
use crate::reach::{Reached, reach};

/// Nobody relies on what is loaded until a rename is on the disk, and with it everything that was written before.
const UNHURRIED: &str = "PGOPTIONS=-c synchronous_commit=off";

/// Where a server keeps its files, when its image does not say so.
const DATA: &str = "/var/lib/postgresql/data";

/// A `pg_restore` inside the server's container that reads the dump from its standard input.
pub(crate) struct Receiver {
    pub(crate) container: String,
    pub(crate) password: Option<String>,
    pub(crate) user: String,
    pub(crate) database: String,
    /// Words for `pg_restore` besides.
    pub(crate) words: Vec<String>,
}

/// An empty database beside the one that it is like; answers the server.
pub(super) async fn made_anew(host: &Host, like: &str, to: &DatabasePlace) -> Result<Reached, Failure> {
    let server = DatabasePlace { name: like.to_owned(), ..to.clone() };
    let reached = reach(host.engine(), &server).await?;
    pw_data::seed::remove(&reached.address, &to.name).await?;
    pw_data::seed::make_like(&reached.address, &to.name).await?;
    Ok(reached)
}

/// Makes the database and compares it with the manifest.
pub(crate) async fn database(
    host: &Host,
    stored: &Stored,
    like: &str,
    to: &DatabasePlace,
) -> Result<(), Failure> {
    if let Some(disk) = disk(host, to).await? {
        let asked = stored.clone();
        let manifest = blocking(move || Repository::new(asked.repository).manifest(&asked.backup)).await?;
        let known = manifest.databases.get(&stored.part).map_or(0, |known| known.dump.bytes);
        fits(&stored.part, known.saturating_mul(UNPACKED), &disk)?;
    }
    let reached = made_anew(host, like, to).await?;
    let receiver = Receiver {
        container: reached.id.clone(),
        password: reached.password.clone(),
        user: to.user.clone(),
        database: to.name.clone(),
        words: Vec::new(),
    };
    let known = received(stored, receiver).await?;
    let made = reached.address.with_database(&to.name);
    let (_, counts) = counted(made.clone()).await?;
    let wrong = differences(&known, &counts);
    if wrong.is_empty() {
        return match super::roles::around(stored).await? {
            Some(around) => pw_data::roles::dress(&made, &around).await,
            None => Ok(()),
        };
    }
    Err(Failure::new(format!("`{}` came back other than it was backed up", stored.part))
        .because(io::Error::other(wrong.join("; "))))
}

/// The folder of the host that a server's files lie in or below; `None` where they lie in no mount that is seen from here.
async fn disk(host: &Host, to: &DatabasePlace) -> Result<Option<PathBuf>, Failure> {
    let inside = host.engine().look_inside(&to.project, &to.service).await?;
    Ok(inside.on_host(inside.variables.get("PGDATA").map_or(DATA, String::as_str)))
}

/// Streams the dump into `pg_restore`; answers what the manifest says of it.
pub(crate) async fn received(stored: &Stored, receiver: Receiver) -> Result<Database, Failure> {
    let stored = stored.clone();
    blocking(move || {
        let taking = Taking::open(&Repository::new(stored.repository.clone()), &stored.backup)?;
        let known = taking.manifest.databases.get(&stored.part).cloned().unwrap_or_default();
        receiver.fill(&taking, &stored.part)?;
        Ok(known)
    })
    .await
}

impl Receiver {
    fn fill(&self, taking: &Taking, part: &str) -> Result<(), Failure> {
        let what = format!("could not restore `{part}` of backup `{}`", taking.manifest.name);
        pour(self.command(), &what, |pipe| taking.dump(part, pipe))
    }

    /// What it complains of when it goes on after each error. Nothing more is fed to it when it has ended.
    pub(super) fn complaints(&self, feed: impl FnOnce(ChildStdin)) -> Result<String, Failure> {
        let what = || Failure::new("could not look through the definitions of the backup");
        let mut command = self.command_with(&["-e", "PGOPTIONS=-c lc_messages=C"], &[]);
        let mut child = command.spawn().map_err(|error| what().because(error))?;
        let said = Said::of(child.stderr.take());
        if let Some(pipe) = child.stdin.take() {
            feed(pipe);
        }
        child.wait().map_err(|error| what().because(error))?;
        Ok(said.text())
    }

    pub(super) fn command(&self) -> Command {
        self.command_with(&["-e", UNHURRIED], &["--exit-on-error"])
    }

    fn command_with(&self, outside: &[&str], inside: &[&str]) -> Command {
        let mut command = Command::new("docker");
        command.args(["exec", "-i", "-e", "PGPASSWORD"]).args(outside);
        command.args([&self.container, "pg_restore", "-w"]).args(inside);
        command.args(["-U", &self.user, "-d", &self.database]).args(&self.words);
        command.envs(self.password.iter().map(|word| ("PGPASSWORD", word)));
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
        command
    }
}

/// Runs a program and feeds it; both must end well.
pub(super) fn pour(
    mut command: Command,
    what: &str,
    feed: impl FnOnce(Unbroken<ChildStdin>) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let what = || Failure::new(what);
    command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child = command.spawn().map_err(|error| what().because(error))?;
    let said = Said::of(child.stderr.take());
    let sent = match child.stdin.take() {
        Some(pipe) => feed(Unbroken(pipe)),
        None => Ok(()),
    };
    let status = child.wait().map_err(|error| what().because(error))?;
    // What is damaged is the cause of whatever the program then says.
    sent?;
    match status.success() {
        true => Ok(()),
        false => Err(refused(what(), &said.text())),
    }
}

/// With what the program said; and what to do where only a role is missing.
pub(super) fn refused(failure: Failure, said: &str) -> Failure {
    let failure = failure.because(io::Error::other(last_words(said)));
    match said.lines().find_map(missing_role) {
        Some(role) => failure.hint(format!(
            "the backup does not know the role: make it on the server with `CREATE ROLE {}`, then restore again",
            quoted(role)
        )),
        None => failure,
    }
}

/// `… role "app" does not exist` → `app`.
pub(super) fn missing_role(line: &str) -> Option<&str> {
    line.split_once("role \"")?.1.strip_suffix("\" does not exist")
}

/// Goes on where nobody reads any more: who stopped reading says why.
pub(super) struct Unbroken<W>(W);

impl<W: Write> Write for Unbroken<W> {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        match self.0.write(buffer) {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(buffer.len()),
            other => other,
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

pub(super) fn last_words(said: &str) -> String {
    let lines: Vec<&str> = said.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    lines.iter().take(4).copied().collect::<Vec<_>>().join("; ")
}

/// Where a restored database is not what the manifest says, one line each.
pub(crate) fn differences(known: &Database, found: &Counts) -> Vec<String> {
    let mut wrong = Vec::new();
    for (name, table) in &known.tables {
        match found.tables.get(name) {
            None => wrong.push(format!("table {name} is missing")),
            Some(rows) if rows.rows != table.rows => {
                wrong.push(format!("table {name} has {} rows of {}", rows.rows, table.rows));
            }
            Some(_) => {}
        }
    }
    let more = found.tables.keys().filter(|name| !known.tables.contains_key(*name));
    wrong.extend(more.map(|name| format!("table {name} was not backed up")));
    if found.foreign_keys != known.foreign_keys {
        wrong.push(format!("{} foreign keys of {}", found.foreign_keys, known.foreign_keys));
    }
    // Another server writes the same definitions in other words.
    let major = |version: &str| version.split('.').next().map(str::to_owned);
    if major(&found.server) == major(&known.server) && found.schema != known.schema {
        wrong.push("columns, constraints, indexes, views or functions differ".to_owned());
    }
    wrong
}

pub(crate) async fn folder(stored: &Stored, into: &str) -> Result<(), Failure> {
    let (stored, into) = (stored.clone(), into.to_owned());
    blocking(move || {
        remove_restored(&into)?;
        let taking = Taking::open(&Repository::new(stored.repository.clone()), &stored.backup)?;
        room(&taking.manifest, &stored.part, &into)?;
        taking.folder(&stored.part, Path::new(&into))
    })
    .await
}

/// The files of the configuration, each where it was.
pub(crate) async fn files(stored: &Stored, files: &BTreeMap<String, String>) -> Result<(), Failure> {
    let (stored, files) = (stored.clone(), files.clone());
    blocking(move || {
        let taking = Taking::open(&Repository::new(stored.repository.clone()), &stored.backup)?;
        files.iter().try_for_each(|(name, path)| taking.put_file(name, Path::new(path)))
    })
    .await
}

pub(crate) fn copy_key(from: &str, to: &str) -> Result<(), Failure> {
    let wrong = |error| Failure::new(format!("could not copy the key `{from}` to `{to}`")).because(error);
    let key = std::fs::read(from).map_err(wrong)?;
    match std::fs::read(to) {
        Ok(there) if there.trim_ascii() == key.trim_ascii() => return Ok(()),
        Ok(_) => {
            return Err(Failure::new(format!("`{to}` is the key of another repository"))
                .hint("this state folder belongs to a project that has backups of its own: see what runs here first"));
        }
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(wrong(error)),
        Err(_) => {}
    }
    let path = Path::new(to);
    let folder = path.parent().unwrap_or(Path::new("/"));
    std::fs::create_dir_all(folder).map_err(wrong)?;
    // Readable by its owner only, and never there in part.
    let half = path.with_extension("half");
    drop(std::fs::remove_file(&half));
    let mut file = File::options().create_new(true).write(true).mode(0o600).open(&half).map_err(wrong)?;
    file.write_all(&key).and_then(|()| file.sync_all()).map_err(wrong)?;
    std::fs::rename(&half, path).map_err(wrong)
}

/// Said before anything is written.
pub(crate) fn room(manifest: &Manifest, part: &str, into: &str) -> Result<(), Failure> {
    let needed = manifest.folders.get(part).map_or(0, |folder| folder.bytes);
    fits(part, needed, Path::new(into).parent().unwrap_or(Path::new("/")))
}

/// Whether so many bytes find room in a folder, or where it will be.
fn fits(part: &str, needed: u64, folder: &Path) -> Result<(), Failure> {
    let above = folder.ancestors().find(|path| path.is_dir()).unwrap_or(Path::new("/"));
    let free = rustix::fs::statvfs(above).map_or(u64::MAX, |found| found.f_bavail * found.f_frsize);
    if free > needed {
        return Ok(());
    }
    let (needed, free) = (pw_model::Bytes(needed), pw_model::Bytes(free));
    let cause = format!("it needs {needed} at `{}`, and {free} are free", above.display());
    Err(Failure::new(format!("there is no room to restore `{part}`"))
        .because(io::Error::other(cause))
        .hint("make room, as by removing what former restores replaced, when nobody needs it any longer"))
}

/// Removes a folder or file whose name says that a restore made it; one that is not there is removed already.
pub(crate) fn remove_restored(path: &str) -> Result<(), Failure> {
    if !path.rsplit('/').next().is_some_and(|name| name.contains(".restored-")) {
        return Err(Failure::new(format!("`{path}` is not Partywall's to remove")));
    }
    let is_file = std::fs::symlink_metadata(path).is_ok_and(|found| !found.is_dir());
    match if is_file { std::fs::remove_file(path) } else { std::fs::remove_dir_all(path) } {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(Failure::new(format!("could not remove `{path}`")).because(error))
        }
        _ => Ok(()),
    }
}

/// Two renames: whatever cuts them off, the folder has one of its names.
pub(crate) fn swap(path: &str, new: &str, aside: &str) -> Result<(), Failure> {
    let rename = |from: &str, to: &str| {
        let renamed = std::fs::rename(from, to);
        renamed.map_err(|error| Failure::new(format!("could not rename `{from}` to `{to}`")).because(error))
    };
    if !Path::new(new).exists() {
        return Ok(());
    }
    // What takes the place of something must outlive a power cut as well as that did.
    let flushed = File::open(new).and_then(|folder| Ok(rustix::fs::syncfs(folder)?));
    flushed.map_err(|error| Failure::new(format!("could not write `{new}` to its disk")).because(error))?;
    if Path::new(path).exists() {
        rename(path, aside)?;
    }
    rename(new, path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_swap_that_was_cut_off_goes_on_and_goes_back() {
        let place = tempfile::tempdir().expect("a folder");
        let at = |name: &str| place.path().join(name).display().to_string();
        let (path, new, aside) = (at("vault"), at("vault.restored-1"), at("vault.replaced-1"));
        let read = |path: &str| std::fs::read_to_string(Path::new(path).join("which")).ok();
        for (folder, which) in [(&path, "old"), (&new, "new")] {
            std::fs::create_dir(folder).expect("made");
            std::fs::write(Path::new(folder).join("which"), which).expect("written");
        }
        std::fs::rename(&path, &aside).expect("as if cut off between the two");
        for _ in 0..2 {
            swap(&path, &new, &aside).expect("swapped");
            assert_eq!((read(&path).as_deref(), read(&aside).as_deref()), (Some("new"), Some("old")));
        }
        for _ in 0..2 {
            swap(&path, &aside, &new).expect("swapped back");
            assert_eq!((read(&path).as_deref(), read(&new).as_deref()), (Some("old"), Some("new")));
        }
        assert!(remove_restored(&path).is_err());
        remove_restored(&new).expect("removed");
    }

    #[test]
    fn what_does_not_fit_is_refused_before_it_is_begun() {
        let place = tempfile::tempdir().expect("a folder");
        let into = place.path().join("not/made/yet");
        fits("main", 0, &into).expect("room for nothing");
        let refused = fits("main", u64::MAX, &into).expect_err("no disk is so large");
        assert_eq!(refused.what, "there is no room to restore `main`");
        assert!(refused.hint.is_some_and(|hint| hint.starts_with("make room")));
    }

    #[test]
    fn a_database_is_held_against_its_manifest() {
        let table = |rows| pw_backup::manifest::Table { rows, newest: None };
        let known = Database {
            server: "17.1".into(),
            schema: "a".into(),
            tables: [("public.users".to_owned(), table(3)), ("public.posts".to_owned(), table(1))].into(),
            ..Database::default()
        };
        let rows = |rows| pw_data::count::Rows { rows, newest: None };
        let found = Counts {
            server: "17.2".into(),
            schema: "b".into(),
            tables: [("public.users".to_owned(), rows(2))].into(),
            ..Counts::default()
        };
        assert_eq!(
            differences(&known, &found),
            [
                "table public.posts is missing",
                "table public.users has 2 rows of 3",
                "columns, constraints, indexes, views or functions differ"
            ]
        );
    }
}
