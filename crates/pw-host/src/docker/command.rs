//! A command of a release that runs once, to its end.

use std::time::Duration;

use bollard::models::ContainerStateStatusEnum;
use bollard::query_parameters::{RemoveContainerOptionsBuilder, StopContainerOptions};
use pw_plan::step::CommandRun;
use pw_run::Failure;

use super::Ended;
use super::connect::{Engine, unless};
use crate::compose;

/// A command without a limit is given up after this: a day.
const NO_LIMIT: Duration = Duration::from_secs(86_400);

/// Who holds the lock may be done with it by then.
const PAUSE: Duration = Duration::from_secs(3);
/// What PostgreSQL says, in English or by number, when a lock was not to be had in time.
const REFUSED: [&str; 2] = ["canceling statement due to lock timeout", "55P03"];

/// What the command said.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct CommandSaid(String);

impl Engine {
    /// Runs the command, or waits for the one that a cut-off run started; refused a lock, it is tried again.
    ///
    /// Not one that must not run twice: nobody knows how much of it was done.
    pub(crate) async fn run_command(&self, run: &CommandRun) -> Result<(), Failure> {
        let mut left = if run.once { 0 } else { run.retries };
        loop {
            let ended = self.run_to_its_end(run).await?;
            if ended.code == Some(0) {
                return Ok(());
            }
            if left == 0 || !REFUSED.iter().any(|words| ended.words.contains(words)) {
                return Err(failed(run, &ended));
            }
            left -= 1;
            tokio::time::sleep(PAUSE).await;
        }
    }

    async fn run_to_its_end(&self, run: &CommandRun) -> Result<Ended, Failure> {
        let found = self.inspect_named(&run.container).await?;
        let state = found.and_then(|found| found.state).unwrap_or_default();
        let has_ended = state.status == Some(ContainerStateStatusEnum::EXITED) && state.exit_code == Some(0);
        let is_there = state.running.unwrap_or(false) || run.once && has_ended;
        if !is_there {
            self.forget_command(&run.container).await?;
            compose::run_once(&run.compose, &run.service, &run.container, (&variables(run), &run.command))
                .await?;
        }
        let limit = match run.total_milliseconds {
            0 => NO_LIMIT,
            limit => Duration::from_millis(limit),
        };
        let ended = self.await_job_in(&run.container, &run.service, limit).await?;
        if !(run.once && ended.code == Some(0)) {
            self.forget_command(&run.container).await?;
        }
        Ok(ended)
    }

    /// Stops a command that still runs, so that what is taken back does not go on changing the schema.
    pub(crate) async fn end_command(&self, run: &CommandRun) -> Result<(), Failure> {
        let stopped = self.docker().await?.stop_container(&run.container, None::<StopContainerOptions>).await;
        unless(&[304, 404], stopped, || format!("could not stop `{}`", run.container))?;
        self.forget_command(&run.container).await
    }

    async fn forget_command(&self, container: &str) -> Result<(), Failure> {
        let options = RemoveContainerOptionsBuilder::default().force(true).v(true).build();
        let removed = self.docker().await?.remove_container(container, Some(options)).await;
        unless(&[404, 409], removed, || format!("could not remove `{container}`"))
    }
}

fn failed(run: &CommandRun, ended: &Ended) -> Failure {
    let how = ended
        .code
        .map_or_else(|| "was stopped at its limit".to_owned(), |code| format!("ended with exit code {code}"));
    let failure = Failure::new(format!("`{}` in `{}` {how}", run.command.join(" "), run.service));
    let words = format!("its last lines were\n{}", ended.words);
    failure.because(CommandSaid(words)).hint("rehearse it: `partywall rehearse`")
}

/// Limits that every client library of PostgreSQL's own family takes from its environment.
fn variables(run: &CommandRun) -> Vec<String> {
    let limits = [("lock_timeout", run.lock_milliseconds), ("statement_timeout", run.total_milliseconds)];
    // Each by itself: who leaves one out has not asked for the other to go.
    let set: Vec<String> = limits
        .iter()
        .filter(|(_, limit)| *limit > 0)
        .map(|(name, limit)| format!("-c {name}={limit}"))
        .collect();
    if set.is_empty() { Vec::new() } else { vec![format!("PGOPTIONS={}", set.join(" "))] }
}

#[cfg(test)]
mod tests {
    use pw_plan::step::ComposeRun;

    use super::*;

    #[test]
    fn each_limit_stands_for_itself() {
        let run = |lock_milliseconds, total_milliseconds| CommandRun {
            compose: ComposeRun { project: "p".into(), file: "f".into() },
            service: "web".into(),
            container: "c".into(),
            command: Vec::new(),
            lock_milliseconds,
            total_milliseconds,
            retries: 0,
            once: false,
        };
        assert_eq!(variables(&run(2, 60)), ["PGOPTIONS=-c lock_timeout=2 -c statement_timeout=60"]);
        assert_eq!(variables(&run(0, 60)), ["PGOPTIONS=-c statement_timeout=60"]);
        assert_eq!(variables(&run(0, 0)), Vec::<String>::new());
    }
}
