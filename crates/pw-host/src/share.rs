//! A copy of a running server's files that shares their blocks (reflink), where both lie on a file system that can.
//!
//! It costs neither time nor room for what the copy never changes. The server is put into backup mode meanwhile, as
//! its manual's "Making a Base Backup Using the Low Level API" tells, and a slot that ends with the session keeps the
//! log that the copy starts with. That log is copied byte by byte: a segment whose blocks were shared could not be
//! written over in place any more, so that production's own log would need room which a full disk does not have.

use std::io::{self, Read as _, Write as _};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bollard::container::LogOutput;
use futures_util::StreamExt as _;
use pw_plan::step::DatabaseCopy;
use pw_run::Failure;
use rustix::fs::FileType;
use serde::Deserialize;
use tokio::io::AsyncWriteExt as _;

use crate::docker::Engine;
use crate::docker::exec::{Complained, Running, Script, keep};
use crate::scratch::{CLEAR, OnLine, PASSWORD, SETTLE, name, variables};
use crate::vault::root::{Root, give};

const LOG: &str = "pg_wal";
const LABEL: &str = "backup_label";
/// Deeper than any server's own folders are.
const DEEPEST: usize = 16;
/// Bytes of the log that are copied at once.
const CHUNK: usize = 1 << 20;
/// What the server fills anew; as `pg_basebackup` leaves it out.
const EMPTIED: [&str; 7] =
    ["pg_dynshmem", "pg_notify", "pg_replslot", "pg_serial", "pg_snapshots", "pg_stat_tmp", "pg_subtrans"];
const LEFT_OUT: [&str; 8] = [
    "postmaster.pid",
    "postmaster.opts",
    "current_logfiles",
    "standby.signal",
    "recovery.signal",
    "backup_manifest",
    "tablespace_map",
    LABEL,
];

const SESSION: &str = r#"PGAPPNAME=$PW_NAME exec psql -XAtqw -v ON_ERROR_STOP=1 -v name="$PW_NAME" -U "$PW_USER" -d "$PW_DATABASE""#;
/// A session that is left alone ends by itself where the server can do that (14 and newer), and the slot with it.
const BEGIN: &str = r"
SELECT current_setting('server_version_num')::int >= 150000 AS is_new \gset
SELECT set_config(name, '1h', false) FROM pg_settings WHERE name = 'idle_session_timeout';
SELECT FROM pg_create_physical_replication_slot(replace(:'name', '-', '_'), true, true);
\if :is_new
SELECT json_build_object('label', '', 'last', '') FROM pg_backup_start(:'name', true);
\else
SELECT json_build_object('label', '', 'last', '') FROM pg_start_backup(:'name', true, false);
\endif
";
const END: &str = r"
\if :is_new
SELECT json_build_object('label', labelfile, 'last', pg_walfile_name(lsn)) FROM pg_backup_stop(false);
\else
SELECT json_build_object('label', labelfile, 'last', pg_walfile_name(lsn)) FROM pg_stop_backup(false, false);
\endif
";

/// What the server says when backup mode begins, with nothing in it, and when it ends.
#[derive(Deserialize)]
struct Answer {
    /// The file that tells the copy where in the log it starts.
    label: String,
    /// The segment of the log in which it is whole.
    last: String,
}

impl Answer {
    /// The segment in which it starts: `START WAL LOCATION: 0/2000028 (file 000000010000000000000002)`.
    fn first(&self) -> Option<&str> {
        let line = self.label.lines().find_map(|line| line.strip_prefix("START WAL LOCATION: "))?;
        line.split_once("(file ")?.1.strip_suffix(')')
    }
}

/// Where the original keeps its files, and where the copy does.
struct Folders {
    from: Root,
    into: Root,
    /// Nobody waits for it any more.
    stop: Arc<AtomicBool>,
}

/// Threads end a moment after nobody waits for them any more.
struct Stop(Arc<AtomicBool>);

impl Drop for Stop {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl Engine {
    /// Answers whether it is done. Where blocks cannot be shared, or something comes between, nothing is lost: the copy is
    /// begun afresh another way.
    ///
    /// # Errors
    /// The engine does not answer, or the copy has no container.
    pub(crate) async fn share(&self, copy: &DatabaseCopy, on_line: OnLine<'_>) -> Result<bool, Failure> {
        let receiver = self.container_of(&copy.project, &copy.service).await?;
        let from = self.folder_inside(&copy.from, &copy.data).await?;
        let into = self.folder_inside(&receiver, &copy.data).await?;
        let (Some(from), Some(into)) = (from, into) else { return Ok(false) };
        let stop = Arc::new(AtomicBool::new(false));
        let _stop = Stop(Arc::clone(&stop));
        let folders = Folders { from, into, stop };
        if !folders.can_share() {
            return Ok(false);
        }
        match self.share_between(copy, &receiver, folders).await {
            Ok(()) => Ok(true),
            Err(failure) => {
                // What could not be ended ends with its connection, which is gone.
                drop(self.end_copy(copy).await);
                if let Some(tell) = on_line {
                    tell(&format!("its files cannot be shared, so they are streamed: {}", chain(&failure)));
                }
                Ok(false)
            }
        }
    }

    /// The folder of this host that a container sees at `path`, all of it; `None` where there is none.
    async fn folder_inside(&self, container: &str, path: &str) -> Result<Option<Root>, Failure> {
        let Some(found) = self.inspect_named(container).await? else { return Ok(None) };
        let memory = found.host_config.and_then(|config| config.tmpfs).unwrap_or_default();
        let mounts = found.mounts.unwrap_or_default();
        let targets = mounts.iter().filter_map(|mount| mount.destination.as_deref());
        // What is mounted below the folder, or is memory, is not in the folder of the host.
        let is_below = |target: &str| target != path && Path::new(target).starts_with(path);
        let hides =
            |target: &String| Path::new(target).starts_with(path) || Path::new(path).starts_with(target);
        if targets.into_iter().any(is_below) || memory.keys().any(hides) {
            return Ok(None);
        }
        let all = mounts.iter().filter_map(|mount| {
            let (source, target) = (mount.source.as_deref()?, mount.destination.as_deref()?);
            Some((source, Path::new(path).strip_prefix(target).ok()?))
        });
        // The deepest mount hides those above it.
        let deepest = all.min_by_key(|(_, rest)| rest.components().count());
        let open =
            |(source, rest): (&str, &Path)| Root::open(Path::new(source)).ok()?.beneath(rest.to_str()?).ok();
        Ok(deepest.and_then(open))
    }

    async fn share_between(
        &self,
        copy: &DatabaseCopy,
        receiver: &str,
        folders: Folders,
    ) -> Result<(), Failure> {
        let name = name(copy);
        let variables = variables(copy, &name);
        let alone = async |text| {
            let said = self.run_script(&Script { container: receiver, text, variables: &variables }).await?;
            let failure = || {
                Failure::new("the copy's folder could not be prepared").because(Complained(said.complaints))
            };
            if said.code == 0 { Ok(()) } else { Err(failure()) }
        };
        alone(CLEAR).await?;
        let text = format!("{PASSWORD}{SESSION}");
        let mut session =
            self.start_script(&Script { container: &copy.from, text: &text, variables: &variables }).await?;
        ask(&mut session, BEGIN, "the server cannot be put into backup mode").await?;
        let folders = in_background(folders, Folders::share_files).await?;
        let ended = ask(&mut session, END, "the server's backup mode cannot be ended").await?;
        in_background(folders, move |folders| folders.copy_log(&ended)).await?;
        drop(session.input.shutdown().await);
        alone(SETTLE).await
    }
}

/// Says something in a session and waits for its one answer.
async fn ask(session: &mut Running, words: &str, what: &str) -> Result<Answer, Failure> {
    let failed = |cause: String| Failure::new(what).because(Complained(cause));
    let sent = session.input.write_all(words.as_bytes()).await;
    sent.map_err(|error| failed(error.to_string()))?;
    drop(session.input.flush().await);
    let (mut said, mut complaints) = (Vec::new(), Vec::new());
    while let Some(chunk) = session.output.next().await {
        match chunk.map_err(|error| failed(error.to_string()))? {
            LogOutput::StdErr { message } => keep(&mut complaints, &message),
            other => said.extend_from_slice(&other.into_bytes()),
        }
        if said.ends_with(b"\n")
            && let Some(answer) = answer(&said)
        {
            return Ok(answer);
        }
    }
    let complaints = String::from_utf8_lossy(&complaints).trim().to_owned();
    Err(failed(if complaints.is_empty() { "it ended without a word".to_owned() } else { complaints }))
}

fn answer(said: &[u8]) -> Option<Answer> {
    let text = std::str::from_utf8(said).ok()?;
    text.lines().find_map(|line| serde_json::from_str(line).ok())
}

async fn in_background(
    folders: Folders,
    work: impl FnOnce(&Folders) -> io::Result<()> + Send + 'static,
) -> Result<Folders, Failure> {
    let done = tokio::task::spawn_blocking(move || work(&folders).map(|()| folders)).await;
    done.map_err(io::Error::other).and_then(|done| done).map_err(not_shared)
}

fn not_shared(error: io::Error) -> Failure {
    Failure::new("a file could not be shared").because(error)
}

fn chain(failure: &Failure) -> String {
    let cause = failure.source.as_ref().map(|cause| format!(": {cause}"));
    format!("{}{}", failure.what, cause.unwrap_or_default())
}

impl Folders {
    /// Tries it with the smallest file that every server has.
    fn can_share(&self) -> bool {
        let probe = ".partywall-reflink";
        let tried = self.from.open_file("PG_VERSION").and_then(|source| {
            let target = self.into.create(probe)?;
            Ok(rustix::fs::ioctl_ficlone(&target, &source)?)
        });
        drop(self.into.remove_file(probe));
        tried.is_ok()
    }

    /// All but the log, which has its end only when backup mode has.
    fn share_files(&self) -> io::Result<()> {
        for (name, kind) in self.from.list(".")? {
            if kind == FileType::Directory && EMPTIED.contains(&name.as_str()) {
                self.into.make_folder_like(&name, &self.from)?;
            } else if name != LOG && !LEFT_OUT.contains(&name.as_str()) {
                self.share_one(&name, kind)?;
            }
        }
        Ok(())
    }

    fn share_tree(&self, path: &str) -> io::Result<()> {
        if path.matches('/').count() > DEEPEST {
            return Err(io::Error::other("its folders are too deep"));
        }
        let Some(all) = unless_gone(self.from.list(path))? else { return Ok(()) };
        self.into.make_folder_like(path, &self.from)?;
        for (name, kind) in all {
            // What queries sort in, and what each server reckons for itself.
            if !name.starts_with("pgsql_tmp") && !name.starts_with("pg_internal.init") {
                self.share_one(&format!("{path}/{name}"), kind)?;
            }
        }
        Ok(())
    }

    fn share_one(&self, path: &str, kind: FileType) -> io::Result<()> {
        if self.stop.load(Ordering::Relaxed) {
            return Err(io::ErrorKind::Interrupted.into());
        }
        match kind {
            FileType::Directory => self.share_tree(path),
            FileType::RegularFile => self.share_file(path).map_err(|error| about(path, &error)),
            // A server's sockets are made anew.
            FileType::Socket => Ok(()),
            _ => Err(about(path, &"neither a file nor a folder")),
        }
    }

    fn share_file(&self, path: &str) -> io::Result<()> {
        let Some(source) = unless_gone(self.from.open_file(path))? else { return Ok(()) };
        let target = self.into.create(path)?;
        rustix::fs::ioctl_ficlone(&target, &source)?;
        give(&target, &source.metadata()?)
    }

    /// From where the copy starts to where it is whole, and what tells it so.
    fn copy_log(&self, ended: &Answer) -> io::Result<()> {
        let first = ended.first().ok_or_else(|| io::Error::other("the server's label names no log"))?;
        self.into.make_folder_like(LOG, &self.from)?;
        let mut found = Vec::new();
        for (name, kind) in self.from.list(LOG)? {
            let path = format!("{LOG}/{name}");
            // A segment's name is a number of 24 digits, so that their order is that of the log.
            let is_needed =
                name.len() == first.len() && (first..=ended.last.as_str()).contains(&name.as_str());
            match kind {
                FileType::Directory => self.into.make_folder_like(&path, &self.from)?,
                _ if is_needed || name.ends_with(".history") => self.copy_file(&path)?,
                _ => {}
            }
            found.push(name);
        }
        if let Some(lost) = [first, &ended.last].into_iter().find(|one| !found.iter().any(|name| name == one))
        {
            return Err(about(lost, &"this part of the log is not in the server's folder"));
        }
        self.write(LABEL, &ended.label)
    }

    fn copy_file(&self, path: &str) -> io::Result<()> {
        let mut source = self.from.open_file(path)?;
        let mut target = self.into.create(path)?;
        let mut chunk = vec![0; CHUNK];
        loop {
            let length = source.read(&mut chunk)?;
            if length == 0 {
                return give(&target, &source.metadata()?);
            }
            target.write_all(&chunk[..length])?;
        }
    }

    fn write(&self, path: &str, text: &str) -> io::Result<()> {
        let mut file = self.into.create(path)?;
        file.write_all(text.as_bytes())?;
        give(&file, &self.from.open_file("PG_VERSION")?.metadata()?)?;
        file.sync_all()
    }
}

/// Tables are dropped meanwhile; the log tells the copy so.
fn unless_gone<T>(found: io::Result<T>) -> io::Result<Option<T>> {
    match found {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        other => other.map(Some),
    }
}

fn about(path: &str, why: &dyn std::fmt::Display) -> io::Error {
    io::Error::other(format!("{path}: {why}"))
}
