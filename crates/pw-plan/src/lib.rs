//! Every decision: what to render, which steps to take, in which order, and how to take them back.
//!
//! Route: [`wall`] renders one isolated Compose file per environment; [`proxy`] writes Caddy's
//! configuration; [`up`], [`down`], [`destroy`] and [`seed`] compare Desired with Observed and answer a [`Plan`].
//! [`rehearse`] puts a copy of a database into a [`scratch`] place and runs the migration there.
//! [`promote`] makes a second generation and flips.
//! [`init`] proposes the configuration and [`fit`] holds it against the host.
//!
//! Pure: no clock, no file, no process, no random number. The same input gives the same plan, on any machine.

mod action;
pub mod alert;
pub mod aspects;
pub mod backup;
pub mod desire;
pub mod destroy;
pub mod down;
pub mod drift;
mod ended;
pub mod fit;
mod frozen;
pub mod govern;
pub mod init;
pub mod latency;
pub mod objective;
pub mod origin;
mod parts;
pub mod promote;
pub mod prove;
pub mod proxy;
pub mod rehearse;
pub mod room;
pub mod scratch;
pub mod seed;
pub mod sleep;
pub mod step;
mod throttled;
pub mod up;
pub mod wall;
mod words;

pub use parts::basis;
pub use step::{Action, Plan, Step, Undo};

/// Hash of a text as it is compared everywhere: blake3, 32 hexadecimal digits.
pub fn hash(text: &str) -> String {
    blake3::hash(text.as_bytes()).to_hex()[..32].to_owned()
}
