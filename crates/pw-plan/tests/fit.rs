//! What does not fit the host, in the words that a user reads.
#![expect(clippy::expect_used, clippy::panic, reason = "a test fails loudly")]

use std::collections::BTreeSet;

use pw_model::compose::ComposeModel;
use pw_model::config::parse;
use pw_model::host::{CgroupDriver, CgroupVersion, HostFacts, Listener};
use pw_model::layout::Layout;
use pw_model::name::EnvironmentName;
use pw_model::source::SourceFile;
use pw_model::unit::{Bytes, Cpus};
use pw_plan::fit;
use pw_plan::wall::{Ground, Loaded, ServiceFile, render_all};

fn facts() -> HostFacts {
    HostFacts {
        cpus: Cpus::from_number(2.0).expect("a number"),
        memory: Bytes(8 << 30),
        disk_total: Bytes(100 << 30),
        disk_free: Bytes(30 << 30),
        cgroup: CgroupVersion::V2,
        cgroup_driver: CgroupDriver::Systemd,
        docker: Some("27.3.1".into()),
        compose: Some("2.29.7".into()),
        listening: Vec::new(),
        compose_projects: Vec::new(),
        writes_cgroups: true,
        writes_firewall: true,
        live_restore: true,
        lacks: Vec::new(),
    }
}

fn listens(address: &str, port: u16, protocol: &str) -> Listener {
    Listener { address: address.into(), port, protocol: protocol.into() }
}

/// Complaints about a configuration whose two environments have one service each.
fn complaints(yaml: &str, services: [&str; 2], facts: &HostFacts, ours: &[u16]) -> Vec<String> {
    complaints_about(yaml, loaded(services), facts, ours)
}

fn loaded(services: [&str; 2]) -> Vec<Loaded> {
    let model = |service| {
        ComposeModel::from_json(&format!(r#"{{"services":{{"web":{service}}}}}"#)).expect("a model")
    };
    let named = ["production", "development"].into_iter().zip(services);
    named
        .map(|(name, service)| Loaded::new(EnvironmentName::parse(name).expect("a name"), model(service)))
        .collect()
}

fn complaints_about(yaml: &str, loaded: Vec<Loaded>, facts: &HostFacts, ours: &[u16]) -> Vec<String> {
    let source = SourceFile::new("partywall.yaml", yaml);
    let config = parse(&source).unwrap_or_else(|e| panic!("{e}"));
    let layout = Layout::new("/var/lib/partywall");
    let ground = Ground {
        config: &config,
        source: &source,
        layout: &layout,
        cgroup_driver: CgroupDriver::Systemd,
        directory: "/srv/shop",
    };
    let rendered = render_all(ground, &loaded);
    let ours: BTreeSet<(u16, String)> = ours.iter().map(|port| (*port, "tcp".to_owned())).collect();
    let (config, source) = (&config, &source);
    let ground = fit::Ground { config, source, facts, loaded: &loaded, rendered: &rendered, ours: &ours };
    fit::check(ground).iter().map(ToString::to_string).collect()
}

const PLAIN: &str = r#"{"image":"app"}"#;
const YAML: &str = "\
project: shop
compose: [compose.yaml]
environments:
  production:
    budget: { memory: 4GB }
  development:
    budget: { cpus: 1, memory: 3GB, disk: 10GB }
";

#[test]
fn what_fits_is_not_complained_about() {
    assert_eq!(complaints(YAML, [PLAIN, PLAIN], &facts(), &[]), Vec::<String>::new());
}

#[test]
fn budgets_over_the_host_are_refused_with_the_excess() {
    let yaml =
        YAML.replace("{ memory: 4GB }", "{ cpus: 2, memory: 6GB, disk: 95GB }").replace("cpus: 1", "cpus: 4");
    let found = complaints(&yaml, [PLAIN, PLAIN], &facts(), &[]);
    assert!(
        found[0].starts_with(
            "error: budgets ask for 6 CPUs, the host has 2: 4 too many\n  --> partywall.yaml:7:15\n"
        ),
        "{}",
        found[0]
    );
    assert!(
        found[1].starts_with("error: budgets ask for 9 GB of memory, the host has 8 GB: 1 GB too many"),
        "{}",
        found[1]
    );
    assert!(
        found[2].starts_with("error: budgets ask for 105 GB of disk, the host has 100 GB: 5 GB too many"),
        "{}",
        found[2]
    );
    assert!(
        found[3].starts_with("warning: less disk is free than the budget of environment `production`"),
        "{}",
        found[3]
    );
}

#[test]
fn limits_of_services_are_held_against_budget_and_host() {
    let big = r#"{"image":"app","mem_limit":"4294967296","cpus":1.5}"#;
    let found = complaints(YAML, [PLAIN, big], &facts(), &[]);
    assert!(
        found[0].starts_with("error: `web` of environment `development` may use 4 GB of memory, the budget of `development` is 3 GB"),
        "{}",
        found[0]
    );
    assert!(found[0].contains("because: 1 GB too many"), "{}", found[0]);
    assert!(
        found[1].starts_with("warning: `web` of environment `development` may use 1.5 CPUs"),
        "{}",
        found[1]
    );
    let huge = r#"{"image":"app","deploy":{"resources":{"limits":{"cpus":"3"}}}}"#;
    let found = complaints(YAML, [huge, PLAIN], &facts(), &[]);
    assert!(
        found[0].starts_with("error: `web` of environment `production` may use 3 CPUs, the host has 2"),
        "{}",
        found[0]
    );
}

#[test]
fn production_limits_and_development_budget_together_are_a_warning() {
    let yaml = YAML.replace("    budget: { memory: 4GB }\n", "    class: production\n");
    let found =
        complaints(&yaml, [r#"{"image":"app","mem_limit":"3221225472","scale":2}"#, PLAIN], &facts(), &[]);
    assert!(
        found[0].starts_with(
            "warning: limits of production and budgets beside it are 9 GB of memory, the host has 8 GB"
        ),
        "{found:?}"
    );
    assert!(
        found[0].contains("production's services may use 6 GB, the other environments 3 GB: 1 GB too many"),
        "{}",
        found[0]
    );
}

#[test]
fn ports_of_somebody_else_are_refused_and_ours_are_not() {
    let web = r#"{"image":"app","ports":[{"target":5432,"published":"5432","protocol":"tcp"}]}"#;
    let busy = HostFacts {
        listening: vec![listens("0.0.0.0", 5433, "tcp"), listens("::", 5434, "tcp6")],
        ..facts()
    };
    let found = complaints(YAML, [PLAIN, web], &busy, &[]);
    assert_eq!(
        found,
        [
            "error: port 5433/tcp of `web` in environment `development` is in use\n  --> partywall.yaml:6:3\n   |\n 6 |   development:\n   |   ^^^^^^^^^^^\n  because: something listens on 0.0.0.0:5433\nhint: stop what listens there, or set `port_offset: 3` in environment `development`"
        ]
    );
    assert!(complaints(YAML, [PLAIN, web], &busy, &[5433]).is_empty());
    let elsewhere = HostFacts {
        listening: vec![listens("10.0.0.1", 5433, "tcp"), listens("127.0.0.1", 5433, "udp")],
        ..facts()
    };
    assert!(complaints(YAML, [PLAIN, web], &elsewhere, &[]).is_empty());
}

#[test]
fn a_port_in_use_is_shown_on_the_line_that_publishes_it() {
    let web = r#"{"image":"app","ports":[{"target":5432,"published":"5432","protocol":"tcp"}]}"#;
    let busy = HostFacts { listening: vec![listens("0.0.0.0", 5433, "tcp")], ..facts() };
    let mut loaded = loaded([PLAIN, web]);
    let text = "services:\n  web:\n    ports:\n      - 80:80\n      - \"5432:5432\"\n";
    loaded[1].sources = vec![SourceFile::new("compose.yaml", text)];
    let found = complaints_about(YAML, loaded, &busy, &[]);
    assert!(found[0].contains("--> compose.yaml:5:9"), "{}", found[0]);
}

#[test]
fn the_environment_that_can_make_up_for_the_excess_is_named() {
    let yaml = YAML.replace("memory: 4GB", "memory: 900GB");
    let found = complaints(&yaml, [PLAIN, PLAIN], &facts(), &[]);
    assert!(found[0].contains("--> partywall.yaml:5:15"), "{}", found[0]);
    assert!(
        found[0].contains("because: `production` asks for 900 GB, `development` asks for 3 GB"),
        "{}",
        found[0]
    );
    assert!(
        found[0].contains("hint: lower `memory` in the `budget` of environment `production`"),
        "{}",
        found[0]
    );
}

#[test]
fn equal_secrets_are_shown_at_the_file_that_they_come_from() {
    let web = r#"{"image":"app","environment":{"DB_PASSWORD":"hunter22"}}"#;
    let place = |loaded: Vec<Loaded>| complaints_about(YAML, loaded, &facts(), &[]).remove(0);
    let compose = "services:\n  web:\n    env_file: web.env\n";
    let mut by_file = loaded([web, web]);
    for one in &mut by_file {
        let source = SourceFile::new("compose.yaml", compose);
        let place = source.place(3, 15, 7);
        let file = SourceFile::new("web.env", "DB_PASSWORD=hunter22\n");
        one.sources = vec![source];
        one.service_files =
            vec![ServiceFile { service: "web".into(), path: "/srv/shop/web.env".into(), file, place }];
    }
    let found = place(by_file);
    assert!(found.contains("--> compose.yaml:3:15") && found.contains("env_file: !override"), "{found}");
    let mut literal = loaded([web, web]);
    for one in &mut literal {
        let text = "services:\n  web:\n    environment:\n      DB_PASSWORD: hunter22\n";
        one.sources = vec![SourceFile::new("compose.yaml", text)];
    }
    let found = place(literal);
    assert!(
        found.contains("--> compose.yaml:4:7") && found.contains("write `${DB_PASSWORD}` here"),
        "{found}"
    );
    assert!(!found.contains("hunter22"), "{found}");
}

#[test]
fn the_proxy_needs_its_ports() {
    let yaml = YAML
        .replace("    budget: { memory: 4GB }", "    routes: { web: { host: shop.localhost, port: 80 } }");
    let busy =
        HostFacts { listening: vec![listens("::", 80, "tcp"), listens("0.0.0.0", 8080, "tcp")], ..facts() };
    let found = complaints(&yaml, [PLAIN, PLAIN], &busy, &[]);
    assert!(found[0].starts_with("error: port 80/tcp, which the proxy needs, is in use"), "{found:?}");
    assert!(found[0].contains("something listens on [::]:80, as a web server usually does"), "{}", found[0]);
    assert!(
        found[0].contains("write `proxy: { http_port: 8081 }`") && found[0].contains("admin:"),
        "{}",
        found[0]
    );
    assert!(complaints(&yaml, [PLAIN, PLAIN], &busy, &[80]).is_empty());
    let own = format!("{yaml}proxy: {{ admin: \"http://127.0.0.1:2019\" }}\n");
    assert!(complaints(&own, [PLAIN, PLAIN], &busy, &[]).is_empty());
}

#[test]
fn old_engines_and_weak_control_groups_are_named() {
    let old = HostFacts { docker: None, compose: Some("2.5.0".into()), cgroup: CgroupVersion::V1, ..facts() };
    let found = complaints(YAML, [PLAIN, PLAIN], &old, &[]);
    assert!(found[0].starts_with("error: no Docker Engine answers on this host"), "{found:?}");
    assert!(found[1].starts_with("error: Docker Compose 2.5.0 is too old"), "{found:?}");
    assert!(found[2].starts_with("warning: this host has control groups of version 1"), "{found:?}");
}

#[test]
fn equal_secrets_are_named_without_their_values() {
    let with = |secret: &str, own: &str| {
        format!(
            r#"{{"image":"app","environment":{{"DB_PASSWORD":"{secret}","API_KEY":"{own}","MODE":"{secret}"}}}}"#
        )
    };
    let found = complaints(YAML, [&with("hunter22", "one-key"), &with("hunter22", "two-key")], &facts(), &[]);
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(
        found[0].starts_with("warning: environment `development` has the same secrets as `production`"),
        "{}",
        found[0]
    );
    assert!(found[0].contains("because: equal in both: `DB_PASSWORD`\n"), "{}", found[0]);
    assert!(!found[0].contains("hunter22"));
    assert!(
        complaints(YAML, [&with("hunter22", "a-key"), &with("hunter33", "b-key")], &facts(), &[]).is_empty()
    );
}
