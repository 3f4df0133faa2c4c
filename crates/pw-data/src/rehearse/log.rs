//! The server's log in CSV → queries by session, each with what was noted while it ran.

use std::collections::BTreeMap;

use jiff::fmt::strtime;
use pw_run::Failure;
use serde::Deserialize;

use super::lock::Mode;

/// Begins every line that our triggers write.
pub(super) const MARK: &str = "partywall: ";

/// What one session did, in order.
#[derive(Debug, PartialEq)]
pub(super) struct Session {
    pub(super) pid: i32,
    /// When it was opened, in seconds since 1970.
    pub(super) opened: f64,
    pub(super) queries: Vec<Query>,
}

impl Session {
    /// When a query began whose line does not say it, for it failed: after the one before.
    fn latest(&self) -> f64 {
        self.queries.last().map_or(self.opened, |query| query.ended)
    }
}

/// What one message of a client asked for; with the simple protocol that can be several statements.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Query {
    pub(super) text: String,
    /// Seconds since 1970.
    pub(super) begun: f64,
    pub(super) ended: f64,
    pub(super) notes: Vec<Note>,
    pub(super) error: Option<String>,
}

/// What a trigger noted inside the transaction.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub(super) struct Note {
    /// `ddl_command_start`, `ddl_command_end`, `table_rewrite`, or the operation of a statement trigger.
    pub(super) at: String,
    /// Of the command, as `ALTER TABLE`.
    #[serde(default)]
    pub(super) tag: String,
    pub(super) time: f64,
    /// The table that was rewritten or changed.
    #[serde(default)]
    pub(super) table: u32,
    /// Rows of it that the statement has changed.
    #[serde(default)]
    pub(super) rows: u64,
    /// Table and mode of everything that the transaction holds.
    #[serde(default)]
    locks: Option<Vec<(u32, String)>>,
    /// As the server shows it: `2s`, `500ms`; 0 waits without end.
    #[serde(default)]
    lock_timeout: String,
}

impl Note {
    pub(super) fn locks(&self) -> impl Iterator<Item = (u32, Mode)> {
        self.locks.iter().flatten().filter_map(|(table, mode)| Some((*table, Mode::parse(mode)?)))
    }

    /// In milliseconds; `None` waits without end.
    pub(super) fn lock_timeout(&self) -> Option<u64> {
        let digits = self.lock_timeout.find(|c: char| !c.is_ascii_digit()).unwrap_or(self.lock_timeout.len());
        let (number, unit) = self.lock_timeout.split_at(digits);
        let milliseconds = match unit {
            "s" => 1_000,
            "min" => 60_000,
            "h" => 3_600_000,
            "d" => 86_400_000,
            _ => 1,
        };
        number.parse::<u64>().ok().map(|number| number * milliseconds).filter(|limit| *limit > 0)
    }
}

/// Columns of the log, the same in every version since 13.
struct Line<'r> {
    record: &'r csv::StringRecord,
}

impl Line<'_> {
    fn text(&self, column: usize) -> &str {
        self.record.get(column).unwrap_or_default()
    }

    fn time(&self) -> f64 {
        let parsed = strtime::parse("%Y-%m-%d %H:%M:%S%.f UTC", self.text(0))
            .and_then(|time| time.to_datetime())
            .and_then(|time| time.to_zoned(jiff::tz::TimeZone::UTC));
        parsed.map_or(0.0, |time| time.timestamp().as_microsecond() as f64 / 1e6)
    }
}

/// Sessions of clients other than ours, in the order in which they were opened.
///
/// # Errors
/// The log is not CSV. An unfinished last line, of a server that was stopped, is left out.
pub(super) fn sessions(text: &[u8]) -> Result<Vec<Session>, Failure> {
    let mut reader = csv::ReaderBuilder::new().has_headers(false).flexible(true).from_reader(text);
    let mut open: BTreeMap<String, (usize, Session, Vec<Note>)> = BTreeMap::new();
    for (index, record) in reader.records().enumerate() {
        let record = record.map_err(|error| Failure::new("could not read the copy's log").because(error))?;
        let line = Line { record: &record };
        if line.record.len() < 23 || line.text(22) == "partywall" || line.text(4).is_empty() {
            continue;
        }
        let (_, session, notes) = open.entry(line.text(5).to_owned()).or_insert_with(|| {
            let pid = line.text(3).parse().unwrap_or(0);
            (index, Session { pid, opened: line.time(), queries: Vec::new() }, Vec::new())
        });
        take(&line, session, notes);
    }
    let mut all: Vec<_> = open.into_values().collect();
    all.sort_by_key(|(index, ..)| *index);
    Ok(all.into_iter().map(|(_, session, _)| session).collect())
}

fn take(line: &Line<'_>, session: &mut Session, notes: &mut Vec<Note>) {
    let (severity, message) = (line.text(11), line.text(13));
    if let Some(json) = message.strip_prefix(MARK) {
        // Written by our own triggers; one that cannot be read only costs its detail.
        notes.extend(serde_json::from_str::<Note>(json));
        return;
    }
    let ended = line.time();
    if let Some((seconds, text)) = measured(message) {
        let query = Query {
            text: text.to_owned(),
            begun: ended - seconds,
            ended,
            notes: std::mem::take(notes),
            error: None,
        };
        session.queries.push(query);
    } else if matches!(severity, "ERROR" | "FATAL") && !line.text(19).is_empty() {
        // All other notes are written when something has ended.
        let first = notes.first().filter(|note| note.at == "ddl_command_start");
        let begun = first.map_or_else(|| session.latest(), |note| note.time).min(ended);
        let query = Query {
            text: line.text(19).to_owned(),
            begun,
            ended,
            notes: std::mem::take(notes),
            error: Some(message.to_owned()),
        };
        session.queries.push(query);
    }
}

/// `duration: 12.345 ms  statement: SELECT 1` → seconds and text. What only parses or binds is no statement.
fn measured(message: &str) -> Option<(f64, &str)> {
    let (millis, rest) = message.strip_prefix("duration: ")?.split_once(" ms  ")?;
    let (kind, text) = rest.split_once(": ")?;
    let runs = kind == "statement" || kind.starts_with("execute");
    Some((millis.parse::<f64>().ok()? / 1000.0, text)).filter(|_| runs)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(time: &str, severity: &str, message: &str, query: &str) -> String {
        let quoted = |text: &str| format!("\"{}\"", text.replace('"', "\"\""));
        let mut columns = vec![String::new(); 26];
        columns[0] = format!("2026-11-21 07:00:{time} UTC");
        columns[3] = "77".into();
        columns[4] = quoted("10.0.0.2:5000");
        columns[5] = "66f.4d".into();
        columns[11] = severity.into();
        columns[13] = quoted(message);
        columns[19] = quoted(query);
        columns.join(",") + "\n"
    }

    #[test]
    fn statements_have_their_time_and_notes() {
        let note = r#"partywall: {"at":"ddl_command_end","tag":"ALTER TABLE","time":1795244401.5,"locks":[[16400,"AccessExclusiveLock"]],"lock_timeout":"2s"}"#;
        let text = [
            line("01.500", "LOG", note, ""),
            line("02.000", "LOG", "duration: 1500.000 ms  statement: ALTER TABLE a\n  ADD b int", ""),
            line("02.100", "LOG", "duration: 0.100 ms  parse s1: SELECT 1", ""),
            line("02.200", "LOG", "duration: 100.000 ms  execute s1: SELECT 1", ""),
            line("03.200", "ERROR", "division by zero", "SELECT 1/0"),
        ]
        .concat();
        let sessions = sessions(text.as_bytes()).expect("CSV");
        let queries = &sessions[0].queries;
        assert_eq!(queries.len(), 3);
        assert_eq!(queries[0].text, "ALTER TABLE a\n  ADD b int");
        assert!((queries[0].ended - queries[0].begun - 1.5).abs() < 1e-6);
        assert_eq!(queries[0].notes[0].locks().collect::<Vec<_>>(), [(16400, Mode::AccessExclusive)]);
        assert_eq!(queries[1].text, "SELECT 1");
        assert_eq!(queries[2].error.as_deref(), Some("division by zero"));
        assert!((queries[2].ended - queries[2].begun - 1.0).abs() < 1e-6);
    }

    #[test]
    fn a_first_statement_that_fails_began_when_its_session_was_opened() {
        let ended = r#"partywall: {"at":"ddl_command_end","tag":"ALTER TABLE","time":1795244403.0,"lock_timeout":"0"}"#;
        let text = [
            line("01.000", "LOG", "connection received: host=10.0.0.2 port=5000", ""),
            line("03.000", "LOG", ended, ""),
            line("04.000", "ERROR", "could not create unique index", "SELECT migrate()"),
        ]
        .concat();
        let sessions = sessions(text.as_bytes()).expect("CSV");
        let query = &sessions[0].queries[0];
        assert!((query.ended - query.begun - 3.0).abs() < 1e-6, "{query:?}");
    }

    #[test]
    fn the_limit_of_waiting_is_read_in_every_unit() {
        let limit = |text: &str| {
            let json = format!(r#"{{"at":"TRUNCATE","time":1.0,"lock_timeout":"{text}"}}"#);
            serde_json::from_str::<Note>(&json).expect("a note").lock_timeout()
        };
        assert_eq!(
            ["0", "500ms", "2s", "1min", "3h", "1d"].map(limit),
            [None, Some(500), Some(2_000), Some(60_000), Some(10_800_000), Some(86_400_000)]
        );
    }
}
