//! Plans and their events.

use pw_plan::Plan;
use pw_run::{Event, Journal, JournalFailure, Unfinished};
use rusqlite::{Connection, OptionalExtension, Row, Transaction, TransactionBehavior, params};
use serde_json::{Value, json};

use crate::audit::{self, Entry};
use crate::{JournalError, SqliteJournal};

/// A plan as lists show it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlanSummary {
    pub id: i64,
    pub operation: String,
    pub project: String,
    pub environment: String,
    /// Seconds since 1970.
    pub begun: i64,
    pub ended: Option<i64>,
    /// `applied`, `taken-back`, or `None` while unfinished.
    pub outcome: Option<String>,
    pub by: String,
}

impl Journal for SqliteJournal {
    fn begin(&mut self, plan: &Plan) -> Result<i64, JournalFailure> {
        let (at, by) = (self.now(), self.by.clone());
        let reserve = self.reserve.clone();
        self.write("begin a plan in", |transaction| {
            refuse_second(transaction)?;
            reserve.take()?;
            let id = insert_plan(transaction, plan, at, &by)?;
            audit::append(transaction, at, &by, &entry(id, plan, "begun"))?;
            Ok(id)
        })
    }

    fn record(&mut self, plan: i64, event: &Event, detail: Option<&str>) -> Result<(), JournalFailure> {
        let first = self.try_record(plan, event, detail);
        if first.is_ok() {
            return first;
        }
        let freed = self.reserve.release();
        // On the way forward the failure is what turns the run round; the room is for the way back.
        let forward = matches!(event, Event::Started(_) | Event::Done(_));
        if forward || !freed { first } else { self.try_record(plan, event, detail) }
    }

    fn unfinished(&self) -> Result<Option<Unfinished>, JournalFailure> {
        let left = newest_unfinished(&self.connection).map_err(self.at.failed("read"))?;
        Ok(left.map(|left| Unfinished { gap: !self.reserve.is_whole(), ..left }))
    }
}

impl SqliteJournal {
    /// The newest plans first.
    pub fn plans(&self, limit: u32) -> Result<Vec<PlanSummary>, JournalFailure> {
        plans(&self.connection, limit).map_err(self.at.failed("read"))
    }

    pub(crate) fn now(&self) -> i64 {
        (self.clock)().as_millisecond()
    }

    /// One transaction that is on disk, whole, or not at all.
    pub(crate) fn write<T>(
        &mut self,
        what: &'static str,
        body: impl FnOnce(&Transaction<'_>) -> Result<T, JournalError>,
    ) -> Result<T, JournalFailure> {
        transact(&mut self.connection, body).map_err(self.at.failed(what))
    }

    fn try_record(&mut self, plan: i64, event: &Event, detail: Option<&str>) -> Result<(), JournalFailure> {
        let (at, by) = (self.now(), self.by.clone());
        self.write("write", |transaction| {
            insert_event(transaction, plan, event, at, detail)?;
            match outcome(event) {
                Some(outcome) => end(transaction, plan, outcome, at, &by),
                None => Ok(()),
            }
        })
    }
}

fn transact<T>(
    connection: &mut Connection,
    body: impl FnOnce(&Transaction<'_>) -> Result<T, JournalError>,
) -> Result<T, JournalError> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let answer = body(&transaction)?;
    transaction.commit()?;
    Ok(answer)
}

/// Inside the transaction, so that of two processes that begin at once one is refused.
fn refuse_second(transaction: &Transaction<'_>) -> Result<(), JournalError> {
    let query = "SELECT id, operation, environment FROM plans WHERE ended IS NULL ORDER BY id DESC LIMIT 1";
    let left = transaction.query_row(query, [], |row| {
        Ok(JournalError::AnotherUnfinished {
            id: row.get(0)?,
            operation: row.get(1)?,
            environment: row.get(2)?,
        })
    });
    match left.optional()? {
        None => Ok(()),
        Some(refusal) => Err(refusal),
    }
}

fn insert_plan(transaction: &Transaction<'_>, plan: &Plan, at: i64, by: &str) -> Result<i64, JournalError> {
    let text = serde_json::to_string(plan)?;
    transaction.execute(
        "INSERT INTO plans (operation, project, environment, plan, basis, begun, by) VALUES (?, ?, ?, ?, ?, ?, ?)",
        params![plan.operation, plan.project, plan.environment, text, plan.basis, at, by],
    )?;
    Ok(transaction.last_insert_rowid())
}

fn insert_event(
    transaction: &Transaction<'_>,
    plan: i64,
    event: &Event,
    at: i64,
    detail: Option<&str>,
) -> Result<(), JournalError> {
    // Refuses events of a plan that has ended: another process may have resumed it.
    let written = transaction.execute(
        "INSERT INTO events (plan, at, event, step, detail)
         SELECT id, ?, ?, ?, ? FROM plans WHERE id = ? AND ended IS NULL",
        params![at, name(event)?, event.step().map(|step| step as i64), detail, plan],
    )?;
    if written == 1 { Ok(()) } else { Err(JournalError::NotUnfinished(plan)) }
}

fn end(transaction: &Transaction<'_>, id: i64, outcome: &str, at: i64, by: &str) -> Result<(), JournalError> {
    transaction.execute("UPDATE plans SET ended = ?, outcome = ? WHERE id = ?", params![at, outcome, id])?;
    let plan = transaction.query_row("SELECT plan FROM plans WHERE id = ?", [id], |row| row.get(0));
    let plan: Plan = serde_json::from_str(&plan.map(|text: String| text)?)?;
    audit::append(transaction, at, by, &entry(id, &plan, outcome))
}

fn entry<'a>(id: i64, plan: &'a Plan, outcome: &'a str) -> Entry<'a> {
    Entry {
        what: format!("{} (plan {id})", plan.operation),
        project: &plan.project,
        environment: &plan.environment,
        outcome,
    }
}

fn outcome(event: &Event) -> Option<&'static str> {
    match event {
        Event::Applied => Some("applied"),
        Event::TakenBack => Some("taken-back"),
        Event::Started(_) | Event::Done(_) | Event::Failed(_) => None,
        Event::UndoStarted(_) | Event::Undone(_) | Event::UndoFailed(_) => None,
    }
}

fn newest_unfinished(connection: &Connection) -> Result<Option<Unfinished>, JournalError> {
    let query = "SELECT id, plan, begun, by FROM plans WHERE ended IS NULL ORDER BY id DESC LIMIT 1";
    let row = |row: &Row<'_>| Ok((row.get(0)?, row.get::<_, String>(1)?, row.get::<_, i64>(2)?, row.get(3)?));
    let Some((id, text, begun, by)) = connection.query_row(query, [], row).optional()? else {
        return Ok(None);
    };
    let plan = serde_json::from_str(&text)?;
    let events = events(connection, id)?;
    Ok(Some(Unfinished { id, plan, events, gap: false, begun: begun.div_euclid(1000), by }))
}

fn events(connection: &Connection, plan: i64) -> Result<Vec<Event>, JournalError> {
    let mut query = connection.prepare("SELECT event, step FROM events WHERE plan = ? ORDER BY id")?;
    let rows = query.query_map([plan], |row| Ok((row.get(0)?, row.get(1)?)))?;
    rows.map(|row| {
        let (name, step): (String, Option<i64>) = row?;
        Ok(serde_json::from_value(tagged(name, step))?)
    })
    .collect()
}

fn plans(connection: &Connection, limit: u32) -> Result<Vec<PlanSummary>, JournalError> {
    let mut query = connection.prepare(
        "SELECT id, operation, project, environment, begun, ended, outcome, by FROM plans ORDER BY id DESC LIMIT ?",
    )?;
    let rows = query.query_map([limit], |row| {
        Ok(PlanSummary {
            id: row.get(0)?,
            operation: row.get(1)?,
            project: row.get(2)?,
            environment: row.get(3)?,
            begun: row.get::<_, i64>(4)?.div_euclid(1000),
            ended: row.get::<_, Option<i64>>(5)?.map(|at| at.div_euclid(1000)),
            outcome: row.get(6)?,
            by: row.get(7)?,
        })
    })?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

/// The event's name as serde writes it, so that name and meaning stand in one place.
fn name(event: &Event) -> Result<String, JournalError> {
    let value = serde_json::to_value(event)?;
    Ok(value["event"].as_str().unwrap_or_default().to_owned())
}

fn tagged(name: String, step: Option<i64>) -> Value {
    match step {
        Some(step) => json!({"event": name, "step": step}),
        None => json!({"event": name}),
    }
}

#[cfg(test)]
mod tests {
    use pw_plan::{Action, Step, Undo};

    use super::*;

    #[test]
    fn a_full_disk_writes_nothing_by_halves_and_leaves_a_gap() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut journal = SqliteJournal::open(&folder.path().join("journal.db")).expect("opens");
        let step = Step::new(Action::MakeFolder { path: "/f".into() }, Undo::Nothing, "needed");
        let plan = Plan {
            operation: "up".into(),
            project: "shop".into(),
            environment: "development".into(),
            basis: String::new(),
            steps: vec![step],
            texts: std::collections::BTreeMap::new(),
        };
        let id = journal.begin(&plan).expect("begins");
        journal.record(id, &Event::Started(0), None).expect("writes");
        journal.connection.pragma_update(None, "max_page_count", 1).expect("no page more than there are");

        let failure = journal.record(id, &Event::Failed(0), Some(&"x".repeat(9000))).expect_err("full");
        assert!(failure.hint.as_deref().is_some_and(|hint| hint.contains("the disk is full")), "{failure:?}");
        let left = journal.unfinished().expect("reads").expect("is unfinished");
        assert_eq!((left.gap, left.events), (true, vec![Event::Started(0)]));
        assert_eq!(journal.verify().expect("reads").broken_at, None);
    }
}
