//! What is shown of a copying that goes on: where it is, how fast, how long still.

use std::io::{IsTerminal, Write};
use std::pin::pin;
use std::time::Duration;

use pw_data::sample::{Reading, Standing};
use pw_model::unit::Bytes;

use crate::seeded::{age, grouped};

/// How often something is shown where it replaces what was shown before, and where it does not.
const MOVES: Duration = Duration::from_millis(500);
const STAYS: Duration = Duration::from_secs(10);

/// Does the work and shows how far it is, at last once more.
pub(crate) async fn watched<T>(
    reading: &Reading,
    work: impl Future<Output = T>,
    each: Duration,
    show: &dyn Fn(&Standing),
) -> T {
    let mut work = pin!(work);
    let mut tick = tokio::time::interval(each);
    loop {
        tokio::select! {
            done = &mut work => {
                reading.standing().iter().for_each(show);
                return done;
            }
            _ = tick.tick() => reading.standing().iter().for_each(show),
        }
    }
}

/// How often, here.
pub(crate) fn interval() -> Duration {
    if std::io::stderr().is_terminal() { MOVES } else { STAYS }
}

pub(crate) fn line(standing: &Standing) -> String {
    let left = standing.seconds_left.and_then(|seconds| i64::try_from(seconds).ok());
    let left = left.map_or_else(String::new, |seconds| format!(", {} left", age(seconds)));
    format!(
        "copying {}: {} %, {} of {} rows, {}/s{left}",
        standing.table,
        standing.percent(),
        grouped(standing.rows),
        grouped(standing.of),
        Bytes(standing.bytes_in_a_second),
    )
}

/// On one line that moves where there is a terminal, else on lines of their own.
pub(crate) fn draw(standing: &Standing) {
    let text = line(standing);
    let mut to = anstream::stderr();
    // Nobody is left to be shown anything when stderr is closed.
    if std::io::stderr().is_terminal() {
        let end = if standing.rows == standing.of { "\n" } else { "" };
        drop(write!(to, "\r\x1b[K  {text}{end}").and_then(|()| to.flush()));
    } else {
        drop(writeln!(to, "  {text}"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_standing_reads_as_one_line() {
        let mut standing = Standing {
            table: "users".into(),
            rows: 1_234,
            of: 5_000,
            bytes: 10 << 20,
            bytes_in_a_second: 35 << 20,
            seconds_left: Some(12),
        };
        assert_eq!(line(&standing), "copying users: 24 %, 1,234 of 5,000 rows, 35 MB/s, 12 s left");
        standing.seconds_left = None;
        assert_eq!(line(&standing), "copying users: 24 %, 1,234 of 5,000 rows, 35 MB/s");
    }
}
