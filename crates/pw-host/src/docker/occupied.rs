//! What somebody does in containers that nobody asks anything.

use std::collections::{BTreeSet, HashMap};

use bollard::models::{ContainerSummaryStateEnum as Summary, ProcessConfig};
use pw_run::Failure;

use super::connect::{Engine, said, status};
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
    /// Container and number of each command that was started in it, such as a shell. Its healthcheck is none.
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
            let config = inspected.config.unwrap_or_default();
            let check = config.healthcheck.and_then(|check| check.test).unwrap_or_default();
            for id in inspected.exec_ids.unwrap_or_default() {
                if !self.is_check(&id, &check).await? {
                    occupied.commands.insert((name.clone(), id));
                }
            }
            let labels = config.labels.unwrap_or_default();
            jobs.extend(awaited(&labels));
            let is_once = labels.get(label::ONE_OFF).is_some_and(|once| once == "True");
            services.push((name, is_once, labels.get(label::SERVICE).cloned().unwrap_or_default()));
        }
        let works = services.into_iter().filter(|(_, is_once, service)| *is_once || jobs.contains(service));
        occupied.works = works.map(|(name, ..)| name).collect();
        Ok(occupied)
    }

    /// True for a command that the engine itself runs to see whether a container is healthy, and for one that is over.
    async fn is_check(&self, id: &str, check: &[String]) -> Result<bool, Failure> {
        match self.docker().await?.inspect_exec(id).await {
            Ok(found) => Ok(found.process_config.is_some_and(|process| is_of(&process, check))),
            Err(error) if status(&error) == 404 => Ok(true),
            Err(error) => Err(Failure::new("could not inspect a command").because(said(error))),
        }
    }
}

/// `check` begins with `CMD`, or with `CMD-SHELL`, before whose words the engine puts a shell.
fn is_of(process: &ProcessConfig, check: &[String]) -> bool {
    let words: Vec<&String> = process.entrypoint.iter().chain(process.arguments.iter().flatten()).collect();
    check.len() > 1 && words.ends_with(&check[1..].iter().collect::<Vec<_>>())
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
    fn a_healthcheck_is_known_by_its_words() {
        let process = |words: &[&str]| ProcessConfig {
            entrypoint: words.first().map(|&word| word.to_owned()),
            arguments: Some(words[1..].iter().map(|&word| word.to_owned()).collect()),
            ..ProcessConfig::default()
        };
        let check = |words: &[&str]| words.iter().map(|&word| word.to_owned()).collect::<Vec<_>>();
        assert!(is_of(&process(&["/bin/sh", "-c", "pg_isready"]), &check(&["CMD-SHELL", "pg_isready"])));
        assert!(is_of(&process(&["redis-cli", "ping"]), &check(&["CMD", "redis-cli", "ping"])));
        assert!(!is_of(&process(&["redis-cli"]), &check(&["CMD", "redis-cli", "ping"])));
        assert!(!is_of(&process(&["/bin/sh"]), &check(&["NONE"])), "nothing is looked at");
        assert!(!is_of(&process(&["/bin/sh"]), &[]));
    }

    #[test]
    fn a_job_is_known_by_who_waits_for_its_end() {
        let labels = |text: &str| HashMap::from([(NEEDS.to_owned(), text.to_owned())]);
        let both = "db:service_healthy:true,migrate:service_completed_successfully:false";
        assert_eq!(awaited(&labels(both)), ["migrate"]);
        assert!(awaited(&labels("")).is_empty() && awaited(&HashMap::new()).is_empty());
    }
}
