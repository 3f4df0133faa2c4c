//! Running `docker compose`, and reading what it says.

use std::collections::BTreeSet;
use std::io;
use std::process::{Output, Stdio};

use pw_run::Failure;
use tokio::io::AsyncWriteExt as _;
use tokio::process::{ChildStdin, Command};
use tokio::sync::OnceCell;

use crate::docker::endpoint;

/// Compose older than this hashes and merges differently.
const OLDEST: (u64, u64) = (2, 20);
const INSTALL: &str =
    "install the Compose plugin, 2.20 or newer: https://docs.docker.com/compose/install/linux/";
/// Variables that say how to reach things, not what the application is.
const KEPT: [&str; 8] =
    ["PATH", "HOME", "USER", "LANG", "LANGUAGE", "SSH_AUTH_SOCK", "TMPDIR", "BUILDKIT_PROGRESS"];
const KEPT_PREFIXES: [&str; 4] = ["DOCKER_", "BUILDX_", "LC_", "XDG_"];

/// What Compose says when it fails, as the cause of a failure: its last lines that mean something.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(super) struct ComposeSaid(pub(super) String);

/// A `docker compose` command that sees none of the caller's variables but those that it needs to run.
///
/// Compose lets variables of the shell beat the env file: production would differ from terminal to terminal.
pub(super) fn command() -> Command {
    docker("compose")
}

/// A `docker buildx` command, of which the same holds.
pub(super) fn builder() -> Command {
    docker("buildx")
}

fn docker(plugin: &str) -> Command {
    let mut command = Command::new("docker");
    command.arg(plugin).env_clear().envs(kept(std::env::vars()));
    // The same engine as the API's, whatever context is chosen.
    command.env("DOCKER_HOST", endpoint()).env_remove("DOCKER_CONTEXT");
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    command
}

fn kept(variables: impl Iterator<Item = (String, String)>) -> impl Iterator<Item = (String, String)> {
    variables.filter(|(name, _)| {
        KEPT.contains(&name.as_str()) || KEPT_PREFIXES.iter().any(|prefix| name.starts_with(prefix))
    })
}

pub(super) async fn output(mut command: Command) -> Result<Output, Failure> {
    command.output().await.map_err(not_run)
}

/// Runs with a text on standard input. Not through a file: the text holds secrets.
pub(super) async fn output_of(mut command: Command, input: &str) -> Result<Output, Failure> {
    let mut child = command.stdin(Stdio::piped()).spawn().map_err(not_run)?;
    let write = feed(child.stdin.take(), input);
    let ((), output) = tokio::join!(write, child.wait_with_output());
    output.map_err(not_run)
}

pub(super) async fn feed(pipe: Option<ChildStdin>, input: &str) {
    if let Some(mut pipe) = pipe {
        // A broken pipe means that the program gave up early; its own words say why.
        drop(pipe.write_all(input.as_bytes()).await);
    }
}

pub(super) fn not_run(error: io::Error) -> Failure {
    let missing = error.kind() == io::ErrorKind::NotFound;
    let failure = Failure::new("could not run `docker compose`").because(error);
    match missing {
        true => failure.hint("install Docker's command line: https://docs.docker.com/engine/install/"),
        false => failure,
    }
}

/// A failed run as a failure, with a hint where the plugin itself is the trouble.
pub(super) async fn failed(what: String, said: String) -> Failure {
    let missing = said.contains("is not a docker command") || said.contains("unknown docker command");
    let failure = Failure::new(what).because(ComposeSaid(said));
    if missing {
        return failure.hint(INSTALL);
    }
    match new_enough().await {
        Ok(()) => failure,
        Err(too_old) => too_old.because(failure),
    }
}

/// Compose's version, such as `2.26.1-4`; `None` when there is no plugin.
///
/// Asked once a process: three programs answer it, and a promotion wants to know five times.
pub async fn version() -> Option<String> {
    static ANSWERED: OnceCell<String> = OnceCell::const_new();
    ANSWERED.get_or_try_init(|| async { ask_version().await.ok_or(()) }).await.ok().cloned()
}

async fn ask_version() -> Option<String> {
    let mut command = command();
    command.args(["version", "--short"]);
    let output = output(command).await.ok().filter(|output| output.status.success())?;
    let text = String::from_utf8_lossy(&output.stdout);
    Some(text.trim().trim_start_matches('v').to_owned()).filter(|text| !text.is_empty())
}

/// The version of Docker's buildx; `None` where it is missing.
pub(super) async fn builder_version() -> Option<String> {
    let mut command = builder();
    command.arg("version");
    let output = output(command).await.ok().filter(|output| output.status.success())?;
    Some(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

pub(super) async fn new_enough() -> Result<(), Failure> {
    match version().await {
        Some(text) if parsed(&text).is_some_and(|version| version >= OLDEST) => Ok(()),
        Some(text) => Err(Failure::new(format!("Docker Compose {text} is too old")).hint(INSTALL)),
        None => Err(Failure::new("the Compose plugin of Docker is missing").hint(INSTALL)),
    }
}

fn parsed(version: &str) -> Option<(u64, u64)> {
    let mut parts = version.split('.').map_while(|part| part.parse().ok());
    Some((parts.next()?, parts.next()?))
}

/// One line of Compose's log, without time and level; `None` for lines that only report progress.
pub(super) fn message(line: &str) -> (Level, String) {
    let line = line.trim_end();
    let Some(rest) = line.strip_prefix("time=") else { return (Level::Plain, line.to_owned()) };
    let level = if rest.contains(" level=warning ") { Level::Warning } else { Level::Plain };
    let Some((_, quoted)) = rest.split_once(" msg=") else { return (Level::Plain, line.to_owned()) };
    (level, serde_json::from_str(quoted).unwrap_or_else(|_| quoted.to_owned()))
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Level {
    Warning,
    Plain,
}

/// What Compose wrote to standard error: warnings, and the rest.
pub(super) fn messages(stderr: &[u8]) -> (Vec<String>, Vec<String>) {
    let text = String::from_utf8_lossy(stderr);
    let lines = text.lines().map(message).filter(|(_, text)| !text.trim().is_empty());
    let (warnings, rest): (Vec<_>, Vec<_>) = lines.partition(|(level, _)| *level == Level::Warning);
    // Sorted, for Compose writes them in another order each time, and some of them twice.
    let warnings: BTreeSet<String> = warnings.into_iter().map(|(_, text)| text).collect();
    (warnings.into_iter().collect(), rest.into_iter().map(|(_, text)| text).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_and_level_are_taken_off() {
        let line = r#"time="2026-11-21T02:55:23Z" level=warning msg="The \"X\" variable is not set. Defaulting to a blank string.""#;
        let text = "The \"X\" variable is not set. Defaulting to a blank string.";
        assert_eq!(message(line), (Level::Warning, text.to_owned()));
        assert_eq!(message("yaml: line 4: x"), (Level::Plain, "yaml: line 4: x".to_owned()));
    }

    #[test]
    fn only_variables_that_say_how_to_reach_things_are_kept() {
        let given = ["PATH", "DOCKER_CONFIG", "COMPOSE_FILE", "POSTGRES_PASSWORD", "LC_ALL"];
        let left: Vec<String> =
            kept(given.iter().map(|name| ((*name).into(), String::new()))).map(|(name, _)| name).collect();
        assert_eq!(left, ["PATH", "DOCKER_CONFIG", "LC_ALL"]);
    }

    #[test]
    fn versions_compare() {
        assert_eq!(parsed("2.26.1-4"), Some((2, 26)));
        assert!(parsed("5.0.0") >= Some(OLDEST) && parsed("2.6.0") < Some(OLDEST));
    }
}
