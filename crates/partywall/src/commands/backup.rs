//! `backup` and `backups`: data and configuration of an environment, kept and listed.

use jiff::Timestamp;
use pw_backup::{Backup, Manifest, Repository};
use pw_journal::Proof;
use pw_model::unit::Bytes;
use serde_json::{Value, json};

use crate::apply;
use crate::backing::{self, gather::gather, seconds_since, shown::BACKUP};
use crate::printer::{BOLD, GREEN, Printer, count};
use crate::seeded::{age, grouped};
use crate::session::Session;
use crate::stop::Stop;

pub(crate) async fn run(session: &Session, name: &str, printer: &mut Printer) -> Result<(), Stop> {
    let (name, _) = session.environment(name)?;
    let section = backing::section(session)?;
    let host = session.host();
    let backup = Timestamp::now().strftime("%Y%m%d-%H%M%S").to_string();
    let (run, warnings) = gather(session, &host, name, backup.clone()).await?;
    printer.diagnostics(&warnings);
    let repository = Repository::new(run.repository.clone());
    let order = pw_plan::backup::Order {
        kept: backing::kept(section),
        has_key: backing::has_key(&run.repository),
        has_repository: repository.exists(),
        run,
    };
    let plan = pw_plan::backup::plan(&order)?;
    if order.has_repository {
        // A key that does not open it would bar the way back, too.
        repository.list()?;
    }
    let (_lock, mut journal) = session.begin()?;
    apply::run(&plan, host, &mut journal, printer).await?;
    let manifest = repository.manifest(&backup)?;
    journal.prove(&Proof {
        kind: BACKUP.to_owned(),
        environment: name.to_string(),
        passed: true,
        summary: json!({"name": backup, "bytes": manifest.bytes(), "rows": manifest.rows()}).to_string(),
    })?;
    if printer.is_json() {
        return printer.json(&json!({
            "ok": true, "operation": "backup", "environment": name, "changed": true, "backup": manifest,
        }));
    }
    if !order.has_key {
        printer.note(format!(
            "the key of all backups is {}: keep a copy outside this machine, for without it nobody can read them",
            order.run.repository.key
        ));
    }
    printer.note(format!("{GREEN}`{name}` is backed up{GREEN:#} as {backup}: {}", summary(&manifest)));
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
            false => printer.answer(shown(&manifest)),
        };
    }
    let all = backing::list(session, environment)?;
    if printer.is_json() {
        let all: Vec<Value> = all.iter().map(to_json).collect();
        return printer.json(&json!({"repository": place.path, "backups": all}));
    }
    if all.is_empty() {
        printer.note("there is no backup yet; `partywall backup production` makes one");
        return Ok(());
    }
    printer.answer(table(&all))?;
    printer.note(format!("{} in {}", count(all.len(), "backup"), place.path));
    Ok(())
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

fn shown(manifest: &Manifest) -> String {
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
