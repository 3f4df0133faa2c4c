//! Production's objective: what its visitors get, held against what they were promised, and why they did not get it.
//!
//! Route: a [`Tally`](crate::latency::Tally) is what production answered in one second; [`Windows`] keep some minutes of
//! them; [`watch`]
//! opens an [`Incident`] when the objective is broken in a short window and a long one, and closes it when it has been
//! kept for a while; [`cause`] says what else was happening.
//!
//! **Invariant:** of too few answers nothing is said. What cannot be seen neither opens an incident nor closes one.

mod cause;
mod incident;
mod scene;
mod windows;

pub use cause::Cause;
pub use incident::{Event, Incident, Moment, State, watch};
pub use pw_model::config::Goals;
pub use scene::{Change, Scene};
pub use windows::{Measure, Standing, Windows};
