//! Alerts: what is wrong, who is told of it, when, and in which words.
//!
//! Route: the agent sees [`Alert`]s; [`Book`] keeps which of them stand; [`notify`] decides for one receiver whether it is
//! time to tell, and answers a [`Message`] with all that belongs together; [`shape`] puts it into what the receiver
//! understands.

mod kind;
mod notify;
pub mod shape;

pub use kind::{Alert, Kind, Severity};
pub use notify::{Book, Message, Standing, Told, Way, notify};
