//! `demo`: a small art-sharing application with a web process, a worker,
//! migrations and a health check in one binary.

mod app;
mod backoff;
mod broker;
mod config;
mod database;
mod error;
mod healthcheck;
mod migrate;
mod passwords;
mod sessions;
mod shutdown;
mod vault;
mod web;
mod worker;

use std::process::ExitCode;

use anyhow::bail;

use crate::config::Config;

const USAGE: &str = "usage: demo web|worker|migrate|healthcheck";

#[tokio::main]
async fn main() -> ExitCode {
    start_logging();
    let command = std::env::args().nth(1).unwrap_or_default();
    match run(&command).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{command}: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(command: &str) -> anyhow::Result<()> {
    let config = Config::from_environment()?;
    match command {
        "web" => web::run(config).await,
        "worker" => worker::run(config).await,
        "migrate" => migrate::run(&config).await,
        "healthcheck" => healthcheck::run(config.port).await,
        _ => bail!(USAGE),
    }
}

/// One line per event on standard output; LOG_LEVEL chooses how many.
fn start_logging() {
    let level =
        std::env::var("LOG_LEVEL").ok().and_then(|text| text.parse().ok()).unwrap_or(tracing::Level::INFO);
    tracing_subscriber::fmt().with_max_level(level).with_ansi(false).with_target(false).init();
}
