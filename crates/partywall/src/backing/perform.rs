//! Making a backup: the databases are held at one moment until all of them are dumped.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use pw_backup::make::{Order, Program, make, remove};
use pw_backup::manifest::{Database, Manifest, Newest, Table};
use pw_backup::{Repository, copy, retain};
use pw_data::count::{Counts, counted};
use pw_data::roles::Around;
use pw_host::{Host, OnLine};
use pw_model::unit::Bytes;
use pw_plan::Action;
use pw_plan::step::{BackupRun, DatabasePlace};
use pw_run::Failure;
use tokio::sync::mpsc;

use super::{log, moment, part, restore, roles};
use crate::hands::CalledOff;
use crate::reach::{Reached, reach};

/// Whoever may be nice is; not every image has the programs. When the input ends, nobody reads any more: a dump that went on
/// would keep its locks on every table. All that it starts is waited for: where the server is process 1, one that is left
/// to it and ends by a signal counts as a crash, and it would end every connection.
const NICE: &str = "idle=; ionice -c 3 true 2>/dev/null && idle='ionice -c 3'; \
    command -v nice >/dev/null && idle=\"$idle nice -n 19\"; \
    exec 3<&0; $idle \"$@\" </dev/null 3<&- & own=$!; \
    { read -r nothing <&3; kill $own; } >/dev/null 2>&1 & watch=$!; \
    wait $own; ended=$?; kill $watch 2>/dev/null; wait $watch; exit $ended";

/// Who counted holds a lock on every table until the dump has one. Were it to wait behind somebody who waits for the former,
/// as to change a table, neither would ever end, and all who want the table would wait behind both.
pub(super) const UNQUEUED: &str = "--lock-wait-timeout=5s";

/// Carries out the actions of backups.
pub(crate) async fn perform(host: &Host, on_line: Option<OnLine>, action: &Action) -> Result<(), Failure> {
    match action {
        Action::MakeRepository { repository } => {
            let repository = Repository::new(repository.clone());
            blocking(move || repository.make()).await
        }
        Action::MakeBackup { backup } => back_up(host, on_line, backup).await,
        Action::RemoveBackup { repository, name } => {
            let (repository, name) = (Repository::new(repository.clone()), name.clone());
            blocking(move || remove(&repository, &name)).await
        }
        Action::ForgetBackups { repository, project, environment, kept, prune } => {
            let (repository, kept) = (Repository::new(repository.clone()), (kept.clone(), *prune));
            let (project, environment) = (project.clone(), environment.clone());
            blocking(move || retain::forget(&repository, (&project, &environment), &kept).map(drop)).await
        }
        Action::RestoreDatabase { stored, like, to } => restore::database(host, stored, like, to).await,
        Action::MakeRoles { stored, server, names } => roles::make(host, (stored, server), names).await,
        Action::RemoveRoles { server, names } => {
            pw_data::roles::remove(&reach(host.engine(), server).await?.address, names).await
        }
        Action::RestoreFolder { stored, into } => restore::folder(stored, into).await,
        Action::RestoreFiles { stored, files } => restore::files(stored, files).await,
        Action::CopyKey { from, to } => restore::copy_key(from, to),
        Action::HoldLog { hold } => log::hold(host, hold).await,
        Action::ReleaseLog { hold } => log::release(host, hold).await,
        Action::TakeLog { log } => log::take(host, log).await,
        Action::RestoreBase { base } => moment::fill(host, on_line, base).await,
        Action::CopyRestored { from, like, to } => moment::copy(host, from, like, to).await,
        Action::CopyRepository { repository, to } => {
            let (repository, to) = (Repository::new(repository.clone()), to.clone());
            blocking(move || copy::copy(&repository, &to)).await
        }
        Action::RestorePath { stored, path, into } => part::path(stored, path, into).await,
        Action::RestoreTable { stored, table, like, to } => {
            part::table(host, (stored, table), like, to).await
        }
        Action::PlaceTable { from, table, to, schema } => part::place(host, (from, table), to, schema).await,
        Action::RemovePlaced { from, schema } => part::remove(host, from, schema).await,
        Action::RemoveRestored { path } => restore::remove_restored(path),
        Action::SwapFolders { path, new, aside } => restore::swap(path, new, aside),
        other => Err(Failure::new(format!("nobody carries out `{other}`"))),
    }
}

/// Work of the library, which knows no waiting.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Failure> + Send + 'static,
) -> Result<T, Failure> {
    let ended = tokio::task::spawn_blocking(work).await;
    ended.map_err(|error| Failure::new("the work on the repository ended early").because(error))?
}

async fn back_up(host: &Host, on_line: Option<OnLine>, run: &BackupRun) -> Result<(), Failure> {
    crate::priority::step_back();
    let (mut databases, mut dumps, mut held) = (BTreeMap::new(), BTreeMap::new(), Vec::new());
    let (dumping, mut dumped) = mpsc::channel::<()>(1);
    let mut around = BTreeMap::new();
    let at = Timestamp::now();
    for (name, place) in &run.databases {
        let reached = reach(host.engine(), place).await?;
        let (source, counts) = counted(reached.address.clone()).await?;
        let roles = pw_data::roles::read(&reached.address).await?;
        databases.insert(name.clone(), described(run, place, (counts, &roles))?);
        around.insert(name.clone(), roles::kept(&roles)?);
        let needs: Option<Arc<dyn Send + Sync>> = Some(Arc::new(dumping.clone()));
        dumps.insert(name.clone(), Program { needs, ..dump(&reached, place, &source.snapshot) });
        held.push(source);
    }
    let (mut bases, mut files) = (BTreeMap::new(), BTreeMap::new());
    for (service, place) in &run.bases {
        let (base, program) = log::base(host, place).await?;
        bases.insert(service.clone(), base);
        files.insert(service.clone(), program);
    }
    let manifest = Manifest {
        version: 1,
        name: run.name.clone(),
        project: run.project.clone(),
        environment: run.environment.clone(),
        at,
        by: env!("CARGO_PKG_VERSION").to_owned(),
        release: run.release.clone(),
        databases,
        folders: BTreeMap::new(),
        bases,
        files: BTreeMap::new(),
        vanished: Vec::new(),
    };
    let called_off = CalledOff::default();
    let (run, stop) = (run.clone(), called_off.flag());
    let made = blocking(move || {
        let tell = |bytes: u64| on_line.iter().for_each(|tell| tell(&format!("{} read", Bytes(bytes))));
        make(Order { run: &run, dumps, bases: files, roles: around, manifest, stop, tell: &tell }).map(drop)
    });
    tokio::pin!(made);
    // Nobody sends: it ends with the last of the dumps. The servers keep the moment for them, and with it a lock on every
    // table, which is not to last until the last folder is read.
    drop(dumping);
    let ended = tokio::select! {
        ended = &mut made => Some(ended),
        _ = dumped.recv() => None,
    };
    drop(held);
    match ended {
        Some(ended) => ended,
        None => made.await,
    }
}

/// The server's own `pg_dump`, which fits it, through its own socket. Left uncompressed, so that what is the same
/// is found, and so that production spends no time on it.
fn dump(reached: &Reached, place: &DatabasePlace, snapshot: &str) -> Program {
    let snapshot = format!("--snapshot={snapshot}");
    inside(
        reached,
        &["pg_dump", "-w", "-Fc", "-Z0", UNQUEUED, &snapshot, "-U", &place.user, "-d", &place.name],
    )
}

/// A program in the database's container, that takes what nobody else wants and ends when nobody reads it.
pub(super) fn inside(reached: &Reached, words: &[&str]) -> Program {
    let before = ["docker", "exec", "-i", "-e", "PGPASSWORD", &reached.id, "sh", "-c", NICE, "sh"];
    Program {
        words: before.iter().chain(words).map(|word| (*word).to_owned()).collect(),
        variables: reached.password.iter().map(|word| ("PGPASSWORD".to_owned(), word.clone())).collect(),
        needs: None,
    }
}

fn described(
    run: &BackupRun,
    place: &DatabasePlace,
    (counts, around): (Counts, &Around),
) -> Result<Database, Failure> {
    let counts = counted_as(counts)?;
    Ok(Database {
        service: place.service.clone(),
        name: place.name.clone(),
        user: place.user.clone(),
        image: run.release.get(&place.service).cloned().unwrap_or_default(),
        roles: around.roles.iter().map(|(name, role)| (name.clone(), role.named)).collect(),
        ..counts
    })
}

/// What was counted, as a manifest has it.
pub(super) fn counted_as(counts: Counts) -> Result<Database, Failure> {
    let mut tables = BTreeMap::new();
    for (name, rows) in counts.tables {
        // Times beyond our calendar, such as 9999-12-31, tell nobody how new a row is.
        let newest = rows.newest.and_then(|(column, at)| Some(Newest { column, at: at.parse().ok()? }));
        tables.insert(name.clone(), Table { rows: rows.rows, newest });
    }
    Ok(Database {
        server: counts.server,
        schema: counts.schema,
        foreign_keys: counts.foreign_keys,
        not_valid: counts.not_valid,
        tables,
        ..Database::default()
    })
}
