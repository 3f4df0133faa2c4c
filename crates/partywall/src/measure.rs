//! What services use right now.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

use pw_host::docker::Published;
use pw_host::stats::{self, Usage};
use pw_host::{Host, group};
use pw_model::config::{Config, How};
use pw_model::host::CgroupDriver;
use pw_model::name::EnvironmentName;
use pw_model::observed::Container;
use pw_model::unit::Bytes;

use crate::session::Session;
use crate::stop::Stop;
use crate::trouble;

/// Between two readings of CPU time. Shorter is noise, longer keeps the user waiting.
pub(crate) const INTERVAL: Duration = Duration::from_millis(50);

/// One container with its load.
pub(crate) struct Measured {
    pub(crate) container: Container,
    /// CPUs in use; `None` when it does not run.
    pub(crate) cpus: Option<f64>,
    pub(crate) memory: Option<Bytes>,
}

/// The containers of one environment, all states, with their load over `interval`.
pub(crate) struct Reading {
    pub(crate) name: EnvironmentName,
    pub(crate) containers: Vec<Measured>,
    pub(crate) published: Vec<Published>,
    /// What is wrong beside the state of the containers.
    pub(crate) troubles: Vec<String>,
    /// True where visitors meet the front, which wakes it, or what goes on is throttled.
    pub(crate) asleep: bool,
}

/// Reads all environments at the same two moments.
pub(crate) async fn read(
    session: &Session,
    host: &Host,
    names: &[&EnvironmentName],
    interval: Duration,
) -> Result<Vec<Reading>, Stop> {
    let config = &session.config;
    let lists =
        names.iter().map(|name| async move { host.engine().containers(&config.compose_project(name)).await });
    let lists = futures_util::future::try_join_all(lists);
    let ports =
        names.iter().map(|name| async move { host.engine().published(&config.compose_project(name)).await });
    let (mut lists, ports) = tokio::try_join!(lists, futures_util::future::try_join_all(ports))?;
    for (name, list) in names.iter().zip(&mut lists) {
        let sleep = config.environments.get(*name).and_then(|environment| environment.sleep.as_ref());
        if sleep.is_some_and(|sleep| sleep.how == How::Throttle) {
            host.engine().find_throttled(list).await?;
        }
    }
    let groups: Vec<[String; 2]> = names.iter().map(|name| group_paths(config, name)).collect();
    let usage = |lists: &[Vec<Container>]| -> BTreeMap<String, Usage> {
        let all = lists
            .iter()
            .zip(&groups)
            .flat_map(|(list, group)| list.iter().map(move |container| (container, group)));
        all.filter_map(|(container, group)| Some((container.id.clone(), usage_of(container, group)?)))
            .collect()
    };
    let (before, begun) = (usage(&lists), Instant::now());
    tokio::time::sleep(interval).await;
    let (after, seconds) = (usage(&lists), begun.elapsed().as_secs_f64());
    let measured = |container: Container| {
        let now = after.get(&container.id);
        let used = now
            .zip(before.get(&container.id))
            .map(|(now, then)| now.cpu.saturating_sub(then.cpu).as_secs_f64() / seconds);
        Measured { cpus: used, memory: now.map(|usage| usage.memory), container }
    };
    let troubles = names.iter().zip(&lists).map(|(name, list)| {
        let all: Vec<&Container> = list.iter().collect();
        async move { trouble::troubles(session, host, name, &all).await }
    });
    let troubles = futures_util::future::join_all(troubles).await;
    let mut readings = Vec::new();
    for (((name, list), published), troubles) in names.iter().zip(lists).zip(ports).zip(troubles) {
        let asleep =
            crate::front::is_asleep(session, name) || list.iter().any(|container| container.throttled);
        let containers = list.into_iter().map(measured).collect();
        readings.push(Reading { name: (*name).clone(), containers, published, troubles, asleep });
    }
    Ok(readings)
}

/// What a container of an environment uses now; `None` when it does not run.
pub(crate) fn usage(config: &Config, name: &EnvironmentName, container: &Container) -> Option<Usage> {
    usage_of(container, &group_paths(config, name))
}

fn usage_of(container: &Container, groups: &[String; 2]) -> Option<Usage> {
    groups.iter().find_map(|group| stats::container(Path::new(group::ROOT), group, &container.id))
}

fn group_paths(config: &Config, name: &EnvironmentName) -> [String; 2] {
    [CgroupDriver::Cgroupfs, CgroupDriver::Systemd]
        .map(|driver| pw_plan::wall::group_path(config, name, driver))
}
