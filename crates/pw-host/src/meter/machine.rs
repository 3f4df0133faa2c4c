//! The machine as a whole.

use std::path::{Path, PathBuf};

use super::figures::MachineFigures;
use super::kept::{Kept, Page, entry};

/// The machine's files, kept open.
#[derive(Debug)]
pub struct MachineMeter {
    stat: Kept,
    memory: Kept,
    waited: [Kept; 3],
    /// Folders whose disks must not fill.
    disks: Vec<PathBuf>,
    page: Page,
}

impl MachineMeter {
    pub fn new(disks: Vec<PathBuf>) -> Self {
        let open = |path: &str| Kept::open(Path::new(path));
        Self {
            stat: open("/proc/stat"),
            memory: open("/proc/meminfo"),
            waited: ["cpu", "memory", "io"].map(|name| open(&format!("/proc/pressure/{name}"))),
            disks,
            page: Page::new(),
        }
    }

    pub fn read(&mut self) -> MachineFigures {
        let page = &mut self.page;
        let worked = self.stat.read(page).and_then(worked);
        let [waited_cpu_seconds, waited_memory_seconds, waited_io_seconds] =
            self.waited.each_ref().map(|file| file.waited(page));
        let text = self.memory.read(page).unwrap_or_default();
        let bytes = |key| entry(text, key).map(|kilobytes| kilobytes * 1024.0);
        let (swap, swap_free) = (bytes("SwapTotal"), bytes("SwapFree"));
        let disk = fullest(&self.disks);
        MachineFigures {
            cpus: std::thread::available_parallelism().ok().map(|count| count.get() as f64),
            cpu_seconds: worked.map(|(busy, _)| busy),
            stolen_seconds: worked.map(|(_, stolen)| stolen),
            memory_bytes: bytes("MemTotal"),
            memory_available_bytes: bytes("MemAvailable"),
            swap_used_bytes: swap.zip(swap_free).map(|(all, free)| all - free),
            disk_bytes: disk.map(|(all, _)| all),
            disk_free_bytes: disk.map(|(_, free)| free),
            waited_cpu_seconds,
            waited_memory_seconds,
            waited_io_seconds,
        }
    }
}

/// `cpu  user nice system idle iowait irq softirq steal …`, in ticks: seconds worked, and stolen.
fn worked(text: &str) -> Option<(f64, f64)> {
    let words = text.lines().next()?.strip_prefix("cpu ")?.split_whitespace();
    let mut ticks = [0.0; 8];
    ticks.iter_mut().zip(words).for_each(|(tick, word)| *tick = word.parse::<f64>().unwrap_or(0.0));
    let [user, nice, system, _, _, irq, soft, stolen] = ticks;
    let each = rustix::param::clock_ticks_per_second() as f64;
    Some(((user + nice + system + irq + soft) / each, stolen / each))
}

/// Size and free bytes of the file system that has the smallest share left.
fn fullest(folders: &[PathBuf]) -> Option<(f64, f64)> {
    let sizes = folders.iter().filter_map(|folder| {
        let figures = rustix::fs::statvfs(folder).ok()?;
        let bytes = |blocks: u64| blocks as f64 * figures.f_frsize as f64;
        Some((bytes(figures.f_blocks).max(1.0), bytes(figures.f_bavail)))
    });
    sizes.reduce(|a, b| if b.1 / b.0 < a.1 / a.0 { b } else { a })
}
