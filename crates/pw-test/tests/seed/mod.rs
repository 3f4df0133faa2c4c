//! A host with data in both environments, and orders to seed one from the other.

use std::collections::{BTreeMap, BTreeSet};

use pw_model::desired::Desired;
use pw_plan::Plan;
use pw_plan::seed::{Found, Keyspace, Order, VaultOrder, current_file, plan};
use pw_plan::step::{CachePlace, DatabasePlace, VaultPlace};
use pw_test::{FakeHost, FakeVault};

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
        from: place("production"),
        to: place("development"),
        rules: "seed: {}".into(),
        size: Some("10%".into()),
        key: KEY.into(),
        folder: FOLDER.into(),
        rewrites: Some("[]".into()),
        vaults: vec![VaultOrder {
            from: folder("production"),
            to: folder("development"),
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
