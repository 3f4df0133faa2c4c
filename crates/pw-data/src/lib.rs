//! Development data: a referentially closed, masked, proved sample of a PostgreSQL database.
//!
//! Route: [`rules`] says what is wanted; [`catalogue`] reads what the source holds, under one exported
//! snapshot; [`closure`] finds the rows, in our memory, and writes nothing to the source; [`suspect`] stops
//! where a column looks personal and has no rule; [`mask`] replaces values in the stream and [`proof`]
//! searches what goes out for what should have stayed; [`load`] fills a scratch database, checks it,
//! and only then gives it the target's name. [`sample`] is the whole; [`seed`] is what an environment needs besides.
//! [`rehearse`] measures what a migration does to a full copy, [`count`] what a backup must hold,
//! [`log`] what a server has written since, [`roles`] what a database needs of its server.

pub mod catalogue;
pub mod closure;
pub mod copy;
pub mod count;
pub mod definitions;
pub mod here;
pub mod load;
mod locale;
pub mod log;
pub mod mask;
pub mod migrations;
mod pace;
pub mod placed;
pub mod proof;
pub mod rehearse;
pub mod roles;
pub mod rules;
pub mod sample;
pub mod seed;
pub mod server;
pub mod suspect;
mod tls;
pub mod uses;

use pw_model::diagnostic::Diagnostic;
use pw_run::Failure;

/// Why a sample cannot go on.
#[derive(Debug)]
pub enum Halt {
    /// The rules or the data they leave uncovered: the user's to change.
    Complaints(Vec<Diagnostic>),
    /// A server, a program or we did not do it.
    Failure(Failure),
}

impl Halt {
    /// With what to do about the failure, where that is known.
    pub(crate) fn explained(self, standby: bool) -> Self {
        match self {
            Self::Failure(failure) => Self::Failure(server::explained(failure, standby)),
            other => other,
        }
    }
}

impl From<Failure> for Halt {
    fn from(failure: Failure) -> Self {
        Self::Failure(failure)
    }
}

impl From<Diagnostic> for Halt {
    fn from(diagnostic: Diagnostic) -> Self {
        Self::Complaints(vec![diagnostic])
    }
}
