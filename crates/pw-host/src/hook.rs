//! Commands of the user's, run on the host while a release comes.

use std::process::Stdio;

use pw_plan::step::Hook;
use pw_run::Failure;
use tokio::process::Command;

/// How many of its last lines a failure shows.
const SHOWN: usize = 10;

/// What the hook said.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct HookSaid(String);

/// Runs it to its end, in the project's folder.
///
/// # Errors
/// It cannot be started, or ends with another code than 0.
pub(crate) async fn run(hook: &Hook, tell: &(dyn Fn(&str) + Sync)) -> Result<(), Failure> {
    let shown = hook.command.join(" ");
    let Some((program, arguments)) = hook.command.split_first() else { return Ok(()) };
    let mut command = Command::new(program);
    command.args(arguments).current_dir(&hook.folder).envs(&hook.variables);
    command.stdin(Stdio::null()).kill_on_drop(true);
    tell(&format!("waiting for `{shown}`"));
    let hint = "see `promote.hooks` in `partywall.yaml`";
    let output = command.output().await.map_err(|error| {
        Failure::new(format!("could not run the {} hook `{shown}`", hook.moment)).because(error).hint(hint)
    })?;
    if output.status.success() {
        return Ok(());
    }
    let said =
        [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
    let lines: Vec<&str> = said.lines().filter(|line| !line.trim().is_empty()).collect();
    let last = lines[lines.len().saturating_sub(SHOWN)..].join("\n  ");
    let failure =
        Failure::new(format!("the {} hook `{shown}` failed: {}", hook.moment, output.status)).hint(hint);
    Err(if last.is_empty() { failure } else { failure.because(HookSaid(format!("it said\n  {last}"))) })
}
