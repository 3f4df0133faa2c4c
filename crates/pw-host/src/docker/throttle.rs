//! Containers that have hardly a processor: by ceilings of the engine's own, so that they outlive the engine, the host and
//! us, and `docker inspect` tells them.

use std::collections::BTreeMap;

use bollard::models::{ContainerSummary, ContainerUpdateBody, HostConfig};
use pw_model::observed::{Container, THROTTLED};
use pw_model::unit::Cpus;
use pw_run::Failure;

use super::connect::{Engine, said};
use super::label;
use super::list::{label_of, name_of};
use crate::facts;

/// One more than anybody writes: by it a ceiling of ours is known.
const MARK: i64 = 1;
/// In microseconds, where a container has none of its own.
const PERIOD: i64 = 100_000;
const BILLION: f64 = 1e9;

impl Engine {
    /// Holds every container of these services to [`THROTTLED`], running or not.
    pub(crate) async fn throttle_services(&self, project: &str, services: &[String]) -> Result<(), Failure> {
        for one in self.guarded_containers(project, services).await? {
            self.update(&one, |host| (!is_throttled(host)).then(|| held(host))).await?;
        }
        Ok(())
    }

    /// Gives containers back what they had: service → ceiling. What is not throttled keeps what it has.
    pub(crate) async fn unthrottle_services(
        &self,
        project: &str,
        ceilings: &BTreeMap<String, Option<Cpus>>,
    ) -> Result<(), Failure> {
        let services: Vec<String> = ceilings.keys().cloned().collect();
        for one in self.guarded_containers(project, &services).await? {
            let own = label_of(&one, label::SERVICE).and_then(|name| ceilings.get(name)).copied().flatten();
            self.update(&one, |host| is_throttled(host).then(|| free(host, own))).await?;
        }
        Ok(())
    }

    /// Fills [`Container::throttled`].
    ///
    /// # Errors
    /// The engine does not answer.
    pub async fn find_throttled(&self, containers: &mut [Container]) -> Result<(), Failure> {
        for one in containers {
            let found = self.inspect_named(&one.id).await?.and_then(|found| found.host_config);
            one.throttled = found.as_ref().is_some_and(is_throttled);
        }
        Ok(())
    }

    /// A container that is gone meanwhile needs no ceiling.
    async fn update(
        &self,
        one: &ContainerSummary,
        to: impl Fn(&HostConfig) -> Option<ContainerUpdateBody>,
    ) -> Result<(), Failure> {
        let id = one.id.as_deref().unwrap_or_default();
        let Some(found) = self.inspect_named(id).await? else { return Ok(()) };
        let Some(body) = found.host_config.as_ref().and_then(to) else { return Ok(()) };
        match self.docker().await?.update_container(id, body).await {
            Err(error) if self.inspect_named(id).await?.is_some() => {
                let what = format!("could not set the CPUs of `{}`", name_of(one));
                Err(Failure::new(what).because(said(error)))
            }
            _ => Ok(()),
        }
    }
}

/// True for a ceiling of ours.
pub(super) fn is_throttled(host: &HostConfig) -> bool {
    host.nano_cpus == Some(nanos(THROTTLED) + MARK) || host.cpu_quota == Some(quota(THROTTLED, host) + MARK)
}

/// The engine takes billionths of a CPU or a quota, and not the one from who has the other.
fn held(host: &HostConfig) -> ContainerUpdateBody {
    if has_nanos(host) {
        return ContainerUpdateBody {
            nano_cpus: Some(nanos(THROTTLED) + MARK),
            ..ContainerUpdateBody::default()
        };
    }
    ContainerUpdateBody {
        cpu_quota: Some(quota(THROTTLED, host) + MARK),
        cpu_period: Some(period(host)),
        ..ContainerUpdateBody::default()
    }
}

fn free(host: &HostConfig, own: Option<Cpus>) -> ContainerUpdateBody {
    if has_nanos(host) {
        // Who had billionths had a ceiling; one that was taken out of the files since makes another container.
        let cpus = own.unwrap_or_else(facts::cpus);
        return ContainerUpdateBody { nano_cpus: Some(nanos(cpus)), ..ContainerUpdateBody::default() };
    }
    ContainerUpdateBody {
        cpu_quota: Some(own.map_or(-1, |cpus| quota(cpus, host))),
        cpu_period: Some(period(host)),
        ..ContainerUpdateBody::default()
    }
}

fn has_nanos(host: &HostConfig) -> bool {
    host.nano_cpus.is_some_and(|nanos| nanos > 0)
}

fn period(host: &HostConfig) -> i64 {
    host.cpu_period.filter(|period| *period > 0).unwrap_or(PERIOD)
}

fn quota(cpus: Cpus, host: &HostConfig) -> i64 {
    (cpus.count() * period(host) as f64).round() as i64
}

fn nanos(cpus: Cpus) -> i64 {
    (cpus.count() * BILLION).round() as i64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(host: &HostConfig, body: ContainerUpdateBody) -> HostConfig {
        HostConfig {
            nano_cpus: body.nano_cpus.or(host.nano_cpus),
            cpu_quota: body.cpu_quota.or(host.cpu_quota),
            cpu_period: body.cpu_period.or(host.cpu_period),
            ..HostConfig::default()
        }
    }

    /// Whatever a container was held to by, it is known while it is throttled and comes back to what it had.
    #[test]
    fn what_is_throttled_is_known_by_its_ceiling() {
        let of = |nanos, quota, period| HostConfig {
            nano_cpus: Some(nanos),
            cpu_quota: Some(quota),
            cpu_period: Some(period),
            ..HostConfig::default()
        };
        let all = [
            (of(500_000_000, 0, 0), Cpus::from_number(0.5), (500_000_000, 0, 0)),
            (of(0, 0, 0), None, (0, -1, 100_000)),
            (of(0, -1, 100_000), None, (0, -1, 100_000)),
            (of(0, 25_000, 50_000), Cpus::from_number(0.5), (0, 25_000, 50_000)),
        ];
        for (host, own, (nanos, quota, period)) in all {
            assert!(!is_throttled(&host), "{host:?}");
            let throttled = after(&host, held(&host));
            assert!(is_throttled(&throttled), "{throttled:?}");
            assert_eq!(after(&throttled, free(&throttled, own)), of(nanos, quota, period));
        }
        assert!(!is_throttled(&of(100_000_000, 0, 0)), "a tenth that somebody wrote is not ours");
    }
}
