//! How far our own work, and that of the programs we start, gives way to what production does.

use std::process::{Command as Process, Stdio};

use crate::cli::Command;

/// A tenth of an equal share of a processor that is asked for by both (the kernel's weight of this niceness is 110 of 1024).
const GIVES_WAY: i32 = 10;
/// It takes what nobody else wants.
const LOWEST: i32 = 19;

/// What starts, builds and moves containers asks Compose a dozen times: without this, each time beside production as its equal.
///
/// Not for what measures, or copies at a pace of its own.
pub(crate) fn of(command: &Command) {
    let moves = matches!(
        command,
        Command::Up { .. }
            | Command::Down { .. }
            | Command::Destroy { .. }
            | Command::Push(_)
            | Command::Promote(_)
            | Command::Rollback(_)
            | Command::Retire(_)
            | Command::Resume
            | Command::Abandon
    );
    if moves {
        // Before any thread is started, for each has a niceness of its own. Without the right to it, it goes as it went.
        let _ignored = rustix::process::nice(GIVES_WAY);
        let _ignored = pw_host::group::step_aside();
    }
}

/// From now on this process runs at the lowest priority.
pub(crate) fn step_back() {
    // A right or a program that is missing costs others some time, and nobody any data.
    let _ignored = rustix::process::nice(LOWEST);
    let own = std::process::id().to_string();
    let mut idle = Process::new("ionice");
    idle.args(["-c", "3", "-p", &own]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    drop(idle.status());
}
