//! Which containers of a project run, and when that changes.

use std::collections::HashMap;
use std::path::PathBuf;

use bollard::query_parameters::{EventsOptionsBuilder, ListContainersOptionsBuilder, ListVolumesOptions};
use futures_util::StreamExt as _;
use pw_model::ProjectName;
use pw_run::Failure;

use super::connect::{Engine, said};
use super::label;
use super::list::{label_of, name_of};

/// A container that runs.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Running {
    pub environment: String,
    pub service: String,
    pub name: String,
    pub id: String,
}

impl Engine {
    /// Running containers of all environments of a project, one-off runs too. One call.
    ///
    /// # Errors
    /// The engine does not answer.
    pub async fn running(&self, project: &ProjectName) -> Result<Vec<Running>, Failure> {
        let filters = HashMap::from([
            ("label", vec![format!("{}={project}", label::OUR_PROJECT)]),
            ("status", vec!["running".to_owned()]),
        ]);
        let options = ListContainersOptionsBuilder::default().filters(&filters).build();
        let found = self.docker().await?.list_containers(Some(options)).await;
        let found = found.map_err(|error| Failure::new("could not list containers").because(said(error)))?;
        let mut running: Vec<Running> = found
            .iter()
            .filter_map(|summary| {
                Some(Running {
                    environment: label_of(summary, label::OUR_ENVIRONMENT)?.to_owned(),
                    service: label_of(summary, label::SERVICE)?.to_owned(),
                    name: name_of(summary),
                    id: summary.id.clone()?,
                })
            })
            .collect();
        running.sort();
        Ok(running)
    }

    /// Waits until a container of the project has started or ended.
    ///
    /// # Errors
    /// The engine does not answer, or ended.
    pub async fn change(&self, project: &ProjectName) -> Result<(), Failure> {
        let filters = HashMap::from([
            ("type", vec!["container".to_owned()]),
            ("event", vec!["start".to_owned(), "die".to_owned()]),
            ("label", vec![format!("{}={project}", label::OUR_PROJECT)]),
        ]);
        let options = EventsOptionsBuilder::default().filters(&filters).build();
        let mut events = std::pin::pin!(self.docker().await?.events(Some(options)));
        match events.next().await {
            Some(Ok(_)) => Ok(()),
            Some(Err(error)) => {
                Err(Failure::new("the engine told no more of containers").because(said(error)))
            }
            None => Err(Failure::new("the engine told no more of containers")),
        }
    }

    /// The folders of this host in which the volumes of a Compose project lie.
    ///
    /// # Errors
    /// The engine does not answer.
    pub async fn volume_folders(&self, project: &str) -> Result<Vec<PathBuf>, Failure> {
        let found = self.docker().await?.list_volumes(None::<ListVolumesOptions>).await;
        let found = found.map_err(|error| Failure::new("could not list volumes").because(said(error)))?;
        let all = found.volumes.into_iter().flatten();
        let own = all.filter(|one| one.labels.get(label::PROJECT).is_some_and(|own| own == project));
        Ok(own.map(|volume| volume.mountpoint.into()).collect())
    }

    /// The folders of this host into which the containers of a Compose project write what goes to no volume, where the
    /// engine keeps it in folders.
    ///
    /// # Errors
    /// The engine does not answer.
    pub async fn written_folders(&self, project: &str) -> Result<Vec<PathBuf>, Failure> {
        let mut folders = Vec::new();
        for summary in self.summaries(&format!("{}={project}", label::PROJECT)).await? {
            let Some(id) = summary.id else { continue };
            let found = self.inspect_named(&id).await?;
            let kept = found.and_then(|found| found.graph_driver).map(|driver| driver.data);
            folders.extend(kept.and_then(|mut data| data.remove("UpperDir")).map(PathBuf::from));
        }
        Ok(folders)
    }
}
