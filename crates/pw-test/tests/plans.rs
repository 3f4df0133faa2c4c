//! Every kind of plan that the planner makes, broken at every point: the host is as before or as wanted.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;

use pw_model::config::Class;
use pw_model::desired::{
    Desired, DesiredProxy, DesiredRoute, DesiredService, FileText, FirewallChain, GroupLimits,
};
use pw_model::name::{EnvironmentName, ProjectName};
use pw_model::role::Role;
use pw_plan::{Plan, destroy, down, up};
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
    }
}

fn services(shape: &Shape) -> BTreeMap<String, DesiredService> {
    let versioned = |name: &str| format!("{name}-{}", shape.version);
    let mut services = BTreeMap::from([
        ("db".to_owned(), service(Role::Database, "db-1".into(), &[])),
        ("migrate".to_owned(), service(Role::Job, versioned("migrate"), &["db"])),
        ("web".to_owned(), service(Role::Web, versioned("web"), &["db", "migrate"])),
        ("worker".to_owned(), service(Role::Worker, versioned("worker"), &["db"])),
    ]);
    if shape.extra {
        services.insert("mail".into(), service(Role::Worker, "mail-1".into(), &[]));
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
        services: services(shape),
        networks: vec![format!("{project}_default"), format!("{project}_edge")],
        volumes: vec![format!("{project}_pgdata")],
        folders: vec![format!("{folder}/binds/data")],
        generated_secrets: vec![format!("{folder}/secrets/key")],
        variable_file: None,
        state_folder: folder,
        group: Some(group(environment)),
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
        }],
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
    let desired = desired(shape);
    host.knows_desired(&desired);
    up::plan(&desired, &host.snapshot(&desired)).unwrap()
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
    let (host, wanted) = (both(), desired(&DEVELOPMENT));
    kinds.push(("down", down::plan(&wanted, &host.snapshot(&wanted)).unwrap(), both()));
    kinds.push(("destroy", destroy::plan(&wanted, &host.snapshot(&wanted)).unwrap(), host));
    for (name, plan, host) in &mut kinds {
        assert!(plan.steps.len() >= 3, "{name}:\n{plan}");
        plan.lint().unwrap();
        if plan.environment != "production" {
            host.guard_desired(&desired(&PRODUCTION));
        }
    }
    kinds
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
