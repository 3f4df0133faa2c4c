//! Limits as a Compose model writes them, in either of the two places that Compose knows.

use pw_model::compose::Service;
use pw_model::unit::{Bytes, Cpus};
use serde_json::Value;

/// `mem_limit` or `deploy.resources.limits.memory`; 0 means none.
pub(crate) fn memory(service: &Service<'_>) -> Option<Bytes> {
    let value = service.get("mem_limit").or_else(|| limit(service, "memory"))?;
    let bytes = value.as_u64().map(Bytes).or_else(|| Bytes::parse(value.as_str()?).ok())?;
    (bytes.0 > 0).then_some(bytes)
}

/// `cpus` or `deploy.resources.limits.cpus`; 0 means none.
pub(crate) fn cpus(service: &Service<'_>) -> Option<Cpus> {
    let value = service.get("cpus").or_else(|| limit(service, "cpus"))?;
    let number = value.as_f64().or_else(|| value.as_str()?.parse().ok())?;
    Cpus::from_number(number).filter(|cpus| cpus.thousandths() > 0)
}

fn limit<'a>(service: &Service<'a>, key: &str) -> Option<&'a Value> {
    service.get("deploy")?.get("resources")?.get("limits")?.get(key)
}

/// First and last number of a published port or range.
pub(crate) fn range(published: &str) -> Option<(u16, u16)> {
    let (first, last) = published.split_once('-').unwrap_or((published, published));
    Some((first.parse().ok()?, last.parse().ok()?))
}
