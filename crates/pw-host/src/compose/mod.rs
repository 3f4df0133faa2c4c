//! Docker Compose as a command: it alone decides what a Compose file means and what `up` does.

mod build;
mod config;
mod process;
mod run;

pub use build::build;
pub use config::{ComposeAnswer, ComposeFailure, ComposeInputs, config, hashes, interpolated, variables};
pub use process::version;
pub use run::{create, images, pull, recreate, run_once, up, up_only};
