//! Running other programs and talking to the terminal.
#![expect(clippy::print_stdout, reason = "a chore talks to the developer who started it")]

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

pub(crate) type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

pub(crate) fn say(text: &str) {
    println!("{text}");
}

/// The folder of the checkout.
pub(crate) fn root() -> PathBuf {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR"));
    manifest.ancestors().nth(2).unwrap_or(manifest).to_owned()
}

/// The `partywall` binary that was built beside this one.
pub(crate) fn partywall() -> Result<PathBuf> {
    let beside = std::env::current_exe()?.with_file_name("partywall");
    if beside.is_file() {
        Ok(beside)
    } else {
        Err(format!("{} is missing; build it with `cargo build --release -p partywall`", beside.display())
            .into())
    }
}

/// Runs to the end with the terminal as it is; a failure is an error.
pub(crate) fn show(command: &mut Command) -> Result<()> {
    let status = command.status()?;
    if status.success() { Ok(()) } else { Err(format!("{command:?} ended with {status}").into()) }
}

/// Runs quietly; the output is the answer.
pub(crate) fn output(command: &mut Command) -> Result<String> {
    let output = command.stdin(Stdio::null()).output()?;
    if !output.status.success() {
        return Err(format!(
            "{command:?} ended with {}: {}",
            output.status,
            String::from_utf8_lossy(&output.stderr)
        )
        .into());
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
