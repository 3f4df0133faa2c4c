//! The Docker Engine through its API: observing, and what Compose cannot do.

mod await_services;
mod ceilings;
mod command;
mod connect;
mod evidence;
pub(crate) mod exec;
mod first_process;
mod freeze;
mod generation;
mod inside;
mod inspected;
mod job;
mod leaving;
mod list;
mod lost_mounts;
mod network;
mod occupied;
mod redis;
mod remove;
mod room;
mod running;
mod signal;
mod throttle;
mod verdict;

pub use await_services::Awaited;
pub use connect::Engine;
pub use inside::Inside;
pub use job::Ended;
pub use list::Published;
pub use occupied::Occupied;
pub use running::Running;

pub(crate) use connect::endpoint;
pub(crate) use first_process::of as first_process_of;

/// Labels that Compose gives to what it makes.
pub(crate) mod label {
    pub(crate) const PROJECT: &str = "com.docker.compose.project";
    pub(crate) const SERVICE: &str = "com.docker.compose.service";
    pub(crate) const NUMBER: &str = "com.docker.compose.container-number";
    pub(crate) const CONFIG_HASH: &str = "com.docker.compose.config-hash";
    pub(crate) const ONE_OFF: &str = "com.docker.compose.oneoff";
    pub(crate) const COMPOSE_FILE: &str = "com.docker.compose.project.config_files";
    /// Ours, on everything that belongs to an environment.
    pub(crate) const OUR_PROJECT: &str = "partywall.project";
    pub(crate) const OUR_ENVIRONMENT: &str = "partywall.environment";
    /// Ours, on every container: the identity of the state folder.
    pub(crate) const OUR_STATE: &str = "partywall.state";
    /// Ours, on the proxy's container.
    pub(crate) const OUR_PROXY: &str = "partywall.proxy";
}
