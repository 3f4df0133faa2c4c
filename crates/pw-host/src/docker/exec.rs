//! Commands inside running containers, with their streams.

use std::pin::Pin;
use std::time::{Duration, Instant};

use bollard::container::LogOutput;
use bollard::errors::Error;
use bollard::exec::{CreateExecOptions, StartExecOptions, StartExecResults};
use futures_util::{Stream, StreamExt as _};
use pw_run::Failure;
use tokio::io::{AsyncWrite, AsyncWriteExt as _};

use super::connect::{Engine, said};

/// Bytes of a stream that are handed on at once.
const CHUNK: usize = 256 * 1024;
/// The longest that the engine takes to notice that a command has ended.
const NOTICED: Duration = Duration::from_secs(10);
/// What is kept of a command's complaints.
const KEPT: usize = 4 * 1024;

/// A shell script, with what it is told in variables: an argument would stand in every list of processes.
pub(crate) struct Script<'a> {
    pub(crate) container: &'a str,
    pub(crate) text: &'a str,
    pub(crate) variables: &'a [(&'a str, &'a str)],
}

/// A command that runs inside a container.
pub(crate) struct Running {
    id: String,
    pub(crate) output: Pin<Box<dyn Stream<Item = Result<LogOutput, Error>> + Send>>,
    pub(crate) input: Pin<Box<dyn AsyncWrite + Send>>,
}

/// What a command said and how it ended.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) out: String,
    pub(crate) complaints: String,
    pub(crate) code: i64,
}

/// A command's complaints, as the cause of a failure.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Complained(pub(crate) String);

impl Engine {
    pub(crate) async fn start_script(&self, script: &Script<'_>) -> Result<Running, Failure> {
        let failed = |error| {
            Failure::new(format!("could not run a command in `{}`", script.container)).because(said(error))
        };
        let docker = self.docker().await?;
        let options = CreateExecOptions {
            attach_stdin: Some(true),
            attach_stdout: Some(true),
            attach_stderr: Some(true),
            env: Some(script.variables.iter().map(|(name, value)| format!("{name}={value}")).collect()),
            cmd: Some(["sh", "-c", script.text].map(str::to_owned).to_vec()),
            ..CreateExecOptions::default()
        };
        let id = docker.create_exec(script.container, options).await.map_err(failed)?.id;
        let start = StartExecOptions { output_capacity: Some(CHUNK), ..StartExecOptions::default() };
        match docker.start_exec(&id, Some(start)).await.map_err(failed)? {
            StartExecResults::Attached { output, input } => Ok(Running { id, output, input }),
            StartExecResults::Detached => {
                Err(Failure::new("the engine let go of a command that was to be watched"))
            }
        }
    }

    /// Runs to the end with nothing on its standard input.
    pub(crate) async fn run_script(&self, script: &Script<'_>) -> Result<Said, Failure> {
        let mut running = self.start_script(script).await?;
        drop(running.input.shutdown().await);
        let (mut out, mut complaints) = (Vec::new(), Vec::new());
        while let Some(Ok(chunk)) = running.output.next().await {
            match chunk {
                LogOutput::StdErr { message } => keep(&mut complaints, &message),
                other => out.extend_from_slice(&other.into_bytes()),
            }
        }
        let code = self.exit_code(&running).await?;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
        Ok(Said { out: text(&out), complaints: text(&complaints), code })
    }

    /// How a command ended whose output has ended; the engine notices the end a little later.
    pub(crate) async fn exit_code(&self, running: &Running) -> Result<i64, Failure> {
        let until = Instant::now() + NOTICED;
        loop {
            let found = self.docker().await?.inspect_exec(&running.id).await;
            let found = found
                .map_err(|error| Failure::new("could not ask how a command ended").because(said(error)))?;
            match found.exit_code {
                Some(code) if found.running != Some(true) => return Ok(code),
                _ if Instant::now() >= until => return Ok(-1),
                _ => tokio::time::sleep(Duration::from_millis(20)).await,
            }
        }
    }
}

/// The last of what is said.
pub(crate) fn keep(kept: &mut Vec<u8>, more: &[u8]) {
    kept.extend_from_slice(more);
    let extra = kept.len().saturating_sub(KEPT);
    kept.drain(..extra);
}
