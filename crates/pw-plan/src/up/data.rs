//! Containers that would find other data where theirs was.

use std::fmt;

use pw_model::desired::Desired;
use pw_model::observed::Observed;

/// A path inside a service at which something else would be mounted than is now.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct OtherData {
    pub service: String,
    pub target: String,
    /// Path of the host or name of a volume.
    pub before: String,
    pub after: String,
}

/// Every mount whose source would be another, of services that have a container.
pub fn other_data(desired: &Desired, observed: &Observed) -> Vec<OtherData> {
    let mut found: Vec<OtherData> = Vec::new();
    for container in &observed.containers {
        let Some(service) = desired.services.get(&container.service) else { continue };
        for (target, after) in &service.mounts {
            if let Some(before) = container.mounts.get(target).filter(|before| *before != after) {
                found.push(OtherData {
                    service: container.service.clone(),
                    target: target.clone(),
                    before: before.clone(),
                    after: after.clone(),
                });
            }
        }
    }
    found.sort();
    found.dedup();
    found
}

impl fmt::Display for OtherData {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {} → {}", self.target, self.before, self.after)
    }
}
