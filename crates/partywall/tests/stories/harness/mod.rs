//! What stories are told with: a project of their own, the built program, Docker, HTTP.

mod agent;
mod application;
mod clean;
mod docker;
mod engine;
mod flip;
mod http;
mod program;
mod rows;
mod shop;
mod story;
mod traffic;

pub(crate) use agent::Agent;
pub(crate) use docker::{Container, docker, docker_answers, image, lines};
pub(crate) use engine::{Engine, in_a_network_of_its_own};
pub(crate) use http::{Answer, Link, ask};
pub(crate) use program::{Told, finished};
pub(crate) use rows::Rows;
pub(crate) use story::{DEVELOPMENT, PRODUCTION, Story};
pub(crate) use traffic::Traffic;

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher as _;
use std::time::{Duration, Instant};

/// The longest that anything may take on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(600);

/// A fresh random number.
pub(crate) fn random() -> u64 {
    RandomState::new().hash_one(Instant::now())
}

/// Waits until `ready`, and fails with `what` when it never is.
pub(crate) fn until(what: &str, mut ready: impl FnMut() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !ready() {
        assert!(Instant::now() < end, "waited {} s in vain: {what}", PATIENCE.as_secs());
        std::thread::sleep(Duration::from_millis(50));
    }
}
