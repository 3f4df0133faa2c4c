//! `demo migrate`: applies `migrations/*.sql` in order of their names, each
//! once and in its own transaction, while holding an advisory lock.

use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use tokio_postgres::{Client, NoTls};

use crate::backoff::Backoff;
use crate::config::Config;
use crate::shutdown;

/// Any number will do, as long as every release uses the same.
const LOCK: i64 = 0x0064_656d_6f00;
const ATTEMPTS: u32 = 12;
const LEDGER: &str = "CREATE TABLE IF NOT EXISTS schema_migrations (
    version    text PRIMARY KEY,
    applied_at timestamptz NOT NULL DEFAULT now()
)";

pub async fn run(config: &Config) -> anyhow::Result<()> {
    let stop = shutdown::on_signal()?;
    tokio::select! {
        result = migrate(config) => result,
        // The open transaction ends with the connection.
        () = stop.cancelled() => bail!("stopped before the end"),
    }
}

async fn migrate(config: &Config) -> anyhow::Result<()> {
    let files = migration_files(&config.migrations)?;
    let mut client = connect(&config.database).await?;
    client.execute("SELECT pg_advisory_lock($1)", &[&LOCK]).await?;
    client.batch_execute(LEDGER).await?;
    let mut applied = 0;
    for file in &files {
        applied += u32::from(apply(&mut client, file).await?);
    }
    tracing::info!("{applied} of {} migrations applied now", files.len());
    Ok(())
}

fn migration_files(folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let entries =
        std::fs::read_dir(folder).with_context(|| format!("cannot read the folder {}", folder.display()))?;
    let mut files = Vec::new();
    for entry in entries {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "sql") {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

/// The session, and with it the lock, ends when the client is dropped.
async fn connect(config: &tokio_postgres::Config) -> anyhow::Result<Client> {
    let mut backoff = Backoff::new();
    let mut attempt = 1;
    loop {
        match config.connect(NoTls).await {
            Ok((client, connection)) => {
                tokio::spawn(connection);
                return Ok(client);
            }
            Err(error) if attempt == ATTEMPTS => {
                return Err(error).context("the database is unreachable");
            }
            Err(error) => tracing::warn!("database not reachable yet: {error}"),
        }
        attempt += 1;
        backoff.pause().await;
    }
}

async fn apply(client: &mut Client, file: &Path) -> anyhow::Result<bool> {
    let version =
        file.file_stem().and_then(|stem| stem.to_str()).context("a migration has an unreadable name")?;
    let known = client.query_opt("SELECT 1 FROM schema_migrations WHERE version = $1", &[&version]).await?;
    if known.is_some() {
        return Ok(false);
    }
    let sql = std::fs::read_to_string(file)?;
    let transaction = client.transaction().await?;
    transaction.batch_execute(&sql).await.with_context(|| format!("migration {version} failed"))?;
    transaction.execute("INSERT INTO schema_migrations (version) VALUES ($1)", &[&version]).await?;
    transaction.commit().await?;
    tracing::info!("migration {version} applied");
    Ok(true)
}
