//! One control group, of either version.

use std::path::{Path, PathBuf};

use pw_model::host::CgroupVersion;

use super::figures::Used;
use super::kept::{Kept, Page, entry};
use super::network::NetworkMeter;
use crate::group::version;

/// Beyond, version 1 means no limit.
const NO_LIMIT: f64 = (1_u64 << 60) as f64;

/// The files of a group, kept open.
#[derive(Debug)]
pub struct GroupMeter {
    files: Files,
    waited: [Kept; 3],
    processes: Kept,
    network: Option<NetworkMeter>,
    page: Page,
}

#[derive(Debug)]
enum Files {
    V1 { usage: Kept, throttled: Kept, memory: Kept, memory_stat: Kept, hits: Kept, killed: Kept, io: Kept },
    V2 { cpu: Kept, memory: Kept, limit: Kept, memory_stat: Kept, memory_events: Kept, io: Kept },
}

impl GroupMeter {
    /// The meter of a container; `None` when it does not run. `parents` are the groups in which it may be.
    pub fn container(root: &Path, parents: &[String], id: &str) -> Option<Self> {
        let paths = parents.iter().flat_map(|parent| crate::stats::container_paths(parent, id));
        let mut meter = paths.into_iter().find_map(|path| Self::group(root, &path))?;
        meter.network = meter.first_process(root, parents, id).and_then(NetworkMeter::of_process);
        Some(meter)
    }

    /// The meter of a group with all in it, without network; `None` when there is no such group.
    pub fn group(root: &Path, path: &str) -> Option<Self> {
        let path = crate::stats::tree_path(path);
        let path = path.trim_start_matches('/');
        let files = match version(root) {
            CgroupVersion::V2 => Files::v2(&root.join(path))?,
            CgroupVersion::V1 => Files::v1(root, path)?,
        };
        let beside = root.join("unified");
        let tree = if beside.is_dir() { beside } else { root.to_owned() }.join(path);
        let pids = match version(root) {
            CgroupVersion::V2 => root.join(path),
            CgroupVersion::V1 => root.join("pids").join(path),
        };
        Some(Self {
            files,
            waited: ["cpu", "memory", "io"].map(|name| Kept::open(&tree.join(format!("{name}.pressure")))),
            processes: Kept::open(&pids.join("pids.current")),
            network: None,
            page: Page::new(),
        })
    }

    fn first_process(&mut self, root: &Path, parents: &[String], id: &str) -> Option<u32> {
        let tree: PathBuf = match version(root) {
            CgroupVersion::V2 => root.to_owned(),
            CgroupVersion::V1 => root.join("memory"),
        };
        let paths = parents.iter().flat_map(|parent| crate::stats::container_paths(parent, id));
        paths.into_iter().find_map(|path| {
            let file = tree.join(path.trim_start_matches('/')).join("cgroup.procs");
            Kept::open(&file).read(&mut self.page)?.lines().next()?.parse().ok()
        })
    }

    /// What it has used until now; `None` when the group is gone, also when another of its name took its place.
    pub fn read(&mut self) -> Option<Used> {
        let page = &mut self.page;
        let mut used = self.files.read(page)?;
        [used.waited_cpu_seconds, used.waited_memory_seconds, used.waited_io_seconds] =
            self.waited.each_ref().map(|file| file.waited(page));
        used.processes = self.processes.number(page);
        let transferred = self.network.as_ref().and_then(|network| network.read(page));
        used.received_bytes = transferred.map(|(received, _)| received);
        used.sent_bytes = transferred.map(|(_, sent)| sent);
        Some(used)
    }
}

impl Files {
    fn v1(root: &Path, path: &str) -> Option<Self> {
        let of = |tree: &str, file: &str| Kept::open(&root.join(tree).join(path).join(file));
        root.join("memory").join(path).is_dir().then(|| Self::V1 {
            usage: of("cpuacct", "cpuacct.usage"),
            throttled: of("cpu", "cpu.stat"),
            memory: of("memory", "memory.usage_in_bytes"),
            memory_stat: of("memory", "memory.stat"),
            hits: of("memory", "memory.failcnt"),
            killed: of("memory", "memory.oom_control"),
            io: of("blkio", "blkio.throttle.io_service_bytes_recursive"),
        })
    }

    fn v2(folder: &Path) -> Option<Self> {
        let of = |file: &str| Kept::open(&folder.join(file));
        folder.is_dir().then(|| Self::V2 {
            cpu: of("cpu.stat"),
            memory: of("memory.current"),
            limit: of("memory.max"),
            memory_stat: of("memory.stat"),
            memory_events: of("memory.events"),
            io: of("io.stat"),
        })
    }

    fn read(&self, page: &mut Page) -> Option<Used> {
        match self {
            Self::V1 { .. } => self.read_v1(page),
            Self::V2 { .. } => self.read_v2(page),
        }
    }

    fn read_v1(&self, page: &mut Page) -> Option<Used> {
        let Self::V1 { usage, throttled, memory, memory_stat, hits, killed, io } = self else { return None };
        let mut used = Used { cpu_seconds: Some(usage.number(page)? / 1e9), ..Used::default() };
        let in_use = memory.number(page);
        let stat = memory_stat.read(page).unwrap_or_default();
        let idle = entry(stat, "total_inactive_file").unwrap_or(0.0);
        used.memory_bytes = in_use.map(|in_use| (in_use - idle).max(0.0));
        used.memory_limit_bytes = entry(stat, "hierarchical_memory_limit").filter(|limit| *limit < NO_LIMIT);
        used.memory_limit_hits = hits.number(page);
        let held = throttled.read(page).and_then(|text| entry(text, "throttled_time"));
        used.throttled_seconds = held.map(|nanoseconds| nanoseconds / 1e9);
        used.killed = killed.read(page).and_then(|text| entry(text, "oom_kill"));
        let transferred = io.read(page);
        // `254:0 Read 8192`
        used.read_bytes = transferred.map(|text| sum_after(text, "Read"));
        used.written_bytes = transferred.map(|text| sum_after(text, "Write"));
        Some(used)
    }

    fn read_v2(&self, page: &mut Page) -> Option<Used> {
        let Self::V2 { cpu, memory, limit, memory_stat, memory_events, io } = self else { return None };
        let stat = cpu.read(page)?;
        let mut used = Used { cpu_seconds: Some(entry(stat, "usage_usec")? / 1e6), ..Used::default() };
        used.throttled_seconds = entry(stat, "throttled_usec").map(|microseconds| microseconds / 1e6);
        let in_use = memory.number(page);
        let stat = memory_stat.read(page).unwrap_or_default();
        let idle = entry(stat, "inactive_file").unwrap_or(0.0);
        used.memory_bytes = in_use.map(|in_use| (in_use - idle).max(0.0));
        let pages = entry(stat, "pgsteal");
        used.memory_reclaimed_bytes = pages.map(|pages| pages * rustix::param::page_size() as f64);
        used.memory_limit_bytes = limit.number(page);
        let events = memory_events.read(page);
        used.memory_limit_hits = events.and_then(|text| entry(text, "max"));
        used.killed = events.and_then(|text| entry(text, "oom_kill"));
        let transferred = io.read(page);
        // `254:0 rbytes=8192 wbytes=0 …`
        used.read_bytes = transferred.map(|text| sum_after(text, "rbytes"));
        used.written_bytes = transferred.map(|text| sum_after(text, "wbytes"));
        Some(used)
    }
}

/// All numbers that follow a key.
fn sum_after(text: &str, key: &str) -> f64 {
    let mut words = text.split([' ', '=', '\n']);
    let mut sum = 0.0;
    while words.any(|word| word == key) {
        sum += words.next().and_then(|word| word.parse::<f64>().ok()).unwrap_or(0.0);
    }
    sum
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn files(folder: &Path, all: &[(&str, &str)]) {
        for (name, text) in all {
            let path = folder.join(name);
            fs::create_dir_all(path.parent().expect("a folder")).expect("folders");
            fs::write(path, text).expect("a file");
        }
    }

    #[test]
    fn version_2_is_read() {
        let root = tempfile::tempdir().expect("a folder");
        files(
            root.path(),
            &[
                ("cgroup.controllers", "cpu memory"),
                ("p/abc/cpu.stat", "usage_usec 1500000\nuser_usec 1\nthrottled_usec 500000\n"),
                ("p/abc/memory.current", "4096\n"),
                ("p/abc/memory.max", "max\n"),
                ("p/abc/memory.stat", "anon 1\ninactive_file 96\npgsteal_kswapd 7\npgsteal 2\n"),
                ("p/abc/memory.events", "low 0\nhigh 1\nmax 3\noom 1\noom_kill 2\noom_group_kill 0\n"),
                ("p/abc/io.stat", "254:0 rbytes=10 wbytes=20 rios=1\n254:16 rbytes=5 wbytes=0\n"),
                ("p/abc/pids.current", "4\n"),
                ("p/abc/cpu.pressure", "some avg10=0.00 avg60=0.00 avg300=0.00 total=250000\nfull total=3\n"),
            ],
        );
        let mut meter = GroupMeter::container(root.path(), &["/p".into()], "abc").expect("runs");
        let used = meter.read().expect("tells");
        let wanted = Used {
            cpu_seconds: Some(1.5),
            throttled_seconds: Some(0.5),
            memory_bytes: Some(4000.0),
            memory_limit_hits: Some(3.0),
            memory_reclaimed_bytes: Some(2.0 * rustix::param::page_size() as f64),
            killed: Some(2.0),
            read_bytes: Some(15.0),
            written_bytes: Some(20.0),
            processes: Some(4.0),
            waited_cpu_seconds: Some(0.25),
            ..Used::default()
        };
        assert_eq!(used, wanted);
        files(root.path(), &[("p/abc/memory.current", "96\n"), ("p/abc/memory.max", "1000\n")]);
        let again = meter.read().expect("the same files are read again");
        assert_eq!((again.memory_bytes, again.memory_limit_bytes), (Some(0.0), Some(1000.0)));
        assert!(GroupMeter::container(root.path(), &["/p".into()], "other").is_none());
    }

    #[test]
    fn version_1_is_read() {
        let root = tempfile::tempdir().expect("a folder");
        files(
            root.path(),
            &[
                ("cpuacct/p/cpuacct.usage", "1500000000\n"),
                ("cpu/p/cpu.stat", "nr_periods 1\nnr_throttled 1\nthrottled_time 250000000\n"),
                ("memory/p/memory.usage_in_bytes", "4096\n"),
                (
                    "memory/p/memory.stat",
                    "inactive_file 1\nhierarchical_memory_limit 9223372036854771712\ntotal_inactive_file 96\n",
                ),
                ("memory/p/memory.failcnt", "3\n"),
                ("memory/p/memory.oom_control", "oom_kill_disable 0\nunder_oom 0\noom_kill 2\n"),
                (
                    "blkio/p/blkio.throttle.io_service_bytes_recursive",
                    "254:0 Read 10\n254:0 Write 20\n254:0 Total 30\n254:16 Read 5\nTotal 35\n",
                ),
                ("pids/p/pids.current", "4\n"),
                ("unified/p/io.pressure", "some avg10=0.00 total=1000000\n"),
            ],
        );
        let used = GroupMeter::group(root.path(), "/p").expect("there").read().expect("tells");
        let wanted = Used {
            cpu_seconds: Some(1.5),
            throttled_seconds: Some(0.25),
            memory_bytes: Some(4000.0),
            memory_limit_hits: Some(3.0),
            killed: Some(2.0),
            read_bytes: Some(15.0),
            written_bytes: Some(20.0),
            processes: Some(4.0),
            waited_io_seconds: Some(1.0),
            ..Used::default()
        };
        assert_eq!(used, wanted);
    }
}
