//! A server's log (WAL): held back for backups by a replication slot, taken segment by segment, let go.

use pw_run::Failure;
use tokio_postgres::Client;

use crate::server::{Address, literal};

/// What becomes of the log of a server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held {
    /// Whether the slot is there and has lost nothing.
    pub whole: bool,
    /// Whether the slot is there at all.
    pub there: bool,
    /// Megabytes that slots may hold back; `None` where nothing bounds them.
    pub limit: Option<u64>,
    /// True where `ALTER SYSTEM` set the limit, so that it may be set in the same way again.
    pub altered: bool,
}

/// What is to become of `max_slot_wal_keep_size`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Limit {
    Stays,
    /// Megabytes; `None` takes back what `ALTER SYSTEM` set.
    Becomes(Option<u64>),
}

/// Segments that are complete, from the first that nobody has taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Segments {
    /// Of the server; another one's log does not fit.
    pub system: String,
    pub segment_bytes: u64,
    /// Folder of the segments, inside the server's container.
    pub folder: String,
    pub names: Vec<String>,
    /// Up to here the log may be let go once they are kept.
    pub end: String,
}

/// Where a server writes now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Writing {
    pub system: String,
    pub segment_bytes: u64,
    pub segment: String,
    /// `17.5 (Debian …)`.
    pub server: String,
}

/// # Errors
/// The server cannot be reached.
pub async fn held(server: &Address, slot: &str) -> Result<Held, Failure> {
    let client = server.connect().await?;
    let query = "SELECT (SELECT coalesce(wal_status, 'lost') FROM pg_replication_slots WHERE slot_name = $1), \
        setting::bigint, coalesce(sourcefile LIKE '%postgresql.auto.conf', false) \
        FROM pg_settings WHERE name = 'max_slot_wal_keep_size'";
    let row = client.query_one(query, &[&slot]).await.map_err(failed("look at the log of", server))?;
    let status: Option<String> = row.get(0);
    let whole = status.as_deref().is_some_and(|status| status != "lost");
    let limit = u64::try_from(row.get::<_, i64>(1)).ok();
    Ok(Held { whole, there: status.is_some(), limit, altered: row.get(2) })
}

/// Holds the log back from now on; a slot that has lost some of it is made anew.
///
/// # Errors
/// The server refuses, for example because it has no free slot.
pub async fn hold(server: &Address, slot: &str, limit: Limit) -> Result<(), Failure> {
    let found = held(server, slot).await?;
    let client = server.connect().await?;
    bound(&client, limit).await.map_err(failed("limit the log of", server))?;
    if found.whole {
        return Ok(());
    }
    if found.there {
        drop_slot(&client, slot).await.map_err(failed("remove the slot of", server))?;
    }
    let made = client.execute("SELECT pg_create_physical_replication_slot($1, true)", &[&slot]).await;
    made.map(drop).map_err(|error| {
        failed("hold back the log of", server)(error)
            .hint("the role must be a superuser, and `max_replication_slots` must leave one free")
    })
}

/// Lets the log go.
///
/// # Errors
/// The server refuses.
pub async fn release(server: &Address, slot: &str, limit: Limit) -> Result<(), Failure> {
    let client = server.connect().await?;
    drop_slot(&client, slot).await.map_err(failed("remove the slot of", server))?;
    bound(&client, limit).await.map_err(failed("take back the limit of the log of", server))
}

async fn bound(client: &Client, limit: Limit) -> Result<(), tokio_postgres::Error> {
    let change = match limit {
        Limit::Stays => return Ok(()),
        Limit::Becomes(Some(megabytes)) => {
            format!("ALTER SYSTEM SET max_slot_wal_keep_size = '{megabytes}MB'")
        }
        Limit::Becomes(None) => "ALTER SYSTEM RESET max_slot_wal_keep_size".to_owned(),
    };
    client.batch_execute(&change).await?;
    client.batch_execute("SELECT pg_reload_conf()").await
}

async fn drop_slot(client: &Client, slot: &str) -> Result<(), tokio_postgres::Error> {
    let drop = "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_name = $1";
    client.execute(drop, &[&slot]).await.map(|_| ())
}

/// Ends the current segment, and lists what is complete since the slot was last advanced.
///
/// A small transaction is written first, so that the log can be played to any moment before now.
///
/// # Errors
/// There is no such slot, or it has lost some of the log.
pub async fn segments(server: &Address, slot: &str) -> Result<Segments, Failure> {
    if !held(server, slot).await?.whole {
        return Err(Failure::new(format!("the log of {server} is not whole")).hint(
            "more was written than `backup.log.hold` holds back, or the server is a new one: `partywall backup` begins it anew, and the seconds since the last one cannot be restored",
        ));
    }
    let client = server.connect().await?;
    let mark = "SELECT pg_logical_emit_message(true, 'partywall', 'log taken')";
    client.execute(mark, &[]).await.map_err(failed("write to the log of", server))?;
    let row = client.query_one("SELECT pg_switch_wal()::text", &[]).await;
    let end: String = row.map_err(failed("end a segment of", server))?.get(0);
    let query = "SELECT (s.restart_lsn - '0/0')::text, ($2::text::pg_lsn - '0/0')::text, \
            current_setting('data_directory') || '/pg_wal', \
            pg_size_bytes(current_setting('wal_segment_size')), (SELECT system_identifier::text FROM pg_control_system()), \
            (SELECT timeline_id FROM pg_control_checkpoint()) \
        FROM pg_replication_slots s WHERE s.slot_name = $1";
    let row = client.query_one(query, &[&slot, &end]).await.map_err(failed("look at the log of", server))?;
    let position = |text: String| text.parse::<u64>().unwrap_or_default();
    let segment_bytes = u64::try_from(row.get::<_, i64>(3)).unwrap_or(1).max(1);
    let name = |number| segment_name(row.get(5), number, segment_bytes);
    // The switch fills the segment that it ends.
    let last = position(row.get(1)).saturating_sub(1) / segment_bytes;
    let (first, end) = (name(position(row.get(0)) / segment_bytes), (last + 1) * segment_bytes);
    let list = "SELECT name FROM pg_ls_waldir() WHERE name ~ '^[0-9A-F]{24}$' AND name >= $1 AND name <= $2 ORDER BY 1";
    let names = client.query(list, &[&first, &name(last)]).await;
    let names = names.map_err(failed("list the log of", server))?;
    Ok(Segments {
        system: row.get(4),
        segment_bytes,
        folder: row.get(2),
        names: names.iter().map(|row| row.get(0)).collect(),
        end: format!("{:X}/{:X}", end >> 32, end & 0xFFFF_FFFF),
    })
}

/// Timeline, four gigabytes, segment in them: eight digits each.
fn segment_name(timeline: i32, number: u64, segment_bytes: u64) -> String {
    let in_one = (1_u64 << 32) / segment_bytes;
    format!("{timeline:08X}{:08X}{:08X}", number / in_one, number % in_one)
}

/// # Errors
/// The server cannot be reached.
pub async fn writing(server: &Address) -> Result<Writing, Failure> {
    let query = "SELECT pg_walfile_name(pg_current_wal_lsn()), pg_size_bytes(current_setting('wal_segment_size')), \
        (SELECT system_identifier::text FROM pg_control_system()), current_setting('server_version')";
    let row = server.connect().await?.query_one(query, &[]).await;
    let row = row.map_err(failed("look at the log of", server))?;
    let segment_bytes = u64::try_from(row.get::<_, i64>(1)).unwrap_or_default();
    Ok(Writing { segment: row.get(0), segment_bytes, system: row.get(2), server: row.get(3) })
}

/// The server may forget its log up to `end`, once the segments are kept elsewhere.
///
/// # Errors
/// The server cannot be reached.
pub async fn let_go(server: &Address, slot: &str, end: &str) -> Result<(), Failure> {
    let advance = format!(
        "SELECT pg_replication_slot_advance({}, {}) FROM pg_replication_slots WHERE slot_name = {} AND restart_lsn < {}",
        literal(slot),
        literal(end),
        literal(slot),
        literal(end)
    );
    let client = server.connect().await?;
    client.batch_execute(&advance).await.map_err(failed("let go of the log of", server))
}

fn failed(what: &str, server: &Address) -> impl Fn(tokio_postgres::Error) -> Failure + use<> {
    let what = format!("could not {what} {server}");
    move |error| Failure::new(what.clone()).because(error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_segment_is_named_as_the_server_names_it() {
        assert_eq!(segment_name(1, 0x1_FF, 16 << 20), "0000000100000001000000FF");
        assert_eq!(segment_name(10, 0x40, 64 << 20), "0000000A0000000100000000");
    }
}
