//! When production first waited for more than it is to wait, as a witness beside the agent sees it.

use std::collections::VecDeque;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// What mode `guarantee` lets production wait for a processor, for memory, for a disk.
const LIMITS: [(&str, f64); 3] = [("cpu", 0.05), ("memory", 0.02), ("io", 0.10)];
const LOOK: Duration = Duration::from_millis(20);
/// Looks over which waiting is counted: a fifth of a second, as the governor counts it.
const LOOKS: usize = 10;

/// What production has waited for until a moment.
#[derive(Clone)]
pub(super) struct Waited {
    folder: PathBuf,
    at: Instant,
    seconds: [f64; 3],
}

impl Waited {
    pub(super) fn of(group: &str) -> Self {
        let root = Path::new("/sys/fs/cgroup");
        let beside = root.join("unified");
        Self::in_folder(if beside.is_dir() { beside.join(group) } else { root.join(group) })
    }

    fn in_folder(folder: PathBuf) -> Self {
        let seconds = LIMITS.map(|(name, _)| waited(&folder.join(format!("{name}.pressure"))));
        Self { folder, at: Instant::now(), seconds }
    }

    fn again(&self) -> Self {
        Self::in_folder(self.folder.clone())
    }

    /// Shares of the time between.
    fn since(&self, before: &Self) -> [f64; 3] {
        let passed = self.at.duration_since(before.at).as_secs_f64();
        std::array::from_fn(|at| (self.seconds[at] - before.seconds[at]) / passed)
    }
}

pub(super) struct Witness {
    stopped: Arc<AtomicBool>,
    thread: JoinHandle<Option<f64>>,
}

impl Witness {
    /// From now on; what production waited for since `calm` is its own doing.
    pub(super) fn start(calm: &Waited) -> Self {
        let now = calm.again();
        let own = now.since(calm);
        let stopped = Arc::new(AtomicBool::new(false));
        let told = Arc::clone(&stopped);
        Self { stopped, thread: std::thread::spawn(move || watch(now, own, &told)) }
    }

    /// Milliseconds since 1970 of the first sign; `None` when there was none.
    pub(super) fn stop(self) -> Option<f64> {
        self.stopped.store(true, Ordering::Relaxed);
        self.thread.join().ok().flatten()
    }
}

pub(super) fn now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64() * 1000.0
}

fn watch(from: Waited, own: [f64; 3], stopped: &AtomicBool) -> Option<f64> {
    let mut seen = VecDeque::from([from]);
    while !stopped.load(Ordering::Relaxed) {
        std::thread::sleep(LOOK);
        let now = seen.back()?.again();
        if seen.len() >= LOOKS {
            let shares = now.since(&seen.pop_front()?);
            // Its own waiting varies by a quarter.
            if (0..LIMITS.len()).any(|at| shares[at] >= LIMITS[at].1 + own[at] * 1.25) {
                return Some(self::now());
            }
        }
        seen.push_back(now);
    }
    None
}

/// Seconds in which something of the group waited: `some avg10=0.00 avg60=0.00 avg300=0.00 total=1234`.
fn waited(file: &Path) -> f64 {
    let text = fs::read_to_string(file).unwrap_or_default();
    let some = text.lines().find(|line| line.starts_with("some ")).unwrap_or_default();
    let total = some.split_whitespace().find_map(|word| word.strip_prefix("total="));
    total.and_then(|total| total.parse::<f64>().ok()).unwrap_or(0.0) / 1e6
}
