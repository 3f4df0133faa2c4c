//! What production's own queries feel: how long a row by its key takes, alone and while a sample is made.

use std::process::{Child, Stdio};

use super::server::{SOURCE, Server};
use crate::run::Result;

/// In a second, so that they are no load themselves.
const RATE: u32 = 200;

/// Queries that run beside something else.
pub(super) struct Queries {
    child: Child,
}

impl Queries {
    pub(super) fn start(server: &Server, users: u64, seconds: u64) -> Result<Self> {
        let script =
            format!("\\set id random(1, {users})\nSELECT handle, settings FROM users WHERE id = :id;\n");
        let text = format!(
            "cd /tmp && rm -f waits.* && printf '%s' '{script}' >waits.sql && \
             \"$(pg_config --bindir 2>/dev/null || ls -d /usr/lib/postgresql/*/bin | tail -1)/pgbench\" -U owner -n -c 1 -R {RATE} \
             -T {seconds} -M prepared -f waits.sql --log --log-prefix=waits {SOURCE} >/dev/null && cat waits.[0-9]*"
        );
        let child =
            server.shell(&text).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
        Ok(Self { child })
    }

    /// The longest that 99 of 100 took, in milliseconds, with what they waited to begin.
    pub(super) fn wait(self) -> Result<f64> {
        let told = self.child.wait_with_output()?;
        if !told.status.success() {
            return Err(format!("pgbench failed: {}", String::from_utf8_lossy(&told.stderr)).into());
        }
        let text = String::from_utf8_lossy(&told.stdout);
        let mut times: Vec<u64> =
            text.lines().filter_map(|line| line.split_whitespace().nth(2)?.parse().ok()).collect();
        times.sort_unstable();
        let at = times.len() * 99 / 100;
        let micros = times.get(at).ok_or("pgbench noted no query")?;
        #[expect(clippy::cast_precision_loss, reason = "a time for people")]
        let milliseconds = *micros as f64 / 1000.0;
        Ok(milliseconds)
    }
}
