//! What one look at a container says.

use std::time::Duration;

use bollard::models::{ContainerInspectResponse, HealthcheckResult};
use jiff::Timestamp;

/// A container without a healthcheck counts as up when it has run this long.
const SETTLED: Duration = Duration::from_secs(1);
/// One that has crashed before must run longer to be believed.
const SETTLED_AFTER_CRASH: Duration = Duration::from_secs(5);
/// Applications that start before their database crash a few times and then run.
const CRASHES_TOLERATED: i64 = 5;

#[derive(Debug, PartialEq)]
pub(super) enum Verdict {
    Up,
    NotYet(&'static str),
    /// Waiting cannot help.
    Failed(String),
}

pub(super) fn label_in<'a>(one: &'a ContainerInspectResponse, key: &str) -> Option<&'a str> {
    one.config.as_ref()?.labels.as_ref()?.get(key).map(String::as_str)
}

fn health(one: &ContainerInspectResponse) -> String {
    let health = one.state.as_ref().and_then(|state| state.health.as_ref()?.status);
    health.map(|status| status.to_string()).unwrap_or_default()
}

/// The engine calls unhealthy what stands still, and what it has not looked at since; no check has failed.
fn was_not_looked_at(one: &ContainerInspectResponse) -> bool {
    let streak = one.state.as_ref().and_then(|state| state.health.as_ref()?.failing_streak);
    streak == Some(0)
}

fn restarts(one: &ContainerInspectResponse) -> bool {
    let policy = one.host_config.as_ref().and_then(|config| config.restart_policy.as_ref()?.name);
    matches!(policy.map(|name| name.to_string()).as_deref(), Some("always" | "unless-stopped"))
}

pub(super) fn verdict(one: &ContainerInspectResponse, crashes: i64, now: Timestamp) -> Verdict {
    let state = one.state.clone().unwrap_or_default();
    let status = state.status.map(|status| status.to_string()).unwrap_or_default();
    let code = state.exit_code.unwrap_or(0);
    if crashes >= CRASHES_TOLERATED {
        return Verdict::Failed(format!("restarts over and over (exit code {code})"));
    }
    match status.as_str() {
        "running" => running(one, &health(one), crashes, now),
        "exited" if code == 0 && !restarts(one) => Verdict::Up,
        // The engine goes from running to restarting in one step: one that has exited was stopped for good.
        "exited" if code == 0 => Verdict::Failed("has ended and is not started again".into()),
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
        "unhealthy" if was_not_looked_at(one) => {
            Verdict::NotYet("stood still, and is not known to be healthy")
        }
        // Said by the engine only when every retry has failed.
        "unhealthy" => Verdict::Failed("is unhealthy".into()),
        _ if ran(one, now) >= if crashes > 0 { SETTLED_AFTER_CRASH } else { SETTLED } => Verdict::Up,
        _ => Verdict::NotYet("does not stay up"),
    }
}

fn ran(one: &ContainerInspectResponse, now: Timestamp) -> Duration {
    let since = one.state.as_ref().and_then(|state| state.started_at.as_ref()?.parse::<Timestamp>().ok());
    since.and_then(|since| Duration::try_from(now.duration_since(since)).ok()).unwrap_or_default()
}

pub(super) fn has_ended(one: &ContainerInspectResponse) -> bool {
    let status = one.state.as_ref().and_then(|state| state.status);
    status.is_some_and(|status| status.to_string() == "exited")
}

/// The newest run of the healthcheck, while the container is not healthy.
pub(super) fn last_probe(one: &ContainerInspectResponse) -> Option<&HealthcheckResult> {
    one.state.as_ref()?.health.as_ref()?.log.as_ref()?.last().filter(|_| health(one) != "healthy")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn container(state: serde_json::Value, policy: &str) -> ContainerInspectResponse {
        let json = serde_json::json!({"State": state, "HostConfig": {"RestartPolicy": {"Name": policy}}});
        serde_json::from_value(json).expect("an inspect answer")
    }

    #[test]
    fn what_stood_still_is_looked_at_again_before_it_is_unhealthy() {
        let of = |streak| {
            let health = serde_json::json!({"Status": "unhealthy", "FailingStreak": streak});
            container(serde_json::json!({"Status": "running", "Health": health}), "no")
        };
        let now = Timestamp::UNIX_EPOCH;
        assert!(matches!(verdict(&of(0), 0, now), Verdict::NotYet(_)));
        assert!(matches!(verdict(&of(1), 0, now), Verdict::Failed(_)));
    }

    #[test]
    fn a_job_that_ended_well_is_up_and_a_server_that_ended_is_not() {
        let ended = serde_json::json!({"Status": "exited", "ExitCode": 0});
        let now = Timestamp::UNIX_EPOCH;
        assert_eq!(verdict(&container(ended.clone(), "no"), 0, now), Verdict::Up);
        assert_eq!(verdict(&container(ended.clone(), "on-failure"), 0, now), Verdict::Up);
        assert!(matches!(verdict(&container(ended, "always"), 0, now), Verdict::Failed(_)));
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

    #[test]
    fn one_that_is_unhealthy_has_used_up_its_retries() {
        let state = |status: &str| serde_json::json!({"Status": "running", "Health": {"Status": status}});
        let now = Timestamp::UNIX_EPOCH;
        assert_eq!(verdict(&container(state("healthy"), "no"), 0, now), Verdict::Up);
        assert!(matches!(verdict(&container(state("starting"), "no"), 0, now), Verdict::NotYet(_)));
        assert_eq!(
            verdict(&container(state("unhealthy"), "no"), 0, now),
            Verdict::Failed("is unhealthy".into())
        );
    }
}
