//! Containers that stand still: by the engine's own pause, so that `docker ps` tells it, and who restarts us need not know.

use std::time::{Duration, Instant};

use bollard::models::{ContainerSummary, ContainerSummaryStateEnum as Summary};
use pw_run::Failure;

use super::connect::{Engine, said};
use super::label;
use super::list::{label_of, name_of};

/// Who hardly gets a processor takes long to come to where it can stand still, and the engine soon gives up.
const PATIENCE: Duration = Duration::from_secs(30);
const AGAIN: Duration = Duration::from_millis(200);

impl Engine {
    /// Freezes what runs of these services, in their order.
    pub(crate) async fn freeze_services(&self, project: &str, services: &[String]) -> Result<(), Failure> {
        let begun = Instant::now();
        for one in self.in_order(project, services, Summary::RUNNING).await? {
            while let Err(failure) = self.freeze(project, &one).await {
                if begun.elapsed() >= PATIENCE {
                    return Err(failure);
                }
                tokio::time::sleep(AGAIN).await;
            }
        }
        Ok(())
    }

    async fn freeze(&self, project: &str, one: &ContainerSummary) -> Result<(), Failure> {
        let id = one.id.as_deref().unwrap_or_default();
        match self.docker().await?.pause_container(id).await {
            Err(error) if self.is_in(project, one, Summary::RUNNING).await? => {
                Err(Failure::new(format!("could not freeze `{}`", name_of(one))).because(said(error)))
            }
            _ => Ok(()),
        }
    }

    /// Lets what stands still of these services go on, in their order.
    pub(crate) async fn thaw_services(&self, project: &str, services: &[String]) -> Result<(), Failure> {
        let docker = self.docker().await?;
        for one in self.in_order(project, services, Summary::PAUSED).await? {
            if let Err(error) = docker.unpause_container(one.id.as_deref().unwrap_or_default()).await
                && self.is_in(project, &one, Summary::PAUSED).await?
            {
                return Err(Failure::new(format!("could not thaw `{}`", name_of(&one))).because(said(error)));
            }
        }
        Ok(())
    }

    async fn in_order(
        &self,
        project: &str,
        services: &[String],
        state: Summary,
    ) -> Result<Vec<ContainerSummary>, Failure> {
        let mut found = self.guarded_containers(project, services).await?;
        found.retain(|one| one.state == Some(state));
        let place = |one: &ContainerSummary| {
            let service = label_of(one, label::SERVICE).unwrap_or_default();
            services.iter().position(|name| name == service)
        };
        found.sort_by_key(place);
        Ok(found)
    }

    /// A container that ended by itself meanwhile, or that somebody else was faster with, is no failure.
    async fn is_in(&self, project: &str, one: &ContainerSummary, state: Summary) -> Result<bool, Failure> {
        let now = self.summaries(&format!("{}={project}", label::PROJECT)).await?;
        Ok(now.iter().any(|found| found.id == one.id && found.state == Some(state)))
    }
}
