//! What everything uses, looked at once a second by a thread of its own: the governor waits for no figure.
//!
//! Route: `containers` knows from the engine which containers run; [`Collector`] reads their meters and answers a
//! [`Picture`]; `thread` does so each second, and hands every picture on.

mod collector;
mod containers;
mod disk;
mod picture;
mod thread;

pub use collector::Collector;
pub use picture::{Answers, Container, DatabaseFigures, Disk, EnvironmentPicture, Picture};

pub(crate) use thread::{Collecting, collect};
