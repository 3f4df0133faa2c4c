//! The log of answers: what each generation answered, read as it is written.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use pw_plan::promote::judge::Answers;
use serde::Deserialize;

/// How much of what was written before is read to know how it was before, in bytes.
const LOOKED_BACK: u64 = 1 << 20;
/// A websocket or stream says nothing about how fast answers come.
const SWITCHED: u16 = 101;

/// One line.
#[derive(Debug, Deserialize)]
struct Line {
    ts: f64,
    duration: f64,
    status: u16,
    #[serde(default)]
    route: String,
    #[serde(default)]
    to: String,
}

/// Answers by route and address, from the log.
#[derive(Debug)]
pub struct Traffic {
    path: PathBuf,
    inode: u64,
    offset: u64,
    rest: Vec<u8>,
    /// Answers that ended before this are of another time, in seconds since 1970.
    since: f64,
    answers: BTreeMap<(String, String), Answers>,
}

impl Traffic {
    /// Reads what the end of the log says of before.
    pub fn before(path: &Path) -> Self {
        let mut traffic = Self::new(path, 0.0);
        let size = std::fs::metadata(path).map(|file| file.len()).unwrap_or(0);
        traffic.offset = size.saturating_sub(LOOKED_BACK);
        traffic.inode = inode(path);
        traffic.read();
        traffic
    }

    /// From here on, answers that end at `now` or later.
    pub fn following(path: &Path, now: f64) -> Self {
        let mut traffic = Self::new(path, now);
        traffic.inode = inode(path);
        traffic.offset = std::fs::metadata(path).map(|file| file.len()).unwrap_or(0);
        traffic
    }

    fn new(path: &Path, since: f64) -> Self {
        let path = path.to_owned();
        Self { path, inode: 0, offset: 0, rest: Vec::new(), since, answers: BTreeMap::new() }
    }

    /// Takes in what was written since; a file that was put in its place is read from its beginning.
    pub fn read(&mut self) {
        let Ok(mut file) = File::open(&self.path) else { return };
        let now = file.metadata().map(|file| (file.ino(), file.len())).unwrap_or((self.inode, 0));
        if now.0 != self.inode || now.1 < self.offset {
            (self.inode, self.offset) = (now.0, 0);
            self.rest.clear();
        }
        let mut new = Vec::new();
        let read = file.seek(SeekFrom::Start(self.offset)).and_then(|_| file.read_to_end(&mut new));
        self.offset += read.unwrap_or(0) as u64;
        self.rest.extend(new);
        let whole = self.rest.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        let lines: Vec<u8> = self.rest.drain(..whole).collect();
        for line in lines.split(|byte| *byte == b'\n') {
            // The first may be cut; what we do not understand is not an answer.
            if let Ok(line) = serde_json::from_slice::<Line>(line) {
                self.take(line);
            }
        }
    }

    fn take(&mut self, line: Line) {
        if line.ts < self.since || line.status == SWITCHED {
            return;
        }
        let answers = self.answers.entry((line.route, line.to)).or_default();
        answers.seconds.push(line.duration);
        answers.failures += u64::from(line.status >= 500);
    }

    /// What an address answered for a route.
    pub fn of(&self, route: &str, address: &str) -> &Answers {
        static NONE: Answers = Answers { seconds: Vec::new(), failures: 0 };
        self.answers.get(&(route.to_owned(), address.to_owned())).unwrap_or(&NONE)
    }
}

fn inode(path: &Path) -> u64 {
    std::fs::metadata(path).map(|file| file.ino()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    #[test]
    fn answers_are_counted_as_they_are_written_and_over_a_new_file() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("traffic.log");
        let line = |ts: u32, status: u16| {
            format!(
                "{{\"ts\":{ts},\"duration\":0.5,\"status\":{status},\"route\":\"p/web\",\"to\":\"b:1\"}}\n"
            )
        };
        std::fs::write(&path, line(1, 500)).expect("writes");
        let before = Traffic::before(&path);
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
