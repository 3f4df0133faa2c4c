//! Waiting until services are up, and saying why one is not.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use bollard::container::LogOutput;
use bollard::models::ContainerInspectResponse;
use bollard::query_parameters::{InspectContainerOptions, LogsOptionsBuilder};
use futures_util::StreamExt as _;
use futures_util::future::try_join_all;
use jiff::Timestamp;
use pw_run::Failure;

use super::connect::{Engine, said, status};
use super::label;
use super::list::{label_of, name_of};

const POLL: Duration = Duration::from_millis(200);
/// A container without a healthcheck counts as up when it has run this long.
const SETTLED: Duration = Duration::from_secs(1);
/// One that has crashed before must run longer to be believed.
const SETTLED_AFTER_CRASH: Duration = Duration::from_secs(5);
/// Applications that start before their database crash a few times and then run.
const CRASHES_TOLERATED: i64 = 5;
const LOG_LINES: usize = 15;

/// What one look at a container says.
#[derive(Debug, PartialEq)]
enum Verdict {
    Up,
    NotYet(&'static str),
    Failed(String),
}

/// The last words of a container, as a cause.
#[derive(Debug, thiserror::Error)]
#[error("its last lines were\n{0}")]
struct LastLines(String);

impl Engine {
    /// Waits until each service is up or has ended well; fails at once where waiting cannot help.
    pub async fn await_services(
        &self,
        project: &str,
        services: &[String],
        timeout_seconds: u64,
    ) -> Result<(), Failure> {
        let until = Instant::now() + Duration::from_secs(timeout_seconds);
        let mut crashes = HashMap::new();
        loop {
            let Some((service, why)) = self.first_not_up(project, services, &mut crashes).await? else {
                return Ok(());
            };
            if Instant::now() >= until {
                return Err(self
                    .not_up(project, &service, &format!("{why} after {timeout_seconds} s"))
                    .await);
            }
            tokio::time::sleep(POLL).await;
        }
    }

    /// The first service that is not up yet, with the reason; a failure when one never will be.
    async fn first_not_up(
        &self,
        project: &str,
        services: &[String],
        crashes: &mut HashMap<String, i64>,
    ) -> Result<Option<(String, &'static str)>, Failure> {
        let found = self.inspect_services(project).await?;
        let mut waiting = None;
        for service in services {
            let mut of_service =
                found.iter().filter(|one| label_in(one, label::SERVICE) == Some(service)).peekable();
            if of_service.peek().is_none() {
                waiting = waiting.or(Some((service.clone(), "has no container")));
            }
            for one in of_service {
                match self.verdict(one, crashes) {
                    Verdict::Up => {}
                    Verdict::NotYet(why) => waiting = waiting.or(Some((service.clone(), why))),
                    Verdict::Failed(why) => return Err(self.not_up(project, service, &why).await),
                }
            }
        }
        Ok(waiting)
    }

    fn verdict(&self, one: &ContainerInspectResponse, crashes: &mut HashMap<String, i64>) -> Verdict {
        let count = one.restart_count.unwrap_or(0);
        let first = *crashes.entry(one.id.clone().unwrap_or_default()).or_insert(count);
        verdict(one, count - first, Timestamp::now())
    }

    async fn inspect_services(&self, project: &str) -> Result<Vec<ContainerInspectResponse>, Failure> {
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

    async fn not_up(&self, project: &str, service: &str, why: &str) -> Failure {
        let failure = Failure::new(format!("service `{service}` {why}"));
        let found = self.summaries(&format!("{}={project}", label::PROJECT)).await.unwrap_or_default();
        let Some(one) = found.iter().find(|one| label_of(one, label::SERVICE) == Some(service)) else {
            return failure;
        };
        let failure = failure.hint(match label_of(one, label::OUR_ENVIRONMENT) {
            Some(environment) => format!("partywall logs {environment} {service}"),
            None => format!("docker logs {}", name_of(one)),
        });
        match self.last_lines(one.id.as_deref().unwrap_or_default()).await {
            lines if lines.is_empty() => failure,
            lines => failure.because(LastLines(lines)),
        }
    }

    /// The last lines that a container wrote, indented; empty when there are none or they cannot be read.
    async fn last_lines(&self, container: &str) -> String {
        let Ok(docker) = self.docker().await else { return String::new() };
        let options =
            LogsOptionsBuilder::default().stdout(true).stderr(true).tail(&LOG_LINES.to_string()).build();
        let chunks: Vec<LogOutput> =
            docker.logs(container, Some(options)).filter_map(async |line| line.ok()).collect().await;
        let text: String = chunks
            .into_iter()
            .map(|chunk| String::from_utf8_lossy(&chunk.into_bytes()).into_owned())
            .collect();
        text.lines().map(|line| format!("  {}", line.trim_end())).collect::<Vec<_>>().join("\n")
    }

    /// Adds the last lines of the service on which Compose gave up, for it names only the container.
    pub(crate) async fn explain_start(
        &self,
        project: &str,
        started: Result<(), Failure>,
    ) -> Result<(), Failure> {
        let Err(failure) = started else { return Ok(()) };
        let found = self.inspect_services(project).await.unwrap_or_default();
        let guilty = found.iter().find_map(|one| {
            let Verdict::Failed(why) = verdict(one, 0, Timestamp::now()) else { return unhealthy(one) };
            Some((label_in(one, label::SERVICE)?, why))
        });
        match guilty {
            Some((service, why)) => Err(self.not_up(project, service, &why).await),
            None => Err(failure),
        }
    }
}

fn unhealthy(one: &ContainerInspectResponse) -> Option<(&str, String)> {
    (health(one) == "unhealthy").then_some((label_in(one, label::SERVICE)?, "is unhealthy".into()))
}

fn label_in<'a>(one: &'a ContainerInspectResponse, key: &str) -> Option<&'a str> {
    one.config.as_ref()?.labels.as_ref()?.get(key).map(String::as_str)
}

fn health(one: &ContainerInspectResponse) -> String {
    let health = one.state.as_ref().and_then(|state| state.health.as_ref()?.status);
    health.map(|status| status.to_string()).unwrap_or_default()
}

fn restarts(one: &ContainerInspectResponse) -> bool {
    let policy = one.host_config.as_ref().and_then(|config| config.restart_policy.as_ref()?.name);
    matches!(policy.map(|name| name.to_string()).as_deref(), Some("always" | "unless-stopped"))
}

fn verdict(one: &ContainerInspectResponse, crashes: i64, now: Timestamp) -> Verdict {
    let state = one.state.clone().unwrap_or_default();
    let status = state.status.map(|status| status.to_string()).unwrap_or_default();
    let code = state.exit_code.unwrap_or(0);
    if crashes >= CRASHES_TOLERATED {
        return Verdict::Failed(format!("restarts over and over (exit code {code})"));
    }
    match status.as_str() {
        "running" => running(one, &health(one), crashes, now),
        "exited" if code == 0 && !restarts(one) => Verdict::Up,
        "exited" if code == 0 => Verdict::NotYet("has ended and is not started again"),
        "exited" | "dead" => Verdict::Failed(format!("ended with exit code {code}")),
        "restarting" => Verdict::NotYet("is still restarting"),
        "paused" => Verdict::NotYet("is still paused"),
        _ => Verdict::NotYet("is still not started"),
    }
}

fn running(one: &ContainerInspectResponse, health: &str, crashes: i64, now: Timestamp) -> Verdict {
    match health {
        "healthy" => Verdict::Up,
        "starting" => Verdict::NotYet("is still not healthy"),
        "unhealthy" => Verdict::NotYet("is still unhealthy"),
        _ if ran(one, now) >= if crashes > 0 { SETTLED_AFTER_CRASH } else { SETTLED } => Verdict::Up,
        _ => Verdict::NotYet("does not stay up"),
    }
}

fn ran(one: &ContainerInspectResponse, now: Timestamp) -> Duration {
    let since = one.state.as_ref().and_then(|state| state.started_at.as_ref()?.parse::<Timestamp>().ok());
    since.and_then(|since| Duration::try_from(now.duration_since(since)).ok()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn container(state: serde_json::Value, policy: &str) -> ContainerInspectResponse {
        let json = serde_json::json!({"State": state, "HostConfig": {"RestartPolicy": {"Name": policy}}});
        serde_json::from_value(json).expect("an inspect answer")
    }

    #[test]
    fn a_job_that_ended_well_is_up_and_a_server_that_ended_is_not() {
        let ended = serde_json::json!({"Status": "exited", "ExitCode": 0});
        let now = Timestamp::UNIX_EPOCH;
        assert_eq!(verdict(&container(ended.clone(), "no"), 0, now), Verdict::Up);
        assert_eq!(verdict(&container(ended.clone(), "on-failure"), 0, now), Verdict::Up);
        assert!(matches!(verdict(&container(ended, "always"), 0, now), Verdict::NotYet(_)));
    }

    #[test]
    fn a_container_without_healthcheck_must_stay_up_for_a_second() {
        let state = serde_json::json!({"Status": "running", "StartedAt": "2026-01-01T00:00:00Z"});
        let at = |text: &str| text.parse::<Timestamp>().expect("a time");
        let one = container(state, "no");
        assert!(matches!(verdict(&one, 0, at("2026-01-01T00:00:00.5Z")), Verdict::NotYet(_)));
        assert_eq!(verdict(&one, 0, at("2026-01-01T00:00:01Z")), Verdict::Up);
        assert!(matches!(verdict(&one, 1, at("2026-01-01T00:00:02Z")), Verdict::NotYet(_)));
        assert!(matches!(verdict(&one, 5, at("2026-01-01T00:00:02Z")), Verdict::Failed(_)));
    }
}
