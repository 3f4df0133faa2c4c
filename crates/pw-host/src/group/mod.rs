//! Control groups: the limits of an environment, on cgroup v1, v2, and through systemd.
//!
//! What this kernel cannot set is left out, and reading answers the wanted value for it: a plan
//! that compares the two then finds nothing to do.

mod aside;
mod remove;
mod setting;
mod squeeze;
mod systemd;
mod v1;
mod v2;

use std::path::Path;

use pw_model::desired::{GroupLimits, PRODUCTION_GROUP};
use pw_model::host::{CgroupDriver, CgroupVersion};
use pw_run::Failure;

pub use aside::step_aside;
pub use remove::remove;
pub(crate) use squeeze::network;
pub use squeeze::{Hands, Place};
pub use systemd::slice_path;

/// Where the kernel shows control groups.
pub const ROOT: &str = "/sys/fs/cgroup";

/// Which control groups are mounted at `root`. A host in hybrid mode counts as v1, as Docker counts it.
pub fn version(root: &Path) -> CgroupVersion {
    if root.join("cgroup.controllers").exists() { CgroupVersion::V2 } else { CgroupVersion::V1 }
}

/// By which driver the group that holds production was made; `None` when none stands, or both do.
pub fn standing_driver(root: &Path) -> Option<CgroupDriver> {
    let tree = if version(root) == CgroupVersion::V2 { root.to_owned() } else { root.join("cpu") };
    let plain = tree.join(PRODUCTION_GROUP.trim_start_matches('/'));
    match (plain.is_dir(), plain.with_extension("slice").is_dir()) {
        (true, false) => Some(CgroupDriver::Cgroupfs),
        (false, true) => Some(CgroupDriver::Systemd),
        _ => None,
    }
}

/// Makes the group where it is missing and sets its limits.
pub async fn limit(root: &Path, limits: &GroupLimits) -> Result<(), Failure> {
    if is_slice(&limits.path) {
        return systemd::limit(root, limits).await;
    }
    match version(root) {
        CgroupVersion::V1 => v1::limit(root, limits),
        CgroupVersion::V2 => v2::limit(root, limits),
    }
}

/// The limits of the group as they are; `None` when there is no group. What cannot be set here is answered as wanted.
pub fn observe(root: &Path, wanted: &GroupLimits) -> Option<GroupLimits> {
    let path = if is_slice(&wanted.path) { slice_path(&wanted.path) } else { wanted.path.clone() };
    match version(root) {
        CgroupVersion::V1 => v1::observe(root, &path, wanted),
        CgroupVersion::V2 => v2::observe(root, &path, wanted),
    }
}

fn is_slice(path: &str) -> bool {
    path.ends_with(".slice")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_driver_is_known_by_what_it_made() {
        let root = tempfile::tempdir().expect("a folder");
        assert_eq!(standing_driver(root.path()), None);
        std::fs::create_dir_all(root.path().join("cpu/partywall.slice")).expect("a folder");
        assert_eq!(standing_driver(root.path()), Some(CgroupDriver::Systemd));
        std::fs::create_dir_all(root.path().join("cpu/partywall")).expect("a folder");
        assert_eq!(standing_driver(root.path()), None, "both");
        std::fs::remove_dir(root.path().join("cpu/partywall.slice")).expect("removed");
        assert_eq!(standing_driver(root.path()), Some(CgroupDriver::Cgroupfs));
    }
}
