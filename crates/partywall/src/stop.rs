//! Why a command cannot go on, and with which exit code.

use std::error::Error;
use std::fmt::Write;
use std::process::ExitStatus;

use pw_data::Halt;
use pw_model::diagnostic::Diagnostic;
use pw_run::{Failure, JournalFailure};

/// 1 is the user's input or a failed check; 2 is ours or the host's fault.
#[derive(Debug)]
pub(crate) enum Stop {
    /// What the user wrote or asked for is wrong. Exit 1.
    Complaints(Vec<Diagnostic>),
    /// The host or we did not do it. Exit 2.
    Failure(Failure),
    /// Everything is said already.
    Code(u8),
}

impl Stop {
    /// One complaint without a place in a file.
    pub(crate) fn because(
        message: impl Into<String>,
        cause: impl Into<String>,
        hint: impl Into<String>,
    ) -> Self {
        Self::Complaints(vec![Diagnostic::error(message).because(cause).hint(hint)])
    }

    pub(crate) fn exit_code(&self) -> u8 {
        match self {
            Self::Complaints(_) => 1,
            Self::Failure(_) => 2,
            Self::Code(code) => *code,
        }
    }

    /// The same shape for every cause, so that they print alike.
    pub(crate) fn diagnostics(&self) -> Vec<Diagnostic> {
        match self {
            Self::Complaints(list) => list.clone(),
            Self::Failure(failure) => vec![of_failure(failure)],
            Self::Code(_) => Vec::new(),
        }
    }
}

/// The exit code of a command that was run for the user is ours.
pub(crate) fn passed_on(status: ExitStatus) -> Result<(), Stop> {
    match status.code() {
        Some(0) => Ok(()),
        code => Err(Stop::Code(code.and_then(|code| u8::try_from(code).ok()).unwrap_or(1))),
    }
}

/// A failure with its whole chain of causes.
pub(crate) fn of_failure(failure: &Failure) -> Diagnostic {
    let mut diagnostic = Diagnostic::error(failure.what.clone());
    let mut hint = failure.hint.clone();
    let mut source = failure.source();
    while let Some(cause) = source {
        diagnostic = diagnostic.because(cause.to_string());
        // The innermost hint is nearest to what went wrong, but the outer one knows what was wanted.
        hint = hint.or_else(|| cause.downcast_ref::<Failure>().and_then(|inner| inner.hint.clone()));
        source = cause.source();
    }
    match hint {
        Some(hint) => diagnostic.hint(hint),
        None => diagnostic,
    }
}

impl From<Failure> for Stop {
    fn from(failure: Failure) -> Self {
        Self::Failure(failure)
    }
}

impl From<Diagnostic> for Stop {
    fn from(diagnostic: Diagnostic) -> Self {
        Self::Complaints(vec![diagnostic])
    }
}

impl From<Box<Diagnostic>> for Stop {
    fn from(diagnostic: Box<Diagnostic>) -> Self {
        Self::Complaints(vec![*diagnostic])
    }
}

impl From<JournalFailure> for Stop {
    fn from(failure: JournalFailure) -> Self {
        let told = Failure::new(failure.to_string()).because(failure.source);
        Self::Failure(match failure.hint {
            Some(hint) => told.hint(hint),
            None => told,
        })
    }
}

impl From<std::io::Error> for Stop {
    fn from(error: std::io::Error) -> Self {
        let mut what = String::from("could not write the answer");
        let _ = write!(what, " ({})", error.kind());
        Self::Failure(Failure::new(what).because(error))
    }
}

/// The cause of a failure that what the user wrote is to blame for, not the host.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Complained(String);

/// A halted sample as a failure of a step, which has one message: the first complaint's.
pub(crate) fn of_halt(halt: Halt) -> Failure {
    let complaints = match halt {
        Halt::Failure(failure) => return failure,
        Halt::Complaints(complaints) => complaints,
    };
    let rest = complaints.iter().skip(1).map(|one| one.message.clone());
    let Some(first) = complaints.first() else { return Failure::new("the sample cannot be made") };
    let because: Vec<String> = first.because.iter().cloned().chain(rest).collect();
    let because = if because.is_empty() { vec!["the rules ask for it".to_owned()] } else { because };
    let failure = Failure::new(first.message.clone()).because(Complained(because.join("; ")));
    match &first.hint {
        Some(hint) => failure.hint(hint.clone()),
        None => failure,
    }
}

impl From<Halt> for Stop {
    fn from(halt: Halt) -> Self {
        match halt {
            Halt::Complaints(list) => Self::Complaints(list),
            Halt::Failure(failure) => Self::Failure(failure),
        }
    }
}
