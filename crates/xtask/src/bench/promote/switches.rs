//! When the switch was turned, and where each request went, by the proxy's own log.

use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use serde_json::Value;

const LOOK: Duration = Duration::from_millis(2);
/// The log is read at every so many looks.
const READ: u32 = 50;

/// The switch file got a new address.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Switch {
    /// When its new content took the name, by the file system.
    pub(super) at: f64,
    pub(super) address: String,
}

/// A request of production, by the log.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Routed {
    pub(super) began: f64,
    pub(super) to: String,
}

pub(super) struct Watcher {
    stopped: Arc<AtomicBool>,
    thread: JoinHandle<(Vec<Switch>, Vec<Routed>)>,
}

impl Watcher {
    pub(super) fn start(switch: PathBuf, log: PathBuf, route: String) -> Self {
        let stopped = Arc::new(AtomicBool::new(false));
        let until = Arc::clone(&stopped);
        let thread = std::thread::spawn(move || {
            let (mut switches, mut log) = (Vec::new(), Log::at_the_end(&log, route));
            let mut looks = 0_u32;
            while !until.load(Ordering::Relaxed) {
                look(&switch, &mut switches);
                looks = looks.wrapping_add(1);
                if looks.is_multiple_of(READ) {
                    log.read();
                }
                std::thread::sleep(LOOK);
            }
            log.read();
            (switches, log.routed)
        });
        Self { stopped, thread }
    }

    /// Every switch since, the one that stood in the beginning first, and every request.
    pub(super) fn stop(self) -> (Vec<Switch>, Vec<Routed>) {
        self.stopped.store(true, Ordering::Relaxed);
        self.thread.join().unwrap_or_default()
    }
}

fn look(path: &Path, switches: &mut Vec<Switch>) {
    let Ok(mut file) = File::open(path) else { return };
    let Ok(found) = file.metadata() else { return };
    #[expect(clippy::cast_precision_loss, reason = "exact to less than a microsecond until the year 2242")]
    let at = found.ctime() as f64 + found.ctime_nsec() as f64 / 1e9;
    let mut address = String::new();
    if file.read_to_string(&mut address).is_ok() && switches.last().is_none_or(|last| last.address != address)
    {
        switches.push(Switch { at, address });
    }
}

/// The log as it grows, also over the change to a new file.
struct Log {
    path: PathBuf,
    route: String,
    file: Option<File>,
    rest: Vec<u8>,
    routed: Vec<Routed>,
}

impl Log {
    fn at_the_end(path: &Path, route: String) -> Self {
        let mut file = File::open(path).ok();
        if let Some(file) = &mut file {
            drop(file.seek(SeekFrom::End(0)));
        }
        Self { path: path.to_owned(), route, file, rest: Vec::new(), routed: Vec::new() }
    }

    fn read(&mut self) {
        self.read_open();
        let inode = |file: &File| file.metadata().map(|one| one.ino()).ok();
        let Ok(now) = File::open(&self.path) else { return };
        if self.file.as_ref().and_then(inode) != inode(&now) {
            // What came into the old file between the last reading and its end.
            self.read_open();
            self.rest.clear();
            self.file = Some(now);
            self.read_open();
        }
    }

    fn read_open(&mut self) {
        let Some(file) = &mut self.file else { return };
        drop(file.read_to_end(&mut self.rest));
        let whole = self.rest.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        let lines: Vec<u8> = self.rest.drain(..whole).collect();
        let all = lines.split(|byte| *byte == b'\n');
        self.routed.extend(all.filter_map(|line| routed(line, &self.route)));
    }
}

fn routed(line: &[u8], route: &str) -> Option<Routed> {
    let value: Value = serde_json::from_slice(line).ok()?;
    if value.get("route")? != route {
        return None;
    }
    let began = value.get("ts")?.as_f64()? - value.get("duration")?.as_f64()?;
    Some(Routed { began, to: value.get("to")?.as_str()?.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_log_is_read_over_a_new_file_and_only_the_routes_lines() {
        let folder = std::env::temp_dir().join(format!("bench-log-{}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("a folder");
        let path = folder.join("traffic.log");
        let line = |ts: u32, route: &str| {
            format!("{{\"ts\":{ts}.5,\"duration\":0.5,\"route\":\"{route}\",\"to\":\"web-blue:8000\"}}\n")
        };
        std::fs::write(&path, line(1, "a/web")).expect("writes");
        let mut log = Log::at_the_end(&path, "a/web".into());
        let grown = line(1, "a/web") + &line(2, "a/web") + &line(3, "b/web");
        // A file that is written in place keeps its inode.
        std::fs::write(&path, grown).expect("writes");
        log.read();
        std::fs::rename(&path, folder.join("old.log")).expect("renames");
        std::fs::write(&path, line(4, "a/web")).expect("writes");
        log.read();
        std::fs::remove_dir_all(&folder).expect("removes");
        let began: Vec<f64> = log.routed.iter().map(|one| one.began).collect();
        assert_eq!(began, [2.0, 4.0]);
        assert_eq!(log.routed[0].to, "web-blue:8000");
    }
}
