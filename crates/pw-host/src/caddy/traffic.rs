//! The log of answers: what each generation answered, read as it is written.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use pw_plan::promote::judge::Answers;
use serde::Deserialize;

use super::tail::{PIECE, Tail};

/// How much of what was written before is read to know how it was before, in bytes.
const LOOKED_BACK: u64 = 1 << 20;
/// Between two pieces of it.
const BETWEEN: Duration = Duration::from_millis(20);
/// A websocket or stream says nothing about how fast answers come.
const SWITCHED: u16 = 101;

/// One line.
#[derive(Debug, Deserialize)]
pub(super) struct Line {
    pub(super) ts: f64,
    pub(super) duration: f64,
    pub(super) status: u16,
    #[serde(default)]
    pub(super) route: String,
    /// `None` where the proxy answered itself: there is nobody behind the route.
    to: Option<String>,
}

impl Line {
    /// `None` for what is no answer: a line that was cut, or one of something that stays open.
    pub(super) fn parse(line: &[u8]) -> Option<Self> {
        serde_json::from_slice::<Self>(line).ok().filter(|line| line.status != SWITCHED)
    }

    /// Empty for the proxy itself.
    pub(super) fn to(&self) -> &str {
        self.to.as_deref().unwrap_or_default()
    }

    pub(super) fn is_failure(&self) -> bool {
        self.status >= 500
    }
}

/// Every answer by route and address, from the log: for a look of some minutes, since each is kept.
/// [`super::Answered`] is for longer.
#[derive(Debug)]
pub struct Traffic {
    tail: Tail,
    /// Answers that ended before this are of another time, in seconds since 1970.
    since: f64,
    answers: BTreeMap<(String, String), Answers>,
}

impl Traffic {
    /// Reads what the end of the log says of before, a piece after the other: visitors who have just met a new release
    /// are not to wait for a processor.
    pub async fn before(path: &Path) -> Self {
        let mut traffic = Self { tail: Tail::from_end(path, LOOKED_BACK), ..Self::following(path, 0.0) };
        let Self { tail, since, answers } = &mut traffic;
        // Not to the end of the file: it grows meanwhile.
        for _ in 0..=LOOKED_BACK / PIECE as u64 {
            if !tail.read_piece(&mut |line| count(line, *since, answers)) {
                break;
            }
            tokio::time::sleep(BETWEEN).await;
        }
        traffic
    }

    /// From here on, answers that end at `now` or later.
    pub fn following(path: &Path, now: f64) -> Self {
        Self { tail: Tail::from_end(path, 0), since: now, answers: BTreeMap::new() }
    }

    /// Takes in what was written since.
    pub fn read(&mut self) {
        let Self { tail, since, answers } = self;
        tail.read(|line| count(line, *since, answers));
    }

    /// What an address answered for a route.
    pub fn of(&self, route: &str, address: &str) -> &Answers {
        static NONE: Answers = Answers { seconds: Vec::new(), failures: 0 };
        self.answers.get(&(route.to_owned(), address.to_owned())).unwrap_or(&NONE)
    }
}

fn count(line: &[u8], since: f64, answers: &mut BTreeMap<(String, String), Answers>) {
    let Some(line) = Line::parse(line).filter(|line| line.ts >= since) else { return };
    let failures = u64::from(line.is_failure());
    let of = answers.entry((line.route, line.to.unwrap_or_default())).or_default();
    of.seconds.push(line.duration);
    of.failures += failures;
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::io::Write as _;

    use super::*;

    #[tokio::test]
    async fn answers_are_counted_as_they_are_written_and_over_a_new_file() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("traffic.log");
        let line = |ts: u32, status: u16| {
            format!(
                "{{\"ts\":{ts},\"duration\":0.5,\"status\":{status},\"route\":\"p/web\",\"to\":\"b:1\"}}\n"
            )
        };
        std::fs::write(&path, line(1, 500)).expect("writes");
        let before = Traffic::before(&path).await;
        assert_eq!(before.of("p/web", "b:1").failures, 1);
        let mut traffic = Traffic::following(&path, 2.0);
        let mut file = File::options().append(true).open(&path).expect("opens");
        let second = line(3, 200);
        let (half, rest) = second.split_at(20);
        file.write_all(half.as_bytes()).expect("writes");
        traffic.read();
        assert!(traffic.of("p/web", "b:1").seconds.is_empty(), "half a line is none");
        file.write_all(rest.as_bytes()).expect("writes");
        traffic.read();
        assert_eq!(traffic.of("p/web", "b:1"), &Answers { seconds: vec![0.5], failures: 0 });
        let new = folder.path().join("new");
        std::fs::write(&new, line(4, 502) + &line(5, 101)).expect("writes");
        std::fs::rename(&new, &path).expect("renames");
        traffic.read();
        assert_eq!(traffic.of("p/web", "b:1"), &Answers { seconds: vec![0.5; 2], failures: 1 });
        assert!(traffic.of("p/web", "other:1").seconds.is_empty());
    }
}
