//! An attack broken at every point: nothing of the host is changed, and every way back is walked.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr};

use pw_model::observed::{Health, State};
use pw_model::unit::Bytes;
use pw_plan::prove::scene::{Room, Scene};
use pw_plan::prove::step::{Blast, Bounds, Site};
use pw_plan::prove::{Wanted, plan};
use pw_test::{FakeContainer, FakeHost, apply_twice, cut_everywhere, fail_every_step, fail_every_write};

fn host() -> FakeHost {
    let mut host = FakeHost::default();
    for (name, project) in [("db", "shop-production"), ("web", "shop-development")] {
        let container = FakeContainer {
            project: project.into(),
            service: name.into(),
            number: 1,
            image: "app".into(),
            config_hash: "c".into(),
            state: State::Running,
            health: Health::Healthy,
            exit_code: None,
            networks: BTreeSet::new(),
            volumes: BTreeSet::new(),
            mounts: BTreeSet::new(),
            group: None,
            owner: None,
            throttled: false,
        };
        host.world.containers.insert(name.into(), container);
    }
    host.guard("shop-production", &["/partywall/shop/production"]);
    host
}

#[test]
fn broken_anywhere_it_leaves_everything_as_it_was() {
    let room = |name: &str, environment: &str| Room {
        id: name.into(),
        name: name.into(),
        service: name.into(),
        environment: environment.into(),
        ..Room::default()
    };
    let site = Site {
        service: "web".into(),
        address: IpAddr::V4(Ipv4Addr::LOCALHOST),
        port: 80,
        host: "shop.example".into(),
        path: "/".into(),
        proxied: true,
    };
    let scene = Scene {
        production: vec![room("db", "production")],
        beside: vec![room("web", "development")],
        own_site: Some(site.clone()),
        site: Some(site),
        ..Scene::default()
    };
    let bounds = Bounds { memory: Bytes(1), disk: Bytes(1), processes: 1 };
    let wanted = Wanted {
        project: "shop",
        environment: "production",
        probes: true,
        blasts: &Blast::ALL,
        rounds: 1,
        seconds: 1,
        rate: 1,
        bounds,
    };
    let plan = plan(&scene, &wanted);
    plan.lint().unwrap();
    assert_eq!(plan.steps.len(), 8);
    assert_eq!(plan.texts, BTreeMap::new());
    fail_every_step(&plan, &host());
    cut_everywhere(&plan, &host());
    apply_twice(&plan, &host());
    fail_every_write(&plan, &host());
}
