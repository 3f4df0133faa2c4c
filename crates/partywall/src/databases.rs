//! What the databases of all environments use, for the agent: how they are reached is known here.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use pw_agent::AskDatabases;
use pw_agent::collect::DatabaseFigures;
use pw_data::uses::uses;
use pw_host::Host;
use pw_model::config::Database;
use pw_model::name::EnvironmentName;
use pw_run::Failure;

use crate::reach;
use crate::session::Session;

/// A database that does not answer in this time is not waited for.
const PATIENCE: Duration = Duration::from_secs(10);

/// Asks all at once; what does not run or answer is left out. `None` where none is described.
pub(crate) fn ask(session: &Session) -> Option<AskDatabases> {
    if session.config.databases.is_empty() {
        return None;
    }
    let (config, host) = (session.config.clone(), Arc::new(session.host()));
    Some(Arc::new(move || {
        let asked: Vec<(EnvironmentName, String, String, Database)> = config
            .environments
            .keys()
            .flat_map(|name| config.databases.iter().map(move |one| (name, one)))
            .map(|(name, (key, one))| (name.clone(), config.compose_project(name), key.clone(), one.clone()))
            .collect();
        let host = Arc::clone(&host);
        Box::pin(async move { told(&host, asked).await })
    }))
}

async fn told(
    host: &Host,
    asked: Vec<(EnvironmentName, String, String, Database)>,
) -> BTreeMap<(EnvironmentName, String), DatabaseFigures> {
    let each = asked.into_iter().map(async |(name, project, key, database)| {
        let figures = tokio::time::timeout(PATIENCE, figures(host, &project, &database)).await;
        figures.ok()?.ok().map(|figures| ((name, key), figures))
    });
    join_all(each).await.into_iter().flatten().collect()
}

async fn figures(host: &Host, project: &str, database: &Database) -> Result<DatabaseFigures, Failure> {
    let place = reach::place(host.engine(), project, database).await?;
    let address = reach::reach(host.engine(), &place).await?.address;
    let uses = uses(&address).await?;
    Ok(DatabaseFigures {
        bytes: uses.bytes as f64,
        connections: uses.connections as f64,
        most_connections: uses.most_connections as f64,
    })
}
