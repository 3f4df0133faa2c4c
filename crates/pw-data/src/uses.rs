//! What a database uses, as it tells itself.

use pw_run::Failure;

use crate::server::Address;

/// Connections are those of clients, without the one that asks.
const QUERY: &str = "SELECT pg_database_size(current_database()), \
    (SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() \
        AND backend_type = 'client backend' AND pid <> pg_backend_pid()), \
    current_setting('max_connections')::bigint";

/// Figures of one database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Uses {
    pub bytes: i64,
    pub connections: i64,
    /// That its server lets in, for all its databases.
    pub most_connections: i64,
}

/// Asks once.
///
/// # Errors
/// The server cannot be reached, or refuses.
pub async fn uses(address: &Address) -> Result<Uses, Failure> {
    let wrong = |error| {
        Failure::new(format!("could not ask database `{}` what it uses", address.database())).because(error)
    };
    let row = address.connect().await?.query_one(QUERY, &[]).await.map_err(wrong)?;
    let figure = |at: usize| row.try_get::<_, i64>(at).map_err(wrong);
    Ok(Uses { bytes: figure(0)?, connections: figure(1)?, most_connections: figure(2)? })
}
