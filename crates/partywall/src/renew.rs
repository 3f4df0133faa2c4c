//! A command that runs for months begins anew when `partywall.yaml` has changed.

use std::os::unix::process::CommandExt as _;
use std::process::Command;
use std::time::Duration;

use pw_model::config::{self, Config, FILE_NAME};
use pw_model::diagnostic::Diagnostic;
use pw_model::source::SourceFile;
use pw_run::Failure;

use crate::session::{self, Session};
use crate::stop::Stop;

/// Between two looks. One who saves in pieces is not caught in between: what is read must be the same twice.
const LOOK: Duration = Duration::from_secs(2);

/// Waits until `partywall.yaml` says something else, that is right and `serves`. What is wrong is told once, and what was read
/// at the start goes on.
pub(crate) async fn changed(
    session: &Session,
    serves: impl Fn(&Config) -> Result<(), Stop>,
    mut tell: impl FnMut(&Failure),
) {
    let mut before = session.source.text.clone();
    let mut wrong = String::new();
    loop {
        tokio::time::sleep(LOOK).await;
        // A file that is away for a moment is being replaced.
        let Ok(text) = session::read(&session.directory.join(FILE_NAME)) else { continue };
        let is_stable = std::mem::replace(&mut before, text.clone()) == text;
        if !is_stable || text == session.source.text || text == wrong {
            continue;
        }
        match fitting(&text).and_then(|config| serves(&config)) {
            Ok(()) => return,
            Err(stop) => {
                let told = stop.diagnostics().into_iter().next();
                let what = told.map_or_else(String::new, |one: Diagnostic| one.message);
                let failure = Failure::new(format!("`{FILE_NAME}` has changed and cannot be used: {what}"));
                tell(
                    &failure
                        .hint("`partywall check` says where; until it is right, what was read before counts"),
                );
                wrong = text;
            }
        }
    }
}

fn fitting(text: &str) -> Result<Config, Stop> {
    let source = SourceFile::new(FILE_NAME, text);
    let config = config::parse(&source)?;
    let errors: Vec<_> = config::check(&config, &source).into_iter().filter(Diagnostic::is_error).collect();
    if errors.is_empty() { Ok(config) } else { Err(Stop::Complaints(errors)) }
}

/// Becomes the same command once more: the process stays, and everything in it is new.
pub(crate) fn again() -> Failure {
    let failed = |error| Failure::new("could not begin anew").because(error).hint("start the command again");
    match std::env::current_exe() {
        Ok(program) => failed(Command::new(program).args(std::env::args_os().skip(1)).exec()),
        Err(error) => failed(error),
    }
}
