//! What is known of an environment's last rehearsal.

use jiff::Timestamp;
use pw_journal::SqliteJournal;
use pw_model::name::EnvironmentName;
use pw_model::unit::Span;
use pw_plan::rehearse::PURPOSE;
use serde_json::{Value, json};

use crate::seeded::age;
use crate::session::Session;

/// When it was, whether it passed, how long it took, and the lock that kept others out longest.
pub(crate) fn read(session: &Session, name: &EnvironmentName) -> Option<Value> {
    let path = session.layout.journal(&session.config.project);
    // Looking must not fail for the sake of a line.
    let journal = SqliteJournal::open_read_only(path.as_ref()).ok().flatten()?;
    let (at, proof) = journal.newest_proof(PURPOSE, name.as_str()).ok().flatten()?;
    let mut value: Value = serde_json::from_str(&proof.summary).ok()?;
    value["at"] = json!(Timestamp::from_second(at).ok()?);
    value["passed"] = json!(proof.passed);
    Some(value)
}

/// What `status` says of it.
pub(crate) fn line(record: &Value) -> String {
    let at: Option<Timestamp> = record["at"].as_str().and_then(|at| at.parse().ok());
    let age = at.map_or_else(|| "?".into(), |at| age(Timestamp::now().duration_since(at).as_secs()));
    format!("  rehearsed  {age} ago: {}", summary(record))
}

fn summary(record: &Value) -> String {
    let span =
        |value: &Value| Span(std::time::Duration::from_secs_f64(value.as_f64().unwrap_or(0.0).max(0.0)));
    let word = if record["passed"] == true { "passed" } else { "failed" };
    let lock = &record["worst_lock"];
    let worst = match lock["table"].as_str() {
        Some(table) => format!("worst lock {} of `{table}`", span(&lock["seconds"])),
        None => "no lock that keeps anybody out".to_owned(),
    };
    let sample = match record["sample"].as_str() {
        Some("fails-on-the-whole-only") => "; though it passes on the sample",
        _ => "",
    };
    // Two lines, for eighty columns.
    format!(
        "{word} in {}, {} findings\n             {worst}{sample}",
        span(&record["seconds"]),
        record["findings"]
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_reads_as_two_lines() {
        let lock = json!({"table": "posts", "mode": "AccessExclusiveLock", "seconds": 23.4});
        let mut record = json!({"passed": false, "seconds": 24.5, "worst_lock": lock, "findings": 5});
        let told = "failed in 24.5 s, 5 findings\n             worst lock 23.4 s of `posts`";
        assert_eq!(summary(&record), told);
        record["sample"] = json!("fails-on-the-whole-only");
        assert_eq!(summary(&record), format!("{told}; though it passes on the sample"));
        record["sample"] = Value::Null;
        record["worst_lock"] = Value::Null;
        assert!(summary(&record).ends_with(" no lock that keeps anybody out"));
    }
}
