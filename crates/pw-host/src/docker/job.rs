//! Jobs: services that end by themselves, waited for with a limit.

use std::time::Duration;

use bollard::query_parameters::{KillContainerOptions, WaitContainerOptions};
use futures_util::StreamExt as _;
use pw_run::Failure;

use super::connect::{Engine, unless};

/// How a job ended, with its last lines.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ended {
    /// `None` for one that was killed at its limit.
    pub code: Option<i64>,
    pub words: String,
}

impl Engine {
    /// Waits until a started job has ended; kills it at the limit.
    ///
    /// # Errors
    /// The engine does not answer, or there is no such container.
    pub async fn await_job(&self, project: &str, service: &str, limit: Duration) -> Result<Ended, Failure> {
        let container = self.container_of(project, service).await?;
        self.await_job_in(&container, service, limit).await
    }

    /// The same of one container by its name.
    pub(crate) async fn await_job_in(
        &self,
        container: &str,
        service: &str,
        limit: Duration,
    ) -> Result<Ended, Failure> {
        let docker = self.docker().await?;
        let mut waited = docker.wait_container(container, None::<WaitContainerOptions>);
        let code = match tokio::time::timeout(limit, waited.next()).await {
            Ok(Some(Ok(ended))) => Some(ended.status_code),
            // The library makes an error of every exit code but 0.
            Ok(Some(Err(bollard::errors::Error::DockerContainerWaitError { code, .. }))) => Some(code),
            Ok(_) => Some(-1),
            Err(_) => {
                let killed = docker.kill_container(container, None::<KillContainerOptions>).await;
                unless(&[404, 409], killed, || format!("could not stop `{service}`"))?;
                None
            }
        };
        Ok(Ended { code, words: self.last_lines(container).await })
    }
}
