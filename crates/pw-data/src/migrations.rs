//! Migrations that the target had and the source does not have yet: the sample's schema is the source's.

use std::collections::BTreeSet;

use pw_run::Failure;
use tokio_postgres::Client;

use crate::server::Address;

/// Tables in which tools keep what was applied, and what to read of them.
const KNOWN: [(&str, &str); 13] = [
    ("schema_migrations", "version::text"),
    ("alembic_version", "version_num::text"),
    ("django_migrations", "app || '.' || name"),
    ("_sqlx_migrations", "version::text"),
    ("__diesel_schema_migrations", "version::text"),
    ("_prisma_migrations", "migration_name::text"),
    ("flyway_schema_history", "version::text"),
    ("databasechangelog", "id::text"),
    ("knex_migrations", "name::text"),
    ("goose_db_version", "version_id::text"),
    ("\"SequelizeMeta\"", "name::text"),
    ("\"__EFMigrationsHistory\"", "\"MigrationId\"::text"),
    ("migrations", "name::text"),
];
/// As many are named.
const NAMED: usize = 5;

/// A sentence for each table that differs.
///
/// # Errors
/// A server cannot be asked.
pub(crate) async fn ahead(source: &Client, target: &Address) -> Result<Vec<String>, Failure> {
    let keeper = target.with_database("postgres").connect().await?;
    let there = keeper.query("SELECT FROM pg_database WHERE datname = $1", &[&target.database()]).await;
    if there.map_err(|error| Failure::new("could not look for a database").because(error))?.is_empty() {
        return Ok(Vec::new());
    }
    let target = target.connect().await?;
    let mut told = Vec::new();
    for (table, column) in KNOWN {
        let Some(here) = applied(&target, table, column).await? else { continue };
        let known = applied(source, table, column).await?.unwrap_or_default();
        let newer: Vec<&str> = here.difference(&known).map(String::as_str).collect();
        if !newer.is_empty() {
            told.push(sentence(table, &newer));
        }
    }
    Ok(told)
}

fn sentence(table: &str, newer: &[&str]) -> String {
    let more = newer.len().saturating_sub(NAMED);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    let names = newer[..newer.len().min(NAMED)].join("`, `");
    format!(
        "`{names}`{more} of `{table}` had been applied to the target and not to the source: the new database has the source's schema; apply them again"
    )
}

/// What was applied; `None` where no such table is kept, or another of its name.
async fn applied(client: &Client, table: &str, column: &str) -> Result<Option<BTreeSet<String>>, Failure> {
    let failed = |error| Failure::new(format!("could not read `{table}`")).because(error);
    // The column must be there too: another program may have a table of that name.
    let name = column.trim_end_matches("::text").rsplit(' ').next().unwrap_or(column).trim_matches('"');
    let query = "SELECT FROM pg_attribute WHERE attrelid = to_regclass($1) AND attname = $2 AND NOT attisdropped \
        AND has_table_privilege(attrelid, 'SELECT')";
    if client.query(query, &[&table, &name]).await.map_err(failed)?.is_empty() {
        return Ok(None);
    }
    let rows = client.query(&format!("SELECT {column} FROM {table}"), &[]).await.map_err(failed)?;
    Ok(Some(rows.iter().filter_map(|row| row.get(0)).collect()))
}
