//! Everything of a database that has a definition, to be held against another database.

use pw_plan::drift::schema::{Object, Schema};
use pw_run::Failure;

use crate::migrations;
use crate::server::Address;

const OBJECTS: &str = include_str!("objects.sql");

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
    schema.migrations = migrations::applied(&transaction).await?;
    // Not left to the end of the connection: until then, what was read cannot be altered.
    transaction.commit().await.map_err(failed)?;
    Ok(schema)
}
