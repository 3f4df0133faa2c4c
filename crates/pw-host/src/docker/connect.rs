//! The connection, made when it is first needed, and what is said when it cannot be made.

use std::error::Error as _;
use std::io;

use bollard::Docker;
use bollard::errors::Error;
use pw_model::ProjectName;
use pw_run::Failure;
use tokio::sync::OnceCell;

const DEFAULT_ENDPOINT: &str = "unix:///var/run/docker.sock";

/// The engine, as one project may use it.
pub struct Engine {
    pub(super) project: String,
    docker: OnceCell<Docker>,
}

/// What the engine answered, without the client library's words around it.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(super) struct EngineSaid(String);

/// Where the engine listens: `DOCKER_HOST`, or the usual socket. Compose is run with the same, so that both talk to one engine.
pub(crate) fn endpoint() -> String {
    std::env::var("DOCKER_HOST")
        .ok()
        .filter(|host| !host.is_empty())
        .unwrap_or_else(|| DEFAULT_ENDPOINT.into())
}

impl Engine {
    /// Connects to nothing yet.
    pub fn new(project: &ProjectName) -> Self {
        Self { project: project.to_string(), docker: OnceCell::new() }
    }

    /// The client, speaking the engine's own API version: engines refuse versions that are too old or too new.
    pub async fn docker(&self) -> Result<&Docker, Failure> {
        self.docker.get_or_try_init(|| connect(endpoint())).await
    }
}

async fn connect(endpoint: String) -> Result<Docker, Failure> {
    let docker = Docker::connect_with_host(&endpoint).map_err(|error| unreachable(&endpoint, error))?;
    docker.negotiate_version().await.map_err(|error| unreachable(&endpoint, error))
}

fn unreachable(endpoint: &str, error: Error) -> Failure {
    let socket = endpoint.strip_prefix("unix://").unwrap_or(endpoint);
    match cause(&error) {
        Some(io::ErrorKind::PermissionDenied) => {
            Failure::new(format!("may not open the Docker socket `{socket}`")).hint(
                "run it as root, or `sudo usermod -aG docker $USER` and log in again; a member of the group `docker` is as mighty as root",
            )
        }
        Some(io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused) => {
            Failure::new(format!("no Docker Engine answers at `{socket}`"))
                .because(said(error))
                .hint("start it: `sudo systemctl start docker`; or set DOCKER_HOST to where it listens")
        }
        _ => Failure::new(format!("could not talk to the Docker Engine at `{socket}`")).because(said(error)),
    }
}

fn cause(error: &Error) -> Option<io::ErrorKind> {
    if let Error::SocketNotFoundError(path) = error {
        // The library asks `exists`, which is also false for a folder that may not be entered.
        return Some(std::fs::metadata(path).err().map_or(io::ErrorKind::NotFound, |error| error.kind()));
    }
    let mut next = error.source();
    while let Some(source) = next {
        if let Some(io) = source.downcast_ref::<io::Error>() {
            return Some(io.kind());
        }
        next = source.source();
    }
    None
}

/// The innermost cause, for the chain of a failure.
pub(super) fn said(error: Error) -> EngineSaid {
    if let Error::DockerResponseServerError { message, .. } = error {
        return EngineSaid(message.trim().to_owned());
    }
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(source) = next {
        text = source.to_string();
        next = source.source();
    }
    EngineSaid(text)
}

/// The HTTP status of a refusal, 0 when the engine did not answer.
pub(super) fn status(error: &Error) -> u16 {
    match error {
        Error::DockerResponseServerError { status_code, .. } => *status_code,
        _ => 0,
    }
}

/// Success where the engine says that it is so already.
pub(super) fn unless(
    codes: &[u16],
    result: Result<(), Error>,
    what: impl Fn() -> String,
) -> Result<(), Failure> {
    match result {
        Err(error) if !codes.contains(&status(&error)) => Err(Failure::new(what()).because(said(error))),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_missing_socket_is_named() {
        let failure = connect("unix:///nowhere/docker.sock".into()).await.expect_err("nothing listens");
        assert_eq!(failure.what, "no Docker Engine answers at `/nowhere/docker.sock`");
        assert!(failure.hint.is_some_and(|hint| hint.contains("DOCKER_HOST")));
    }

    #[tokio::test]
    async fn a_socket_that_nobody_serves_is_refused() {
        let folder = tempfile::tempdir().expect("a temp dir");
        let path = folder.path().join("docker.sock");
        drop(std::os::unix::net::UnixListener::bind(&path).expect("a socket"));
        let failure = connect(format!("unix://{}", path.display())).await.expect_err("nobody serves");
        assert!(failure.what.starts_with("no Docker Engine answers at"), "{failure}");
    }
}
