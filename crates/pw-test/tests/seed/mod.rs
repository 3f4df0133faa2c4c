//! A host with data in both environments, and orders to seed one from the other.

use std::collections::{BTreeMap, BTreeSet};

use pw_model::config::Class;
use pw_model::desired::Desired;
use pw_model::unit::Bytes;
use pw_plan::Plan;
use pw_plan::scratch::{Ground, Source};
use pw_plan::seed::backup::{FromBackup, PURPOSE, Wanted, look, stand_in};
use pw_plan::seed::{Found, Keyspace, Order, VaultOrder, VaultSource, current_file, plan};
use pw_plan::step::{BackupOrigin, CachePlace, DatabasePlace, RepositoryPlace, Stored, VaultPlace};
use pw_plan::wall::{Claims, Rendered};
use pw_test::{FakeHost, FakeVault, Known, ServiceSketch};
use serde_json::json;

const FOLDER: &str = "/state/projects/shop/development/seeds";
const KEY: &str = "/state/projects/shop/masks.key";

/// Fills databases, caches and vaults of both environments.
pub(crate) fn filled(mut host: FakeHost) -> FakeHost {
    let world = &mut host.world;
    for environment in ["production", "development"] {
        let place = format!("shop-{environment}/db");
        let own = BTreeMap::from([(environment.to_owned(), format!("rows of {environment}"))]);
        world.databases.insert(place.clone(), own);
        world.caches.insert(place, BTreeMap::from([(0, "sessions".to_owned()), (3, "jobs".to_owned())]));
        let files = ["a", "b"].map(|name| format!("{environment} {name}")).into();
        let vault = FakeVault { files, ..FakeVault::default() };
        world.vaults.insert(vault_of(environment), vault);
    }
    host
}

fn vault_of(environment: &str) -> String {
    format!("/volumes/shop-{environment}_vault/_data")
}

fn place(environment: &str) -> DatabasePlace {
    DatabasePlace {
        project: format!("shop-{environment}"),
        service: "db".into(),
        name: environment.into(),
        user: "shop".into(),
        password: None,
    }
}

fn order(keep: bool) -> Order {
    let folder = |environment| VaultPlace::Folder { path: vault_of(environment) };
    Order {
        from: place("production").into(),
        backup: None,
        to: place("development"),
        rules: "seed: {}".into(),
        size: Some("10%".into()),
        rate: None,
        key: KEY.into(),
        folder: FOLDER.into(),
        rewrites: Some("[]".into()),
        vaults: vec![VaultOrder {
            from: VaultSource::Place(folder("production")),
            to: folder("development"),
            is_new: false,
            column: "files.key".into(),
            strip: None,
            files: Vec::new(),
        }],
        caches: vec![CachePlace { project: "shop-development".into(), service: "db".into() }],
        users: ["migrate", "web", "worker"].map(str::to_owned).into(),
        restart: Vec::new(),
        keep,
        keep_failed: false,
    }
}

fn found(host: &FakeHost) -> Found {
    let world = &host.world;
    let used: BTreeSet<u32> = world.caches["shop-development/db"].keys().copied().collect();
    let seeds = world.folders.iter().filter_map(|path| path.strip_prefix(FOLDER)?.strip_prefix('/'));
    let seeds: BTreeSet<u64> = seeds.filter_map(|name| name.parse().ok()).collect();
    Found {
        databases: world.databases["shop-development/db"].keys().cloned().collect(),
        caches: BTreeMap::from([("db".to_owned(), Keyspace { used, limit: 16 })]),
        current: seeds.last().copied().filter(|_| world.files.contains_key(&current_file(FOLDER))),
        has_key: world.files.contains_key(KEY),
        seeds,
    }
}

pub(crate) fn plan_seed(host: &FakeHost, desired: &Desired, keep: bool) -> Plan {
    plan(desired, &host.snapshot(desired), &order(keep), &found(host)).unwrap()
}

/// Orders the same from a backup; the host learns what the scratch server's file describes.
pub(crate) fn plan_seed_from_backup(host: &mut FakeHost, desired: &Desired) -> Plan {
    let backup = backup(host, desired);
    let mut order = order(false);
    order.from = backup.place.clone().into();
    order.vaults[0].from = VaultSource::Stored { part: "vault".into(), below: Some("media".into()) };
    order.backup = Some(backup);
    plan(desired, &host.snapshot(desired), &order, &found(host)).unwrap()
}

/// A look at what such a seed would take along.
pub(crate) fn plan_look(host: &mut FakeHost, desired: &Desired) -> Plan {
    look(("shop", "development"), &backup(host, desired), ("seed: {}", Some("10%")))
}

fn backup(host: &mut FakeHost, desired: &Desired) -> FromBackup {
    let folder = format!("/state/projects/shop/development/{PURPOSE}");
    let (of, beside) = (rendered("production", desired), rendered("development", desired));
    let source = Source {
        container: String::new(),
        image: "app:1".into(),
        database: "production".into(),
        user: "shop".into(),
        data: "/data".into(),
        bytes: Bytes(1),
        only_logical: Some("it comes from a backup".into()),
    };
    let ground = Ground {
        purpose: PURPOSE,
        project: "shop",
        of: &of,
        beside: &beside,
        service: "db",
        source: &source,
        folder: &folder,
        state: "state",
        group: None,
        disk_free: Bytes(1000),
    };
    let [path, key, lock] = ["/repository", "/key", "/lock"].map(str::to_owned);
    let repository = RepositoryPlace { path, key, lock, id: None };
    let (name, at) = ("20260101-000000".to_owned(), "2026-01-01T00:00:00Z".to_owned());
    let stored = Stored { repository, backup: name.clone(), part: "main".into() };
    let origin = BackupOrigin { name, environment: "production".into(), at };
    let made = stand_in(ground, &Wanted { origin: &origin, stored: &stored, variables: None }).unwrap();
    let sketch = ServiceSketch { image: "app:1".into(), config_hash: "c".into(), ..ServiceSketch::default() };
    let scratch = Known {
        services: [("db".to_owned(), sketch)].into(),
        networks: vec!["shop-production-source_default".into()],
        volumes: vec!["shop-production-source_data".into()],
        mounts: vec![format!("{folder}/run")],
        ..Known::default()
    };
    made.texts.keys().for_each(|hash| host.knows(hash, scratch.clone()));
    made
}

fn rendered(environment: &str, desired: &Desired) -> Rendered {
    Rendered {
        name: pw_model::name::EnvironmentName::parse(environment).unwrap(),
        class: if environment == "production" { Class::Production } else { Class::Development },
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
        compose_project: format!("{}-{environment}", desired.project),
    }
}
