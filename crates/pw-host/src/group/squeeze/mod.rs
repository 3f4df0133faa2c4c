//! The governor's hands: what an environment is held to beyond its budget, for a while.
//!
//! Everything is written straight into the kernel's files and bears a mark, so that the files alone tell what is a
//! squeeze and what a budget: whoever comes after a governor that died reads it back ([`Hands::held`]), and `up` does
//! not take a squeeze for a difference.

mod evict;
pub(crate) mod network;
mod v1;
mod v2;

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use pw_model::host::CgroupVersion;
use pw_model::unit::{Bytes, Cpus};
use pw_plan::govern::{Amount, Found};
use pw_run::Failure;

pub(super) use v1::memory_squeezed;

use super::{is_slice, slice_path, version};
use crate::failed::existing;

/// The group of an environment, and what it goes back to.
#[derive(Debug, Clone, Default)]
pub struct Place {
    /// As Docker's `cgroup_parent` has it.
    pub path: String,
    pub cpus: Option<Cpus>,
    pub memory: Option<Bytes>,
    /// Container → its own ceiling. Control groups v1 let no group have more than its parent, so that there each
    /// container is held by itself.
    pub containers: BTreeMap<String, Option<Cpus>>,
    /// Whose switches hold its networks.
    pub compose_project: String,
}

/// Writes squeezes.
#[derive(Debug)]
pub struct Hands {
    root: PathBuf,
    version: CgroupVersion,
    /// The disk of containers and volumes, as the kernel numbers it: `254:0`.
    device: Option<String>,
    shares: v1::Shares,
}

impl Hands {
    /// `disk` is a path on the disk that is slowed down.
    pub fn new(root: &Path, disk: &Path) -> Self {
        Self {
            root: root.to_owned(),
            version: version(root),
            device: device(disk),
            shares: v1::Shares::default(),
        }
    }

    /// Holds the environment to an amount. Writes only what differs, so that it may be called again and again.
    pub fn hold(&mut self, place: &Place, amount: Amount) -> Result<(), Failure> {
        let path = tree_path(&place.path);
        match amount {
            Amount::Network(rate) => return network::hold(&place.compose_project, rate),
            Amount::Evicted => return evict::evict(&self.memory(&path)),
            // Sleep is a plan, and somebody else's to carry out.
            Amount::Asleep(_) => return Ok(()),
            _ => {}
        }
        match self.version {
            CgroupVersion::V1 => {
                let device = self.device.as_deref();
                v1::hold(
                    &v1::Group { root: &self.root, path: &path, place, device },
                    amount,
                    &mut self.shares,
                )
            }
            CgroupVersion::V2 => v2::hold(&self.root.join(&path), place, amount, self.device.as_deref()),
        }
    }

    fn memory(&self, path: &str) -> PathBuf {
        match self.version {
            CgroupVersion::V1 => self.root.join("memory").join(path),
            CgroupVersion::V2 => self.root.join(path),
        }
    }

    /// What the environment is held to by a governor, present or past.
    pub fn held(&self, place: &Place) -> Found {
        let path = tree_path(&place.path);
        let found = match self.version {
            CgroupVersion::V1 => v1::held(&self.root, &path, self.device.as_deref()),
            CgroupVersion::V2 => v2::held(&self.root.join(path), self.device.as_deref()),
        };
        Found { network: network::held(&place.compose_project), ..found }
    }

    /// What cannot be held on this host, each with its reason.
    pub fn lacks(&self) -> Vec<String> {
        let mut lacks = match self.version {
            CgroupVersion::V1 => v1::lacks(&self.root),
            CgroupVersion::V2 => v2::lacks(&self.root),
        };
        if !network::is_switchable() {
            lacks.push("the kernel has no `xt_recent`: network rates cannot be squeezed".into());
        }
        if self.device.is_none() {
            lacks.push("the disk of containers has no number of its own: it cannot be slowed down".into());
        }
        lacks
    }
}

fn tree_path(path: &str) -> String {
    let path = if is_slice(path) { slice_path(path) } else { path.to_owned() };
    path.trim_start_matches('/').to_owned()
}

/// The whole disk below a path: the kernel holds rates for disks, not for partitions.
fn device(path: &Path) -> Option<String> {
    let number = std::fs::metadata(existing(path)).ok()?.dev();
    let number = format!("{}:{}", rustix::fs::major(number), rustix::fs::minor(number));
    let folder = Path::new("/sys/dev/block").join(&number).canonicalize().ok()?;
    if !folder.join("partition").exists() {
        return Some(number);
    }
    let disk = std::fs::read_to_string(folder.parent()?.join("dev")).ok()?;
    Some(disk.trim().to_owned())
}
