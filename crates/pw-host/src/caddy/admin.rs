//! Caddy's admin API.

use std::path::{Path, PathBuf};
use std::time::Duration;

use pw_run::Failure;
use reqwest::{Client, Method, Response, StatusCode};
use serde_json::Value;

/// Loading waits for certificates' storage and listeners, never for certificates.
const PATIENCE: Duration = Duration::from_secs(30);

/// Where a Caddy takes its configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Admin {
    Socket(PathBuf),
    Address(String),
}

/// What Caddy answered instead of doing it.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct CaddySaid(String);

impl Admin {
    /// `http://localhost:2019`, `localhost:2019` or, as Caddy writes it, `unix//run/caddy.sock`.
    pub(super) fn parse(text: &str) -> Self {
        let socket = text.strip_prefix("unix/").or_else(|| text.strip_prefix("unix:/"));
        match socket {
            Some(path) => Self::Socket(Path::new("/").join(path.trim_start_matches('/'))),
            None if text.contains("://") => Self::Address(text.trim_end_matches('/').into()),
            None => Self::Address(format!("http://{text}")),
        }
    }

    pub(super) fn shown(&self) -> String {
        match self {
            Self::Socket(path) => path.display().to_string(),
            Self::Address(url) => url.clone(),
        }
    }

    /// One call on a connection of its own: the endpoint starts anew after each load and cuts those that are kept.
    pub(super) async fn call(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
        if_match: Option<&str>,
    ) -> Result<Response, reqwest::Error> {
        let builder = Client::builder().no_proxy().pool_max_idle_per_host(0).timeout(PATIENCE);
        let (builder, base) = match self {
            Self::Socket(socket) => (builder.unix_socket(socket.as_path()), "http://localhost"),
            Self::Address(url) => (builder, url.as_str()),
        };
        let mut request = builder.build()?.request(method, format!("{base}{path}"));
        if let Some(body) = body {
            request = request.json(body);
        }
        if let Some(etag) = if_match {
            request = request.header("If-Match", etag);
        }
        request.send().await
    }

    /// A part of the running configuration; an error when Caddy does not answer.
    pub(super) async fn get(&self, path: &str) -> Result<(Value, Option<String>), Failure> {
        let answer = self.call(Method::GET, path, None, None).await;
        let answer = answer.map_err(|error| self.silent(error))?;
        let etag = answer.headers().get("etag").and_then(|etag| etag.to_str().ok()).map(str::to_owned);
        let value = answer.json().await.map_err(|error| self.silent(error))?;
        Ok((value, etag))
    }

    pub(super) fn silent(&self, error: reqwest::Error) -> Failure {
        let text = innermost(&error);
        Failure::new(format!("Caddy does not answer at `{}`", self.shown())).because(CaddySaid(text))
    }
}

/// Caddy's answer to a change: done, or its own words.
pub(super) async fn accepted(answer: Response, what: &str) -> Result<(), Failure> {
    if answer.status().is_success() {
        return Ok(());
    }
    let status = answer.status();
    Err(Failure::new(what).because(CaddySaid(words(status, &answer.text().await.unwrap_or_default()))))
}

fn words(status: StatusCode, body: &str) -> String {
    let parsed = serde_json::from_str::<Value>(body).ok();
    let said = parsed.as_ref().and_then(|value| value.get("error")?.as_str());
    said.map_or_else(|| format!("{status} {}", body.trim()).trim().to_owned(), str::to_owned)
}

fn innermost(error: &dyn std::error::Error) -> String {
    let mut last = error;
    while let Some(source) = last.source() {
        last = source;
    }
    last.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_as_caddy_writes_them() {
        assert_eq!(Admin::parse("unix//run/a.sock"), Admin::Socket("/run/a.sock".into()));
        assert_eq!(Admin::parse("unix:///run/a.sock"), Admin::Socket("/run/a.sock".into()));
        assert_eq!(Admin::parse("localhost:2019"), Admin::Address("http://localhost:2019".into()));
        assert_eq!(Admin::parse("http://a:1/"), Admin::Address("http://a:1".into()));
    }
}
