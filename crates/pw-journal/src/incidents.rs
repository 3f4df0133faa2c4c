//! Incidents, and how the machine was used with and without development beside production.

use pw_plan::objective::{Cause, Incident};
use pw_run::JournalFailure;
use rusqlite::{OptionalExtension as _, Row, params};

use crate::History;

/// Two years of the busiest of days.
const MOST: i64 = 20_000;
const HOURS: i64 = 2 * 366 * 24;

pub(crate) const TABLES: &str = "
    CREATE TABLE IF NOT EXISTS incidents (
        start INTEGER PRIMARY KEY,
        ended INTEGER,
        p99 REAL,
        errors REAL NOT NULL,
        hit INTEGER NOT NULL,
        cause TEXT NOT NULL,
        evidence TEXT NOT NULL,
        developing INTEGER NOT NULL CHECK (developing IN (0, 1))
    ) STRICT;
    CREATE TABLE IF NOT EXISTS hours (
        hour INTEGER NOT NULL,
        developing INTEGER NOT NULL CHECK (developing IN (0, 1)),
        seconds REAL NOT NULL,
        busy REAL NOT NULL,
        answers INTEGER NOT NULL,
        bad INTEGER NOT NULL,
        PRIMARY KEY (hour, developing)
    ) STRICT;
";

/// What was seen in one hour, or in a part of it.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Hour {
    /// Hours since 1970.
    pub hour: i64,
    /// Other environments were at work.
    pub developing: bool,
    pub seconds: f64,
    /// Seconds times the share of the machine's processors that worked.
    pub busy: f64,
    pub answers: u64,
    /// Answers that failed or were late.
    pub bad: u64,
}

/// What became of production with or without others beside it.
#[derive(Debug, Clone, Copy, PartialEq, Default, serde::Serialize)]
pub struct Side {
    pub hours: f64,
    /// Share of the machine's processors that worked; `None` where nothing was seen.
    pub utilization: Option<f64>,
    pub incidents: u64,
    /// Incidents in a hundred hours.
    pub rate: Option<f64>,
    pub answers: u64,
    pub bad: u64,
}

impl History {
    /// Writes an incident down, or down again.
    pub fn keep(&mut self, incident: &Incident) -> Result<(), JournalFailure> {
        let Incident { start, end, p99, errors, hit, cause, evidence, developing } = incident;
        let evidence = serde_json::to_string(evidence).unwrap_or_default();
        let query = "INSERT INTO incidents (start, ended, p99, errors, hit, cause, evidence, developing)
             VALUES (?, ?, ?, ?, ?, ?, ?, ?)
             ON CONFLICT (start) DO UPDATE SET ended = excluded.ended, p99 = excluded.p99,
             errors = excluded.errors, hit = excluded.hit, cause = excluded.cause, evidence = excluded.evidence";
        let hit = i64::try_from(*hit).unwrap_or(i64::MAX);
        let kept = params![start, end, p99, errors, hit, cause.as_str(), evidence, developing];
        let oldest = "DELETE FROM incidents WHERE start <=
             (SELECT start FROM incidents ORDER BY start DESC LIMIT 1 OFFSET ?)";
        self.write(|connection| {
            connection.execute(query, kept)?;
            connection.execute(oldest, [MOST]).map(|_| ())
        })
    }

    /// Adds what was seen to what is known of the hour.
    pub fn add_hour(&mut self, seen: &Hour) -> Result<(), JournalFailure> {
        let Hour { hour, developing, seconds, busy, answers, bad } = seen;
        let query =
            "INSERT INTO hours (hour, developing, seconds, busy, answers, bad) VALUES (?, ?, ?, ?, ?, ?)
             ON CONFLICT (hour, developing) DO UPDATE SET seconds = seconds + excluded.seconds,
             busy = busy + excluded.busy, answers = answers + excluded.answers, bad = bad + excluded.bad";
        let [answers, bad] = [answers, bad].map(|count| i64::try_from(*count).unwrap_or(i64::MAX));
        // Counted, for the clock may be wrong: one from the future must not make all that was forgotten.
        let oldest = "DELETE FROM hours WHERE hour <=
             (SELECT DISTINCT hour FROM hours ORDER BY hour DESC LIMIT 1 OFFSET ?)";
        self.write(|connection| {
            connection.execute(query, params![hour, developing, seconds, busy, answers, bad])?;
            connection.execute(oldest, [HOURS]).map(|_| ())
        })
    }

    /// The newest first.
    pub fn incidents(&self, count: u32) -> Result<Vec<Incident>, JournalFailure> {
        self.read_prepared("incidents", |connection| {
            let mut query = connection.prepare("SELECT * FROM incidents ORDER BY start DESC LIMIT ?")?;
            let rows = query.query_map([count], incident)?;
            rows.collect()
        })
    }

    /// The one that goes on.
    pub fn open_incident(&self) -> Result<Option<Incident>, JournalFailure> {
        self.read_prepared("incidents", |connection| {
            let query = "SELECT * FROM incidents WHERE ended IS NULL ORDER BY start DESC LIMIT 1";
            connection.query_row(query, [], incident).optional()
        })
    }

    /// Without and with others beside production, since an hour.
    pub fn sides(&self, since: i64) -> Result<[Side; 2], JournalFailure> {
        let without = self.side(since, false)?;
        Ok([without, self.side(since, true)?])
    }

    fn side(&self, since: i64, developing: bool) -> Result<Side, JournalFailure> {
        self.read_prepared("hours", |connection| {
            let query = "SELECT ifnull(sum(seconds), 0.0), ifnull(sum(busy), 0.0), ifnull(sum(answers), 0), ifnull(sum(bad), 0)
                 FROM hours WHERE hour >= ? AND developing = ?";
            let (seconds, busy, answers, bad): (f64, f64, i64, i64) = connection
                .query_row(query, params![since, developing], |row| {
                    Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?))
                })?;
            let query = "SELECT count(*) FROM incidents WHERE start >= ? AND developing = ?";
            let incidents: i64 = connection
                .query_row(query, params![since.saturating_mul(3_600_000), developing], |row| row.get(0))?;
            let hours = seconds / 3600.0;
            Ok(Side {
                hours,
                utilization: (seconds > 0.0).then(|| busy / seconds),
                incidents: incidents.unsigned_abs(),
                rate: (hours >= 1.0).then(|| incidents as f64 / hours * 100.0),
                answers: answers.unsigned_abs(),
                bad: bad.unsigned_abs(),
            })
        })
    }
}

fn incident(row: &Row<'_>) -> rusqlite::Result<Incident> {
    let (cause, evidence): (String, String) = (row.get("cause")?, row.get("evidence")?);
    Ok(Incident {
        start: row.get("start")?,
        end: row.get("ended")?,
        p99: row.get("p99")?,
        errors: row.get("errors")?,
        hit: row.get::<_, i64>("hit")?.unsigned_abs(),
        cause: Cause::parse(&cause),
        evidence: serde_json::from_str(&evidence).unwrap_or_default(),
        developing: row.get("developing")?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn incident(start: i64) -> Incident {
        let evidence = vec!["a `promote` of production ended 3 s before".to_owned()];
        Incident {
            start,
            end: None,
            p99: Some(0.5),
            errors: 0.1,
            hit: 7,
            cause: Cause::Release,
            evidence,
            developing: true,
        }
    }

    #[test]
    fn an_incident_is_kept_once_and_what_was_used_is_summed_up() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("agent.db");
        std::fs::write(&path, "").expect("a file");
        let empty = History::open_read_only(&path).expect("opens").expect("there");
        assert_eq!(empty.open_incident().expect("reads"), None);
        assert_eq!(empty.sides(0).expect("reads"), [Side::default(); 2]);
        let mut history = History::open(&path).expect("opens");
        let mut own = incident(7_200_000);
        history.keep(&own).expect("writes");
        assert_eq!(history.open_incident().expect("reads").as_ref(), Some(&own));
        own.end = Some(7_300_000);
        own.hit = 9;
        history.keep(&own).expect("writes");
        let reader = History::open_read_only(&path).expect("opens").expect("there");
        assert_eq!(reader.open_incident().expect("reads"), None);
        assert_eq!(reader.incidents(9).expect("reads"), vec![own]);
        for _ in 0..2 {
            let seen = Hour { hour: 2, developing: true, seconds: 1800.0, busy: 1440.0, answers: 10, bad: 1 };
            history.add_hour(&seen).expect("writes");
        }
        history.add_hour(&Hour { hour: 3, seconds: 600.0, busy: 60.0, ..Hour::default() }).expect("writes");
        let [without, with] = reader.sides(0).expect("reads");
        assert_eq!((with.hours, with.utilization, with.rate, with.bad), (1.0, Some(0.8), Some(100.0), 2));
        assert_eq!((without.utilization, without.incidents, without.rate), (Some(0.1), 0, None));
        history.add_hour(&Hour { hour: 9_000_000, seconds: 1.0, ..Hour::default() }).expect("writes");
        assert_eq!(reader.sides(0).expect("reads")[1].hours, 1.0, "a clock from the future forgets what was");
        let many = "WITH RECURSIVE n (hour) AS (SELECT 4 UNION ALL SELECT hour + 1 FROM n WHERE hour < ?)
             INSERT INTO hours (hour, developing, seconds, busy, answers, bad) SELECT hour, false, 1, 0, 0, 0 FROM n";
        history.write(|connection| connection.execute(many, [HOURS]).map(|_| ())).expect("writes");
        assert_eq!(reader.sides(0).expect("reads")[1].hours, 1.0);
        history.add_hour(&Hour { hour: HOURS + 1, seconds: 1.0, ..Hour::default() }).expect("writes");
        assert_eq!(reader.sides(0).expect("reads")[1].hours, 0.0, "the oldest stays");
    }
}
