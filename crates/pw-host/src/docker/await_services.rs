//! Waiting until services are up.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use bollard::models::ContainerInspectResponse;
use bollard::query_parameters::InspectContainerOptions;
use futures_util::future::try_join_all;
use jiff::Timestamp;
use pw_run::Failure;

use super::connect::{Engine, said, status};
use super::label;
use super::list::{label_of, name_of};
use super::verdict::{Verdict, has_ended, label_in, verdict};

const POLL: Duration = Duration::from_millis(200);
/// What takes no longer than this needs no word.
const SILENT: Duration = Duration::from_secs(2);

/// What is waited for.
#[derive(Debug, Clone, Copy)]
pub struct Awaited<'a> {
    pub project: &'a str,
    pub services: &'a [String],
    pub timeout_seconds: u64,
    /// Each is a job: one that runs is not over.
    pub ended: bool,
}

type OnLine<'a> = Option<&'a (dyn Fn(&str) + Send + Sync)>;

impl Engine {
    /// Waits until each service is up or has ended well; fails at once where waiting cannot help.
    ///
    /// `on_line` is told which services are waited for, whenever that changes.
    pub async fn await_services(&self, awaited: Awaited<'_>, on_line: OnLine<'_>) -> Result<(), Failure> {
        let begun = Instant::now();
        let (mut crashes, mut told) = (HashMap::new(), String::new());
        loop {
            let waiting = self.not_up_yet(awaited, &mut crashes).await?;
            let Some((service, why)) = waiting.first() else { return Ok(()) };
            if begun.elapsed() >= Duration::from_secs(awaited.timeout_seconds) {
                let why = format!("{why} after {} s", awaited.timeout_seconds);
                return Err(self.not_up(awaited.project, service, &why).await);
            }
            let text = listed(&waiting);
            if begun.elapsed() >= SILENT && text != told {
                on_line.iter().for_each(|tell| tell(&text));
                told = text;
            }
            tokio::time::sleep(POLL).await;
        }
    }

    /// The services that are not up yet, each with the reason; a failure when one never will be.
    async fn not_up_yet(
        &self,
        awaited: Awaited<'_>,
        crashes: &mut HashMap<String, i64>,
    ) -> Result<Vec<(String, &'static str)>, Failure> {
        let found = self.inspect_services(awaited.project).await?;
        let mut waiting = Vec::new();
        for service in awaited.services {
            let of_service: Vec<_> =
                found.iter().filter(|one| label_in(one, label::SERVICE) == Some(service)).collect();
            let mut why = of_service.is_empty().then_some("has no container");
            for one in of_service {
                let verdict = match self.verdict(one, crashes) {
                    Verdict::Up if awaited.ended && !has_ended(one) => Verdict::NotYet("still runs"),
                    verdict => verdict,
                };
                match verdict {
                    Verdict::Up => {}
                    Verdict::NotYet(reason) => why = why.or(Some(reason)),
                    Verdict::Failed(reason) => {
                        return Err(self.not_up(awaited.project, service, &reason).await);
                    }
                }
            }
            waiting.extend(why.map(|why| (service.clone(), why)));
        }
        Ok(waiting)
    }

    fn verdict(&self, one: &ContainerInspectResponse, crashes: &mut HashMap<String, i64>) -> Verdict {
        let count = one.restart_count.unwrap_or(0);
        let first = *crashes.entry(one.id.clone().unwrap_or_default()).or_insert(count);
        verdict(one, count - first, Timestamp::now())
    }

    pub(super) async fn inspect_services(
        &self,
        project: &str,
    ) -> Result<Vec<ContainerInspectResponse>, Failure> {
        let found = self.summaries(&format!("{}={project}", label::PROJECT)).await?;
        let services = found.iter().filter(|one| label_of(one, label::ONE_OFF) != Some("True"));
        let docker = self.docker().await?;
        let asked = services.map(async |one| {
            let id = one.id.as_deref().unwrap_or_default();
            match docker.inspect_container(id, None::<InspectContainerOptions>).await {
                Ok(found) => Ok(Some(found)),
                // Recreated between the two calls.
                Err(error) if status(&error) == 404 => Ok(None),
                Err(error) => {
                    Err(Failure::new(format!("could not inspect `{}`", name_of(one))).because(said(error)))
                }
            }
        });
        Ok(try_join_all(asked).await?.into_iter().flatten().collect())
    }

    /// Says of which service it was that Compose gave up, for it names only the container.
    pub(crate) async fn explain_start(
        &self,
        project: &str,
        started: Result<(), Failure>,
    ) -> Result<(), Failure> {
        let Err(failure) = started else { return Ok(()) };
        let found = self.inspect_services(project).await.unwrap_or_default();
        let guilty = found.iter().find_map(|one| match verdict(one, 0, Timestamp::now()) {
            Verdict::Failed(why) => Some((label_in(one, label::SERVICE)?, why)),
            _ => None,
        });
        match guilty {
            Some((service, why)) => Err(self.not_up(project, service, &why).await),
            None => Err(failure),
        }
    }
}

/// `waiting for web (is still not healthy), worker (is still restarting)`
fn listed(waiting: &[(String, &str)]) -> String {
    let each: Vec<String> = waiting.iter().map(|(service, why)| format!("{service} ({why})")).collect();
    format!("waiting for {}", each.join(", "))
}
