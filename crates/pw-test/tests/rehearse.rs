//! A rehearsal broken at every point: production is as before, and in the end nothing of the copy is left.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::{BTreeMap, BTreeSet};

use pw_model::config::{Class, Limits, Migrate};
use pw_model::name::{EnvironmentName, ServiceName};
use pw_model::unit::Bytes;
use pw_plan::rehearse::{Wanted, plan};
use pw_plan::scratch::{Ground, Source};
use pw_plan::step::{RepositoryPlace, Stored};
use pw_plan::wall::{Claims, Rendered};
use pw_plan::{Action, Plan};
use pw_run::{Outcome, apply};
use pw_test::{
    FakeHost, Known, MemoryJournal, Nature, ServiceSketch, apply_twice, cut_everywhere, fail_every_step,
    fail_every_write, run,
};
use serde_json::json;

const FOLDER: &str = "/state/projects/shop/production/rehearsal";

fn rendered(environment: &str, class: Class) -> Rendered {
    let project = format!("shop-{environment}");
    Rendered {
        name: EnvironmentName::parse(environment).unwrap(),
        class,
        model: json!({"services": {
            "db": {"image": "postgres:17", "environment": {"POSTGRES_PASSWORD": "secret"}, "mem_limit": "1g",
                "volumes": [{"type": "volume", "source": "pgdata", "target": "/data"}]},
            "web": {"image": format!("{environment}:1"), "environment": {"MODE": environment},
                "volumes": [{"type": "bind", "source": "/srv/shop/app", "target": "/app"}, {"type": "volume", "source": "vault", "target": "/vault"}],
                "depends_on": {"db": {}}, "networks": {"default": null}},
        }}),
        roles: BTreeMap::new(),
        holes: BTreeSet::new(),
        rules: Vec::new(),
        diagnostics: Vec::new(),
        folders: BTreeSet::new(),
        generated_secrets: BTreeSet::new(),
        edge: format!("{project}_edge"),
        group: format!("/partywall/shop/{environment}"),
        claims: Claims::default(),
        compose_project: project,
    }
}

fn planned(only_logical: Option<&str>, free: u64) -> Result<Plan, String> {
    planned_from(None, only_logical, free)
}

fn planned_from(dump: Option<&Stored>, only_logical: Option<&str>, free: u64) -> Result<Plan, String> {
    let (production, development) =
        (rendered("production", Class::Production), rendered("development", Class::Development));
    let source = Source {
        container: "shop-production-db-1".into(),
        image: "sha256:1".into(),
        database: "shop".into(),
        user: "postgres".into(),
        data: "/data".into(),
        bytes: Bytes(100),
        only_logical: only_logical.map(str::to_owned),
    };
    let ground = Ground {
        purpose: "rehearsal",
        project: "shop",
        of: &production,
        beside: &development,
        service: "db",
        source: &source,
        folder: FOLDER,
        state: "state",
        group: None,
        disk_free: Bytes(free),
    };
    let migrate = Migrate {
        compatible: false,
        retries: 0,
        database: None,
        service: ServiceName::parse("web").unwrap(),
        command: vec!["migrate".into()],
        down: vec!["migrate".into(), "down".into()],
    };
    let limits = Limits::default();
    let wanted = Wanted { migrate: &migrate, code: &development, limits: &limits, variables: None, dump };
    plan(ground, &wanted).map_err(|diagnostic| diagnostic.to_string())
}

/// Production's database runs; what the copy's file describes is known.
fn host(plan: &Plan) -> FakeHost {
    let mut host = FakeHost::default();
    let images = ["sha256:1", "development:1", "postgres:17"].map(str::to_owned);
    host.world.images.extend(images);
    let mut production = Known::new("shop-production", &[("db", "1")]);
    production.services.entry("db".into()).or_default().image = "postgres:17".into();
    host.knows("p", production);
    host.stored("p");
    let compose =
        pw_plan::step::ComposeRun { project: "shop-production".into(), file: "/state/p.yaml".into() };
    let up = Plan {
        operation: "up".into(),
        project: "shop".into(),
        environment: "production".into(),
        basis: String::new(),
        texts: BTreeMap::new(),
        steps: vec![
            pw_plan::Step::new(
                Action::InstallFile { path: compose.file.clone(), hash: "p".into() },
                pw_plan::Undo::Nothing,
                "needed",
            ),
            pw_plan::Step::new(
                Action::StartServices { compose, services: vec!["db".into()] },
                pw_plan::Undo::Nothing,
                "needed",
            ),
        ],
    };
    assert!(matches!(
        run(apply(&up, &mut host, &mut MemoryJournal::default(), &mut ())),
        Some(Outcome::Applied)
    ));
    let sketch = |image: &str, nature| ServiceSketch {
        image: image.into(),
        config_hash: "c".into(),
        nature,
        ..ServiceSketch::default()
    };
    let services = [
        ("db", sketch("sha256:1", Nature::Serves)),
        ("partywall-copy", sketch("sha256:1", Nature::Serves)),
        ("web", sketch("development:1", Nature::Job)),
        ("web-down", sketch("development:1", Nature::FailedJob)),
    ];
    let copy = Known {
        services: services.into_iter().map(|(name, sketch)| (name.to_owned(), sketch)).collect(),
        networks: vec!["shop-production-rehearsal_default".into()],
        volumes: vec!["shop-production-rehearsal_data".into()],
        mounts: vec![format!("{FOLDER}/run")],
        group: None,
        owner: None,
    };
    for hash in plan.texts.keys() {
        host.knows(hash, copy.clone());
    }
    host.guard("shop-production", &["/partywall/shop/production"]);
    host
}

#[test]
fn broken_anywhere_it_leaves_production_as_it_was() {
    let dump = stored();
    let made =
        [(None, None), (None, Some("its files cannot be streamed")), (Some(&dump), Some("from a backup"))];
    for (dump, only_logical) in made {
        let plan = planned_from(dump, only_logical, 1000).unwrap();
        plan.lint().unwrap();
        let host = host(&plan);
        fail_every_step(&plan, &host);
        cut_everywhere(&plan, &host);
        apply_twice(&plan, &host);
        fail_every_write(&plan, &host);
    }
}

fn stored() -> Stored {
    let [path, key, lock] = ["/repository", "/key", "/lock"].map(str::to_owned);
    let repository = RepositoryPlace { path, key, lock, id: None };
    Stored { repository, backup: "20260101-000000".into(), part: "main".into() }
}

/// Promise: a copy from a backup is made without a word to production.
#[test]
fn a_copy_from_a_backup_asks_nothing_of_production() {
    let plan = planned_from(Some(&stored()), Some("from a backup"), 1000).unwrap();
    let loads = |step: &&pw_plan::Step| matches!(step.does, Action::LoadDump { .. });
    assert_eq!(plan.steps.iter().filter(loads).count(), 1, "{plan}");
    assert!(!plan.to_string().contains("shop-production-db-1"), "{plan}");
}

#[test]
fn nothing_of_the_copy_is_left() {
    let plan = planned(None, 1000).unwrap();
    let (before, mut after) = (host(&plan), host(&plan));
    let outcome = run(apply(&plan, &mut after, &mut MemoryJournal::default(), &mut ()));
    assert!(matches!(outcome, Some(Outcome::Applied)), "{outcome:?}");
    assert_eq!(after.world.differences(&before.world), Vec::<String>::new());
}

#[test]
fn the_copy_leads_nowhere_and_mounts_nothing_of_production() {
    let plan = planned(None, 1000).unwrap();
    let text = plan.texts.values().next().unwrap();
    assert!(text.contains("internal: true"), "{text}");
    assert!(text.contains("network_mode: none"), "{text}");
    for absent in ["pgdata", "vault", "depends_on", "ports", "cgroup_parent: /partywall/shop/production"] {
        assert!(!text.contains(absent), "`{absent}` in\n{text}");
    }
    // Code comes from development, read-only; what it is told comes from production.
    assert!(text.contains("image: \"development:1\"") && text.contains("MODE: production"), "{text}");
    assert!(text.contains("read_only: true"), "{text}");
    assert!(!plan.to_string().contains("secret"), "{plan}");
}

#[test]
fn a_copy_that_does_not_fit_is_refused() {
    let refused = planned(None, 100).unwrap_err();
    assert!(refused.contains("there is no room for a copy of `shop` of `production`"), "{refused}");
    assert!(refused.contains("hint: make room"), "{refused}");
}
