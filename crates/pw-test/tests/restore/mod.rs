//! Orders to bring production back: from a dump with its files, and to a second.

use std::collections::{BTreeMap, BTreeSet};

use pw_model::config::Class;
use pw_model::desired::Desired;
use pw_model::unit::Bytes;
use pw_plan::Plan;
use pw_plan::backup::part;
use pw_plan::backup::restore::{Moment, Played, Wanted, moment, plan};
use pw_plan::scratch::{Ground, Source};
use pw_plan::step::{DatabasePlace, RepositoryPlace, Stored, TableName};
use pw_plan::wall::{Claims, Rendered};
use pw_test::{FakeHost, Known, ServiceSketch};
use serde_json::json;

const FOLDER: &str = "/state/projects/shop/production/moment";

fn repository() -> RepositoryPlace {
    let [path, key, lock] = ["/repository", "/key", "/lock"].map(str::to_owned);
    RepositoryPlace { path, key, lock, id: None }
}

fn rendered(desired: &Desired) -> Rendered {
    Rendered {
        name: desired.environment.clone(),
        class: Class::Production,
        model: json!({"services": {"db": {"image": "app:1", "volumes": []}}}),
        roles: BTreeMap::new(),
        holes: BTreeSet::new(),
        rules: Vec::new(),
        diagnostics: Vec::new(),
        folders: BTreeSet::new(),
        generated_secrets: BTreeSet::new(),
        edge: String::new(),
        group: String::new(),
        claims: Claims::default(),
        compose_project: desired.compose_project.clone(),
    }
}

fn played(desired: &Desired) -> Moment {
    let of = rendered(desired);
    let source = Source {
        container: String::new(),
        image: "app:1".into(),
        database: "production".into(),
        user: "shop".into(),
        data: "/data".into(),
        bytes: Bytes(1),
        only_logical: None,
    };
    let ground = Ground {
        purpose: "moment",
        project: "shop",
        of: &of,
        beside: &of,
        service: "db",
        source: &source,
        folder: FOLDER,
        state: "state",
        group: None,
        disk_free: Bytes(1000),
    };
    let stored = Stored { repository: repository(), backup: "20260101-000000".into(), part: "db".into() };
    let log = [("20260101-000001".to_owned(), vec!["000000010000000000000001".to_owned()])];
    let until = "2026-01-01 00:00:01+00";
    moment(ground, &Played { stored: &stored, log: &log, until, variables: None }).unwrap()
}

/// A file of the vault, and a table.
pub(crate) fn plan_parts(desired: &Desired, there: bool) -> [Plan; 2] {
    let ground = part::Ground {
        project: "shop".into(),
        environment: desired.environment.to_string(),
        stamp: "20260102_000000".into(),
    };
    let stored =
        |part: &str| Stored { repository: repository(), backup: "20260101-000000".into(), part: part.into() };
    let place = if there { "/volumes/shop-production_vault/_data" } else { "/volumes/none" };
    let path = part::WantedPath { stored: stored("vault"), path: "one".into(), place: place.into(), there };
    let table = part::WantedTable {
        stored: stored("main"),
        table: TableName { schema: "public".into(), name: "item".into() },
        database: database(desired),
    };
    [part::path(&ground, &path), part::table(&ground, &table)]
}

fn database(desired: &Desired) -> DatabasePlace {
    DatabasePlace {
        project: desired.compose_project.clone(),
        service: "db".into(),
        name: "production".into(),
        user: "shop".into(),
        password: None,
    }
}

/// Teaches the host what the scratch server's file describes, and plans.
pub(crate) fn plan_restore(host: &mut FakeHost, desired: &Desired, to_a_second: bool) -> Plan {
    let moment = to_a_second.then(|| played(desired));
    let sketch =
        || ServiceSketch { image: "app:1".into(), config_hash: "c".into(), ..ServiceSketch::default() };
    let scratch = Known {
        services: ["db", "partywall-copy"].map(|name| (name.to_owned(), sketch())).into(),
        networks: vec!["shop-production-moment_default".into()],
        volumes: vec!["shop-production-moment_data".into()],
        mounts: vec![format!("{FOLDER}/run")],
        ..Known::default()
    };
    for hash in moment.iter().flat_map(|moment| moment.texts.keys()) {
        host.knows(hash, scratch.clone());
    }
    let folder = "/volumes/shop-production_vault/_data".to_owned();
    let wanted = Wanted {
        repository: repository(),
        backup: "20260101-000000".into(),
        stamp: "20260102_000000".into(),
        databases: [("main".to_owned(), database(desired))].into(),
        folders: if to_a_second { BTreeMap::new() } else { [("vault".to_owned(), folder)].into() },
        roles: [("main".to_owned(), ["app".to_owned()].into())].into(),
        users: ["migrate", "web", "worker"].map(str::to_owned).into(),
        moment,
    };
    plan(desired, &host.snapshot(desired), &wanted).unwrap()
}
