//! Containers that were told to stop and still run.
//!
//! The engine goes on stopping a container when the one who asked is gone. Until its process has ended, the
//! container reads as running, so that Compose leaves it alone, and a moment later nothing runs: a plan that is
//! taken back, or taken up, right after it was cut off must wait for that moment.

use std::collections::HashMap;
use std::time::Duration;

use bollard::models::{ContainerInspectResponse, EventMessage};
use bollard::query_parameters::EventsOptionsBuilder;
use futures_util::TryStreamExt as _;
use jiff::Timestamp;
use pw_run::Failure;

use super::connect::{Engine, said};
use super::label;
use super::verdict::label_in;

const POLL: Duration = Duration::from_millis(100);
/// How long a container may take to stop unless it says otherwise: the engine's own figure.
const STOP_SECONDS: i64 = 10;
/// What the engine may need to end a process after its time is up.
const MERCY_SECONDS: i64 = 5;

impl Engine {
    /// Waits until none of these services has a container that was told to stop and still runs.
    ///
    /// Bounded by the containers' own time to stop, after which the engine ends them.
    pub(crate) async fn await_leaving(&self, project: &str, services: &[String]) -> Result<(), Failure> {
        let chosen = |one: &ContainerInspectResponse| {
            is_running(one)
                && label_in(one, label::SERVICE).is_some_and(|name| services.iter().any(|s| s == name))
        };
        let mut running = self.inspect_services(project).await?;
        running.retain(chosen);
        if running.is_empty() {
            return Ok(());
        }
        let told = self.told_to_stop(&running).await?;
        loop {
            let now = Timestamp::now();
            if !running.iter().any(|one| is_leaving(one, &told, now)) {
                return Ok(());
            }
            tokio::time::sleep(POLL).await;
            running = self.inspect_services(project).await?;
            running.retain(chosen);
        }
    }

    /// When each of these containers was last sent a signal that ends it: id → nanoseconds since 1970.
    ///
    /// From the engine's events, of which it remembers the last 256.
    async fn told_to_stop(
        &self,
        running: &[ContainerInspectResponse],
    ) -> Result<HashMap<String, i64>, Failure> {
        let longest = running.iter().map(grace).max().unwrap_or(STOP_SECONDS);
        let now = Timestamp::now();
        let ids: Vec<String> = running.iter().filter_map(|one| one.id.clone()).collect();
        let filters = HashMap::from([
            ("type".to_owned(), vec!["container".to_owned()]),
            ("event".to_owned(), vec!["kill".to_owned()]),
            ("container".to_owned(), ids),
        ]);
        let options = EventsOptionsBuilder::default()
            .since(&(now.as_second() - longest).to_string())
            // Now to the nanosecond: later, and the engine waits for what may come.
            .until(&format!("{}.{:09}", now.as_second(), now.subsec_nanosecond()))
            .filters(&filters)
            .build();
        let events = self.docker().await?.events(Some(options)).try_collect::<Vec<_>>().await;
        let events = events
            .map_err(|error| Failure::new("could not ask the engine what it did").because(said(error)))?;
        Ok(events.iter().filter_map(|event| ending(event, running)).collect())
    }
}

fn is_running(one: &ContainerInspectResponse) -> bool {
    one.state.as_ref().and_then(|state| state.running) == Some(true)
}

/// Seconds from the signal to the end at the latest.
fn grace(one: &ContainerInspectResponse) -> i64 {
    let own = one.config.as_ref().and_then(|config| config.stop_timeout);
    own.unwrap_or(STOP_SECONDS).max(0) + MERCY_SECONDS
}

/// The container and the moment of an event, when its signal is one that ends this container.
fn ending(event: &EventMessage, running: &[ContainerInspectResponse]) -> Option<(String, i64)> {
    let actor = event.actor.as_ref()?;
    let id = actor.id.clone()?;
    let signal = actor.attributes.as_ref()?.get("signal")?;
    let one = running.iter().find(|one| one.id.as_ref() == Some(&id))?;
    let own = one.config.as_ref().and_then(|config| config.stop_signal.as_deref()).unwrap_or("SIGTERM");
    let ends = ["9", "15"].contains(&signal.as_str()) || number(own) == Some(signal.as_str());
    ends.then_some((id, event.time_nano?))
}

/// Signals that images name as their own way to stop, as the engine's events write them.
fn number(signal: &str) -> Option<&str> {
    let known = [("HUP", "1"), ("INT", "2"), ("QUIT", "3"), ("KILL", "9"), ("USR1", "10"), ("USR2", "12")];
    let others = [("TERM", "15"), ("WINCH", "28"), ("PWR", "30"), ("RTMIN+3", "37")];
    let name = signal.trim_start_matches("SIG");
    let found = known.into_iter().chain(others).find(|(known, _)| *known == name);
    found.map(|(_, number)| number).or(signal.parse::<u8>().ok().map(|_| signal))
}

/// It was told to stop since it began, and may still be doing so.
fn is_leaving(one: &ContainerInspectResponse, told: &HashMap<String, i64>, now: Timestamp) -> bool {
    let Some(told) = one.id.as_ref().and_then(|id| told.get(id)) else { return false };
    let began = one.state.as_ref().and_then(|state| state.started_at.as_deref());
    let began: Option<Timestamp> = began.and_then(|text| text.parse().ok());
    let since = began.is_none_or(|began| began.as_nanosecond() <= i128::from(*told));
    let until = i128::from(*told) + i128::from(grace(one)) * 1_000_000_000;
    since && now.as_nanosecond() <= until
}
