//! What production's database writes: transactions that are due by the clock, each on the disk before it is answered.

use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::run::{Result, output};

/// The tables that are written to: 75 MB.
pub(super) const PREPARE: &str =
    "until pg_isready -q -h localhost; do sleep 0.2; done; pgbench --quiet -i -s 5 postgres";

/// Transactions that are under way.
pub(super) struct Commits(Child);

/// In the database's container, as its own superuser.
fn inside(container: &str, script: &str) -> Command {
    let mut command = Command::new("docker");
    command.args(["exec", "-u", "postgres", "-e", "PGPASSWORD=bench", container, "sh", "-c", script]);
    command
}

pub(super) fn prepare(container: &str) -> Result<()> {
    output(&mut inside(container, PREPARE)).map(drop)
}

impl Commits {
    /// Fifty in a second; the latency of each counts from when it was due.
    pub(super) fn start(container: &str, time: Duration) -> Result<Self> {
        let script = format!(
            "cd /tmp && rm -f commits.* && pgbench -n -N -c 8 -j 2 -R 50 -T {} -l --log-prefix=commits postgres >&2 && cat commits.*",
            time.as_secs()
        );
        let mut command = inside(container, &script);
        Ok(Self(command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?))
    }

    /// The 99th percentile, in milliseconds.
    pub(super) fn stop(self) -> Result<f64> {
        let output = self.0.wait_with_output()?;
        let text = String::from_utf8_lossy(&output.stdout);
        // `client transaction microseconds …`
        let took = text.lines().filter_map(|line| line.split_whitespace().nth(2)?.parse::<f64>().ok());
        let mut took: Vec<f64> = took.collect();
        if !output.status.success() || took.is_empty() {
            let told = String::from_utf8_lossy(&output.stderr);
            return Err(format!("production's database wrote nothing: {told}").into());
        }
        took.sort_by(f64::total_cmp);
        Ok(took[(took.len() * 99 / 100).min(took.len() - 1)] / 1000.0)
    }
}
