//! Whether this process can work, and who it is.

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde_json::{Value, json};
use tokio::time::timeout;

use crate::app::{App, hostname};

const LIMIT: Duration = Duration::from_secs(2);

/// Without its database the application is unavailable; without cache or
/// broker it still answers most requests.
pub async fn health(State(app): State<App>) -> (StatusCode, Json<Value>) {
    let (database, cache) =
        tokio::join!(timeout(LIMIT, app.database.ping()), timeout(LIMIT, app.sessions.ping()));
    let database = matches!(database, Ok(Ok(())));
    let cache = matches!(cache, Ok(Ok(())));
    let broker = app.broker.is_online();
    let (code, status) = match (database, cache && broker) {
        (false, _) => (StatusCode::SERVICE_UNAVAILABLE, "unavailable"),
        (true, false) => (StatusCode::OK, "degraded"),
        (true, true) => (StatusCode::OK, "ok"),
    };
    let report = json!({
        "status": status,
        "environment": app.config.environment,
        "release": app.config.release,
        "database": word(database),
        "cache": word(cache),
        "broker": word(broker),
    });
    (code, Json(report))
}

pub async fn whoami(State(app): State<App>) -> Json<Value> {
    Json(json!({
        "environment": app.config.environment,
        "release": app.config.release,
        "hostname": hostname(),
    }))
}

fn word(up: bool) -> &'static str {
    if up { "up" } else { "down" }
}
