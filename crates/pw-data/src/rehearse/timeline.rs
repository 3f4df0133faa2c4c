//! Queries with their notes → statements with their time, their locks and their rows.

use std::collections::BTreeMap;

use super::lock::Mode;
use super::log::{Note, Query, Session};
use super::report::{Held, Statement};
use super::statement::{Kind, is_tagged, kind, split, without_secrets, words};

/// A table that was there before.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Known {
    pub(super) name: String,
}

pub(super) type Tables = BTreeMap<u32, Known>;

/// A lock that was seen from outside.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Sample {
    pub(super) pid: i32,
    /// Seconds since 1970.
    pub(super) time: f64,
    pub(super) table: u32,
    pub(super) mode: Mode,
}

/// A statement with what only the analysis needs.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Timed {
    pub(super) begun: f64,
    pub(super) kind: Kind,
    pub(super) statement: Statement,
}

/// All statements of all sessions, in the order in which they began.
pub(super) fn timeline(sessions: &[Session], tables: &Tables, samples: &[Sample]) -> Vec<Timed> {
    let walk = |session: &Session| {
        let mut walk = Walk::new(session.pid, tables, samples);
        session.queries.iter().for_each(|query| walk.query(query));
        walk.close(session.queries.last().map_or(0.0, |query| query.ended));
        walk.done
    };
    let mut all: Vec<Timed> = sessions.iter().flat_map(walk).collect();
    all.sort_by(|a, b| a.begun.total_cmp(&b.begun));
    all
}

/// One session, statement by statement.
struct Walk<'a> {
    tables: &'a Tables,
    samples: &'a [Sample],
    pid: i32,
    done: Vec<Timed>,
    /// Where in `done` the open transaction begins.
    open: usize,
    /// True between `BEGIN` and its end.
    explicit: bool,
    held: BTreeMap<u32, Mode>,
}

impl<'a> Walk<'a> {
    fn new(pid: i32, tables: &'a Tables, samples: &'a [Sample]) -> Self {
        Self { tables, samples, pid, done: Vec::new(), open: 0, explicit: false, held: BTreeMap::new() }
    }

    fn query(&mut self, query: &Query) {
        let parts = split(&query.text);
        for (text, placed) in parts.iter().zip(place(&parts, query, self.tables)) {
            let kind = kind(text);
            self.statement(text, kind, &placed);
            match kind {
                Kind::Begin => self.explicit = true,
                Kind::End => {
                    self.explicit = false;
                    self.close(placed.ended);
                }
                _ => {}
            }
        }
        if let Some(error) = &query.error {
            // The one that failed is the last that has begun; what came after it in the text never ran.
            if let Some(last) = self.done.last_mut() {
                last.statement.error = Some(error.clone());
            }
        }
        // An error ends what the transaction holds, also where its end is still to come.
        if !self.explicit || query.error.is_some() {
            self.close(query.ended);
        }
    }

    fn statement(&mut self, text: &str, kind: Kind, placed: &Placed<'_>) {
        let mut statement = Statement {
            text: without_secrets(text),
            seconds: (placed.ended - placed.begun).max(0.0),
            ..Statement::default()
        };
        for note in &placed.notes {
            self.note(note, &mut statement);
        }
        let (samples, pid) = (self.samples, self.pid);
        let seen = samples
            .iter()
            .filter(|one| one.pid == pid && one.time >= placed.begun && one.time <= placed.ended);
        for sample in seen {
            self.lock(sample.table, sample.mode, &mut statement);
        }
        self.done.push(Timed { begun: placed.begun, kind, statement });
    }

    fn note(&mut self, note: &Note, statement: &mut Statement) {
        statement.lock_timeout = note.lock_timeout();
        for (table, mode) in note.locks() {
            self.lock(table, mode, statement);
        }
        let Some(known) = self.tables.get(&note.table) else { return };
        match note.at.as_str() {
            "table_rewrite" => statement.rewritten.push(known.name.clone()),
            "TRUNCATE" => self.lock(note.table, Mode::AccessExclusive, statement),
            "INSERT" | "UPDATE" | "DELETE" => {
                self.lock(note.table, Mode::RowExclusive, statement);
                statement.rows += note.rows;
            }
            _ => {}
        }
    }

    /// Counts a lock for the statement that first made it so strong.
    fn lock(&mut self, table: u32, mode: Mode, statement: &mut Statement) {
        let Some(known) = self.tables.get(&table) else { return };
        if self.held.get(&table).is_some_and(|before| *before >= mode) {
            return;
        }
        self.held.insert(table, mode);
        match statement.locks.iter_mut().find(|held| held.table == known.name) {
            Some(held) => held.mode = mode,
            None => statement.locks.push(Held { table: known.name.clone(), mode, seconds: 0.0 }),
        }
    }

    /// The transaction ends, and with it every lock that it took.
    fn close(&mut self, ended: f64) {
        let ended_one = self.done.len() - self.open > 1;
        let works = |one: &&Timed| !matches!(one.kind, Kind::Begin | Kind::End | Kind::Setting);
        let several = ended_one && self.done[self.open..].iter().filter(works).count() > 1;
        for one in &mut self.done[self.open..] {
            one.statement.in_transaction = several;
            for held in &mut one.statement.locks {
                held.seconds = (ended - one.begun).max(0.0);
            }
        }
        self.open = self.done.len();
        self.held.clear();
    }
}

/// When a statement of a query began and ended, and what was noted meanwhile.
#[derive(Debug, Clone, PartialEq)]
struct Placed<'q> {
    begun: f64,
    ended: f64,
    notes: Vec<&'q Note>,
}

/// Finds the statements of a query in its notes. What left no note gets the time between its neighbours.
fn place<'q>(parts: &[&str], query: &'q Query, tables: &Tables) -> Vec<Placed<'q>> {
    if parts.len() == 1 {
        return vec![Placed { begun: query.begun, ended: query.ended, notes: query.notes.iter().collect() }];
    }
    let mut cursor = 0;
    let found: Vec<Option<(usize, usize)>> = parts
        .iter()
        .map(|part| {
            let range = match kind(part) {
                Kind::Definition => definition(part, &query.notes, cursor),
                Kind::Change => change(part, &query.notes, cursor, tables),
                _ => None,
            };
            cursor = range.map_or(cursor, |(_, last)| last + 1);
            range
        })
        .collect();
    let reached = if query.error.is_some() { reached(&found, query, cursor) } else { parts.len() };
    fill(parts, &found, query).into_iter().take(reached).collect()
}

/// How many statements of a failed query had begun: up to the one whose end was not noted.
fn reached(found: &[Option<(usize, usize)>], query: &Query, cursor: usize) -> usize {
    let last = found.iter().rposition(Option::is_some).map_or(0, |index| index + 1);
    let began = query.notes[cursor..].iter().any(|note| note.at == "ddl_command_start");
    if began || last < found.len() { (last + 1).min(found.len()) } else { found.len() }
}

/// From `ddl_command_start` to the end that belongs to it; commands inside a command nest.
fn definition(part: &str, notes: &[Note], cursor: usize) -> Option<(usize, usize)> {
    let first = (cursor..notes.len()).find(|index| notes[*index].at == "ddl_command_start")?;
    if !is_tagged(part, &notes[first].tag) {
        return None;
    }
    let mut depth = 0_i32;
    for (index, note) in notes.iter().enumerate().skip(first) {
        depth += match note.at.as_str() {
            "ddl_command_start" => 1,
            "ddl_command_end" => -1,
            _ => 0,
        };
        if depth == 0 {
            return Some((first, index));
        }
    }
    None
}

fn change(part: &str, notes: &[Note], cursor: usize, tables: &Tables) -> Option<(usize, usize)> {
    let until = (cursor..notes.len()).find(|index| notes[*index].at == "ddl_command_start");
    let until = until.unwrap_or(notes.len());
    let verb = words(part, 1).pop().unwrap_or_default();
    let (verb, lower) = (if verb == "COPY" { "INSERT" } else { verb.as_str() }, part.to_lowercase());
    let is_it = |note: &Note| {
        let name = tables.get(&note.table).and_then(|known| known.name.rsplit('.').next());
        (note.at == verb || verb == "MERGE") && name.is_some_and(|name| lower.contains(&name.to_lowercase()))
    };
    let at = (cursor..until).find(|index| is_it(&notes[*index]))?;
    Some((at, at))
}

/// Times of all statements: where one has notes they say it, else it lies between its neighbours.
fn fill<'q>(parts: &[&str], found: &[Option<(usize, usize)>], query: &'q Query) -> Vec<Placed<'q>> {
    let mut placed: Vec<Placed<'q>> = Vec::new();
    let (mut time, mut next_note) = (query.begun, 0);
    for (index, part) in parts.iter().enumerate() {
        let until = found[index..].iter().flatten().next().map_or(query.notes.len(), |(first, _)| *first);
        let one = match found[index] {
            Some((first, last)) => {
                let begun =
                    if query.notes[first].at == "ddl_command_start" { query.notes[first].time } else { time };
                Placed {
                    begun,
                    ended: query.notes[last].time,
                    notes: query.notes[next_note..=last].iter().collect(),
                }
            }
            // The first of several without notes gets all of the gap, unless it only sets something.
            None if matches!(kind(part), Kind::Begin | Kind::Setting) => {
                Placed { begun: time, ended: time, notes: Vec::new() }
            }
            None => {
                let notes: Vec<&Note> = query.notes[next_note..until.max(next_note)].iter().collect();
                Placed {
                    begun: time,
                    ended: gap_ends(&notes, query.notes.get(until), (time, query.ended)),
                    notes,
                }
            }
        };
        next_note += one.notes.len();
        time = one.ended.max(time);
        placed.push(one);
    }
    placed
}

/// When a statement without a note of its own end has ended: what follows says it, if that noted its beginning.
fn gap_ends(own: &[&Note], next: Option<&Note>, (begun, query_ended): (f64, f64)) -> f64 {
    match (own.last(), next) {
        (_, None) => query_ended,
        (_, Some(next)) if next.at == "ddl_command_start" => next.time,
        (Some(last), _) => last.time,
        (None, _) => begun,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn note(json: &str) -> Note {
        serde_json::from_str(json).expect("a note")
    }

    fn tables() -> Tables {
        Tables::from([(1, Known { name: "public.users".into() }), (2, Known { name: "public.posts".into() })])
    }

    fn shown(timed: &[Timed]) -> Vec<String> {
        let locks = |one: &Timed| -> String {
            let each = one.statement.locks.iter();
            each.map(|held| format!(" {} {} {:.1}", held.table, held.mode.as_str(), held.seconds)).collect()
        };
        timed
            .iter()
            .map(|one| format!("{:.1} {}{}", one.statement.seconds, one.statement.text, locks(one)))
            .collect()
    }

    #[test]
    fn a_text_of_several_statements_is_taken_apart() {
        let notes = [
            r#"{"at":"ddl_command_start","tag":"ALTER TABLE","time":100.0}"#,
            r#"{"at":"ddl_command_end","tag":"ALTER TABLE","time":103.0,"locks":[[1,"AccessExclusiveLock"]]}"#,
            r#"{"at":"UPDATE","table":2,"time":105.0,"rows":50}"#,
            r#"{"at":"ddl_command_start","tag":"CREATE INDEX","time":105.0}"#,
            r#"{"at":"ddl_command_end","tag":"CREATE INDEX","time":106.0,"locks":[[1,"AccessExclusiveLock"],[2,"ShareLock"]]}"#,
        ];
        let text = "SET lock_timeout = '2s'; ALTER TABLE users ADD a int; UPDATE posts SET b = 1; CREATE INDEX ON posts (b);";
        let query = Query {
            text: text.into(),
            begun: 100.0,
            ended: 106.5,
            notes: notes.iter().map(|json| note(json)).collect(),
            error: None,
        };
        let session = Session { pid: 7, opened: 0.0, queries: vec![query] };
        assert_eq!(
            shown(&timeline(&[session], &tables(), &[])),
            [
                "0.0 SET lock_timeout = '2s'",
                "3.0 ALTER TABLE users ADD a int public.users access exclusive 6.5",
                "2.0 UPDATE posts SET b = 1 public.posts row exclusive 3.5",
                "1.0 CREATE INDEX ON posts (b) public.posts share 1.5",
            ]
        );
    }

    #[test]
    fn locks_are_held_to_the_end_of_the_transaction() {
        let query = |text: &str, begun: f64, ended: f64, notes: &[&str]| Query {
            text: text.into(),
            begun,
            ended,
            notes: notes.iter().map(|json| note(json)).collect(),
            error: None,
        };
        let end =
            r#"{"at":"ddl_command_end","tag":"ALTER TABLE","time":1.5,"locks":[[1,"AccessExclusiveLock"]]}"#;
        let queries = vec![
            query("BEGIN", 1.0, 1.0, &[]),
            query("ALTER TABLE users ADD a int", 1.0, 1.5, &[end]),
            query("SELECT pg_sleep(2)", 1.5, 3.5, &[]),
            query("COMMIT", 3.5, 4.0, &[]),
            query("LOCK TABLE posts", 4.0, 5.0, &[]),
        ];
        let sample = Sample { pid: 7, time: 4.5, table: 2, mode: Mode::AccessExclusive };
        let timed = timeline(&[Session { pid: 7, opened: 0.0, queries }], &tables(), &[sample]);
        assert_eq!(timed[1].statement.locks[0].seconds, 3.0);
        assert!(timed[1].statement.in_transaction && !timed[4].statement.in_transaction);
        assert_eq!(shown(&timed)[4], "1.0 LOCK TABLE posts public.posts access exclusive 1.0");
    }
}
