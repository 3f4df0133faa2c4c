//! What `status` says of backups and drills, from the journal: a repository takes long to open.

use std::path::Path;

use jiff::Timestamp;
use pw_journal::{Proof, SqliteJournal};
use pw_model::name::EnvironmentName;
use pw_plan::backup::drill::PURPOSE as DRILL;
use pw_run::JournalFailure;
use serde_json::{Value, json};

use crate::printer::{RED, YELLOW};
use crate::seeded::age;
use crate::session::Session;
use crate::stop::Stop;

/// Kind of the record that a backup leaves.
pub(crate) const BACKUP: &str = "backup";

/// Kind of the record that taking the log leaves.
const LOG: &str = "log";

/// Kind of the record that says into which repository backups go.
const REPOSITORY: &str = "repository";

/// The repository that backups went into; `None` before the first.
pub(crate) fn repository(session: &Session) -> Option<String> {
    let path = session.layout.journal(&session.config.project);
    let journal = SqliteJournal::open_read_only(Path::new(&path)).ok().flatten()?;
    let (_, proof) = journal.newest_proof(REPOSITORY, "").ok().flatten()?;
    let told: Value = serde_json::from_str(&proof.summary).ok()?;
    told["id"].as_str().map(str::to_owned)
}

/// Remembers it.
pub(crate) fn remember(journal: &mut SqliteJournal, id: &str, path: &str) -> Result<(), JournalFailure> {
    journal.prove(&Proof {
        kind: REPOSITORY.to_owned(),
        environment: String::new(),
        passed: true,
        summary: json!({"id": id, "path": path}).to_string(),
    })
}

/// Kind of the record that a copy elsewhere leaves.
const COPY: &str = "copy";

/// Remembers that the repository was copied, or not.
pub(crate) fn note_copy(
    journal: &mut SqliteJournal,
    name: &EnvironmentName,
    (to, passed): (&str, bool),
) -> Result<(), JournalFailure> {
    journal.prove(&Proof {
        kind: COPY.to_owned(),
        environment: name.to_string(),
        passed,
        summary: json!({"to": to}).to_string(),
    })
}

/// Remembers that the log was taken.
pub(crate) fn note_log(journal: &mut SqliteJournal, name: &EnvironmentName) -> Result<(), JournalFailure> {
    journal.prove(&Proof {
        kind: LOG.to_owned(),
        environment: name.to_string(),
        passed: true,
        summary: json!({}).to_string(),
    })
}

/// The newest backup, an attempt since that failed, and the newest drill; `None` where nothing is to be backed up.
pub(crate) fn read(session: &Session, name: &EnvironmentName) -> Option<Value> {
    session.config.backup.as_ref()?;
    let path = session.layout.journal(&session.config.project);
    let journal = SqliteJournal::open_read_only(Path::new(&path)).ok().flatten();
    let newest = |kind: &str| {
        let (at, proof) = journal.as_ref()?.newest_proof(kind, name.as_str()).ok().flatten()?;
        Some(told(at, &proof))
    };
    let made = || {
        let (at, proof) = journal.as_ref()?.newest_passed(BACKUP, name.as_str()).ok().flatten()?;
        Some(told(at, &proof))
    };
    let log = || session.config.backup.as_ref()?.log.and_then(|_| newest(LOG));
    let copied = || {
        let copies = &session.config.backup.as_ref()?.copies;
        newest(COPY).filter(|told| copies.iter().any(|to| told["to"] == to.as_str()))
    };
    let failed = newest(BACKUP).filter(|told| told["passed"] == false);
    Some(json!({"backup": made(), "failed": failed, "log": log(), "copy": copied(), "drill": newest(DRILL)}))
}

fn told(at: i64, proof: &Proof) -> Value {
    let mut value: Value = serde_json::from_str(&proof.summary).unwrap_or_default();
    value["passed"] = json!(proof.passed);
    value["age_seconds"] = json!(Timestamp::now().as_second() - at);
    value
}

/// True for an attempt at the log alone.
pub(crate) fn is_of_log(failed: &Value) -> bool {
    failed["log"] == true
}

/// In one line, for a record. A step that fails has said why, and is known by its code only.
pub(crate) fn cause(stop: &Stop) -> String {
    match stop.diagnostics().into_iter().next() {
        Some(one) => [vec![one.message], one.because].concat().join(": "),
        None => "a step failed, or it was called off".to_owned(),
    }
}

/// A line each; what is overdue or did not hold is loud.
pub(crate) fn lines(session: &Session, record: &Value) -> String {
    let section = session.config.backup.as_ref();
    let backup = &record["backup"];
    let mut text = match backup {
        Value::Null => format!("  {YELLOW}backup  none yet{YELLOW:#}\n"),
        _ if late(backup, section.and_then(|section| section.every_seconds())) => {
            format!("  {RED}backup  {}, {} old: overdue{RED:#}\n", word(backup, "name"), when(backup))
        }
        _ => format!("  backup  {}, {} old\n", word(backup, "name"), when(backup)),
    };
    text += &failed_line(&record["failed"]);
    if !record["log"].is_null() {
        text += &format!("  log     taken {} ago\n", when(&record["log"]));
    }
    text += &copy_line(&record["copy"]);
    text + &drilled(session, record)
}

/// Whether the newest backup is known to restore; what would be lost with the machine now, and how long bringing the rest back took.
pub(crate) fn drilled(session: &Session, record: &Value) -> String {
    let (backup, drill) = (&record["backup"], &record["drill"]);
    let limit = session.config.backup.as_ref().and_then(|section| section.drill_seconds());
    if backup.is_null() && drill.is_null() {
        return String::new();
    }
    let restored = age(drill["restore_seconds"].as_f64().unwrap_or_default().ceil() as i64);
    let passed = drill["passed"] == true;
    let (name, ago) = (word(drill, "backup"), when(drill));
    let line = match drill {
        _ if drill["cause"].is_string() => {
            format!(
                "  {RED}drill   {name} could not be drilled, {ago} ago: {}{RED:#}\n",
                word(drill, "cause")
            )
        }
        Value::Null => format!("  {YELLOW}drill   none yet: nobody knows whether it restores{YELLOW:#}\n"),
        _ if !passed => format!("  {RED}drill   {name} did not restore, {ago} ago{RED:#}\n"),
        _ if late(drill, limit) => format!("  {RED}drill   {name} restored, {ago} ago: overdue{RED:#}\n"),
        _ => format!("  drill   {name} restored in {restored}, {ago} ago\n"),
    };
    let kept = [backup, &record["log"]].into_iter().filter_map(|one| one["age_seconds"].as_i64()).min();
    let lost = kept.map_or_else(|| "everything".to_owned(), age);
    let back = if passed { restored } else { "unknown".to_owned() };
    format!("{line}  RPO     {lost} now; RTO {back}\n")
}

fn late(record: &Value, limit: Option<u64>) -> bool {
    let old = record["age_seconds"].as_u64().unwrap_or_default();
    limit.is_some_and(|limit| old > limit)
}

fn when(record: &Value) -> String {
    age(record["age_seconds"].as_i64().unwrap_or_default())
}

fn word(record: &Value, key: &str) -> String {
    record[key].as_str().unwrap_or("?").to_owned()
}

/// The newest copy elsewhere.
fn copy_line(copy: &Value) -> String {
    let (to, when) =
        (copy["to"].as_str().unwrap_or("?"), age(copy["age_seconds"].as_i64().unwrap_or_default()));
    match copy["passed"].as_bool() {
        None => String::new(),
        Some(true) => format!("  copy    in {to}, {when} old\n"),
        Some(false) => format!("  {RED}copy    to {to} failed {when} ago{RED:#}\n"),
    }
}

/// The newest attempt, where it made no backup.
pub(crate) fn failed_line(failed: &Value) -> String {
    if failed.is_null() {
        return String::new();
    }
    let (cause, when) =
        (failed["cause"].as_str().unwrap_or("?"), failed["age_seconds"].as_i64().unwrap_or_default());
    let what = if is_of_log(failed) { "log   " } else { "backup" };
    format!("  {RED}{what}  failed {} ago: {cause}{RED:#}\n", age(when))
}
