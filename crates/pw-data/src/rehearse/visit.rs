//! Visitors of tables that a migration holds: one reads a row by its key, one writes it, and what they wait is timed.
//!
//! They come while the migration runs, and must not change what is measured. So a visitor writes a row to itself and
//! rolls back, without the application's triggers; and it queues for a moment at a time only. Who holds one lock and
//! waits for the next without end can make the migration itself fail in a deadlock.

use std::collections::BTreeMap;
use std::sync::{Mutex, Weak};
use std::time::Instant;

use pw_run::Failure;
use tokio_postgres::Client;
use tokio_postgres::error::SqlState;

use super::report::Waited;
use super::watch::{Seen, locked, not};
use crate::server::Address;

/// In milliseconds. Who gets in within the first was not kept waiting; then it is asked again, each time so long.
const FIRST: u32 = 10;
const AGAIN: u32 = 50;
/// Table, its name, key columns, and a column that may be set; views that are stored can only be read.
const TABLES: &str = "SELECT c.oid, quote_ident(n.nspname) || '.' || quote_ident(c.relname), \
        (SELECT array_agg(quote_ident(a.attname) ORDER BY k.place) FROM pg_index i \
            CROSS JOIN unnest(i.indkey::smallint[]) WITH ORDINALITY k (number, place) \
            JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.number \
            WHERE i.indrelid = c.oid AND i.indisprimary), \
        (SELECT quote_ident(a.attname) FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attnum > 0 \
            AND NOT a.attisdropped AND a.attgenerated = '' AND a.attidentity <> 'a' AND c.relkind <> 'm' \
            ORDER BY a.attnum LIMIT 1) \
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
    WHERE c.relkind IN ('r', 'p', 'm') AND n.nspname NOT IN ('pg_catalog', 'information_schema') AND n.nspname !~ '^pg_'";

/// What a visitor of a table says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Visits {
    read: String,
    write: Option<String>,
}

/// Words of the visitors of every table, each with the key of a row that is there.
///
/// # Errors
/// The copy does not answer.
pub(super) async fn prepare(client: &Client) -> Result<BTreeMap<u32, Visits>, Failure> {
    let mut all = BTreeMap::new();
    for table in client.query(TABLES, &[]).await.map_err(not("list what visitors read"))? {
        let (path, keys): (String, Option<Vec<String>>) = (table.get(1), table.get(2));
        let keys = keys.unwrap_or_else(|| vec!["ctid".to_owned()]);
        let (pattern, list) = (vec!["%s = %L"; keys.len()].join(" AND "), keys.join(", "));
        let values: String =
            keys.iter().map(|key| format!(", '{}', {key}", key.replace('\'', "''"))).collect();
        let order = if list == "ctid" { String::new() } else { format!("ORDER BY {list}") };
        let one = format!("SELECT format('{pattern}'{values}) FROM {path} {order} LIMIT 1");
        // A stored view that was never filled cannot be read.
        let row = client.query_opt(&one, &[]).await.ok().flatten();
        let which: String = row.map_or_else(|| "false".to_owned(), |row| row.get(0));
        let set: Option<String> = table.get(3);
        let write = set.map(|set| format!("UPDATE {path} SET {set} = {set} WHERE {which}"));
        all.insert(table.get(0), Visits { read: format!("SELECT FROM {path} WHERE {which}"), write });
    }
    Ok(all)
}

/// One visitor, on his way.
pub(super) struct Visitor {
    pub(super) address: Address,
    pub(super) table: u32,
    pub(super) name: String,
    pub(super) writes: bool,
    /// Gone when nobody looks on any more.
    pub(super) seen: Weak<Mutex<Seen>>,
}

impl Visitor {
    /// Queues until he is let in.
    pub(super) async fn go(self, visits: Visits) {
        let text = if self.writes { visits.write } else { Some(visits.read) };
        if let Some(text) = text
            && let Some(client) = self.queue(&text).await
            && let Some(seen) = self.seen.upgrade()
        {
            locked(&seen).resting.push(client);
        }
        if let Some(seen) = self.seen.upgrade() {
            locked(&seen).queued.remove(&(self.table, self.writes));
        }
    }

    /// `None` when the connection is of no use any more, or nobody wants to know.
    async fn queue(&self, text: &str) -> Option<Client> {
        let resting = locked(&*self.seen.upgrade()?).resting.pop();
        let client = match resting {
            Some(client) => client,
            None => self.address.connect().await.ok()?,
        };
        let (begun, mut patience) = (Instant::now(), FIRST);
        loop {
            let visit = format!(
                "SET session_replication_role = replica; SET lock_timeout = {patience}; BEGIN; {text}; ROLLBACK"
            );
            let Err(error) = client.batch_execute(&visit).await else { break };
            client.batch_execute("ROLLBACK").await.ok()?;
            // What was renamed or dropped meanwhile keeps nobody waiting.
            if error.code() != Some(&SqlState::LOCK_NOT_AVAILABLE) {
                break;
            }
            patience = AGAIN;
            self.note(begun.elapsed().as_secs_f64())?;
        }
        if patience == AGAIN {
            self.note(begun.elapsed().as_secs_f64())?;
        }
        Some(client)
    }

    fn note(&self, seconds: f64) -> Option<()> {
        let seen = self.seen.upgrade()?;
        let mut seen = locked(&seen);
        let none = || Waited { table: self.name.clone(), read_seconds: 0.0, write_seconds: 0.0 };
        let waited = seen.waited.entry(self.table).or_insert_with(none);
        let slot = if self.writes { &mut waited.write_seconds } else { &mut waited.read_seconds };
        *slot = slot.max(seconds);
        Some(())
    }
}
