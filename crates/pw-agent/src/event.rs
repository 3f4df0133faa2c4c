//! Everything that can happen to the agent.

use std::collections::BTreeMap;

use pw_model::name::EnvironmentName;
use pw_model::unit::Cpus;
use pw_plan::alert::Alert;
use tokio::net::UnixStream;

use crate::watcher::Answers;

/// Closed: the loop in [`crate::run`] knows each.
#[derive(Debug)]
pub(crate) enum Event {
    /// It is time to look and decide.
    Look,
    /// It is time to hold again what is held.
    Tend,
    /// The containers of an environment, and the CPUs that each may use by itself.
    Containers(EnvironmentName, BTreeMap<String, Option<Cpus>>),
    /// The bridges of an environment's networks.
    Bridges(EnvironmentName, Vec<String>),
    /// What production answered in the last second.
    Answered(Answers),
    /// What is wrong with the services of an environment of production.
    Services(EnvironmentName, Vec<Alert>),
    /// Somebody wants to know how the agent fares.
    Asked(UnixStream),
    /// The settings that it was started with hold no more.
    Outdated,
    Stop(&'static str),
}
