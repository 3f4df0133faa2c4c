//! Ceilings that containers were made with.

use std::collections::BTreeMap;

use bollard::models::HostConfig;
use pw_model::unit::Cpus;
use pw_run::Failure;

use super::connect::Engine;
use super::label;

impl Engine {
    /// Running containers of a Compose project, one-off runs too, and the CPUs that each may use; `None` where it has
    /// no ceiling of its own.
    ///
    /// # Errors
    /// The engine does not answer.
    pub async fn own_ceilings(
        &self,
        compose_project: &str,
    ) -> Result<BTreeMap<String, Option<Cpus>>, Failure> {
        let found = self.summaries(&format!("{}={compose_project}", label::PROJECT)).await?;
        let mut ceilings = BTreeMap::new();
        for id in found.into_iter().filter_map(|summary| summary.id) {
            if let Some(container) = self.inspect_named(&id).await? {
                ceilings.insert(id, container.host_config.as_ref().and_then(ceiling));
            }
        }
        Ok(ceilings)
    }
}

/// From `cpus`, or from a quota and its period.
pub(super) fn ceiling(host: &HostConfig) -> Option<Cpus> {
    let set = |value: Option<i64>| value.filter(|value| *value > 0).map(|value| value as f64);
    if let Some(nanos) = set(host.nano_cpus) {
        return Cpus::from_number(nanos / 1e9);
    }
    Cpus::from_number(set(host.cpu_quota)? / set(host.cpu_period).unwrap_or(100_000.0))
}
