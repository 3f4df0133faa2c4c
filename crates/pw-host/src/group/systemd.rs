//! systemd: slices, whose files systemd writes itself and would overwrite ours.

use std::path::Path;

use pw_model::desired::GroupLimits;
use pw_run::Failure;
use tokio::process::Command;

use super::setting::{self, below};

/// Where a slice stands in the tree: `a-b.slice` is below `a.slice`.
pub fn slice_path(slice: &str) -> String {
    let name = unit(slice).trim_end_matches(".slice");
    let ends = name.match_indices('-').map(|(at, _)| at).chain([name.len()]);
    ends.map(|end| format!("/{}.slice", &name[..end])).collect()
}

pub(super) fn unit(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

pub(super) async fn limit(root: &Path, limits: &GroupLimits) -> Result<(), Failure> {
    systemctl(&["start".into(), unit(&limits.path).into()]).await?;
    systemctl(&arguments(limits)).await?;
    if let Some(above) = limits.above() {
        systemctl(&["set-property".into(), "--runtime".into(), above, weight(limits), io_weight(limits)])
            .await?;
    }
    pass_protection(root, &limits.path).await
}

/// Gives each slice above the protection that those below it claim, as [`super::v2::pass_protection`] does.
pub(super) async fn pass_protection(root: &Path, slice: &str) -> Result<(), Failure> {
    let path = slice_path(slice);
    for ancestor in Path::new(&path).ancestors().skip(1) {
        let Some(name) = ancestor.file_name().and_then(|name| name.to_str()) else { break };
        let folder = below(root, &ancestor.to_string_lossy());
        // A slice ends with the last one in it.
        if folder.is_dir() {
            let claimed = format!("MemoryLow={}", super::v2::claimed(&folder));
            systemctl(&["set-property".into(), "--runtime".into(), name.into(), claimed]).await?;
        }
    }
    Ok(())
}

/// Until the next boot only: what is wanted then is set again by the next `up`.
fn arguments(limits: &GroupLimits) -> Vec<String> {
    let or_none = |value: Option<u64>, none: &str| value.map_or(none.to_owned(), |value| value.to_string());
    let quota = limits.cpu_ceiling.map(|ceiling| format!("{}%", ceiling.thousandths().div_ceil(10)));
    vec![
        "set-property".into(),
        "--runtime".into(),
        unit(&limits.path).into(),
        weight(limits),
        format!("CPUQuota={}", quota.unwrap_or_default()),
        format!("MemoryMax={}", or_none(limits.memory_ceiling.map(|bytes| bytes.0), "infinity")),
        format!("MemoryLow={}", or_none(limits.memory_protection.map(|bytes| bytes.0), "0")),
        format!("MemorySwapMax={}", setting::swap(limits, "infinity")),
        io_weight(limits),
        format!("TasksMax={}", or_none(limits.process_ceiling, "infinity")),
    ]
}

fn weight(limits: &GroupLimits) -> String {
    let weight = if limits.cpu_idle { "idle".to_owned() } else { limits.cpu_weight.to_string() };
    format!("CPUWeight={weight}")
}

fn io_weight(limits: &GroupLimits) -> String {
    format!("IOWeight={}", setting::io_weight(limits))
}

pub(super) async fn systemctl(arguments: &[String]) -> Result<(), Failure> {
    let what = format!("could not run `systemctl {}`", arguments.join(" "));
    let output = Command::new("systemctl").args(arguments).output().await;
    let output = output.map_err(|error| Failure::new(&what).because(error))?;
    match output.status.success() {
        true => Ok(()),
        false => Err(Failure::new(what).because(String::from_utf8_lossy(&output.stderr).trim().to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use pw_model::unit::{Bytes, Cpus};

    use super::*;

    #[test]
    fn limits_become_properties() {
        let limits = GroupLimits {
            path: "/partywall-shop-development.slice".into(),
            cpu_weight: 100,
            cpu_idle: true,
            cpu_ceiling: Cpus::from_number(1.5),
            memory_ceiling: Some(Bytes(1 << 30)),
            memory_protection: None,
            process_ceiling: Some(512),
        };
        assert_eq!(
            arguments(&limits).join(" "),
            "set-property --runtime partywall-shop-development.slice CPUWeight=idle CPUQuota=150% \
             MemoryMax=1073741824 MemoryLow=0 MemorySwapMax=0 IOWeight=100 TasksMax=512"
        );
    }

    #[test]
    fn a_slice_stands_below_the_slices_that_its_name_begins_with() {
        assert_eq!(slice_path("a-b-c.slice"), "/a.slice/a-b.slice/a-b-c.slice");
    }
}
