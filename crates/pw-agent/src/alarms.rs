//! What is wrong, as far as the agent's loop sees it.

use std::collections::BTreeMap;
use std::time::Duration;

use pw_host::Host;
use pw_model::config::{Class, Config};
use pw_model::name::EnvironmentName;
use pw_model::observed::{Container, Health, State};
use pw_plan::alert::{Alert, Kind};
use pw_plan::govern::over_quota;
use tokio::sync::mpsc::Sender;

use crate::boot::Running;
use crate::event::Event;

/// Between two looks at production's services.
const POLL: Duration = Duration::from_secs(15);
/// An engine that answers answers sooner.
const PATIENCE: Duration = Duration::from_secs(30);
/// Less of a disk stops databases soon.
const LITTLE_DISK: f64 = 0.10;
/// So long it is told that the agent before ended badly.
const CRASH_TOLD: i64 = 600;

/// Production's services, asked of the engine beside the loop.
pub(crate) fn watch(host: Host, config: &Config, events: Sender<Event>) {
    let production = config.environments.iter().filter(|(name, one)| one.class(name) == Class::Production);
    let projects: Vec<(EnvironmentName, String)> =
        production.map(|(name, _)| (name.clone(), config.compose_project(name))).collect();
    tokio::spawn(async move {
        let mut known: BTreeMap<EnvironmentName, Vec<Alert>> = BTreeMap::new();
        loop {
            for (name, project) in &projects {
                let asked = tokio::time::timeout(PATIENCE, host.engine().containers(project)).await;
                let alerts = match asked {
                    Ok(Ok(found)) => {
                        known.insert(name.clone(), services(name, &found));
                        known[name].clone()
                    }
                    // What is known stays known.
                    Ok(Err(failure)) => with_silence(&known, name, &failure.to_string()),
                    Err(_) => with_silence(&known, name, "it hangs"),
                };
                if events.send(Event::Services(name.clone(), alerts)).await.is_err() {
                    return;
                }
            }
            tokio::time::sleep(POLL).await;
        }
    });
}

/// An engine that restarts is back before anybody is told.
fn with_silence(
    known: &BTreeMap<EnvironmentName, Vec<Alert>>,
    name: &EnvironmentName,
    why: &str,
) -> Vec<Alert> {
    let words = format!("the Docker engine does not answer, so nobody knows what of `{name}` runs: {why}");
    let silent = Alert { kind: Kind::ServiceUnhealthy, subject: format!("{name}/engine"), words };
    known.get(name).into_iter().flatten().cloned().chain([silent]).collect()
}

fn services(name: &EnvironmentName, containers: &[Container]) -> Vec<Alert> {
    let mut wrong: BTreeMap<(&str, Kind), String> = BTreeMap::new();
    for one in containers {
        let found = match (one.state, one.health) {
            (State::Restarting, _) => Some((Kind::ServiceRestarting, "starts over and over".to_owned())),
            (State::Running, Health::Unhealthy) => {
                Some((Kind::ServiceUnhealthy, "is running and not healthy".to_owned()))
            }
            (State::Exited | State::Dead, _) if !one.ended_well() => {
                let code = one.exit_code.map_or_else(String::new, |code| format!(" with code {code}"));
                Some((Kind::ServiceUnhealthy, format!("has ended{code}")))
            }
            _ => None,
        };
        wrong.extend(
            found.map(|(kind, words)| ((one.service.as_str(), kind), format!("`{}` {words}", one.name))),
        );
    }
    let alert = |((service, kind), words): ((&str, Kind), String)| Alert {
        kind,
        subject: format!("{name}/{service}"),
        words,
    };
    wrong.into_iter().map(alert).collect()
}

/// All that is wrong now.
pub(crate) fn seen(running: &Running) -> Vec<Alert> {
    let mut all: Vec<Alert> = running.services.values().flatten().cloned().collect();
    let host = |kind, words| Alert { kind, subject: "host".into(), words };
    if let Some(incident) = running.guard.open() {
        let subject = running.guard.production.clone();
        all.push(Alert { kind: Kind::Incident, subject, words: incident.to_string() });
    }
    for (name, holding) in running.governor.held().into_iter().filter(|(_, holding)| !holding.to.is_empty()) {
        let because = holding.because.unwrap_or_else(|| "?".into());
        let words = format!("{}, because {because}", holding.to.join(", "));
        all.push(Alert { kind: Kind::Squeezed, subject: name.to_string(), words });
    }
    if let Some(free) = running.governor.reading.disk_free.filter(|free| *free < LITTLE_DISK) {
        all.push(host(Kind::Disk, format!("{:.1} % of the fullest disk is left", free * 100.0)));
    }
    for (name, words) in over_quota(&running.governor.rules, &running.governor.reading) {
        all.push(Alert { kind: Kind::Disk, subject: name.to_string(), words });
    }
    let young = (jiff::Timestamp::now().as_second() - running.since.as_second()) < CRASH_TOLD;
    if let Some(pid) = running.crashed.as_ref().filter(|_| young) {
        all.push(host(
            Kind::AgentCrashed,
            format!("the agent before (process {pid}) was killed, crashed, or lost its power"),
        ));
    }
    all
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use pw_model::observed::Origin;

    use super::*;

    fn container(service: &str, state: State, health: Health, exit_code: Option<i64>) -> Container {
        Container {
            id: service.into(),
            name: format!("shop-production-{service}-1"),
            service: service.into(),
            number: 1,
            image: String::new(),
            state,
            health,
            config_hash: String::new(),
            owner: None,
            exit_code,
            networks: BTreeSet::new(),
            mounts: BTreeMap::new(),
            lost_mounts: BTreeSet::new(),
            throttled: false,
            origin: Origin::default(),
        }
    }

    #[test]
    fn only_what_is_wrong_is_told() {
        let name = EnvironmentName::parse("production").expect("a name");
        let found = services(
            &name,
            &[
                container("web", State::Running, Health::Healthy, None),
                container("migrate", State::Exited, Health::Unknown, Some(0)),
                container("slow", State::Running, Health::Starting, None),
                container("cache", State::Running, Health::Unhealthy, None),
                container("worker", State::Exited, Health::Unknown, Some(137)),
                container("queue", State::Restarting, Health::Unknown, Some(1)),
            ],
        );
        let told: Vec<String> = found.iter().map(ToString::to_string).collect();
        assert_eq!(
            told,
            [
                "service-unhealthy production/cache: `shop-production-cache-1` is running and not healthy",
                "service-restarting production/queue: `shop-production-queue-1` starts over and over",
                "service-unhealthy production/worker: `shop-production-worker-1` has ended with code 137",
            ]
        );
    }
}
