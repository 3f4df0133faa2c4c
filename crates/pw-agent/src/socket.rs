//! The agent's socket: who connects is told how the agent fares, in one line of JSON.

use std::io::{self, Read as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::Duration;

use pw_run::Failure;
use tokio::io::AsyncWriteExt as _;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::mpsc::Sender;

use crate::event::Event;
use crate::status::Status;

/// A status that does not come in this time does not come.
const PATIENCE: Duration = Duration::from_millis(500);

pub(crate) fn listen(path: &str, events: Sender<Event>) -> Result<(), Failure> {
    let wrong = |error| Failure::new(format!("could not listen at `{path}`")).because(error);
    // Left by an agent that was killed: the lock says that it is nobody's.
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(wrong(error)),
        _ => {}
    }
    let listener = UnixListener::bind(path).map_err(wrong)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).map_err(wrong)?;
    tokio::spawn(async move {
        loop {
            match listener.accept().await {
                Ok((stream, _)) => {
                    if events.send(Event::Asked(stream)).await.is_err() {
                        return;
                    }
                }
                // Out of file descriptors, perhaps: not for long.
                Err(_) => tokio::time::sleep(PATIENCE).await,
            }
        }
    });
    Ok(())
}

/// Answers beside the loop, which waits for nobody.
pub(crate) fn answer(mut stream: UnixStream, status: &Status) {
    let text = serde_json::to_string(status).unwrap_or_default();
    tokio::spawn(tokio::time::timeout(PATIENCE, async move {
        drop(stream.write_all(text.as_bytes()).await);
    }));
}

/// The status of the agent behind a socket; `None` when nobody answers.
pub fn ask(path: &Path) -> Option<Status> {
    let mut stream = std::os::unix::net::UnixStream::connect(path).ok()?;
    stream.set_read_timeout(Some(PATIENCE)).ok()?;
    let mut text = String::new();
    stream.read_to_string(&mut text).ok()?;
    serde_json::from_str(&text).ok()
}
