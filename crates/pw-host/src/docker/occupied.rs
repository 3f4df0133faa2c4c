//! What somebody does in containers that nobody asks anything.

use std::collections::{BTreeSet, HashMap};

use bollard::models::ContainerSummaryStateEnum as Summary;
use pw_run::Failure;

use super::connect::Engine;
use super::label;
use super::throttle::is_throttled;

/// `migrate:service_completed_successfully:false,db:service_healthy:true`
const NEEDS: &str = "com.docker.compose.depends_on";
const ENDED: &str = "service_completed_successfully";

/// What goes on in a Compose project without any request.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Occupied {
    /// Containers that run at all.
    pub running: usize,
    /// Those of them that sleep and go on.
    pub throttled: usize,
    /// Container and number of each command that was started in it: a shell, or for a moment a healthcheck.
    pub commands: BTreeSet<(String, String)>,
    /// Jobs and one-off commands that have not ended.
    pub works: Vec<String>,
}

impl Engine {
    /// # Errors
    /// The engine does not answer.
    pub async fn occupied(&self, compose_project: &str) -> Result<Occupied, Failure> {
        let found = self.summaries(&format!("{}={compose_project}", label::PROJECT)).await?;
        let own = found.into_iter().filter(|one| one.state == Some(Summary::RUNNING));
        let names: Vec<String> = own.filter_map(|one| one.names?.into_iter().next()).collect();
        let (mut occupied, mut services, mut jobs) = (Occupied::default(), Vec::new(), BTreeSet::new());
        for name in names {
            let Some(inspected) = self.inspect_named(name.trim_start_matches('/')).await? else { continue };
            occupied.running += 1;
            occupied.throttled += usize::from(inspected.host_config.as_ref().is_some_and(is_throttled));
            let name = name.trim_start_matches('/').to_owned();
            let commands = inspected.exec_ids.unwrap_or_default();
            occupied.commands.extend(commands.into_iter().map(|id| (name.clone(), id)));
            let labels = inspected.config.and_then(|config| config.labels).unwrap_or_default();
            jobs.extend(awaited(&labels));
            let is_once = labels.get(label::ONE_OFF).is_some_and(|once| once == "True");
            services.push((name, is_once, labels.get(label::SERVICE).cloned().unwrap_or_default()));
        }
        let works = services.into_iter().filter(|(_, is_once, service)| *is_once || jobs.contains(service));
        occupied.works = works.map(|(name, ..)| name).collect();
        Ok(occupied)
    }
}

/// Services whose end somebody waits for.
fn awaited(labels: &HashMap<String, String>) -> Vec<String> {
    let needs = labels.get(NEEDS).map(String::as_str).unwrap_or_default();
    let parts = needs.split(',').filter_map(|one| one.split_once(':'));
    parts.filter(|(_, how)| how.starts_with(ENDED)).map(|(service, _)| service.to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_is_known_by_who_waits_for_its_end() {
        let labels = |text: &str| HashMap::from([(NEEDS.to_owned(), text.to_owned())]);
        let both = "db:service_healthy:true,migrate:service_completed_successfully:false";
        assert_eq!(awaited(&labels(both)), ["migrate"]);
        assert!(awaited(&labels("")).is_empty() && awaited(&HashMap::new()).is_empty());
    }
}
