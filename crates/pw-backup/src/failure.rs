//! What the library says, in our shape.

use pw_run::Failure;
use rustic_core::RusticError;

const DAMAGED: &str =
    "the repository is damaged or a part of it is missing: `partywall drill` says which backups come back";

/// The library's own words, without its greetings and links.
#[derive(Debug)]
struct Said(String);

impl std::fmt::Display for Said {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Said {}

/// A failure of ours with the library's reason beneath.
pub(crate) fn failed(what: impl Into<String>) -> impl FnOnce(Box<RusticError>) -> Failure {
    let what = what.into();
    move |error| {
        let full = is_full(&error);
        let failure = Failure::new(what).because(Said(words(&error)));
        if full { failure.hint("the disk is full: make room and run it again") } else { failure }
    }
}

/// The same of what should come back: when it cannot be read, somebody else must be asked for it.
pub(crate) fn unread(what: impl Into<String>) -> impl FnOnce(Box<RusticError>) -> Failure {
    let failed = failed(what);
    move |error| match failed(error) {
        failure if failure.hint.is_none() => failure.hint(DAMAGED),
        failure => failure,
    }
}

fn words(error: &RusticError) -> String {
    let mut next = std::error::Error::source(error);
    let mut innermost = None;
    while let Some(source) = next {
        innermost = Some(source.to_string());
        next = source.source();
    }
    let log = error.display_log();
    let first = log.lines().map(str::trim).find(|line| !line.is_empty()).unwrap_or_default();
    // What follows is meant for who writes programs with the library.
    let first = first.split(" (kind:").next().unwrap_or(first).trim_start_matches("Error: ");
    match innermost {
        Some(cause) if !first.contains(&cause) => format!("{first}: {cause}"),
        _ => first.to_owned(),
    }
}

fn is_full(error: &RusticError) -> bool {
    let mut next: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(error) = next {
        if let Some(io) = error.downcast_ref::<std::io::Error>() {
            return io.kind() == std::io::ErrorKind::StorageFull;
        }
        next = error.source();
    }
    false
}
