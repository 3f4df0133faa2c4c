//! Everything of a database that has a definition, to be held against another database.

use std::collections::{BTreeMap, BTreeSet};

use pw_plan::drift::schema::{Object, Schema};
use pw_run::Failure;
use tokio_postgres::Transaction;

use crate::server::{Address, quoted};

const OBJECTS: &str = include_str!("objects.sql");

/// Tables in which tools note the migrations that ran, and the expression that names one: of a version and a name
/// the version.
const NOTES: [(&str, &str); 18] = [
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
    ("typeorm_migrations", "name"),
    ("__drizzle_migrations", "hash"),
    ("__diesel_schema_migrations", "version"),
    ("refinery_schema_history", "version"),
    ("seaql_migrations", "version"),
];

/// Reads every object, setting and applied migration at one moment. Nothing is locked or written.
///
/// # Errors
/// The server cannot be reached or refuses.
pub async fn definitions(address: &Address) -> Result<Schema, Failure> {
    let mut client = address.connect().await?;
    let failed = |error| Failure::new(format!("could not read the schema of {address}")).because(error);
    let transaction = client.build_transaction().read_only(true).start().await.map_err(failed)?;
    transaction.batch_execute("SET LOCAL search_path = ''").await.map_err(failed)?;
    let rows = transaction.query(OBJECTS, &[]).await.map_err(failed)?;
    let mut schema = Schema::default();
    for row in rows {
        let (kind, name, text): (String, String, Option<String>) = (row.get(0), row.get(1), row.get(2));
        schema.objects.insert(Object { kind, name }, text.unwrap_or_default());
    }
    schema.migrations = migrations(&transaction).await.map_err(failed)?;
    // Not left to the end of the connection: until then, what was read cannot be altered.
    transaction.commit().await.map_err(failed)?;
    Ok(schema)
}

async fn migrations(
    transaction: &Transaction<'_>,
) -> Result<BTreeMap<String, BTreeSet<String>>, tokio_postgres::Error> {
    let names: Vec<&str> = NOTES.iter().map(|(name, _)| *name).collect();
    let found = "SELECT n.nspname, c.relname, array_agg(a.attname::text) FROM pg_class c \
        JOIN pg_namespace n ON n.oid = c.relnamespace JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 \
        WHERE c.relname = ANY($1) AND c.relkind = 'r' AND has_table_privilege(c.oid, 'SELECT') GROUP BY 1, 2";
    let mut all = BTreeMap::new();
    for row in transaction.query(found, &[&names]).await? {
        let (schema, table, columns): (String, String, Vec<String>) = (row.get(0), row.get(1), row.get(2));
        let Some((_, name)) = NOTES.iter().find(|(known, _)| *known == table) else { continue };
        // A table of the same name that is something else.
        let last = name.rsplit(' ').next().unwrap_or(name).trim_matches('"');
        if !columns.iter().any(|column| column == last) {
            continue;
        }
        let only = if columns.iter().any(|column| column == "is_applied") { " WHERE is_applied" } else { "" };
        let table = format!("{}.{}", quoted(&schema), quoted(&table));
        let sql = format!("SELECT ({name})::text FROM {table}{only}");
        let applied = transaction.query(sql.as_str(), &[]).await?;
        let applied = applied.iter().filter_map(|row| row.get::<_, Option<String>>(0)).collect();
        all.insert(format!("{schema}.{}", row.get::<_, String>(1)), applied);
    }
    Ok(all)
}
