//! `backup` and `backups`: data and configuration of an environment, kept and listed.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use pw_backup::{Backup, Manifest, Repository};
use pw_host::Host;
use pw_journal::{Proof, SqliteJournal};
use pw_model::diagnostic::Diagnostic;
use pw_model::name::EnvironmentName;
use pw_model::unit::Bytes;
use pw_plan::backup::{Order, log_plan};
use pw_plan::step::BackupRun;
use serde_json::{Value, json};

use crate::apply;
use crate::backing::shown::{self, BACKUP};
use crate::backing::{self, gather::gather, log, seconds_since};
use crate::cli;
use crate::printer::{BOLD, GREEN, Printer, count};
use crate::seeded::{age, grouped};
use crate::session::Session;
use crate::stop::Stop;

/// How often it is looked whether another second has begun.
const NEXT_SECOND: Duration = Duration::from_millis(100);

pub(crate) async fn run(session: &Session, asked: &cli::Backup, printer: &mut Printer) -> Result<(), Stop> {
    let (name, _) = session.environment(&asked.environment)?;
    backing::section(session)?;
    let ended = match asked.log {
        true => take_log(session, name, printer).await,
        false => back_up(session, name, asked.new_repository, printer).await,
    };
    if let Err(stop) = &ended {
        note_failure(session, name, (asked.log, stop));
    }
    ended?;
    copies(session, name, printer).await
}

/// A backup before something that may go wrong. It is whole without its copies, so a place that is away holds nothing up.
pub(super) async fn restore_point(
    session: &Session,
    name: &EnvironmentName,
    printer: &mut Printer,
) -> Result<(), Stop> {
    if let Err(stop) = back_up(session, name, false, printer).await {
        note_failure(session, name, (false, &stop));
        return Err(stop);
    }
    match copies(session, name, printer).await {
        // The step has said why.
        Err(Stop::Code(2)) => {
            let to = backing::section(session)?.copies.join(", ");
            let kept = Diagnostic::warning(format!("the restore point is not in {to}"))
                .because("it could not be copied; here it is whole")
                .hint("the next backup copies again");
            printer.diagnostics(&[kept]);
            Ok(())
        }
        // Called off, or nothing can be written down.
        other => other,
    }
}

async fn back_up(
    session: &Session,
    name: &EnvironmentName,
    new_repository: bool,
    printer: &mut Printer,
) -> Result<(), Stop> {
    let host = session.host();
    let backup = fresh_name(session).await;
    let (run, warnings) = gather(session, &host, name, backup.clone()).await?;
    printer.diagnostics(&warnings);
    let order = order(session, &host, run, new_repository).await?;
    let plan = pw_plan::backup::plan(&order)?;
    let (_lock, mut journal) = session.begin()?;
    let ended = apply::run(&plan, host, &mut journal, printer).await;
    let place = &order.run.repository;
    let repository = Repository::new(place.clone());
    // Also of a backup that failed: the next one must not begin elsewhere.
    if let Some(id) = repository.id()?.filter(|id| shown::repository(session).as_ref() != Some(id)) {
        shown::remember(&mut journal, &id, &place.path)?;
    }
    ended?;
    let manifest = repository.manifest(&backup)?;
    if order.log.is_some() {
        shown::note_log(&mut journal, name)?;
    }
    journal.prove(&Proof {
        kind: BACKUP.to_owned(),
        environment: name.to_string(),
        passed: true,
        summary: json!({"name": backup, "bytes": manifest.bytes(), "rows": manifest.rows()}).to_string(),
    })?;
    forget(&order, session, &mut journal, printer).await?;
    answer(&order, &manifest, printer)
}

/// A full disk, for example, keeps older ones from going, and takes nothing from this one.
async fn forget(
    order: &Order,
    session: &Session,
    journal: &mut SqliteJournal,
    printer: &mut Printer,
) -> Result<(), Stop> {
    match apply::run(&pw_plan::backup::forget(order), session.host(), journal, printer).await {
        Err(Stop::Code(2)) => {
            let name = &order.run.environment;
            let stay = Diagnostic::warning("older backups stay that `backup.keep` does not keep")
                .because("they could not be forgotten; this one is whole")
                .hint(format!("`partywall backups {name} --prune` tries again, and so does the next backup"));
            printer.diagnostics(&[stay]);
            Ok(())
        }
        other => other,
    }
}

/// The second in which it is begun. Two backups of a project never have the same name, whatever environment they are
/// of: a name is all by which one is asked for.
async fn fresh_name(session: &Session) -> String {
    loop {
        let name = Timestamp::now().strftime("%Y%m%d-%H%M%S").to_string();
        let has_it = |one: &EnvironmentName| {
            shown::read(session, one).is_some_and(|record| record["backup"]["name"] == name.as_str())
        };
        if !session.config.environments.keys().any(has_it) {
            return name;
        }
        tokio::time::sleep(NEXT_SECOND).await;
    }
}

/// Elsewhere, too. The backup is whole without it; but who asked for a copy is told when there is none.
async fn copies(session: &Session, name: &EnvironmentName, printer: &mut Printer) -> Result<(), Stop> {
    let copies = &backing::section(session)?.copies;
    if copies.is_empty() {
        return Ok(());
    }
    let (place, project) = (backing::place(session)?, session.config.project.as_str());
    let (_lock, mut journal) = session.begin()?;
    let mut failed = None;
    for to in copies {
        let plan = pw_plan::backup::copy::plan(&place, (project, name.as_str()), to);
        let ended = apply::run(&plan, session.host(), &mut journal, printer).await;
        shown::note_copy(&mut journal, name, (to, ended.is_ok()))?;
        failed = failed.or(ended.err());
    }
    match failed {
        Some(stop) => Err(stop),
        None if printer.is_json() => printer.json(&json!({
            "ok": true, "operation": "copy", "environment": name, "changed": true, "copies": copies,
        })),
        None => {
            printer.note(format!("copied to {}", copies.join(", ")));
            Ok(())
        }
    }
}

/// What is there decides what is made.
async fn order(
    session: &Session,
    host: &Host,
    mut run: BackupRun,
    new_repository: bool,
) -> Result<Order, Stop> {
    let repository = Repository::new(run.repository.clone());
    let (has_key, has_repository) = (backing::has_key(&run.repository), repository.exists());
    // A key that does not open it would bar the way back, too.
    let found = if has_key { repository.id()? } else { None };
    if new_repository {
        run.repository.id.clone_from(&found);
    }
    let section = backing::section(session)?;
    let (hold, release) = log::changes(host, section, &run).await?;
    let (log, kept) = (log::run(&run), backing::kept(session, &run.environment)?);
    Ok(Order { run, kept, has_key, has_repository, found, new_repository, hold, release, log })
}

/// Only the log: what came since the last time can be restored from then on.
pub(super) async fn take_log(
    session: &Session,
    name: &EnvironmentName,
    printer: &mut Printer,
) -> Result<(), Stop> {
    let host = session.host();
    let at = Timestamp::now();
    let backup = at.strftime("%Y%m%d-%H%M%S").to_string();
    let (run, _) = gather(session, &host, name, backup).await?;
    let order = order(session, &host, run, false).await?;
    let Some(log) = order.log.as_ref().filter(|_| order.hold.is_empty()) else {
        return Err(Stop::because(
            format!("the log of `{name}` is not held back"),
            "no backup has begun to keep it",
            format!("add `log: {{ hold: 4GB }}` to `backup:` and run `partywall backup {name}` once"),
        ));
    };
    let plan = log_plan(&order, log)?;
    let (_lock, mut journal) = session.begin()?;
    apply::run(&plan, host, &mut journal, printer).await?;
    shown::note_log(&mut journal, name)?;
    if printer.is_json() {
        return printer.json(&json!({
            "ok": true, "operation": "backup", "environment": name, "changed": true, "log": log.name, "at": at,
        }));
    }
    printer.note(format!("{GREEN}the log of `{name}` is kept{GREEN:#} up to {at:.0}"));
    Ok(())
}

/// Whoever only looks at `status` learns of it, too.
fn note_failure(session: &Session, name: &EnvironmentName, (log, stop): (bool, &Stop)) {
    let known = shown::read(session, name).map(|record| record["failed"].clone()).unwrap_or_default();
    // That of a backup says when the next is tried again: a log that cannot be taken, either, must not hide it.
    if log && !known.is_null() && !shown::is_of_log(&known) {
        return;
    }
    let proof = Proof {
        kind: BACKUP.to_owned(),
        environment: name.to_string(),
        passed: false,
        summary: json!({"cause": shown::cause(stop), "log": log}).to_string(),
    };
    // Where another operation is at work, or was cut off, that is what is told.
    if let Ok((_lock, mut journal)) = session.begin() {
        drop(journal.prove(&proof));
    }
}

fn answer(order: &Order, manifest: &Manifest, printer: &mut Printer) -> Result<(), Stop> {
    let run = &order.run;
    if printer.is_json() {
        return printer.json(&json!({
            "ok": true, "operation": "backup", "environment": run.environment, "changed": true, "backup": manifest,
        }));
    }
    if !order.has_repository {
        printer.note(format!("a new repository was made in {}", run.repository.path));
    }
    if !order.has_key {
        printer.note(format!(
            "the key of all backups is {}: keep a copy outside this machine, for without it nobody can read them",
            run.repository.key
        ));
    }
    let (name, backup) = (&run.environment, &run.name);
    printer.note(format!("{GREEN}`{name}` is backed up{GREEN:#} as {backup}: {}", summary(manifest)));
    Ok(())
}

pub(crate) fn list(
    session: &Session,
    environment: Option<&str>,
    show: Option<&str>,
    printer: &mut Printer,
) -> Result<(), Stop> {
    if let Some(environment) = environment {
        session.environment(environment)?;
    }
    let place = backing::place(session)?;
    if let Some(name) = show {
        let manifest = Repository::new(place).manifest(name)?;
        return match printer.is_json() {
            true => printer.json(&manifest),
            false => printer.answer(contents(&manifest)),
        };
    }
    let all = backing::list(session, environment)?;
    let names = session.config.environments.keys();
    let names = names.filter(|name| environment.is_none_or(|one| one == name.as_str()));
    let records: BTreeMap<&str, Value> =
        names.filter_map(|name| Some((name.as_str(), shown::read(session, name)?))).collect();
    if printer.is_json() {
        let all: Vec<Value> = all.iter().map(to_json).collect();
        return printer.json(&json!({"repository": place.path, "backups": all, "environments": records}));
    }
    for (name, record) in &records {
        let failed = shown::failed_line(&record["failed"]);
        if !failed.is_empty() {
            printer.note(format!("{name}:{}", failed.trim_end()));
        }
    }
    if all.is_empty() {
        printer.note("there is no backup yet; `partywall backup production` makes one");
        return Ok(());
    }
    printer.answer(table(&all) + &drills(session, &records))?;
    printer.note(format!("{} in {}", count(all.len(), "backup"), place.path));
    Ok(())
}

/// For each environment that was backed up: whether that restores, and what would be lost.
fn drills(session: &Session, records: &BTreeMap<&str, Value>) -> String {
    let told = records.iter().map(|(name, record)| (name, shown::drilled(session, record)));
    told.filter(|(_, lines)| !lines.is_empty()).map(|(name, lines)| format!("\n{name}\n{lines}")).collect()
}

fn to_json(backup: &Backup) -> Value {
    json!({
        "name": backup.name, "environment": backup.environment, "at": backup.at, "snapshot": backup.snapshot,
        "added_bytes": backup.added, "age_seconds": seconds_since(backup.at),
    })
}

fn table(all: &[Backup]) -> String {
    let mut text = format!(
        "{BOLD}{:<17}{:<14}{:>12}{:>11}  SNAPSHOT{BOLD:#}\n",
        "BACKUP", "ENVIRONMENT", "AGE", "ADDED"
    );
    for one in all {
        text += &format!(
            "{:<17}{:<14}{:>12}{:>11}  {}\n",
            one.name,
            one.environment,
            age(seconds_since(one.at)),
            Bytes(one.added),
            one.snapshot
        );
    }
    text
}

fn summary(manifest: &Manifest) -> String {
    let files: u64 = manifest.folders.values().map(|folder| folder.files).sum();
    format!(
        "{} rows of {}, {} files of {}, {} files of configuration; {} in all",
        grouped(manifest.rows()),
        count(manifest.databases.len(), "database"),
        grouped(files),
        count(manifest.folders.len(), "folder"),
        manifest.files.len(),
        Bytes(manifest.bytes())
    )
}

fn contents(manifest: &Manifest) -> String {
    let mut text = format!("{BOLD}{}{BOLD:#}  {} at {}\n", manifest.name, manifest.environment, manifest.at);
    for (name, database) in &manifest.databases {
        let rows: u64 = database.tables.values().map(|table| table.rows).sum();
        text += &format!(
            "  database {name}  {} rows in {}, PostgreSQL {}, {}\n",
            grouped(rows),
            count(database.tables.len(), "table"),
            database.server,
            Bytes(database.dump.bytes)
        );
    }
    for (name, folder) in &manifest.folders {
        text += &format!(
            "  folder {name}  {} files, {}, from {}\n",
            grouped(folder.files),
            Bytes(folder.bytes),
            folder.mounted.join(", ")
        );
    }
    for (name, file) in &manifest.files {
        text += &format!("  file {name}  {}\n", Bytes(file.measure.bytes));
    }
    text
}
