//! A drill: a backup is brought back beside nothing else and tried; what does not hold is a finding, not a failure.

use std::path::Path;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use pw_backup::Repository;
use pw_backup::log::chain as chain_of;
use pw_backup::manifest::{Base, Database, Manifest};
use pw_backup::take::Taking;
use pw_data::count::{Counts, counted_here};
use pw_host::docker::Awaited;
use pw_host::{Host, OnLine};
use pw_model::unit::Bytes;
use pw_plan::step::{DrillRun, PlayedLog, ScratchServer};
use pw_run::Failure;
use serde::Serialize;

use super::load::load;
use super::perform::blocking;
use super::restore::{differences, room};
use crate::printer::count;
use crate::seeded::grouped;
use crate::stop::of_failure;

/// One thing that was tried.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Tried {
    pub(crate) what: String,
    pub(crate) ok: bool,
    /// Figures, or the cause.
    pub(crate) told: String,
}

/// What a drill found out.
#[derive(Debug, Clone, Default, Serialize)]
pub(crate) struct Drilled {
    pub(crate) tried: Vec<Tried>,
    /// How long bringing back took, without trying.
    pub(crate) restore_seconds: f64,
    /// Up to here the log of a server was played.
    #[serde(skip)]
    pub(crate) until: Option<Timestamp>,
}

impl Drilled {
    pub(crate) fn passed(&self) -> bool {
        !self.tried.is_empty() && self.tried.iter().all(|one| one.ok)
    }

    fn note(&mut self, what: impl Into<String>, result: Result<String, String>) -> bool {
        let ok = result.is_ok();
        let told = result.unwrap_or_else(|cause| cause);
        self.tried.push(Tried { what: what.into(), ok, told });
        ok
    }
}

/// Everything that is tried, within its time.
pub(crate) async fn drill(host: &Host, on_line: Option<OnLine>, run: &DrillRun) -> Drilled {
    let mut drilled = Drilled::default();
    let limit = Duration::from_secs(run.timeout_seconds);
    let all = all(host, on_line, run, &mut drilled);
    if tokio::time::timeout(limit, all).await.is_err() {
        drilled.note("time", Err(format!("it was not over after {limit:?}")));
    }
    drilled
}

async fn all(host: &Host, on_line: Option<OnLine>, run: &DrillRun, drilled: &mut Drilled) {
    let tell = |text: &str| on_line.iter().for_each(|tell| tell(text));
    let begun = Instant::now();
    if let (Some(server), Some(log)) = (&run.server, &run.played) {
        let told = played(host, (run, server), log, &tell).await;
        drilled.until = log.until.parse().ok().filter(|_| told.is_ok());
        let what = format!("log of {}, played", run.stored.part);
        drilled.note(what, told.map_err(|failure| chain(&failure)));
        return;
    }
    let known = match &run.server {
        Some(server) => database(host, (run, server), drilled, &tell).await,
        None => None,
    };
    folders(run, drilled, &tell).await;
    drilled.restore_seconds = begun.elapsed().as_secs_f64();
    if run.folders.is_some() {
        tell("waiting for the repository to be read");
        repository(run, drilled).await;
    }
    if run.folders.is_some() {
        logs(run, drilled).await;
    }
    if let (Some(server), Some(known)) = (&run.server, known) {
        rows(host, (run, server), &known, drilled, &tell).await;
    }
}

async fn rows(
    host: &Host,
    (run, server): (&DrillRun, &ScratchServer),
    known: &Database,
    drilled: &mut Drilled,
    tell: &impl Fn(&str),
) {
    tell("waiting for the rows to be counted");
    match counted_here(Path::new(&server.socket), &server.user, &server.database).await {
        Ok(found) => compare(known, &found, drilled),
        Err(failure) => drop(drilled.note("rows", Err(chain(&failure)))),
    }
    if let Some(job) = &server.job {
        tell(&format!("waiting for `{job}` to end"));
        let ended = check(host, (run, server), job).await;
        drilled.note("the application's check", ended);
    }
}

async fn database(
    host: &Host,
    (run, server): (&DrillRun, &ScratchServer),
    drilled: &mut Drilled,
    tell: &impl Fn(&str),
) -> Option<Database> {
    tell("waiting for the dump to be loaded");
    let restored = load(host, &run.stored, server).await;
    let known = restored.as_ref().ok().cloned();
    let told = restored.map(|known| format!("{} loaded", Bytes(known.dump.bytes)));
    drilled.note(format!("database {}", run.stored.part), told.map_err(|failure| chain(&failure)));
    known
}

/// A server that answers has played everything up to the moment, or it would have ended; then every row is read.
async fn played(
    host: &Host,
    (run, server): (&DrillRun, &ScratchServer),
    log: &PlayedLog,
    tell: &impl Fn(&str),
) -> Result<String, Failure> {
    tell("waiting for the log to be played");
    let services = [server.service.clone()];
    let awaited = Awaited {
        project: &server.compose.project,
        services: &services,
        timeout_seconds: run.timeout_seconds,
        ended: false,
    };
    host.engine().await_services(awaited, None).await?;
    let found = counted_here(Path::new(&server.socket), &server.user, &server.database).await?;
    let rows: u64 = found.tables.values().map(|table| table.rows).sum();
    Ok(format!(
        "{} up to {}: {} rows in {}, every one read",
        count(log.segments, "segment"),
        log.until,
        grouped(rows),
        count(found.tables.len(), "table")
    ))
}

/// Every byte of the repository, also what only other backups need.
async fn repository(run: &DrillRun, drilled: &mut Drilled) {
    let place = run.stored.repository.clone();
    let read = blocking(move || Repository::new(place).check(true)).await;
    let told = read.map(|()| "every byte read back and compared".to_owned());
    drilled.note("repository", told.map_err(|failure| chain(&failure)));
}

/// Whether the log goes on without a gap from each server's files; its bytes were read with the repository.
async fn logs(run: &DrillRun, drilled: &mut Drilled) {
    let stored = run.stored.clone();
    let chains = blocking(move || {
        let repository = Repository::new(stored.repository);
        let manifest = repository.manifest(&stored.backup)?;
        let bases = manifest.bases.iter();
        let chain = |(service, base): (&String, &Base)| {
            (service.clone(), chain_of(&repository, &manifest.environment, (service, base), None))
        };
        Ok(bases.map(chain).collect::<Vec<_>>())
    });
    match chains.await {
        Err(failure) => drop(drilled.note("log", Err(chain(&failure)))),
        Ok(chains) => {
            for (service, found) in chains {
                let told = found.map(|one| {
                    format!("{} without a gap, up to {:.0}", count(one.segments(), "segment"), one.until)
                });
                drilled.note(format!("log of {service}"), told.map_err(|failure| chain(&failure)));
            }
        }
    }
}

async fn folders(run: &DrillRun, drilled: &mut Drilled, tell: &impl Fn(&str)) {
    let Some(into) = run.folders.clone() else { return };
    let stored = run.stored.clone();
    let opened = blocking(move || Taking::open(&Repository::new(stored.repository), &stored.backup)).await;
    let taking = match opened {
        Ok(taking) => std::sync::Arc::new(taking),
        Err(failure) => {
            drilled.note("folders", Err(chain(&failure)));
            return;
        }
    };
    let names: Vec<String> = taking.manifest.folders.keys().cloned().collect();
    for name in names {
        tell(&format!("waiting for the files of {name}"));
        let told = figures(&taking.manifest, &name);
        let (taking, part, into) = (taking.clone(), name.clone(), Path::new(&into).join(&name));
        let back = blocking(move || {
            room(&taking.manifest, &part, &into.to_string_lossy())?;
            taking.folder(&part, &into)
        });
        let back = back.await;
        drilled.note(format!("folder {name}"), back.map(|()| told).map_err(|failure| chain(&failure)));
    }
}

fn figures(manifest: &Manifest, name: &str) -> String {
    manifest.folders.get(name).map_or_else(String::new, |folder| {
        format!("{} files, {}, checksum equal", grouped(folder.files), Bytes(folder.bytes))
    })
}

fn compare(known: &Database, found: &Counts, drilled: &mut Drilled) {
    let rows: u64 = known.tables.values().map(|table| table.rows).sum();
    let wrong = differences(known, found);
    let told = format!("{} in {}, as counted", grouped(rows), count(known.tables.len(), "table"));
    drilled.note("rows", if wrong.is_empty() { Ok(told) } else { Err(wrong.join("; ")) });
    let keys = match (found.not_valid, known.not_valid) {
        (0, _) => Ok(format!("{}, every one valid", found.foreign_keys)),
        (some, before) if some == before => {
            Ok(format!("{}, {some} of them declared NOT VALID as in production", found.foreign_keys))
        }
        (some, _) => Err(format!("{some} of {} are not valid", found.foreign_keys)),
    };
    drilled.note("foreign keys", keys);
    let newest = known.tables.iter().filter_map(|(name, table)| Some((&table.newest.as_ref()?.at, name)));
    if let Some((at, name)) = newest.max() {
        let rows = found.tables.get(name).and_then(|rows| rows.newest.as_ref());
        let same = rows.and_then(|(_, text)| text.parse::<Timestamp>().ok()) == Some(*at);
        let told = format!("{at} in {name}");
        drilled.note("newest row", if same { Ok(told) } else { Err(format!("{told} did not come back")) });
    }
}

async fn check(host: &Host, (run, server): (&DrillRun, &ScratchServer), job: &str) -> Result<String, String> {
    let started = host.start_job(&server.compose, job).await;
    started.map_err(|failure| chain(&failure))?;
    let limit = Duration::from_secs(run.timeout_seconds);
    let ended = host.engine().await_job(&server.compose.project, job, limit).await;
    let ended = ended.map_err(|failure| chain(&failure))?;
    match ended.code {
        Some(0) => Ok("ended well".to_owned()),
        Some(code) => Err(format!("ended with {code}: {}", ended.words.trim())),
        None => Err(format!("was not over after {limit:?}: {}", ended.words.trim())),
    }
}

fn chain(failure: &Failure) -> String {
    let told = of_failure(failure);
    [vec![told.message], told.because].concat().join(": ")
}
