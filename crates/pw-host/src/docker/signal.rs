//! Does a stop signal reach the process that is to end?

use procfs::process::Process;
use pw_run::Failure;

use super::Engine;

impl Engine {
    /// The stop signal of a container whose main process ignores it; `None` where it arrives, or nobody can tell.
    ///
    /// The first process of a container gets no signal that it does not ask for: a shell that waits for its child is
    /// the usual one. Such a container is killed when its grace period is over, with all that it still answers.
    ///
    /// # Errors
    /// The engine does not answer.
    pub async fn unheard_signal(&self, container: &str) -> Result<Option<String>, Failure> {
        let Some(found) = self.inspect_named(container).await? else { return Ok(None) };
        let signal = found.config.and_then(|config| config.stop_signal);
        let signal = signal.filter(|signal| !signal.is_empty()).unwrap_or_else(|| "SIGTERM".to_owned());
        let process = found.state.and_then(|state| i32::try_from(state.pid?).ok()).filter(|pid| *pid > 0);
        let status = process.and_then(|pid| Process::new(pid).ok()?.status().ok());
        let (Some(number), Some(status)) = (number(&signal), status) else { return Ok(None) };
        // A process that blocks a signal waits for it: so do the small init programs.
        Ok((!is_in(status.sigcgt | status.sigblk, number)).then_some(signal))
    }
}

fn is_in(signals: u64, number: u32) -> bool {
    signals & (1 << (number - 1)) != 0
}

/// As Linux numbers them on x86 and ARM; `None` for what only the kernel answers, and for names that we do not know.
fn number(signal: &str) -> Option<u32> {
    match signal.trim_start_matches("SIG") {
        "HUP" => Some(1),
        "INT" => Some(2),
        "QUIT" => Some(3),
        "USR1" => Some(10),
        "USR2" => Some(12),
        "TERM" => Some(15),
        "WINCH" => Some(28),
        other => other.parse().ok().filter(|number| (1..=64).contains(number) && *number != 9),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_numbers_are_signals() {
        assert_eq!((number("SIGTERM"), number("QUIT"), number("15")), (Some(15), Some(3), Some(15)));
        assert_eq!((number("SIGKILL"), number("9"), number("RTMIN+3")), (None, None, None));
        assert!(is_in(1 << 14, 15) && !is_in(1 << 14, 3));
    }
}
