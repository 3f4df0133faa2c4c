//! `demo web`: the HTTP side of the application.

mod accounts;
mod files;
mod health;
mod live;
mod log;
mod page;
mod posts;
mod ready;
mod session;
mod slow;
mod upload;

use std::future::IntoFuture;
use std::time::Duration;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::middleware::from_fn;
use axum::routing::{get, post};
use tokio::net::TcpListener;
use tokio::time::timeout;

use crate::app::{App, hostname};
use crate::broker::Broker;
use crate::config::Config;
use crate::shutdown;

const UPLOAD_LIMIT: usize = 25 * 1024 * 1024;
const FAREWELL: Duration = Duration::from_secs(3);

pub async fn run(config: Config) -> anyhow::Result<()> {
    let stop = shutdown::on_signal()?;
    // Two releases may serve at the same time, so the name is per container.
    let client_id = format!("demo-{}-web-{}", config.environment, hostname());
    let (broker, events) = Broker::new(&config.mqtt, client_id, false);
    let connection = broker.drive(events, |_| {});
    let app = App::new(config, broker, stop)?;
    let listener = TcpListener::bind(("0.0.0.0", app.config.port)).await?;
    tracing::info!(
        "web of {} release {} listens on port {}",
        app.config.environment,
        app.config.release,
        app.config.port
    );
    serve(listener, &app).await?;
    app.broker.finish(connection).await;
    tracing::info!("web stopped");
    Ok(())
}

/// Serves until SIGTERM, then lets requests in flight finish, within a limit.
async fn serve(listener: TcpListener, app: &App) -> std::io::Result<()> {
    let server =
        axum::serve(listener, router(app.clone())).with_graceful_shutdown(app.stop.clone().cancelled_owned());
    tokio::select! {
        result = server.into_future() => result?,
        () = shutdown::deadline(&app.stop, app.config.drain) => {
            tracing::warn!("requests were still running at the end of the drain time");
        }
    }
    app.sockets.close();
    if timeout(FAREWELL, app.sockets.wait()).await.is_err() {
        tracing::warn!("some websockets did not close in time");
    }
    Ok(())
}

fn router(app: App) -> Router {
    Router::new()
        .route("/", get(page::home))
        .route("/health", get(health::health))
        .route("/ready", get(ready::ready))
        .route("/whoami", get(health::whoami))
        .route("/users", post(accounts::create))
        .route("/login", post(accounts::login))
        .route("/me", get(accounts::me))
        .route("/posts", get(posts::list).post(upload::create))
        .route("/posts/{id}", get(posts::show))
        .route("/vault/{storage_key}", get(files::download))
        .route("/ws", get(live::upgrade))
        .route("/slow", get(slow::slow))
        .layer(DefaultBodyLimit::max(UPLOAD_LIMIT))
        .layer(from_fn(log::request))
        .with_state(app)
}

/// What the worker serves: its own health, and nothing else.
pub fn health_only(app: App) -> Router {
    Router::new().route("/health", get(health::health)).with_state(app)
}
