//! Settings, all from environment variables. Holds secrets, so it is not `Debug`.

use std::env;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use anyhow::{Context, anyhow};

pub struct Config {
    pub environment: String,
    pub release: String,
    pub port: u16,
    pub database: tokio_postgres::Config,
    pub redis_url: String,
    pub mqtt: Mqtt,
    pub vault: PathBuf,
    pub content: PathBuf,
    pub migrations: PathBuf,
    /// How long requests in flight may take to finish after SIGTERM.
    pub drain: Duration,
}

pub struct Mqtt {
    pub host: String,
    pub port: u16,
    pub prefix: String,
    pub client_id: Option<String>,
}

impl Config {
    pub fn from_environment() -> anyhow::Result<Self> {
        let environment = text("APP_ENV", "local");
        Ok(Self {
            database: database(&environment)?,
            mqtt: mqtt(&environment)?,
            environment,
            release: text("RELEASE", "unreleased"),
            port: parsed("PORT", 8000)?,
            redis_url: text("REDIS_URL", "redis://redis:6379/0"),
            vault: text("VAULT", "/vault").into(),
            content: text("CONTENT", "content").into(),
            migrations: text("MIGRATIONS", "migrations").into(),
            drain: Duration::from_secs(parsed("DRAIN_SECONDS", 60)?),
        })
    }
}

fn database(environment: &str) -> anyhow::Result<tokio_postgres::Config> {
    let mut config = match given("DATABASE_URL") {
        Some(url) => url.parse().map_err(|_| anyhow!("DATABASE_URL is not a PostgreSQL URL"))?,
        None => database_from_parts()?,
    };
    config.application_name(format!("demo-{environment}"));
    config.connect_timeout(Duration::from_secs(5));
    Ok(config)
}

fn database_from_parts() -> anyhow::Result<tokio_postgres::Config> {
    let mut config = tokio_postgres::Config::new();
    config
        .host(text("PGHOST", "db"))
        .port(parsed("PGPORT", 5432)?)
        .user(text("PGUSER", "demo"))
        .dbname(text("PGDATABASE", "demo"));
    if let Some(password) = given("PGPASSWORD") {
        config.password(password);
    }
    Ok(config)
}

fn mqtt(environment: &str) -> anyhow::Result<Mqtt> {
    Ok(Mqtt {
        host: text("MQTT_HOST", "mqtt"),
        port: parsed("MQTT_PORT", 1883)?,
        prefix: text("MQTT_PREFIX", environment).trim_matches('/').to_owned(),
        client_id: given("MQTT_CLIENT_ID"),
    })
}

/// A variable that is set and not empty: Compose passes unset ones as empty.
fn given(name: &str) -> Option<String> {
    env::var(name).ok().filter(|value| !value.is_empty())
}

fn text(name: &str, default: &str) -> String {
    given(name).unwrap_or_else(|| default.to_owned())
}

fn parsed<T>(name: &str, default: T) -> anyhow::Result<T>
where
    T: FromStr,
    T::Err: std::error::Error + Send + Sync + 'static,
{
    match given(name) {
        Some(value) => value.parse().with_context(|| format!("{name} is not a usable number")),
        None => Ok(default),
    }
}
