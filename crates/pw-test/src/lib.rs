//! What the tests of all crates stand on: a host that forgives nothing, a journal in memory, and trials
//! that break a plan at every point.
//!
//! Route: describe what is there with [`FakeHost`], make a plan, and hand both to [`fail_every_step`],
//! [`cut_everywhere`], [`apply_twice`] and [`fail_every_write`]. They panic with the step and the moment.

#![expect(clippy::panic, reason = "a test helper fails by panicking, with a message that says where")]

mod host;
mod memory;
mod trial;

pub use host::{FakeContainer, FakeHost, FakeVault, Known, Moment, Nature, ServiceSketch, World};
pub use memory::{Fails, MemoryJournal};
pub use trial::{
    Reopen, Twice, apply_twice, cut_everywhere, cut_everywhere_with, fail_every_step, fail_every_write, run,
};
