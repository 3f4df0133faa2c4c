//! What a seed does in development's server besides the sample: names that change hands, rows of its own, names of files.

use std::collections::{BTreeMap, BTreeSet};

use pw_run::Failure;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio_postgres::Client;

use crate::load::{LOCK, OURS};
use crate::locale;
use crate::server::{Address, literal, quoted};

/// Rows that are development's own, such as its address among the settings.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Rewrite {
    pub table: String,
    pub set: BTreeMap<String, Value>,
    pub filter: Option<String>,
}

/// Databases of the server, by name.
///
/// # Errors
/// The server cannot be reached.
pub async fn databases(server: &Address) -> Result<BTreeSet<String>, Failure> {
    let client = keeper(server).await?;
    let rows = client.query("SELECT datname FROM pg_database WHERE NOT datistemplate", &[]).await;
    let rows = rows.map_err(|error| Failure::new("could not list the databases").because(error))?;
    Ok(rows.iter().map(|row| row.get(0)).collect())
}

/// Gives databases other names, all or none. Done already when the last that is to change its name is gone.
///
/// # Errors
/// The server refuses; then every database has its name as before.
pub async fn rename(server: &Address, renames: &[(String, String)]) -> Result<(), Failure> {
    let client = keeper(server).await?;
    lock(&client, server.database()).await?;
    let there = databases(server).await?;
    if renames.last().is_none_or(|(from, _)| !there.contains(from)) {
        return Ok(());
    }
    for (from, _) in renames {
        end_connections(&client, from).await?;
    }
    let each =
        |(from, to): &(String, String)| format!("ALTER DATABASE {} RENAME TO {};", quoted(from), quoted(to));
    let swap = format!("BEGIN; {} COMMIT", renames.iter().map(each).collect::<String>());
    let swapped = client.batch_execute(&swap).await;
    swapped.map_err(|error| {
        Failure::new("could not give the databases their names")
            .because(error)
            .hint("close the programs that hold the database open, and try again")
    })
}

/// Nobody is on a database that changes its name.
async fn end_connections(client: &Client, name: &str) -> Result<(), Failure> {
    let others = "datname = $1 AND pid <> pg_backend_pid()";
    let end = format!("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {others}");
    let left = format!("SELECT count(*) FROM pg_stat_activity WHERE {others}");
    let failed = |error| Failure::new(format!("could not end the connections to `{name}`")).because(error);
    client.query(&end, &[&name]).await.map_err(failed)?;
    // Ending takes each of them a moment.
    for _ in 0..100 {
        let still: i64 = client.query_one(&left, &[&name]).await.map_err(failed)?.get(0);
        if still == 0 {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    Ok(())
}

/// Removes a database that Partywall made or set aside; one that is not there is removed already.
///
/// # Errors
/// The name is not one that we give, or the server refuses.
pub async fn remove(server: &Address, name: &str) -> Result<(), Failure> {
    if !name.contains(OURS) {
        return Err(Failure::new(format!("the database `{name}` is not Partywall's to remove")));
    }
    let drop = format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", quoted(name));
    let client = keeper(server).await?;
    lock(&client, name).await?;
    let dropped = client.batch_execute(&drop).await;
    dropped.map_err(|error| Failure::new(format!("could not remove the database `{name}`")).because(error))
}

/// Makes an empty database with the encoding and sorting of the one that the address names.
///
/// # Errors
/// The server refuses.
pub async fn make_like(server: &Address, name: &str) -> Result<(), Failure> {
    let what = || format!("could not make the database `{name}`");
    let client = keeper(server).await?;
    let version = "SELECT current_setting('server_version_num')::int";
    let version =
        client.query_one(version, &[]).await.map_err(|error| Failure::new(what()).because(error))?;
    let like = locale::like(&client, server.database(), version.get(0)).await?;
    let make = format!("CREATE DATABASE {} {like}", quoted(name));
    // A server goes on making it when its client was killed; who removes it first waits for that.
    lock(&client, name).await?;
    let made = client.batch_execute(&make).await;
    made.map_err(|error| Failure::new(what()).because(error))
}

/// The distinct texts of a column, written `table.column`, sorted.
///
/// # Errors
/// There is no such column, or the server cannot be reached.
pub async fn texts(database: &Address, written: &str) -> Result<Vec<String>, Failure> {
    let (table, column) = written.rsplit_once('.').unwrap_or(("", written));
    let column = quoted(column);
    let query =
        format!("SELECT DISTINCT {column}::text FROM {} WHERE {column} IS NOT NULL ORDER BY 1", path(table));
    let rows = database.connect().await?.query(&query, &[]).await;
    let rows = rows.map_err(|error| Failure::new(format!("could not read `{written}`")).because(error))?;
    Ok(rows.iter().map(|row| row.get(0)).collect())
}

/// How many foreign keys hold for every row, as far as the server has checked.
///
/// Those that the source leaves `NOT VALID` do not count: a sample leaves them as they are, and the load has refused
/// every other that is not checked.
///
/// # Errors
/// The server cannot be reached.
pub async fn foreign_keys(database: &Address) -> Result<u64, Failure> {
    let query = "SELECT count(*) FROM pg_constraint WHERE contype = 'f' AND convalidated";
    let row = database.connect().await?.query_one(query, &[]).await;
    let row = row.map_err(|error| Failure::new("could not list the foreign keys").because(error))?;
    Ok(row.get::<_, i64>(0).unsigned_abs())
}

/// Changes the rows, all in one transaction; answers how many of each.
///
/// # Errors
/// A table, column or condition does not fit; then no row is changed.
pub async fn rewrite(database: &Address, rewrites: &[Rewrite]) -> Result<Vec<u64>, Failure> {
    let mut client = database.connect().await?;
    let failed = |error| Failure::new("could not rewrite development's own rows").because(error);
    let transaction = client.transaction().await.map_err(failed)?;
    let mut counts = Vec::new();
    for one in rewrites {
        let changed = transaction.execute(&statement(one), &[]).await;
        counts.push(changed.map_err(|error| {
            Failure::new(format!("could not rewrite rows of `{}`", one.table))
                .because(error)
                .hint("correct `seed.rewrite` in partywall.yaml")
        })?);
    }
    transaction.commit().await.map_err(failed)?;
    Ok(counts)
}

fn statement(rewrite: &Rewrite) -> String {
    let set: Vec<String> = rewrite
        .set
        .iter()
        .map(|(column, value)| format!("{} = {}", quoted(column), written(value)))
        .collect();
    let filter = rewrite.filter.as_ref().map(|filter| format!(" WHERE {filter}")).unwrap_or_default();
    format!("UPDATE {} SET {}{filter}", path(&rewrite.table), set.join(", "))
}

/// Untyped, so that the column's own type reads it.
fn written(value: &Value) -> String {
    match value {
        Value::Null => "NULL".to_owned(),
        Value::String(text) => literal(text),
        other => literal(&other.to_string()),
    }
}

fn path(table: &str) -> String {
    table.split('.').map(quoted).collect::<Vec<_>>().join(".")
}

/// Waits until nobody else changes this name: also a server that has not noticed yet that its client is gone.
async fn lock(client: &Client, name: &str) -> Result<(), Failure> {
    let failed = |error| {
        Failure::new(format!("somebody else is at work on the database `{name}`"))
            .because(error)
            .hint("wait until it ends, and try again")
    };
    client.batch_execute("SET lock_timeout = '60s'").await.map_err(failed)?;
    let lock = format!("SELECT pg_advisory_lock(hashtext($1), {LOCK})");
    client.execute(&lock, &[&name]).await.map_err(failed)?;
    client.batch_execute("RESET lock_timeout").await.map_err(failed)
}

async fn keeper(server: &Address) -> Result<Client, Failure> {
    server.with_database("postgres").connect().await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rewrite_is_quoted_whatever_it_holds() {
        let set = BTreeMap::from([
            ("Value".to_owned(), Value::from("it's here")),
            ("on".to_owned(), Value::Bool(true)),
            ("old".to_owned(), Value::Null),
        ]);
        let rewrite = Rewrite { table: "app.settings".into(), set, filter: Some("key = 'site'".into()) };
        assert_eq!(
            statement(&rewrite),
            "UPDATE \"app\".\"settings\" SET \"Value\" = 'it''s here', \"old\" = NULL, \"on\" = 'true' WHERE key = 'site'"
        );
    }
}
