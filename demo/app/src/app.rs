//! What request handlers and the worker share.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::broker::Broker;
use crate::config::Config;
use crate::database::Database;
use crate::sessions::Sessions;
use crate::vault::Vault;

#[derive(Clone)]
pub struct App {
    pub config: Arc<Config>,
    pub database: Database,
    pub sessions: Sessions,
    pub broker: Broker,
    pub vault: Vault,
    pub stop: CancellationToken,
    /// Open websockets, which the HTTP server itself does not wait for.
    pub sockets: TaskTracker,
}

impl App {
    pub fn new(config: Config, broker: Broker, stop: CancellationToken) -> anyhow::Result<Self> {
        Ok(Self {
            database: Database::new(config.database.clone())?,
            sessions: Sessions::new(&config.redis_url)?,
            vault: Vault::new(config.vault.clone()),
            config: Arc::new(config),
            broker,
            stop,
            sockets: TaskTracker::new(),
        })
    }
}

/// The container's name on its network.
pub fn hostname() -> String {
    std::fs::read_to_string("/etc/hostname")
        .map(|name| name.trim().to_owned())
        .unwrap_or_else(|_| "unknown".to_owned())
}
