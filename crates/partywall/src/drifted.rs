//! What is known of an environment's last look for drift.

use jiff::Timestamp;
use pw_journal::SqliteJournal;
use pw_model::name::EnvironmentName;
use serde_json::{Value, json};

use crate::printer::count;
use crate::seeded::age;
use crate::session::Session;

/// Under which the journal keeps it.
pub(crate) const KIND: &str = "drift";

/// When it was, and how many differences there were.
pub(crate) fn read(session: &Session, name: &EnvironmentName) -> Option<Value> {
    let path = session.layout.journal(&session.config.project);
    // Looking must not fail for the sake of a line.
    let journal = SqliteJournal::open_read_only(path.as_ref()).ok().flatten()?;
    let (at, proof) = journal.newest_proof(KIND, name.as_str()).ok().flatten()?;
    let mut value: Value = serde_json::from_str(&proof.summary).ok()?;
    value["at"] = json!(Timestamp::from_second(at).ok()?);
    Some(value)
}

/// What `status` says of it.
pub(crate) fn line(record: &Value) -> String {
    let at: Option<Timestamp> = record["at"].as_str().and_then(|at| at.parse().ok());
    let age = at.map_or_else(|| "?".into(), |at| age(Timestamp::now().duration_since(at).as_secs()));
    format!("  drift      {}, {age} ago", summary(record))
}

fn summary(record: &Value) -> String {
    let number =
        |key: &str| record[key].as_u64().and_then(|number| usize::try_from(number).ok()).unwrap_or(0);
    let skipped = match number("not_compared") {
        0 => String::new(),
        skipped => format!(", {skipped} not compared"),
    };
    match number("drift") {
        0 => format!("none{skipped}"),
        drift => format!("{}{skipped}", count(drift, "difference")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_reads_as_one_line() {
        assert_eq!(summary(&json!({"drift": 0, "not_compared": 0})), "none");
        assert_eq!(summary(&json!({"drift": 2, "not_compared": 1})), "2 differences, 1 not compared");
    }
}
