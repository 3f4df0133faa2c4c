//! Hands and eyes: everything that touches Docker, Compose, Caddy, control groups and files.
//!
//! Route: [`Host`] implements the two doors of `pw-run` and hands each action to one module:
//! [`docker`] and [`compose`] for containers, [`caddy`] for the proxy, [`group`] for limits, [`firewall`], [`files`]
//! for the state folder, [`vault`] for files that rows name, `scratch` for copies of databases, [`prove`] for attacks from inside. [`eyes`] watch for the governor, whose hands are [`group::Hands`]. [`facts`], [`stats`] and
//! [`lock`] are for commands that ask without a plan.
//!
//! Nothing is decided here: what to do comes in as an [`Action`](pw_plan::Action).

pub mod caddy;
pub mod compose;
pub mod deliver;
pub mod docker;
pub mod eyes;
pub mod facts;
mod failed;
pub mod files;
pub mod firewall;
pub mod git;
pub mod group;
mod hook;
mod host;
pub mod identity;
pub mod lock;
pub mod meter;
mod observe;
pub mod prove;
pub mod scratch;
mod share;
pub mod stats;
pub mod vault;
mod watch;

pub use compose::{ComposeFailure, ComposeInputs};
pub use host::{Host, OnLine};
pub use lock::ProjectLock;
pub use observe::recorded_folder;
