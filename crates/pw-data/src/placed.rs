//! One table, put into a schema of its own: the way of a table out of a backup into a database that is in use.

use pw_run::Failure;

use crate::server::{Address, quoted};

/// How the names of such schemas begin.
const OURS: &str = "partywall_restored_";

/// Moves a table into a schema of its own, and away from those that it is a part of. Done already when it is there.
///
/// # Errors
/// There is no such table, or the server refuses.
pub async fn set_apart(database: &Address, table: (&str, &str), schema: &str) -> Result<(), Failure> {
    let what = || format!("could not set `{}.{}` apart", table.0, table.1);
    let client = database.connect().await?;
    let parents = "SELECT format(CASE WHEN c.relispartition THEN 'ALTER TABLE %s DETACH PARTITION %s' \
            ELSE 'ALTER TABLE %2$s NO INHERIT %1$s' END, i.inhparent::regclass, c.oid::regclass) \
        FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace JOIN pg_inherits i ON i.inhrelid = c.oid \
        WHERE n.nspname = $1 AND c.relname = $2";
    let rows = client.query(parents, &[&table.0, &table.1]).await;
    let mut words: Vec<String> =
        rows.map_err(|error| Failure::new(what()).because(error))?.iter().map(|row| row.get(0)).collect();
    words.push(format!("CREATE SCHEMA IF NOT EXISTS {}", quoted(schema)));
    words.push(format!(
        "ALTER TABLE IF EXISTS {}.{} SET SCHEMA {}",
        quoted(table.0),
        quoted(table.1),
        quoted(schema)
    ));
    let moved = client.batch_execute(&words.join(";")).await;
    moved.map_err(|error| Failure::new(what()).because(error))
}

/// Counts the rows of a table.
///
/// # Errors
/// There is no such table, or the server cannot be reached.
pub async fn rows(database: &Address, table: (&str, &str)) -> Result<u64, Failure> {
    let query = format!("SELECT count(*) FROM {}.{}", quoted(table.0), quoted(table.1));
    let row = database.connect().await?.query_one(&query, &[]).await;
    let count: i64 = row
        .map_err(|error| {
            Failure::new(format!("could not count the rows of `{}.{}`", table.0, table.1)).because(error)
        })?
        .get(0);
    Ok(u64::try_from(count).unwrap_or(0))
}

/// Removes such a schema with all in it; one that is not there is removed already.
///
/// # Errors
/// The name is not one that we give, or the server refuses.
pub async fn remove(database: &Address, schema: &str) -> Result<(), Failure> {
    if !schema.starts_with(OURS) {
        return Err(Failure::new(format!("the schema `{schema}` is not Partywall's to remove")));
    }
    let words = format!("DROP SCHEMA IF EXISTS {} CASCADE", quoted(schema));
    let dropped = database.connect().await?.batch_execute(&words).await;
    dropped.map_err(|error| Failure::new(format!("could not remove the schema `{schema}`")).because(error))
}
