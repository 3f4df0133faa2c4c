//! What the user wrote: names, units, `partywall.yaml`, Compose models, and where each value stands in its file.
//!
//! Route: [`config`] parses and checks `partywall.yaml`; [`compose`] is a view over what
//! `docker compose config` answered, [`named_files`] at what it leaves out; [`role`] guesses what each service is; [`desired`] and
//! [`observed`] are the two sides that `pw-plan` compares.
//!
//! Pure: no clock, no file, no process. Texts come in as arguments.

pub mod colour;
pub mod compose;
pub mod config;
pub mod desired;
pub mod diagnostic;
pub mod host;
pub mod layout;
pub mod name;
pub mod named_files;
pub mod observed;
pub mod release;
pub mod role;
pub mod source;
pub mod unit;

pub use colour::Colour;
pub use diagnostic::{Diagnostic, Severity};
pub use name::{EnvironmentName, ProjectName, ServiceName};
pub use role::Role;
pub use unit::{Bytes, Cpus};
