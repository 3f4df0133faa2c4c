//! The governor's hands and eyes: on a container and the kernel's own groups, and on a folder that looks like v2.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use pw_host::eyes::Eyes;
use pw_host::group::{self, Hands, Place};
use pw_model::desired::GroupLimits;
use pw_model::unit::{Bytes, Cpus};
use pw_plan::govern::sense::reading;
use pw_plan::govern::{Amount, Found};

use crate::common::{Project, docker};

fn development(path: &str) -> GroupLimits {
    GroupLimits {
        path: path.into(),
        cpu_weight: 10,
        cpu_idle: true,
        cpu_ceiling: Cpus::from_number(1.5),
        memory_ceiling: Some(Bytes(1 << 30)),
        memory_protection: None,
        process_ceiling: Some(300),
    }
}

fn place(limits: &GroupLimits, containers: BTreeMap<String, Option<Cpus>>) -> Place {
    Place {
        path: limits.path.clone(),
        cpus: limits.cpu_ceiling,
        memory: limits.memory_ceiling,
        containers,
        compose_project: "pwhost-nobody".into(),
    }
}

fn all(cpus: f64) -> [Amount; 4] {
    [
        Amount::Cpu(Cpus::from_number(cpus)),
        Amount::Memory(Some(Bytes(500 << 20))),
        Amount::Io(Some(Bytes(1 << 20))),
        Amount::Frozen(true),
    ]
}

const BACK: [Amount; 4] = [Amount::Cpu(None), Amount::Memory(None), Amount::Io(None), Amount::Frozen(false)];

/// A squeeze is seen by who comes later, is no difference to what is wanted, and goes back to what was there.
fn squeezes_and_lets_go(limits: &GroupLimits, containers: BTreeMap<String, Option<Cpus>>) {
    let root = Path::new(group::ROOT);
    let place = place(limits, containers);
    let mut hands = Hands::new(root, Path::new("/"));
    assert_eq!(hands.held(&place), Found::default());
    for cpus in [0.6, 0.3] {
        for amount in all(cpus) {
            hands.hold(&place, amount).unwrap_or_else(|failure| panic!("{amount}: {failure}"));
        }
        let found = Hands::new(root, Path::new("/")).held(&place);
        assert!(found.cpus.is_some_and(|found| (found - cpus).abs() < 0.01), "{found:?}");
        assert!(
            found.memory.is_some_and(|bytes| (bytes / f64::from(1 << 20) - 500.0).abs() < 1.0),
            "{found:?}"
        );
        assert!(found.frozen, "{found:?}");
        assert_eq!(
            group::observe(root, limits).as_ref(),
            Some(limits),
            "a squeeze is taken for a difference"
        );
    }
    for amount in BACK {
        hands.hold(&place, amount).unwrap_or_else(|failure| panic!("{amount}: {failure}"));
    }
    assert_eq!(hands.held(&place), Found::default());
    assert_eq!(group::observe(root, limits).as_ref(), Some(limits));
}

#[tokio::test]
async fn a_container_is_squeezed_and_let_go() {
    let mut project = Project::new();
    let root = Path::new(group::ROOT);
    let limits = development(&format!("/pwhost-{}-s", std::process::id()));
    group::limit(root, &limits).await.expect("limits");
    let spin = "[sh, -c, \"while :; do :; done\"]";
    let services = format!(
        "  web: {{image: IMAGE, init: true, LABELS, command: {spin}, cpus: 1, cgroup_parent: {}}}\n",
        limits.path
    );
    let run = project.compose(&services);
    project.start(&run, &["web"]).await;
    let id = project.ids().remove(0);
    let own = project.host.engine().own_ceilings(&project.name).await.expect("containers");
    assert_eq!(own, BTreeMap::from([(id, Cpus::from_number(1.0))]));
    squeezes_and_lets_go(&limits, own);
    let quota = docker(&[
        "exec",
        &project.ids()[0],
        "sh",
        "-c",
        "cat /sys/fs/cgroup/cpu/cpu.cfs_quota_us /sys/fs/cgroup/cpu.max 2>/dev/null; true",
    ]);
    assert!(quota.starts_with("100000"), "the container's own ceiling is back: {quota}");
    let running = || docker(&["inspect", "-f", "{{.State.Running}} {{.State.ExitCode}}", &project.ids()[0]]);
    let place = place(&limits, BTreeMap::new());
    Hands::new(root, Path::new("/")).hold(&place, Amount::Evicted).expect("evicted");
    for _ in 0..600 {
        if running().starts_with("false") {
            break;
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    assert!(running().starts_with("false 137"), "it was killed: {}", running());
    Hands::new(root, Path::new("/")).hold(&place, Amount::Evicted).expect("with nobody left");
    docker(&["rm", "-f", &project.ids()[0]]);
    group::remove(root, &limits.path).await.expect("removed");
}

/// Only where systemd keeps the groups: `scripts/kernel.sh` runs it in a virtual machine.
#[tokio::test]
#[ignore = "run by scripts/kernel.sh in a virtual machine: wants systemd as process 1 and control groups v2"]
async fn systemd_leaves_a_squeeze_alone() {
    let root = Path::new(group::ROOT);
    let limits = development("/partywall-shop-development.slice");
    group::limit(root, &limits).await.expect("limits");
    squeezes_and_lets_go(&limits, BTreeMap::new());
    let (mut hands, place) = (Hands::new(root, Path::new("/")), place(&limits, BTreeMap::new()));
    hands.hold(&place, Amount::Cpu(Cpus::from_number(0.3))).expect("held");
    let reloaded = std::process::Command::new("systemctl").arg("daemon-reload").status();
    assert!(reloaded.is_ok_and(|status| status.success()), "systemd does not read its units again");
    assert_eq!(hands.held(&place).cpus, Some(0.3), "systemd took the squeeze back");
    group::remove(root, &limits.path).await.expect("removed");
}

#[test]
fn v2_files_are_squeezed_as_the_kernel_wants_them() {
    let temp = tempfile::tempdir().expect("a temp dir");
    let root = temp.path();
    let folder = root.join("dev");
    std::fs::create_dir_all(&folder).expect("a folder");
    std::fs::write(root.join("cgroup.controllers"), "cpu memory io").expect("a file");
    for (file, text) in
        [("cpu.max", "150000 100000"), ("memory.high", "max"), ("io.max", ""), ("cgroup.freeze", "0")]
    {
        std::fs::write(folder.join(file), text).expect("a file");
    }
    let mut hands = Hands::new(root, Path::new("/"));
    assert_eq!(hands.lacks(), Vec::<String>::new());
    let place = place(&development("/dev"), BTreeMap::new());
    for amount in BACK {
        hands.hold(&place, amount).expect("nothing to do");
    }
    let read = |file: &str| std::fs::read_to_string(folder.join(file)).expect("a file");
    assert_eq!(read("cpu.max"), "150000 100000", "what is no squeeze is left alone");
    for amount in all(0.3) {
        hands.hold(&place, amount).expect("held");
    }
    assert_eq!((read("cpu.max").as_str(), read("memory.high").as_str()), ("6000 20000", "524288000"));
    assert!(read("io.max").ends_with(" rbps=1048576 wbps=1048576"), "{}", read("io.max"));
    let found = Found {
        cpus: Some(0.3),
        memory: Some(524_288_000.0),
        io: Some(1_048_576.0),
        network: None,
        frozen: true,
    };
    assert_eq!(hands.held(&place), found);
    for amount in BACK {
        hands.hold(&place, amount).expect("let go");
    }
    assert_eq!((read("cpu.max").as_str(), read("cgroup.freeze").as_str()), ("150000 100000", "0"));
}

#[tokio::test]
async fn what_production_waits_for_is_seen() {
    let mut project = Project::new();
    let root = Path::new(group::ROOT);
    let path = format!("/pwhost-{}-e", std::process::id());
    // Four that spin in half a processor: all of them wait.
    let spin = "[sh, -c, \"for i in 1 2 3 4; do while :; do :; done & done; wait\"]";
    let services = format!(
        "  web: {{image: IMAGE, init: true, LABELS, command: {spin}, cpus: 0.5, cgroup_parent: {path}}}\n"
    );
    let run = project.compose(&services);
    project.start(&run, &["web"]).await;
    let name = pw_model::name::EnvironmentName::parse("development").expect("a name");
    let others = BTreeMap::from([(name.clone(), path.clone())]);
    let mut eyes = Eyes::new(root, vec![path.clone()], others, vec!["/".into()]);
    let before = eyes.look();
    let seen = loop {
        std::thread::sleep(Duration::from_millis(100));
        let seen = reading(&before, &eyes.look());
        if seen.cpu.is_none_or(|waited| waited > 0.2) {
            break seen;
        }
    };
    assert!(seen.cpu.is_some(), "sensors: {:?}", eyes.sensors());
    let used = seen.uses[&name];
    assert!(used.cpus.is_some_and(|cpus| cpus > 0.1) && used.memory.is_some(), "{used:?}");
    assert!(
        seen.busy.is_some_and(|busy| busy > 0.0) && seen.memory_free.is_some() && seen.disk_free.is_some()
    );
    let others = BTreeMap::from([(name.clone(), path.clone())]);
    let mut apart = Eyes::new(root, vec!["/pwhost-production".into()], others, vec!["/".into()]);
    let mut unyielding = || {
        let before = apart.look();
        std::thread::sleep(Duration::from_millis(500));
        let used = reading(&before, &apart.look()).uses[&name];
        used.unyielding.zip(used.cpus).map_or(f64::NAN, |(unyielding, cpus)| unyielding / cpus)
    };
    assert!(unyielding() > 0.99, "as heavy as production");
    group::limit(root, &development(&path)).await.expect("limited");
    let spins = unyielding();
    assert!(spins < 0.25, "it only computes, and {spins} of that is the kernel's");
    docker(&["rm", "-f", &project.ids()[0]]);
    group::remove(root, &path).await.expect("removed");
}
