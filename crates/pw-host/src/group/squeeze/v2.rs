//! cgroup v2: one folder has every lever.

use std::path::Path;

use pw_model::unit::Bytes;
use pw_plan::govern::{Amount, Found};
use pw_run::Failure;

use super::Place;
use crate::group::setting::{GOVERNED, PERIOD, number, put, quota, quota_of, text};

pub(super) fn hold(
    folder: &Path,
    place: &Place,
    amount: Amount,
    device: Option<&str>,
) -> Result<(), Failure> {
    match amount {
        Amount::Cpu(Some(cpus)) => {
            put(folder, "cpu.max", &format!("{} {GOVERNED}", quota_of(cpus, GOVERNED)))
        }
        Amount::Cpu(None) if is_governed(folder) => {
            let budget = place.cpus.map_or("max".into(), |budget| quota(budget).to_string());
            put(folder, "cpu.max", &format!("{budget} {PERIOD}"))
        }
        Amount::Cpu(None) => Ok(()),
        Amount::Memory(bytes) => put(folder, "memory.high", &or_max(bytes)),
        Amount::Io(bytes) => device.map_or(Ok(()), |device| {
            let rate = or_max(bytes);
            put(folder, "io.max", &format!("{device} rbps={rate} wbps={rate}"))
        }),
        // Not these files' business.
        Amount::Network(_) | Amount::Asleep(_) | Amount::Evicted => Ok(()),
        Amount::Frozen(frozen) => put(folder, "cgroup.freeze", if frozen { "1" } else { "0" }),
    }
}

fn or_max(bytes: Option<Bytes>) -> String {
    bytes.map_or("max".into(), |bytes| bytes.0.to_string())
}

fn is_governed(folder: &Path) -> bool {
    text(folder, "cpu.max").is_some_and(|text| text.ends_with(&format!(" {GOVERNED}")))
}

pub(super) fn held(folder: &Path, device: Option<&str>) -> Found {
    let cpus = text(folder, "cpu.max").filter(|_| is_governed(folder)).and_then(|text| {
        let quota: f64 = text.split_once(' ')?.0.parse().ok()?;
        Some(quota / GOVERNED as f64)
    });
    Found {
        cpus,
        memory: number(folder, "memory.high").map(|bytes| bytes as f64),
        io: device.and_then(|device| rate(&text(folder, "io.max")?, device)),
        network: None,
        frozen: number(folder, "cgroup.freeze") == Some(1),
    }
}

/// `254:0 rbps=1048576 wbps=1048576 riops=max wiops=max`
fn rate(text: &str, device: &str) -> Option<f64> {
    let line = text.lines().find_map(|line| line.strip_prefix(device)?.strip_prefix(' '))?;
    line.split_whitespace().find_map(|word| word.strip_prefix("wbps=")?.parse().ok())
}

pub(super) fn lacks(root: &Path) -> Vec<String> {
    let has = text(root, "cgroup.controllers").unwrap_or_default();
    let missing = |controller: &str| !has.split_whitespace().any(|one| one == controller);
    let all = [("cpu", "processors"), ("memory", "memory"), ("io", "the disk")];
    all.iter()
        .filter(|(controller, _)| missing(controller))
        .map(|(controller, what)| {
            format!("the kernel has no controller `{controller}`: {what} cannot be held")
        })
        .collect()
}
