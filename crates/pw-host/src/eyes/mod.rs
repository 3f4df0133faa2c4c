//! The governor's eyes: what production waits for and what others use, read from `/proc` and `/sys` only.
//!
//! Pressure is read where the kernel has it for a group: on control groups v2, and on the unified tree that stands
//! beside those of version 1. Without, the time that production's threads waited for a processor is summed up, and
//! memory and disk are the machine's.

mod idle;
mod machine;
mod pressure;
mod threads;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use pw_model::name::EnvironmentName;
use pw_plan::govern::sense::{Counters, Used};

use crate::group::slice_path;
use crate::stats;
use pressure::Resource;
use threads::Threads;

/// Looks at one project's environments.
#[derive(Debug)]
pub struct Eyes {
    root: PathBuf,
    /// Groups of class production, as `cgroup_parent` has them.
    production: Vec<String>,
    others: BTreeMap<EnvironmentName, String>,
    /// What its networks meet the machine with, once they are known.
    bridges: BTreeMap<EnvironmentName, Vec<String>>,
    /// Folders whose disks must not fill.
    disks: Vec<PathBuf>,
    threads: Threads,
}

/// By what production's waiting is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sensor {
    /// The kernel's figure for the group.
    Group,
    /// The sum over production's threads.
    Threads,
    /// The kernel's figure for the whole machine.
    Machine,
    /// Production is not up.
    Nobody,
    Missing,
}

impl Sensor {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Group => "pressure of production's own group",
            Self::Threads => "waiting of production's threads",
            Self::Machine => "pressure of the whole machine",
            Self::Nobody => "production is not up",
            Self::Missing => "nothing: this kernel does not tell",
        }
    }
}

impl Eyes {
    pub fn new(
        root: &Path,
        production: Vec<String>,
        others: BTreeMap<EnvironmentName, String>,
        disks: Vec<PathBuf>,
    ) -> Self {
        let tree = |path: String| if path.ends_with(".slice") { slice_path(&path) } else { path };
        Self {
            root: root.to_owned(),
            production: production.into_iter().map(tree).collect(),
            others: others.into_iter().map(|(name, path)| (name, tree(path))).collect(),
            bridges: BTreeMap::new(),
            disks,
            threads: Threads::default(),
        }
    }

    /// Time since the machine started, sleep included.
    pub fn now() -> Duration {
        let time = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
        Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or(0))
    }

    pub fn look(&mut self) -> Counters {
        let machine = machine::look();
        let [cpu, memory, io] = self.waited();
        Counters {
            at: Self::now(),
            cpu,
            memory,
            io,
            busy: machine.busy,
            cpus: machine.cpus,
            memory_free: machine::memory_free(),
            disk_free: machine::disk_free(&self.disks),
            // The proxy's answers tell these.
            latency: None,
            errors: None,
            own: self.own(),
            stolen: machine.stolen,
            swapped: machine::swapped(),
            uses: self.others.iter().map(|(name, path)| (name.clone(), self.used(name, path))).collect(),
        }
    }

    /// For a processor, for memory, for a disk. Who is not there waits for nothing.
    fn waited(&mut self) -> [Option<Duration>; 3] {
        if !pressure::is_any_there(&self.root, &self.production) {
            return [Some(Duration::ZERO); 3];
        }
        let group = |resource| pressure::of_groups(&self.root, &self.production, resource);
        [
            group(Resource::Cpu).or_else(|| self.threads.waited(&self.root, &self.production)),
            group(Resource::Memory).or_else(|| pressure::of_machine(Resource::Memory)),
            group(Resource::Io).or_else(|| pressure::of_machine(Resource::Io)),
        ]
    }

    /// Of all groups of production; 0 where it is not up.
    fn own(&self) -> Option<Duration> {
        let used = self.production.iter().filter_map(|path| stats::group(&self.root, path));
        Some(used.map(|usage| usage.cpu).sum())
    }

    /// The bridges of an environment's networks.
    pub fn know_bridges(&mut self, name: &EnvironmentName, bridges: Vec<String>) {
        self.bridges.insert(name.clone(), bridges);
    }

    fn used(&self, name: &EnvironmentName, path: &str) -> Used {
        let network =
            self.bridges.get(name).map(|bridges| bridges.iter().map(|one| machine::passed(one)).sum());
        if !pressure::is_any_there(&self.root, &[path.to_owned()]) {
            // Who is not up uses nothing, which is not the same as not being seen.
            let none = Some(Duration::ZERO);
            return Used { cpu: none, unyielding: none, memory: Some(0), io: Some(0), network };
        }
        let usage = stats::group(&self.root, path);
        Used {
            cpu: usage.map(|usage| usage.cpu),
            unyielding: match idle::yields(&self.root, path, &self.production) {
                true => stats::kernel(&self.root, path),
                false => usage.map(|usage| usage.cpu),
            },
            memory: usage.map(|usage| usage.memory.0),
            io: stats::transferred(&self.root, path),
            network,
        }
    }

    /// By what processors, memory and disks are watched.
    pub fn sensors(&mut self) -> [(&'static str, Sensor); 3] {
        if !pressure::is_any_there(&self.root, &self.production) {
            return ["processors", "memory", "disk"].map(|what| (what, Sensor::Nobody));
        }
        let of = |resource| match pressure::of_groups(&self.root, &self.production, resource) {
            Some(_) => Sensor::Group,
            None if pressure::of_machine(resource).is_some() => Sensor::Machine,
            None => Sensor::Missing,
        };
        let (memory, io) = (of(Resource::Memory), of(Resource::Io));
        let cpu = match of(Resource::Cpu) {
            Sensor::Group => Sensor::Group,
            // The machine's own would tell of development's waiting, too.
            _ if self.threads.waited(&self.root, &self.production).is_some() => Sensor::Threads,
            _ => Sensor::Missing,
        };
        [("processors", cpu), ("memory", memory), ("disk", io)]
    }
}
