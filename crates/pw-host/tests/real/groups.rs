//! Control groups: on a folder that looks like v2, and on the kernel's own.

use std::path::Path;

use crate::common::Project;
use pw_host::{group, stats};
use pw_model::desired::GroupLimits;
use pw_model::host::CgroupVersion;
use pw_model::unit::{Bytes, Cpus};
use pw_plan::Action;

fn limits(path: &str) -> GroupLimits {
    GroupLimits {
        path: path.into(),
        cpu_weight: 400,
        cpu_idle: false,
        cpu_ceiling: Cpus::from_number(1.5),
        memory_ceiling: Some(Bytes(100_000_001)),
        memory_protection: Some(Bytes(50 << 20)),
        process_ceiling: Some(300),
    }
}

/// Removes the group when the test ends, however it ends.
struct Cleanup(&'static Path, String);

impl Drop for Cleanup {
    fn drop(&mut self) {
        for controller in std::fs::read_dir(self.0).into_iter().flatten().flatten() {
            drop(std::fs::remove_dir(controller.path().join(self.1.trim_start_matches('/'))));
        }
        drop(std::fs::remove_dir(self.0.join(self.1.trim_start_matches('/'))));
    }
}

#[tokio::test]
async fn the_kernel_takes_limits_and_answers_them_as_wanted() {
    let root = Path::new(group::ROOT);
    let path = format!("/pwhost-{}", std::process::id());
    let _cleanup = Cleanup(root, path.clone());
    let mut wanted = limits(&path);
    assert_eq!(group::observe(root, &wanted), None);
    group::limit(root, &wanted).await.expect("limits");
    assert_eq!(group::observe(root, &wanted), Some(wanted.clone()));
    // Into the idle class, with other limits there, and out again.
    wanted.cpu_idle = true;
    wanted.cpu_ceiling = Cpus::from_number(0.5);
    for _ in 0..2 {
        group::limit(root, &wanted).await.expect("idle");
        assert_eq!(group::observe(root, &wanted), Some(wanted.clone()));
    }
    wanted = GroupLimits {
        cpu_weight: 50,
        cpu_ceiling: None,
        memory_ceiling: None,
        memory_protection: None,
        process_ceiling: None,
        ..limits(&path)
    };
    group::limit(root, &wanted).await.expect("no ceilings");
    assert_eq!(group::observe(root, &wanted), Some(wanted.clone()));
    assert_ne!(group::observe(root, &limits(&path)), Some(limits(&path)));
    for _ in 0..2 {
        group::remove(root, &path).await.expect("removed");
    }
    assert_eq!(group::observe(root, &wanted), None);
}

/// An idle group among ours would be the equal of all that is not ours.
#[tokio::test]
async fn what_is_idle_is_idle_against_everything_on_the_machine() {
    let root = Path::new(group::ROOT);
    let path = format!("/partywall-idle/pwhost-{}/dev", std::process::id());
    let _cleanup = Cleanup(root, path.clone());
    let wanted = GroupLimits { cpu_idle: true, memory_protection: None, ..limits(&path) };
    group::limit(root, &wanted).await.expect("limits");
    assert_eq!(group::observe(root, &wanted), Some(wanted.clone()));
    let above = ["cpu/partywall-idle/cpu.idle", "partywall-idle/cpu.idle"].map(|file| root.join(file));
    let above = above.iter().find(|file| file.exists()).expect("a kernel with an idle class");
    assert_eq!(std::fs::read_to_string(above).expect("a file").trim(), "1");
    group::remove(root, &path).await.expect("removed");
    assert_eq!(group::observe(root, &wanted), None);
}

/// A heavy group in a light one would be light against all that is not ours.
#[tokio::test]
async fn what_is_heavy_is_heavy_against_everything_on_the_machine() {
    let root = Path::new(group::ROOT);
    let top = format!("/pwhost-{}-top", std::process::id());
    let path = format!("{top}/shop/production");
    let _cleanup = [&path, &format!("{top}/shop"), &top].map(|path| Cleanup(root, path.clone()));
    let wanted = limits(&path);
    group::limit(root, &wanted).await.expect("limits");
    assert_eq!(group::observe(root, &wanted), Some(wanted.clone()));
    let weights = [("cpu", "cpu.shares", "4096"), ("", "cpu.weight", "400")];
    let (above, weight) = weights
        .map(|(controller, file, weight)| (root.join(controller).join(&top[1..]).join(file), weight))
        .into_iter()
        .find(|(file, _)| file.exists())
        .expect("a weight");
    assert_eq!(std::fs::read_to_string(&above).expect("a file").trim(), weight);
    std::fs::write(&above, "100").expect("written");
    assert_ne!(group::observe(root, &wanted), Some(wanted.clone()), "somebody made it light");
    group::limit(root, &wanted).await.expect("limits");
    assert_eq!(group::observe(root, &wanted), Some(wanted));
    group::remove(root, &path).await.expect("removed");
}

/// Only where systemd keeps the groups: `scripts/kernel.sh` runs it in a virtual machine.
#[tokio::test]
#[ignore = "run by scripts/kernel.sh in a virtual machine: wants systemd as process 1 and control groups v2"]
async fn systemd_takes_limits_and_answers_them_as_wanted() {
    let root = Path::new(group::ROOT);
    let production = GroupLimits { memory_ceiling: None, ..limits("/partywall-shop-production.slice") };
    let development = limits("/partywall_idle-shop-development.slice");
    let development = GroupLimits { cpu_idle: true, memory_protection: None, ..development };
    for wanted in [&production, &development, &production] {
        group::limit(root, wanted).await.expect("limits");
        assert_eq!(group::observe(root, wanted).as_ref(), Some(wanted));
    }
    let above = std::fs::read_to_string(root.join("partywall_idle.slice/cpu.idle")).expect("a file");
    assert_eq!(above.trim(), "1", "what is idle is idle against everything");
    let swap = root.join("partywall_idle.slice/partywall_idle-shop.slice").join(&development.path[1..]);
    // Where the kernel can swap at all.
    if let Ok(swap) = std::fs::read_to_string(swap.join("memory.swap.max")) {
        assert_eq!(swap.trim(), "0", "development's memory goes to production's disk");
    }
    let low = |path: &str| std::fs::read_to_string(root.join(path).join("memory.low")).expect("a file");
    assert_eq!(low("partywall.slice/partywall-shop.slice").trim(), "52428800");
    for _ in 0..2 {
        group::remove(root, &production.path).await.expect("removed");
    }
    assert_eq!(group::observe(root, &production), None);
    assert_eq!(low("partywall.slice/partywall-shop.slice").trim(), "0", "what was protected is gone");
    group::remove(root, &development.path).await.expect("removed");
}

#[tokio::test]
async fn a_group_holds_its_containers_and_is_removed_after_them() {
    let mut project = Project::new();
    let root = Path::new(group::ROOT);
    let path = format!("/pwhost-{}-c", std::process::id());
    let _cleanup = Cleanup(root, path.clone());
    group::limit(root, &limits(&path)).await.expect("limits");
    let services =
        format!("  web: {{image: IMAGE, init: true, LABELS, command: [sleep, 1d], cgroup_parent: {path}}}\n");
    let run = project.compose(&services);
    project.start(&run, &["web"]).await;
    let id = project.ids().remove(0);
    let usage = stats::container(root, &path, &id).expect("it runs");
    assert!(usage.memory.0 > 0 && !usage.cpu.is_zero(), "{usage:?}");
    let failure = group::remove(root, &path).await.expect_err("a container is in it");
    assert!(failure.what.starts_with(&format!("control group `{path}` still has ")), "{failure}");
    let remove = Action::RemoveServices { project: project.name.clone(), services: vec!["web".into()] };
    project.perform(remove).await.expect("removed");
    project.perform(Action::RemoveGroup { path: path.clone() }).await.expect("empty now");
    assert!(!root.join("devices").join(path.trim_start_matches('/')).exists());
    assert_eq!(stats::container(root, &path, &id), None);
}

#[tokio::test]
async fn v2_files_are_written_as_the_kernel_wants_them() {
    let temp = tempfile::tempdir().expect("a temp dir");
    let root = temp.path();
    let folder = root.join("partywall/shop/dev");
    std::fs::create_dir_all(&folder).expect("folders");
    for ancestor in [root, &root.join("partywall"), &root.join("partywall/shop")] {
        std::fs::write(ancestor.join("cgroup.controllers"), "cpuset cpu memory").expect("a file");
        std::fs::write(ancestor.join("cgroup.subtree_control"), "cpu").expect("a file");
    }
    let files = [
        "cpu.weight",
        "cpu.idle",
        "cpu.max",
        "memory.max",
        "memory.low",
        "memory.swap.max",
        "io.weight",
        "pids.max",
    ];
    for file in files {
        for group in [&folder, &root.join("partywall"), &root.join("partywall/shop")] {
            std::fs::write(group.join(file), "").expect("a file");
        }
    }
    assert_eq!(group::version(root), CgroupVersion::V2);
    let mut wanted = limits("/partywall/shop/dev");
    wanted.memory_ceiling = Some(Bytes(1 << 30));
    group::limit(root, &wanted).await.expect("limits");
    let read = |file: &str| std::fs::read_to_string(folder.join(file)).expect("a file");
    assert_eq!(read("cpu.weight"), "400");
    assert_eq!(read("cpu.max"), "150000 100000");
    assert_eq!((read("memory.max"), read("memory.low")), ("1073741824".into(), "52428800".into()));
    assert_eq!((read("pids.max"), read("cpu.idle")), ("300".into(), "0".into()));
    assert_eq!((read("memory.swap.max"), read("io.weight")), ("max".into(), "400".into()));
    assert_eq!(std::fs::read_to_string(root.join("partywall/io.weight")).expect("a file"), "400");
    assert_eq!(std::fs::read_to_string(root.join("partywall/cpu.weight")).expect("a file"), "400");
    // Only `memory`: `cpu` was on, and `pids` is not there to be handed down.
    assert_eq!(
        std::fs::read_to_string(root.join("partywall/cgroup.subtree_control")).expect("a file"),
        "+memory"
    );
    for above in ["partywall", "partywall/shop"] {
        let low = std::fs::read_to_string(root.join(above).join("memory.low")).expect("a file");
        assert_eq!(low, "52428800", "{above}: a group is protected only as far as those above it");
    }
    assert_eq!(group::observe(root, &wanted), Some(wanted.clone()));
    std::fs::write(root.join("partywall/memory.low"), "0").expect("a file");
    assert_eq!(group::observe(root, &wanted).and_then(|seen| seen.memory_protection), None);
    wanted.cpu_idle = true;
    group::limit(root, &wanted).await.expect("idle");
    assert_eq!((read("cpu.idle"), read("memory.swap.max")), ("1".into(), "0".into()));
    assert_eq!(group::observe(root, &wanted), Some(wanted));
}

#[tokio::test]
async fn without_an_idle_class_the_lightest_weight_stands_in_and_plans_converge() {
    let temp = tempfile::tempdir().expect("a temp dir");
    let folder = temp.path().join("cpu/dev");
    std::fs::create_dir_all(&folder).expect("folders");
    for file in ["cpu.shares", "cpu.cfs_quota_us", "cpu.cfs_period_us"] {
        std::fs::write(folder.join(file), "-1").expect("a file");
    }
    let wanted = GroupLimits { cpu_idle: true, ..limits("/dev") };
    group::limit(temp.path(), &wanted).await.expect("limits");
    assert_eq!(std::fs::read_to_string(folder.join("cpu.shares")).expect("a file"), "10");
    assert_eq!(group::observe(temp.path(), &wanted), Some(wanted));
}

#[test]
fn commands_step_aside_with_all_that_they_start() {
    let own = || {
        let told = std::process::Command::new("cat").arg("/proc/self/cgroup").output().expect("cat runs");
        let told = String::from_utf8_lossy(&told.stdout).into_owned();
        told.lines()
            .find(|line| line.split(':').nth(1).is_some_and(|all| all.split(',').any(|one| one == "cpu")))
            .map(str::to_owned)
    };
    let before = own();
    group::step_aside().expect("steps aside");
    let is_moved = before.is_some_and(|line| line.ends_with(":/"));
    assert_eq!(is_moved, own().is_some_and(|line| line.ends_with(":/partywall-commands")));
    if is_moved {
        let shares = std::fs::read_to_string("/sys/fs/cgroup/cpu/partywall-commands/cpu.shares");
        assert_eq!(shares.expect("a group").trim(), "102");
    }
    group::step_aside().expect("who is in a group stays there");
}
