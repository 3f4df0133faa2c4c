//! A copy of a running server's files that shares their blocks (reflink), where both lie on a file system that can.
//!
//! It costs neither time nor room for what the copy never changes. The server is put into backup mode meanwhile, as
//! its manual's "Making a Base Backup Using the Low Level API" tells, and a slot that ends with the session keeps the
//! log that the copy starts with.

use std::io::{self, Write as _};
use std::path::Path;

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
SELECT json_build_object('label', '') FROM pg_backup_start(:'name', true);
\else
SELECT json_build_object('label', '') FROM pg_start_backup(:'name', true, false);
\endif
";
const END: &str = r"
\if :is_new
SELECT json_build_object('label', labelfile) FROM pg_backup_stop(false);
\else
SELECT json_build_object('label', labelfile) FROM pg_stop_backup(false, false);
\endif
";

#[derive(Deserialize)]
struct Answer {
    label: String,
}

/// Where the original keeps its files, and where the copy does.
struct Folders {
    from: Root,
    into: Root,
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
        let folders = Folders { from, into };
        if !folders.can_share() {
            return Ok(false);
        }
        match self.share_between(copy, &receiver, folders).await {
            Ok(()) => Ok(true),
            Err(failure) => {
                self.end_copy(copy).await?;
                if let Some(tell) = on_line {
                    tell(&format!("its files cannot be shared, so they are streamed: {}", chain(&failure)));
                }
                Ok(false)
            }
        }
    }

    /// The folder of this host that a container sees at `path`; `None` where there is none.
    async fn folder_inside(&self, container: &str, path: &str) -> Result<Option<Root>, Failure> {
        let found = self.inspect_named(container).await?;
        let mounts = found.and_then(|found| found.mounts).unwrap_or_default();
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
        ask(&mut session, BEGIN).await?;
        let folders = in_background(folders, Folders::share_files).await?;
        let label = ask(&mut session, END).await?;
        let folders = in_background(folders, |folders| folders.share_tree(LOG)).await?;
        folders.write(LABEL, &label).map_err(not_shared)?;
        drop(session.input.shutdown().await);
        alone(SETTLE).await
    }
}

/// Says something in a session and waits for its one answer.
async fn ask(session: &mut Running, words: &str) -> Result<String, Failure> {
    let failed =
        |cause: String| Failure::new("the server cannot be put into backup mode").because(Complained(cause));
    let sent = session.input.write_all(words.as_bytes()).await;
    sent.map_err(|error| failed(error.to_string()))?;
    drop(session.input.flush().await);
    let (mut said, mut complaints) = (Vec::new(), Vec::new());
    while let Some(Ok(chunk)) = session.output.next().await {
        match chunk {
            LogOutput::StdErr { message } => keep(&mut complaints, &message),
            other => said.extend_from_slice(&other.into_bytes()),
        }
        if said.ends_with(b"\n")
            && let Some(answer) = answer(&said)
        {
            return Ok(answer);
        }
    }
    Err(failed(String::from_utf8_lossy(&complaints).trim().to_owned()))
}

fn answer(said: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(said).ok()?;
    let found = text.lines().find_map(|line| serde_json::from_str::<Answer>(line).ok());
    found.map(|answer| answer.label)
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
        self.into.make_folder_like(path, &self.from)?;
        for (name, kind) in self.from.list(path)? {
            // What queries sort in, and what each server reckons for itself.
            if !name.starts_with("pgsql_tmp") && !name.starts_with("pg_internal.init") {
                self.share_one(&format!("{path}/{name}"), kind)?;
            }
        }
        Ok(())
    }

    fn share_one(&self, path: &str, kind: FileType) -> io::Result<()> {
        let shared = match kind {
            FileType::Directory => self.share_tree(path),
            FileType::RegularFile => self.share_file(path),
            // A server's sockets are made anew.
            FileType::Socket => Ok(()),
            _ => Err(io::Error::other("neither a file nor a folder")),
        };
        match shared {
            // Tables are dropped meanwhile; the log tells the copy so.
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) if error.get_ref().is_none() => {
                Err(io::Error::new(error.kind(), format!("{path}: {error}")))
            }
            other => other,
        }
    }

    fn share_file(&self, path: &str) -> io::Result<()> {
        let source = self.from.open_file(path)?;
        let target = self.into.create(path)?;
        rustix::fs::ioctl_ficlone(&target, &source)?;
        give(&target, &source.metadata()?)
    }

    fn write(&self, path: &str, text: &str) -> io::Result<()> {
        let mut file = self.into.create(path)?;
        file.write_all(text.as_bytes())?;
        give(&file, &self.from.open_file("PG_VERSION")?.metadata()?)?;
        file.sync_all()
    }
}
