//! Carries out plans: [`apply`], [`undo`](abandon), [`resume`]. No decision and no adapter lives here.
//!
//! Two doors lead to the world, [`Observe`] and [`Perform`]; [`Journal`] remembers. Each step is
//! written as started before it acts, so that after a crash the journal alone says what to resume
//! or undo.

#![expect(async_fn_in_trait, reason = "the traits are used only inside this workspace, generically")]

mod apply;
mod door;
mod journal;

pub use apply::{Outcome, Progress, Standing, abandon, apply, resume};
pub use door::{Failure, Observe, Perform};
pub use journal::{Event, Illegal, Journal, JournalFailure, StepState, Unfinished, replay};
