//! One host with production running, and hand-made plans of every shape for the environment beside it.

#![expect(clippy::expect_used, reason = "the scene is set by hand; what does not work is a mistake in here")]

use std::collections::BTreeMap;

use pw_model::desired::GroupLimits;
use pw_plan::step::ComposeRun;
use pw_plan::{Action, Plan, Step, Undo};
use pw_test::{FakeHost, Known, Nature};

const DEV: &str = "shop-development";
const FILE: &str = "/p/shop/development/compose.yaml";
const FOLDER: &str = "/p/shop/development";
const SECRET: &str = "/p/shop/development/secrets/session";
const BINDS: &str = "/p/shop/development/binds";
const SWITCH: &str = "/p/proxy/edge/switch/shop-development/web";
const PROXY: &str = "edge";

fn texts(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

fn compose() -> ComposeRun {
    ComposeRun { project: DEV.into(), file: FILE.into() }
}

fn limits(path: &str, cpu_weight: u64) -> GroupLimits {
    GroupLimits {
        path: path.into(),
        cpu_weight,
        cpu_idle: false,
        cpu_ceiling: None,
        memory_ceiling: None,
        memory_protection: None,
        process_ceiling: None,
    }
}

fn install(hash: &str) -> Action {
    Action::InstallFile { path: FILE.into(), hash: hash.into() }
}

fn start(names: &[&str]) -> Action {
    Action::StartServices { compose: compose(), services: texts(names) }
}

fn wait(names: &[&str]) -> Action {
    Action::AwaitServices { project: DEV.into(), services: texts(names), timeout_seconds: 60 }
}

fn remove(names: &[&str]) -> Action {
    Action::RemoveServices { project: DEV.into(), services: texts(names) }
}

fn open() -> Action {
    Action::OpenSwitch { path: SWITCH.into(), service: "web".into(), address: "web.dev:8000".into() }
}

fn close() -> Action {
    Action::CloseSwitch { path: SWITCH.into(), service: "web".into() }
}

fn join() -> Action {
    Action::JoinNetwork { container: PROXY.into(), network: format!("{DEV}_default") }
}

fn leave() -> Action {
    Action::LeaveNetwork { container: PROXY.into(), network: format!("{DEV}_default") }
}

fn step(does: Action, undo: Action) -> Step {
    Step::new(does, Undo::by(undo), "a test")
}

fn sure(does: Action) -> Step {
    Step::new(does, Undo::Nothing, "a test")
}

fn lost(does: Action) -> Step {
    Step::new(does, Undo::Impossible { saved_as: None }, "a test")
}

fn plan(operation: &str, steps: Vec<Step>, hashes: &[&str]) -> Plan {
    Plan {
        operation: operation.into(),
        project: "shop".into(),
        environment: "development".into(),
        basis: "basis".into(),
        steps,
        texts: hashes
            .iter()
            .map(|hash| ((*hash).to_owned(), format!("text of {hash}")))
            .collect::<BTreeMap<_, _>>(),
    }
}

fn described(version: &str) -> Known {
    let mut known = Known::new(DEV, &[("db", "db-1"), ("web", &format!("web-{version}"))]);
    known.volumes = texts(&["shop-development_data"]);
    known.mounts = texts(&[SECRET, BINDS]);
    known.group = Some("/partywall/shop/development".into());
    known.services.get_mut("web").expect("web").needs = texts(&["db"]);
    known
}

/// Production runs behind the proxy; development was never there.
pub(crate) fn production_alone() -> FakeHost {
    let mut host = FakeHost::default();
    let file = "/p/shop/production/compose.yaml";
    let run = ComposeRun { project: "shop-production".into(), file: file.into() };
    let mut known = Known::new("shop-production", &[("db", "db-1"), ("web", "web-1")]);
    known.volumes = texts(&["shop-production_data"]);
    host.knows("production", known);
    let mut proxy = Known::new(PROXY, &[("caddy", "caddy-1")]);
    proxy.services.get_mut("caddy").expect("caddy").container_name = Some(PROXY.into());
    host.knows("proxy", proxy);
    host.knows("one", described("1"));
    host.knows("two", described("2"));
    let mut sick = described("3");
    sick.services.get_mut("web").expect("web").nature = Nature::Sick;
    host.knows("sick", sick);
    for hash in ["production", "proxy"] {
        host.stored(hash);
    }
    let edge = ComposeRun { project: PROXY.into(), file: "/p/proxy/edge/compose.yaml".into() };
    let setting = [
        Action::InstallFile { path: file.into(), hash: "production".into() },
        Action::PullImages { compose: run.clone(), services: texts(&["db", "web"]) },
        Action::StartServices { compose: run, services: texts(&["db", "web"]) },
        Action::InstallFile { path: edge.file.clone(), hash: "proxy".into() },
        Action::PullImages { compose: edge.clone(), services: texts(&["caddy"]) },
        Action::StartServices { compose: edge, services: texts(&["caddy"]) },
        Action::JoinNetwork { container: PROXY.into(), network: "shop-production_default".into() },
        Action::LoadProxy { folder: "/p/proxy/edge".into(), admin: None },
        Action::OpenSwitch {
            path: "/p/proxy/edge/switch/shop-production/web".into(),
            service: "web".into(),
            address: "web.prod:8000".into(),
        },
    ];
    set(&mut host, setting);
    host.world.volumes.insert("shop-production_data".into(), "ten years of orders".into());
    host.guard("shop-production", &["/p/shop/production"]);
    host
}

fn set(host: &mut FakeHost, actions: impl IntoIterator<Item = Action>) {
    for action in actions {
        host.act(&action).expect("the scene is sound");
    }
}

/// Development runs as well, from the file `one`.
pub(crate) fn both() -> FakeHost {
    let mut host = production_alone();
    host.stored("one");
    set(&mut host, fresh_up().steps.into_iter().map(|step| step.does));
    host.world.volumes.insert("shop-development_data".into(), "last week's sample".into());
    host
}

pub(crate) fn fresh_up() -> Plan {
    let file = Action::RemoveFile { path: FILE.into() };
    let group = "/partywall/shop/development";
    let folder = Action::MakeFolder { path: BINDS.into() };
    let steps = vec![
        step(folder, Action::RemoveFolder { path: BINDS.into() }),
        step(Action::GenerateSecret { path: SECRET.into() }, Action::RemoveFile { path: SECRET.into() }),
        step(install("one"), file),
        step(Action::LimitGroup { limits: limits(group, 10) }, Action::RemoveGroup { path: group.into() }),
        sure(Action::PullImages { compose: compose(), services: texts(&["db", "web"]) }),
        step(start(&["db", "web"]), remove(&["db", "web"])),
        sure(wait(&["db", "web"])),
        step(join(), leave()),
        step(open(), close()),
    ];
    plan("up", steps, &["one"])
}

/// Another file and other limits; what ran before is started again on the way back.
pub(crate) fn change(to: &str) -> Plan {
    let group = "/partywall/shop/development";
    let limit = |weight| Action::LimitGroup { limits: limits(group, weight) };
    let old = Undo::By { actions: vec![install("one"), start(&["web"]), wait(&["web"])] };
    let steps = vec![
        sure(Action::KeepFile { path: FILE.into(), hash: "one".into() }),
        step(install(to), install("one")),
        step(limit(20), limit(10)),
        sure(Action::PullImages { compose: compose(), services: texts(&["web"]) }),
        step(close(), open()),
        Step::new(start(&["web"]), old, "a test"),
        sure(wait(&["web"])),
        step(open(), close()),
    ];
    plan("up", steps, &[to])
}

pub(crate) fn destroy() -> Plan {
    let group = "/partywall/shop/development";
    let volumes = texts(&["shop-development_data"]);
    let networks = vec![format!("{DEV}_default")];
    let again = |names: &[&str]| vec![install("one"), start(names), wait(names)];
    let mut last = again(&["web"]);
    last.push(join());
    let steps = vec![
        sure(Action::KeepFile { path: FILE.into(), hash: "one".into() }),
        step(close(), open()),
        Step::new(remove(&["web"]), Undo::By { actions: last }, "a test"),
        Step::new(remove(&["db"]), Undo::By { actions: again(&["db"]) }, "a test"),
        sure(leave()),
        sure(Action::RemoveNetworks { project: DEV.into(), names: networks }),
        step(Action::RemoveGroup { path: group.into() }, Action::LimitGroup { limits: limits(group, 10) }),
        lost(Action::RemoveVolumes { project: DEV.into(), names: volumes }),
        lost(Action::RemoveTree { path: FOLDER.into() }),
    ];
    plan("destroy", steps, &[])
}
