//! The first process of a container, by which its namespaces are entered.

use bollard::models::{ContainerInspectResponse, ContainerSummary};
use pw_run::Failure;

use super::connect::Engine;
use super::label;
use super::list::label_of;

impl Engine {
    /// Its number on this host; `None` when the container does not run.
    ///
    /// # Errors
    /// The engine does not answer.
    pub async fn first_process(&self, container: &str) -> Result<Option<i32>, Failure> {
        Ok(self.inspect_named(container).await?.as_ref().and_then(of))
    }

    /// Ids of the containers of a Compose project that run, one-off runs left out.
    ///
    /// # Errors
    /// The engine does not answer.
    pub async fn running_ids(&self, compose_project: &str) -> Result<Vec<String>, Failure> {
        let found = self.summaries(&format!("{}={compose_project}", label::PROJECT)).await?;
        let runs = |one: &ContainerSummary| {
            label_of(one, label::ONE_OFF) != Some("True")
                && one.state.is_some_and(|state| state.to_string() == "running")
        };
        Ok(found.into_iter().filter(runs).filter_map(|one| one.id).collect())
    }
}

pub(crate) fn of(found: &ContainerInspectResponse) -> Option<i32> {
    let pid = found.state.as_ref()?.pid?;
    i32::try_from(pid).ok().filter(|pid| *pid > 0)
}
