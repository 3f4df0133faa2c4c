//! Every kind of plan that the planner makes, broken at every point: the host is as before or as wanted.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod asleep;
mod promote;
mod restore;
mod seed;

use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind};

use pw_model::config::{Class, Goals, Promote};
use pw_model::desired::{
    Desired, DesiredProxy, DesiredRoute, DesiredService, Entrance, FileText, FirewallChain, GroupLimits,
};
use pw_model::name::{EnvironmentName, ProjectName};
use pw_model::observed::{Origin, RecordedFolder, State};
use pw_model::role::Role;
use pw_model::unit::Cpus;
use pw_plan::{Action, Plan, destroy, down, up};
use pw_run::{Outcome, apply};
use pw_test::{FakeHost, MemoryJournal, apply_twice, cut_everywhere, fail_every_step, fail_every_write, run};

/// `version` changes the web service and the worker; `extra` adds a service that the other versions lack.
struct Shape {
    environment: &'static str,
    version: u8,
    extra: bool,
}

const PRODUCTION: Shape = Shape { environment: "production", version: 1, extra: false };
const DEVELOPMENT: Shape = Shape { environment: "development", version: 1, extra: true };

fn service(role: Role, hash: String, needs: &[&str]) -> DesiredService {
    DesiredService {
        role,
        config_hash: hash,
        scale: 1,
        image: "app:1".into(),
        built: false,
        needs: needs.iter().map(|&need| need.into()).collect(),
        has_healthcheck: true,
        cpus: None,
        networks: BTreeSet::new(),
        mounts: BTreeMap::new(),
        aspects: BTreeMap::new(),
    }
}

fn services(shape: &Shape, project: &str) -> BTreeMap<String, DesiredService> {
    let versioned = |name: &str| format!("{name}-{}", shape.version);
    let mut services = BTreeMap::from([
        ("db".to_owned(), service(Role::Database, "db-1".into(), &[])),
        ("migrate".to_owned(), service(Role::Job, versioned("migrate"), &["db"])),
        ("web".to_owned(), service(Role::Web, versioned("web"), &["db", "migrate"])),
        ("worker".to_owned(), service(Role::Worker, versioned("worker"), &["db"])),
    ]);
    if shape.extra {
        services.insert("mail".into(), service(Role::Worker, "mail-1".into(), &[]));
        services.get_mut("mail").unwrap().cpus = Cpus::from_number(0.5);
        services.get_mut("worker").unwrap().cpus = Cpus::from_number(0.05);
    }
    for (name, service) in &mut services {
        service.networks.insert(format!("{project}_default"));
        service.networks.extend((name == "web").then(|| format!("{project}_edge")));
    }
    services
}

fn desired(shape: &Shape) -> Desired {
    let environment = shape.environment;
    let project = format!("shop-{environment}");
    let folder = format!("/state/projects/shop/{environment}");
    let class = if environment == "production" { Class::Production } else { Class::Development };
    Desired {
        project: ProjectName::parse("shop").unwrap(),
        environment: EnvironmentName::parse(environment).unwrap(),
        class,
        compose_file: FileText {
            path: format!("{folder}/compose.yaml"),
            text: format!("{environment} {} {}", shape.version, shape.extra),
        },
        services: services(shape, &project),
        networks: vec![format!("{project}_default"), format!("{project}_edge")],
        volumes: vec![format!("{project}_pgdata")],
        folders: vec![format!("{folder}/binds/data")],
        generated_secrets: vec![format!("{folder}/secrets/key")],
        variable_file: None,
        folder_file: FileText { path: format!("{folder}/folder"), text: "/srv/shop\n".into() },
        state: String::new(),
        moved: false,
        store_folder: format!("/state/projects/shop/.store/{environment}"),
        kept_data: Vec::new(),
        state_folder: folder.clone(),
        group: Some(group(environment)),
        build_group: None,
        firewall: Some(FirewallChain {
            name: pw_plan::wall::firewall_chain_name(&project),
            rules: vec![format!("-i pw-{environment} -o pw-+ -j DROP")],
            ipv6: false,
        }),
        proxy: Some(proxy(&project)),
        routes: vec![DesiredRoute {
            service: "web".into(),
            hosts: vec![format!("{environment}.example")],
            switch: format!("/state/proxy/p/switch/{project}/web"),
            address: format!("{project}-web:8000"),
            edge: Some(format!("{project}_edge")),
            entrance: Entrance {
                address: "127.0.0.1:80".into(),
                tls: false,
                warming: format!("/state/proxy/p/switch/.warming/{project}/web"),
            },
            candidate: format!("/state/proxy/p/switch/.candidate/{project}/web"),
            canary: format!("/state/proxy/p/switch/.canary/{project}/web"),
            before: format!("/state/proxy/p/switch/.before/{project}/web"),
            calls: None,
        }],
        release_path: format!("{folder}/release.json"),
        release: None,
        promote: Promote::default(),
        goals: Goals::default(),
        compose_project: project,
    }
}

fn group(environment: &str) -> GroupLimits {
    GroupLimits {
        path: format!("/partywall/shop/{environment}"),
        cpu_weight: 100,
        cpu_idle: environment != "production",
        cpu_ceiling: None,
        memory_ceiling: None,
        memory_protection: None,
        process_ceiling: Some(4096),
    }
}

fn proxy(project: &str) -> DesiredProxy {
    let folder = "/state/proxy/p".to_owned();
    DesiredProxy {
        name: "p".into(),
        container: "p".into(),
        folders: ["config", "switch", "run", "sites"].iter().map(|part| format!("{folder}/{part}")).collect(),
        compose_file: FileText { path: format!("{folder}/compose.yaml"), text: "proxy".into() },
        site_file: FileText { path: format!("{folder}/sites/shop.json"), text: "sites".into() },
        networks: vec![format!("{project}_edge")],
        external_admin: None,
        folder,
    }
}

/// Brings the environment up on the host, as a user would have before.
fn with(mut host: FakeHost, shape: &Shape) -> FakeHost {
    let plan = plan_up(&mut host, shape);
    let outcome = run(apply(&plan, &mut host, &mut MemoryJournal::default(), &mut ()));
    assert!(matches!(outcome, Some(Outcome::Applied)), "{outcome:?}\n{plan}");
    host
}

fn plan_up(host: &mut FakeHost, shape: &Shape) -> Plan {
    plan_for(host, &desired(shape))
}

fn plan_for(host: &mut FakeHost, desired: &Desired) -> Plan {
    host.knows_desired(desired);
    up::plan(desired, &host.snapshot(desired)).unwrap()
}

/// Both run; development's database was taken off its network.
fn database_cut_off() -> FakeHost {
    let mut host = with(with(FakeHost::default(), &PRODUCTION), &DEVELOPMENT);
    let db = host.world.containers.get_mut("shop-development-db-1").unwrap();
    assert!(db.networks.remove("shop-development_default"));
    host
}

/// Both run; development's network is gone, and nobody is on it any more.
fn network_lost() -> FakeHost {
    let mut host = database_cut_off();
    for container in host.world.containers.values_mut() {
        container.networks.remove("shop-development_default");
    }
    assert!(host.world.networks.remove("shop-development_default"));
    host
}

/// Production, behind a proxy of another description.
fn other_proxy() -> Desired {
    let mut wanted = desired(&PRODUCTION);
    wanted.proxy.as_mut().unwrap().compose_file.text = "another proxy".into();
    wanted
}

/// Every kind of plan, with the host it is made for.
fn every_kind() -> Vec<(&'static str, Plan, FakeHost)> {
    let production = || with(FakeHost::default(), &PRODUCTION);
    let both = || with(production(), &DEVELOPMENT);
    let mut kinds = Vec::new();
    let mut add_up = |name, mut host: FakeHost, shape: &Shape| {
        let plan = plan_up(&mut host, shape);
        kinds.push((name, plan, host));
    };
    add_up("the first up of all", FakeHost::default(), &PRODUCTION);
    add_up("development beside production", production(), &DEVELOPMENT);
    add_up("a change of development", both(), &Shape { version: 2, ..DEVELOPMENT });
    add_up("a service that is gone", both(), &Shape { extra: false, ..DEVELOPMENT });
    add_up("a change of production", both(), &Shape { version: 2, ..PRODUCTION });
    add_up("a database that is off its network", database_cut_off(), &DEVELOPMENT);
    add_up("a network that is gone", network_lost(), &DEVELOPMENT);
    let (mut host, wanted) = (both(), other_proxy());
    kinds.push(("a proxy made anew", plan_for(&mut host, &wanted), host));
    let (host, wanted) = (both(), desired(&DEVELOPMENT));
    kinds.push(("down", down::plan(&wanted, &host.snapshot(&wanted)).unwrap(), both()));
    kinds.extend(asleep::kinds(&both));
    kinds.push(("destroy", destroy::plan(&wanted, &host.snapshot(&wanted)).unwrap(), host));
    let (host, wanted) = (production(), desired(&PRODUCTION));
    kinds.push(("destroy the last", destroy::plan(&wanted, &host.snapshot(&wanted)).unwrap(), host));
    let (host, wanted) = (seeded(seed::filled(both()), true), desired(&DEVELOPMENT));
    kinds.push(("a second seed", seed::plan_seed(&host, &wanted, false), host));
    let (mut host, wanted) = (production_away(), desired(&DEVELOPMENT));
    kinds.push(("a seed from a backup", seed::plan_seed_from_backup(&mut host, &wanted), host));
    let (mut host, wanted) = (production_away(), desired(&DEVELOPMENT));
    kinds.push(("a look at a backup", seed::plan_look(&mut host, &wanted), host));
    for (name, to_a_second) in [("a restore", false), ("a restore to a second", true)] {
        let (mut host, wanted) = (seed::filled(both()), desired(&PRODUCTION));
        kinds.push((name, restore::plan_restore(&mut host, &wanted, to_a_second), host));
    }
    for there in [true, false] {
        for plan in restore::plan_parts(&desired(&PRODUCTION), there) {
            kinds.push(("a part of a backup", plan, seed::filled(both())));
        }
    }
    kinds.extend(promote::kinds(&production));
    for (name, plan, host) in &mut kinds {
        assert!(plan.steps.len() >= 2, "{name}:\n{plan}");
        plan.lint().unwrap();
        if plan.environment != "production" {
            host.guard_desired(&desired(&PRODUCTION));
        }
    }
    kinds
}

/// Both were brought up, and production's database has stopped.
fn production_away() -> FakeHost {
    let mut host = seed::filled(with(with(FakeHost::default(), &PRODUCTION), &DEVELOPMENT));
    host.world.containers.get_mut("shop-production-db-1").unwrap().state = State::Exited;
    host
}

/// Seeds development, as a user would have before.
fn seeded(mut host: FakeHost, keep: bool) -> FakeHost {
    let plan = seed::plan_seed(&host, &desired(&DEVELOPMENT), keep);
    let outcome = run(apply(&plan, &mut host, &mut MemoryJournal::default(), &mut ()));
    assert!(matches!(outcome, Some(Outcome::Applied)), "{outcome:?}\n{plan}");
    host
}

#[test]
fn a_failing_step_leaves_the_host_as_before() {
    every_kind().iter().for_each(|(_, plan, host)| fail_every_step(plan, host));
}

#[test]
fn a_plan_cut_off_anywhere_is_finished_or_taken_back() {
    every_kind().iter().for_each(|(_, plan, host)| cut_everywhere(plan, host));
}

#[test]
fn every_action_twice_is_the_action_once() {
    every_kind().iter().for_each(|(_, plan, host)| apply_twice(plan, host));
}

#[test]
fn a_journal_that_cannot_be_written_leaves_the_host_as_it_says() {
    every_kind().iter().for_each(|(_, plan, host)| fail_every_write(plan, host));
}

/// The trials above rely on it: what belongs to production is watched in every plan of another environment.
#[test]
fn whatever_touches_production_is_noticed() {
    let mut host = with(with(FakeHost::default(), &PRODUCTION), &DEVELOPMENT);
    host.guard_desired(&desired(&PRODUCTION));
    let (project, services) = ("shop-production".to_owned(), vec!["worker".to_owned()]);
    let network = "shop-production_default".to_owned();
    let folder = "/state/projects/shop/production";
    for action in [
        Action::StopServices { project: project.clone(), services: services.clone() },
        Action::RemoveServices { project, services },
        Action::JoinNetwork { container: "shop-development-web-1".into(), network: network.clone() },
        Action::LeaveNetwork { container: "shop-production-web-1".into(), network },
        Action::LimitGroup { limits: GroupLimits { cpu_weight: 1, ..group("production") } },
        Action::RemoveFile { path: format!("{folder}/compose.yaml") },
        Action::MakeFolder { path: format!("{folder}/another") },
        Action::RemoveFirewall { name: pw_plan::wall::firewall_chain_name("shop-production") },
    ] {
        let mut host = host.clone();
        let told = catch_unwind(AssertUnwindSafe(|| host.act(&action))).expect_err("it goes unnoticed");
        let told = told.downcast_ref::<String>().expect("words");
        assert!(told.contains("touched `shop-production`"), "{action}: {told}");
    }
    host.act(&Action::StopServices { project: "shop-development".into(), services: vec!["worker".into()] })
        .unwrap();
}

#[test]
fn what_is_up_needs_nothing_and_what_is_down_too() {
    let mut host = with(with(FakeHost::default(), &PRODUCTION), &DEVELOPMENT);
    for shape in [&PRODUCTION, &DEVELOPMENT] {
        assert_eq!(plan_up(&mut host, shape).to_string(), "");
    }
    let wanted = desired(&DEVELOPMENT);
    let plan = down::plan(&wanted, &host.snapshot(&wanted)).unwrap();
    run(apply(&plan, &mut host, &mut MemoryJournal::default(), &mut ()));
    assert_eq!(down::plan(&wanted, &host.snapshot(&wanted)).unwrap().to_string(), "");
}

#[test]
fn the_site_of_a_project_goes_with_its_last_environment() {
    let mut host = with(with(FakeHost::default(), &PRODUCTION), &DEVELOPMENT);
    let site = "/state/proxy/p/sites/shop.json";
    for (shape, stays) in [(&PRODUCTION, true), (&DEVELOPMENT, false)] {
        let wanted = desired(shape);
        let plan = destroy::plan(&wanted, &host.snapshot(&wanted)).unwrap();
        let outcome = run(apply(&plan, &mut host, &mut MemoryJournal::default(), &mut ()));
        assert!(matches!(outcome, Some(Outcome::Applied)), "{outcome:?}\n{plan}");
        assert_eq!(host.world.files.contains_key(site), stays, "{plan}");
        assert_eq!(host.world.loaded.is_empty(), !stays, "{plan}");
    }
}

#[test]
fn the_proxy_is_loaded_again_for_a_reason_that_is_true() {
    let mut host = with(FakeHost::default(), &PRODUCTION);
    host.world.loaded.clear();
    let text = plan_up(&mut host, &PRODUCTION).to_string();
    let line = "1. load the proxy's configuration | undo: load the proxy's configuration | the proxy does not serve what its site files say\n";
    assert_eq!(text, line);
}

#[test]
fn a_change_reads_as_a_person_would_say_it() {
    let mut host = with(with(FakeHost::default(), &PRODUCTION), &DEVELOPMENT);
    let text = plan_up(&mut host, &Shape { version: 2, extra: false, ..DEVELOPMENT }).to_string();
    let hashes =
        ["development 1 true", "development 2 false"].map(|text| pw_plan::hash(text)[..8].to_owned());
    let file = "/state/projects/shop/development/compose.yaml";
    let (old, new) = (format!("write {file} ({})", hashes[0]), format!("write {file} ({})", hashes[1]));
    assert_eq!(
        text,
        format!(
            "1. keep a copy of {file} | undo: - | for the way back\n\
             2. {new} | undo: {old} | what runs can be run without Partywall\n\
             3. close route to web | undo: open route to web at shop-development-web:8000 | it is about to be replaced\n\
             4. start migrate, worker | undo: {old}, then start migrate, worker, then wait for migrate, worker | configuration differs\n\
             5. wait for migrate, worker | undo: - | what follows needs them\n\
             6. start web | undo: {old}, then start web, then wait for web | configuration differs\n\
             7. wait for web | undo: - | what follows needs them\n\
             8. stop and remove mail | undo: {old}, then start mail, then wait for mail | no longer in the Compose files\n\
             9. open route to web at shop-development-web:8000 | undo: close route to web | development.example answers\n"
        )
    );
}

#[test]
fn what_is_off_its_network_is_made_anew() {
    let text = plan_up(&mut database_cut_off(), &DEVELOPMENT).to_string();
    assert_eq!(
        text,
        "1. make anew db | undo: write /state/projects/shop/development/compose.yaml (FILE), then start db, then wait for db, then take shop-development-db-1 off shop-development_default | off its networks (db: shop-development_default)\n\
         2. wait for db | undo: - | what follows needs them\n"
            .replace("FILE", &pw_plan::hash("development 1 true")[..8])
    );
    let text = plan_up(&mut network_lost(), &DEVELOPMENT).to_string();
    assert!(text.contains("make anew db, mail |") && text.contains("make anew web |"), "{text}");
    assert!(text.contains("then remove networks shop-development_default"), "{text}");
    assert!(!text.contains("migrate"), "a job that has ended needs no network:\n{text}");
}

#[test]
fn what_lost_a_cover_is_made_anew() {
    let mut host = with(FakeHost::default(), &DEVELOPMENT);
    let wanted = desired(&DEVELOPMENT);
    host.knows_desired(&wanted);
    let mut observed = host.snapshot(&wanted);
    let web = observed.containers.iter_mut().find(|one| one.service == "web").unwrap();
    web.lost_mounts.insert("/code/.env.prod".into());
    let text = up::plan(&wanted, &observed).unwrap().to_string();
    assert!(text.contains("make anew web |"), "{text}");
    assert!(text.contains("what it covered shows (web: /code/.env.prod)"), "{text}");
}

#[test]
fn a_proxy_made_anew_joins_every_edge_again() {
    let mut host = with(with(FakeHost::default(), &PRODUCTION), &DEVELOPMENT);
    let text = plan_for(&mut host, &other_proxy()).to_string();
    let edges = ["join p to shop-development_edge", "join p to shop-production_edge"];
    let back = format!("then start caddy, then {}, then {} |", edges[0], edges[1]);
    assert!(edges.iter().all(|edge| text.contains(&format!(". {edge} |"))) && text.contains(&back), "{text}");
}

#[test]
fn an_environment_that_runs_from_elsewhere_is_left_alone() {
    let host = with(FakeHost::default(), &PRODUCTION);
    let mut wanted = desired(&PRODUCTION);
    let mut seen = host.snapshot(&wanted);
    seen.folder = Some(RecordedFolder { path: "/srv/first".into(), exists: true });
    for refused in [up::plan, down::plan, destroy::plan].map(|plan| plan(&wanted, &seen).unwrap_err()) {
        assert_eq!(
            refused.to_string(),
            "error: `production` runs from another folder\n  \
             because: it was brought up from /srv/first, and this is /srv/shop\n  \
             because: relative paths of its Compose files are other files and other data here\n\
             hint: run it in /srv/first; if the project is to run from here from now on, add `--moved`"
        );
    }
    wanted.state = "mine".into();
    for (place, compose_file) in [
        (
            "work with that state, as the user who owns it or with `sudo`: `PARTYWALL_STATE=/theirs partywall …`",
            Some("/theirs/projects/shop/production/compose.yaml".to_owned()),
        ),
        ("work with the state folder it was made from (PARTYWALL_STATE)", None),
    ] {
        seen.containers[0].origin = Origin { state: Some("theirs".into()), compose_file };
        let refused = up::plan(&wanted, &seen).unwrap_err().to_string();
        let hint = format!("hint: {place}; to take `production` over into this state, add `--moved`");
        assert!(
            refused.starts_with("error: `production` runs from another state folder\n")
                && refused.ends_with(&hint),
            "{refused}"
        );
    }
    wanted.moved = true;
    assert!(up::plan(&wanted, &seen).is_ok());
}

#[test]
fn a_proxy_of_another_state_folder_bars_the_way_up_only() {
    let host = with(FakeHost::default(), &PRODUCTION);
    let mut wanted = desired(&PRODUCTION);
    let mut seen = host.snapshot(&wanted);
    seen.proxy.origin = Some(Origin { state: Some("theirs".into()), compose_file: None });
    let refused = up::plan(&wanted, &seen).unwrap_err().to_string();
    assert!(refused.starts_with("error: the proxy `p` runs from another state folder\n"), "{refused}");
    assert!(down::plan(&wanted, &seen).is_ok());
    wanted.moved = true;
    assert!(up::plan(&wanted, &seen).is_ok());
}

#[test]
fn a_plan_says_what_differs_and_where_data_comes_from() {
    let mut host = with(FakeHost::default(), &PRODUCTION);
    let mut wanted = desired(&Shape { version: 2, ..PRODUCTION });
    let aspects = |pairs: &[(&str, &str)]| pairs.iter().map(|(k, v)| ((*k).into(), (*v).into())).collect();
    host.knows_desired(&wanted);
    let mut seen = host.snapshot(&wanted);
    let web = wanted.services.get_mut("web").unwrap();
    web.aspects = aspects(&[("image", "1"), ("environment NOTE", "2"), ("mount /data", "1")]);
    web.mounts = [("/data".to_owned(), "/b/data".to_owned())].into();
    let before = aspects(&[("image", "1"), ("environment NOTE", "1"), ("mount /data", "0")]);
    seen.aspects = [("web".to_owned(), before)].into();
    let container = seen.containers.iter_mut().find(|one| one.service == "web").unwrap();
    container.mounts = [("/data".to_owned(), "/a/data".to_owned())].into();
    let text = up::plan(&wanted, &seen).unwrap().to_string();
    assert!(
        text.contains("| configuration differs (web: /data: /a/data → /b/data, environment NOTE)\n"),
        "{text}"
    );
    let other = up::other_data(&wanted, &seen);
    assert_eq!(other.len(), 1);
    assert_eq!((other[0].before.as_str(), other[0].after.as_str()), ("/a/data", "/b/data"));
}

#[test]
fn a_seed_reads_as_a_person_would_say_it() {
    let host = seed::filled(with(with(FakeHost::default(), &PRODUCTION), &DEVELOPMENT));
    let text = seed::plan_seed(&host, &desired(&DEVELOPMENT), false).to_string();
    let seeds = "/state/projects/shop/development/seeds";
    let (key, vault) = ("/state/projects/shop/masks.key", "/volumes/shop-development_vault/_data");
    let (new, old) = ("development__partywall_1", "development__partywall_before_1");
    let (current, there) = (&pw_plan::hash("1\n")[..8], "shop-development-web:8000");
    assert_eq!(
        text,
        format!(
            "1. make key {key} | undo: remove {key} | the same value gets the same mask in every seed\n\
             2. make folder {seeds} | undo: remove {seeds} | figures and proof are kept\n\
             3. make folder {seeds}/1 | undo: remove {seeds}/1 | of this seed\n\
             4. make {new}, a masked sample of 10% of production in shop-production/db | undo: remove database {new}, then remove {seeds}/1/record.json | masked and proved before anybody can use it\n\
             5. rewrite own rows of {new} | undo: - | what is development's own\n\
             6. copy the files that files.key names to {vault} | undo: remove what is set aside in {vault}, then remove {seeds}/1/files-0.json | only what the sampled rows name\n\
             7. close route to web | undo: open route to web at {there} | its service is about to stop\n\
             8. stop web | undo: start web, then wait for web | nobody may hold the database open\n\
             9. stop worker | undo: start worker, then wait for worker | nobody may hold the database open\n\
             10. rename database development to {old} and database {new} to development | undo: rename database development to {new} and database {old} to development | from now on it is the database\n\
             11. put the copied files of files.key in place | undo: put the former files of files.key back | files and rows fit each other\n\
             12. empty db, its content set aside | undo: bring the content of db back | it speaks of rows that are gone\n\
             13. start migrate, worker | undo: stop migrate, worker | in the order in which they need each other\n\
             14. wait for migrate, worker | undo: - | what follows needs them\n\
             15. start web | undo: close route to web, then stop web | in the order in which they need each other\n\
             16. wait for web | undo: - | what follows needs them\n\
             17. open route to web at {there} | undo: close route to web | development.example answers\n\
             18. write {seeds}/current ({current}) | undo: remove {seeds}/current | `status` shows it\n\
             19. remove what is set aside in {vault} | undo: impossible | no row names it\n\
             20. forget the former content of db | undo: impossible | it speaks of rows that are gone\n\
             21. remove database {old} | undo: impossible | `--keep` would keep it\n"
        )
    );
}

#[test]
fn a_seed_from_a_backup_leaves_production_alone_and_no_server() {
    let mut host = production_away();
    let (before, wanted) = (host.world.clone(), desired(&DEVELOPMENT));
    let plan = seed::plan_seed_from_backup(&mut host, &wanted);
    host.guard_desired(&desired(&PRODUCTION));
    let outcome = run(apply(&plan, &mut host, &mut MemoryJournal::default(), &mut ()));
    assert!(matches!(outcome, Some(Outcome::Applied)), "{outcome:?}\n{plan}");
    let now = &host.world;
    assert_eq!(
        now.databases["shop-development/db"],
        BTreeMap::from([("development".to_owned(), "sample of what was backed up, rewritten".to_owned())])
    );
    let vault = &now.vaults["/volumes/shop-development_vault/_data"];
    assert_eq!(vault.files.iter().collect::<Vec<_>>(), ["backed up"]);
    let ours = |lines: Vec<String>| {
        lines.into_iter().filter(|line| line.contains("source") || line.contains("taken"))
    };
    assert_eq!(ours(now.differences(&before)).collect::<Vec<_>>(), Vec::<String>::new());
    let text = plan.to_string();
    let at = |words: &str| text.find(words).unwrap_or_else(|| panic!("`{words}` is not in\n{text}"));
    assert!(
        at("load main of backup 20260101-000000")
            < at("a masked sample of 10% of production in shop-production-source/db")
    );
    assert!(
        at("remove /state/projects/shop/development/source with all in it | undo: - ")
            < at("close route to web")
    );
}

#[test]
fn a_seed_replaces_data_and_a_kept_database_stays_until_the_next() {
    let host = seeded(seed::filled(with(with(FakeHost::default(), &PRODUCTION), &DEVELOPMENT)), true);
    let databases = |host: &FakeHost| host.world.databases["shop-development/db"].clone();
    let sample = "sample of rows of production, rewritten".to_owned();
    let kept = ("development__partywall_before_1".to_owned(), "rows of development".to_owned());
    assert_eq!(databases(&host), BTreeMap::from([("development".to_owned(), sample.clone()), kept]));
    assert_eq!(host.world.caches["shop-development/db"], BTreeMap::new());
    let vault = &host.world.vaults["/volumes/shop-development_vault/_data"];
    assert_eq!(vault.files.iter().collect::<Vec<_>>(), ["production a"]);
    let host = seeded(host, false);
    assert_eq!(databases(&host), BTreeMap::from([("development".to_owned(), sample)]));
}
