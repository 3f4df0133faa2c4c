//! What `prove` tries, as a person reads it, and what the results mean.

#![expect(clippy::expect_used, reason = "a helper of tests fails by panicking")]

use std::collections::BTreeSet;
use std::net::IpAddr;

use pw_model::unit::Bytes;
use pw_plan::prove::scene::{Room, Scene};
use pw_plan::prove::step::{Blast, Bounds, Probe, Site};
use pw_plan::prove::verdict::{Blasted, Felt, Held, Outcome, Tried, Verdict};
use pw_plan::prove::{Wanted, plan, probes};

fn at(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

fn set<T: Ord>(all: impl IntoIterator<Item = T>) -> BTreeSet<T> {
    all.into_iter().collect()
}

fn room(environment: &str, service: &str, number: u8) -> Room {
    Room {
        id: format!("{environment}{number}"),
        name: format!("shop-{environment}-{service}-1"),
        service: service.to_owned(),
        environment: environment.to_owned(),
        addresses: set([at(&format!("10.1.0.{number}"))]),
        names: set([service.to_owned()]),
        namespace: number.into(),
        ..Room::default()
    }
}

fn scene() -> Scene {
    let db = Room {
        addresses: set([at("10.1.0.2"), at("fd00::2")]),
        listening: set([5432]),
        exposed: set([5432, 9999]),
        published: set([(at("127.0.0.1"), 15432), (at("0.0.0.0"), 8883)]),
        mounts: set(["/volumes/data", "/project/db.conf", "/project/password"].map(str::to_owned)),
        ..room("production", "db", 2)
    };
    let beside = Room {
        gateways: set([at("10.2.0.1")]),
        published: set([(at("127.0.0.1"), 6379)]),
        ..room("development", "web", 7)
    };
    let site = Site {
        service: "web".into(),
        address: at("127.0.0.1"),
        port: 80,
        host: "shop.example".into(),
        path: "/health".into(),
        proxied: true,
    };
    Scene {
        production: vec![db],
        beside: vec![beside],
        secrets: set(["/project/password", "/project/.env.prod"].map(str::to_owned)),
        configuration: set(["/project/db.conf".to_owned(), "/project/password".to_owned()]),
        docker_sockets: set(["/run/docker.sock".to_owned()]),
        proxy_sockets: set(["/state/admin.sock".to_owned()]),
        proxy: set([(at("10.3.0.1"), 80)]),
        site: Some(site),
        own_site: None,
    }
}

#[test]
fn everything_that_could_be_reached_is_tried_and_has_a_control() {
    let known_stores = |probe: &&Probe| !probe.what.starts_with("a database of the host");
    let all = probes::probes(&scene());
    let text: Vec<String> = all.iter().filter(known_stores).map(ToString::to_string).collect();
    let stores = all.len() - text.len();
    assert_eq!(stores, 7, "one of eight known ports is development's own");
    assert_eq!(
        text.join("\n"),
        "\
production's addresses: db at 10.1.0.2:5432 | must fail | control: shop-production-db-1
production's addresses: db at 10.1.0.2:9999 | must fail | control: the host, where it is there
production's addresses: db at [fd00::2]:5432 | must fail | control: shop-production-db-1
production's addresses: db at [fd00::2]:9999 | must fail | control: the host, where it is there
production's names: `db` as db | must fail | control: shop-production-db-1
ports of the host: db published at 10.2.0.1:8883 | allowed: production publishes it to everybody | control: the host, where it is there
ports of the host: db published at 10.2.0.1:15432 | must fail | control: the host, where it is there
metadata of the machine: 169.254.169.254 | must fail | control: the host, where it is there
Docker: /run/docker.sock | must fail | control: the host
Docker: 10.2.0.1:2375 | must fail | control: the host, where it is there
Docker: 10.2.0.1:2376 | must fail | control: the host, where it is there
the proxy's administration: /state/admin.sock | must fail | control: the host
the proxy's administration: 10.3.0.1:2019 | must fail | control: the host, where it is there
the proxy's administration: 10.2.0.1:2019 | must fail | control: the host, where it is there
ports of the host: the proxy at 10.3.0.1:80 | allowed: it shows public sites to any visitor | control: the host, where it is there
what production reads: /project/db.conf of db | must fail | control: the host
production's secrets: /project/password of db | must fail | control: shop-production-db-1
production's data: /volumes/data of db | must fail | control: shop-production-db-1
production's secrets: /project/.env.prod | must fail | control: the host
production's processes: in /proc | must fail | control: shop-production-db-1
disks of the host: in /dev | must fail | control: the host, where it is there
capabilities: those that reach the host | must fail | control: the host"
    );
}

#[test]
fn the_plan_ends_whatever_attacks() {
    let bounds = Bounds { memory: Bytes(1 << 30), disk: Bytes(1 << 20), processes: 64 };
    let wanted = Wanted {
        project: "shop",
        environment: "production",
        probes: true,
        blasts: &[Blast::Cpu, Blast::Bandwidth],
        rounds: 2,
        seconds: 3,
        rate: 50,
        bounds,
    };
    assert_eq!(
        plan(&scene(), &wanted).to_string(),
        "\
1. try 29 ways out of each of shop-development-web-1 | undo: end what probes and blasts | each must fail, and the same from the right place must not
2. blast `cpu` from shop-development-web-1: 2 rounds of 3 s, 50 requests a second to shop.example | undo: end what probes and blasts | a loop for every processor, in each container
",
        "and no link to fill is known"
    );
}

fn tried(probe: usize, reached: bool, control: bool) -> Tried {
    let outcome = |reached| Outcome { reached, told: String::new(), milliseconds: 1.0 };
    let probe = probes::probes(&scene()).swap_remove(probe);
    Tried {
        probe,
        from: vec![("web".into(), outcome(false)), ("job".into(), outcome(reached))],
        control: outcome(control),
    }
}

#[test]
fn a_probe_without_a_control_that_succeeds_proves_nothing() {
    assert_eq!(tried(0, false, true).verdict(), Verdict::Held);
    assert_eq!(tried(0, true, true).verdict(), Verdict::Through);
    assert_eq!(tried(0, false, false).verdict(), Verdict::Unproven);
    assert_eq!(tried(1, false, false).verdict(), Verdict::Absent);
    assert_eq!(tried(1, true, false).verdict(), Verdict::Through);
    assert!(!Verdict::Unproven.is_good() && !Verdict::Through.is_good());
}

fn felt(p99: f64, failed: usize) -> Felt {
    Felt { p50: 1.0, p99, p999: p99, requests: 100, failed }
}

#[test]
fn production_is_hurt_when_its_objective_breaks_or_it_is_slower_than_the_machine_s_own_noise() {
    let of = |alone: [f64; 3], under: [f64; 2], failed| Blasted {
        alone: alone.map(|p99| felt(p99, 0)).into(),
        under: under.map(|p99| felt(p99, failed)).into(),
        ..Blasted::default()
    };
    let objective = Held { p99: Some(50.0), errors: Some(0.01), ratio: 1.05 };
    let none = Held { ratio: 1.05, ..Held::default() };
    let calm = of([10.0, 11.0, 10.0], [30.0, 30.0], 0);
    assert_eq!(calm.hurt(&objective), None);
    assert_eq!(
        calm.hurt(&none).as_deref(),
        Some("p99 is 2.86 times that of alone; 1.05 are borne, and alone differs from itself by 1.10")
    );
    let slow = of([10.0, 10.0, 10.0], [60.0, 60.0], 0);
    assert_eq!(
        slow.hurt(&objective).as_deref(),
        Some("p99 is 60 ms, the objective 50 ms, and alone it is 10 ms")
    );
    assert_eq!(of([10.0, 40.0, 10.0], [60.0, 30.0], 0).hurt(&none), None, "alone differs by 4");
    let lost = of([10.0, 10.0, 10.0], [10.0, 10.0], 2);
    assert_eq!(lost.hurt(&objective).as_deref(), Some("2.00 % of the requests failed, 0.00 % alone"));
    let killed = Blasted { killed_in_production: 1, ..calm };
    assert!(killed.hurt(&objective).is_some());
    assert!(Blasted::default().hurt(&objective).is_some(), "what was not measured is not passed");
}
