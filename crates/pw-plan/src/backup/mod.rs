//! Backups, restores, drills: what is done, in which order, and how it is taken back.

pub mod copy;
pub mod drill;
pub mod home;
mod make;
pub mod part;
pub mod prune;
pub mod restore;
pub(crate) mod step;

pub use make::{Order, forget, log_plan, plan};
