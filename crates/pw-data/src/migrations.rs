//! Migrations that were applied to a database, by the tables in which tools note them; and those that only a target had.

use std::collections::{BTreeMap, BTreeSet};

use pw_run::Failure;
use tokio_postgres::{Client, GenericClient};

use crate::server::{Address, quoted};

/// Tables in which tools keep what was applied, and the expression that names one; its last word is a column.
const KNOWN: [(&str, &str); 19] = [
    ("schema_migrations", "version"),
    ("_sqlx_migrations", "version"),
    ("alembic_version", "version_num"),
    ("django_migrations", "app || '.' || name"),
    ("_prisma_migrations", "migration_name"),
    ("knex_migrations", "name"),
    ("flyway_schema_history", "version"),
    ("databasechangelog", "id"),
    ("goose_db_version", "version_id"),
    ("SequelizeMeta", "name"),
    ("__EFMigrationsHistory", "\"MigrationId\""),
    ("doctrine_migration_versions", "version"),
    ("migrations", "migration"),
    ("migrations", "name"),
    ("typeorm_migrations", "name"),
    ("__drizzle_migrations", "hash"),
    ("__diesel_schema_migrations", "version"),
    ("refinery_schema_history", "version"),
    ("seaql_migrations", "version"),
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
    let known = applied(source).await?;
    let none = BTreeSet::new();
    let mut told = Vec::new();
    for (table, here) in &applied(&target.connect().await?).await? {
        let known = known.get(table).unwrap_or(&none);
        let newer: Vec<&str> = here.difference(known).map(String::as_str).collect();
        if !newer.is_empty() {
            told.push(sentence(table.trim_start_matches("public."), &newer));
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

/// What was applied to a database, each as `schema.table NAME`, in order.
///
/// # Errors
/// The server cannot be asked.
pub async fn of(address: &Address) -> Result<Vec<String>, Failure> {
    let all = applied(&address.connect().await?).await?;
    let names = all.iter().flat_map(|(table, names)| names.iter().map(move |name| format!("{table} {name}")));
    Ok(names.collect())
}

/// What was applied, by `schema.table`. A table of a known name that is something else is left out.
///
/// # Errors
/// The server refuses.
pub(crate) async fn applied(
    client: &impl GenericClient,
) -> Result<BTreeMap<String, BTreeSet<String>>, Failure> {
    let failed = |error| Failure::new("could not read which migrations were applied").because(error);
    let names: Vec<&str> = KNOWN.iter().map(|(name, _)| *name).collect();
    let found = "SELECT n.nspname, c.relname, array_agg(a.attname::text) FROM pg_class c \
        JOIN pg_namespace n ON n.oid = c.relnamespace JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 \
        WHERE c.relname = ANY($1) AND c.relkind = 'r' AND has_table_privilege(c.oid, 'SELECT') GROUP BY 1, 2";
    let mut all = BTreeMap::new();
    for row in client.query(found, &[&names]).await.map_err(failed)? {
        let (schema, table, columns): (String, String, Vec<String>) = (row.get(0), row.get(1), row.get(2));
        let has = |column: &str| columns.iter().any(|known| known == column);
        let is_it = |(name, column): &&(&str, &str)| {
            *name == table && has(column.rsplit(' ').next().unwrap_or(column).trim_matches('"'))
        };
        let Some((_, name)) = KNOWN.iter().find(is_it) else { continue };
        let only = if has("is_applied") { " WHERE is_applied" } else { "" };
        let sql = format!("SELECT ({name})::text FROM {}.{}{only}", quoted(&schema), quoted(&table));
        let rows = client.query(sql.as_str(), &[]).await.map_err(failed)?;
        let applied = rows.iter().filter_map(|row| row.get::<_, Option<String>>(0)).collect();
        all.insert(format!("{schema}.{table}"), applied);
    }
    Ok(all)
}
