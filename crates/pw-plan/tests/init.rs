//! `init` on the fixture projects: the guess against `expect.yaml`, the proposal against the real `docker compose config`.
#![expect(
    clippy::disallowed_methods,
    clippy::expect_used,
    reason = "a test reads fixtures, asks the real Compose and fails loudly"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use pw_model::compose::ComposeModel;
use pw_model::config::{Class, Config, check, parse};
use pw_model::host::{CgroupDriver, CgroupVersion, HostFacts, Listener};
use pw_model::layout::Layout;
use pw_model::name::EnvironmentName;
use pw_model::source::SourceFile;
use pw_model::unit::{Bytes, Cpus};
use pw_plan::fit;
use pw_plan::init::{FileGuess, FolderFile, Proposal, guess_files, is_searched, propose, roles, wants_text};
use pw_plan::wall::{Ground, Loaded, render_all};
use serde_json::Value;

fn projects() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/projects");
    let mut all: Vec<PathBuf> = std::fs::read_dir(root)
        .expect("the fixtures")
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.join("expect.yaml").exists())
        .collect();
    all.sort();
    all
}

fn name(path: &Path) -> String {
    path.file_name().expect("a name").to_string_lossy().into_owned()
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).expect("a text file")
}

fn collect(root: &Path, below: &Path, into: &mut Vec<FolderFile>) {
    for entry in std::fs::read_dir(below).expect("a folder") {
        let path = entry.expect("an entry").path();
        let relative = path.strip_prefix(root).expect("below the root").to_string_lossy().into_owned();
        if path.is_dir() {
            collect(root, &path, into);
        } else if relative != "expect.yaml" && is_searched(&relative) {
            let text = wants_text(&relative).then(|| read(&path));
            into.push(FolderFile { path: relative, text });
        }
    }
}

fn guess(project: &Path) -> FileGuess {
    let mut files = Vec::new();
    collect(project, project, &mut files);
    guess_files(&name(project), &files)
}

fn texts(value: Option<&Value>) -> Vec<String> {
    match value {
        Some(Value::Array(items)) => items.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
        Some(other) => other.as_str().into_iter().map(str::to_owned).collect(),
        None => Vec::new(),
    }
}

/// What differs from `expect.yaml`.
fn misses(project: &Path, guess: &FileGuess) -> Vec<String> {
    let expect: Value = serde_saphyr::from_str(&read(&project.join("expect.yaml"))).expect("YAML");
    let mut missed = Vec::new();
    let mut compare = |what: String, got: &[String], allowed: &[Vec<String>]| {
        if !allowed.iter().any(|one| one == got) {
            missed.push(format!("{}: {what}: {got:?} instead of {allowed:?}", name(project)));
        }
    };
    for (class, key) in [(Class::Production, "production"), (Class::Development, "development")] {
        let wanted = &expect["environments"][key];
        let base = wanted.get("compose").or(expect.get("compose"));
        let mut overlays = vec![texts(wanted.get("overlays"))];
        overlays.extend(
            wanted
                .get("overlays_also")
                .and_then(Value::as_array)
                .into_iter()
                .flatten()
                .map(|one| texts(Some(one))),
        );
        let whole: Vec<Vec<String>> =
            overlays.iter().map(|over| [texts(base), over.clone()].concat()).collect();
        compare(format!("{key} compose"), &guess.compose_files(class), &whole);
        let environment = guess.environments.get(&class).cloned().unwrap_or_default();
        compare(format!("{key} env"), &environment.env_files, &[texts(wanted.get("env_file"))]);
        compare(format!("{key} profiles"), &environment.profiles, &[texts(wanted.get("profiles"))]);
    }
    let sorted = |mut list: Vec<String>| {
        list.sort();
        list
    };
    compare(
        "all profiles".into(),
        &sorted(guess.known_profiles.clone()),
        &[sorted(texts(expect.get("all_profiles")))],
    );
    let left: Vec<String> = guess.left_out.iter().map(|left| left.path.clone()).collect();
    let unlisted: Vec<String> =
        texts(expect.get("not_environments")).into_iter().filter(|path| !left.contains(path)).collect();
    compare("left out".into(), &unlisted, &[Vec::new()]);
    missed
}

#[test]
fn the_guess_is_what_a_sensible_person_expects() {
    let missed: Vec<String> =
        projects().iter().flat_map(|project| misses(project, &guess(project))).collect();
    assert!(missed.is_empty(), "{}", missed.join("\n"));
}

fn facts(listening: &[u16]) -> HostFacts {
    let listener = |port: &u16| Listener { address: "0.0.0.0".into(), port: *port, protocol: "tcp".into() };
    HostFacts {
        cpus: Cpus::from_number(4.0).expect("a number"),
        memory: Bytes(16 << 30),
        disk_total: Bytes(200 << 30),
        disk_free: Bytes(100 << 30),
        cgroup: CgroupVersion::V2,
        cgroup_driver: CgroupDriver::Systemd,
        docker: Some("27.3.1".into()),
        compose: Some("2.29.7".into()),
        listening: listening.iter().map(listener).collect(),
        compose_projects: Vec::new(),
        writes_cgroups: true,
        writes_firewall: true,
        live_restore: true,
        lacks: Vec::new(),
    }
}

fn compose_config(project: &Path, guess: &FileGuess, class: Class) -> ComposeModel {
    let environment = guess.environments.get(&class).expect("an environment");
    let with = |flag: &'static str, values: &[String]| -> Vec<String> {
        values.iter().flat_map(|value| [flag.to_owned(), value.clone()]).collect()
    };
    let output = std::process::Command::new("docker")
        .current_dir(project)
        .arg("compose")
        .args(with("--file", &guess.compose_files(class)))
        .args(with("--env-file", &environment.env_files))
        .args(with("--profile", &environment.profiles))
        .args(["config", "--format", "json"])
        .output()
        .expect("docker compose is installed");
    assert!(output.status.success(), "{}: {}", name(project), String::from_utf8_lossy(&output.stderr));
    ComposeModel::from_json(&String::from_utf8_lossy(&output.stdout)).expect("JSON")
}

fn holes() -> BTreeSet<String> {
    BTreeSet::from(["ci/docker-socket".to_owned(), "web/host-path".to_owned()])
}

#[test]
fn holes_are_proposed_as_comments_that_say_what_each_permits() {
    let (text, _) = proposal(&projects()[0], &facts(&[]));
    let said = "    #   ci/docker-socket: the Docker socket: whoever holds it is root on the host\n";
    assert!(text.contains(said), "{text}");
    assert_eq!(text.matches("    # allow: [ci/docker-socket, web/host-path]\n").count(), 1, "{text}");
    let allowed = text.replace("    # allow: ", "    allow: ");
    let source = SourceFile::new("partywall.yaml", allowed);
    let config = parse(&source).unwrap_or_else(|e| panic!("{e}"));
    assert!(!check(&config, &source).iter().any(|one| one.is_error()));
    let development = EnvironmentName::parse("development").expect("a name");
    assert!(config.environments[&development].allows("ci", "docker-socket"));
}

fn proposal(project: &Path, facts: &HostFacts) -> (String, BTreeMap<Class, ComposeModel>) {
    let files = guess(project);
    let models: BTreeMap<Class, ComposeModel> =
        files.environments.keys().map(|class| (*class, compose_config(project, &files, *class))).collect();
    let text = propose(&Proposal {
        project: files.project.as_ref().expect("a name"),
        files: &files,
        models: &models,
        roles: &roles(&models),
        facts,
        hosts: &BTreeMap::new(),
        holes: &BTreeMap::from([(Class::Development, holes())]),
        schema: "./partywall.schema.json",
    });
    (text, models)
}

#[test]
fn every_proposal_is_sound() {
    for project in projects() {
        let facts = facts(&[80, 443, 5433]);
        let (text, models) = proposal(&project, &facts);
        let source = SourceFile::new("partywall.yaml", text);
        let config = parse(&source).unwrap_or_else(|e| panic!("{}: {e}\n{}", name(&project), source.text));
        let found: Vec<String> = check(&config, &source).iter().map(ToString::to_string).collect();
        assert!(found.is_empty(), "{}: {found:#?}\n{}", name(&project), source.text);
        assert!(source.text.starts_with("# yaml-language-server: $schema=./partywall.schema.json\n"));
        assert_eq!(config.environments.len(), 2);
        let unfit = unfit(&config, &source, &facts, models);
        assert!(unfit.is_empty(), "{}: {unfit:#?}\n{}", name(&project), source.text);
    }
}

/// Errors of `fit` about what was proposed for this very host.
fn unfit(
    config: &Config,
    source: &SourceFile,
    facts: &HostFacts,
    models: BTreeMap<Class, ComposeModel>,
) -> Vec<String> {
    let loaded: Vec<Loaded> = models
        .into_iter()
        .map(|(class, model)| Loaded::new(EnvironmentName::parse(class.as_str()).expect("a name"), model))
        .collect();
    let layout = Layout::new("/var/lib/partywall");
    let cgroup_driver = facts.cgroup_driver;
    let ground = Ground { config, source, layout: &layout, cgroup_driver, directory: "/srv/app" };
    let rendered = render_all(ground, &loaded);
    let ours = BTreeSet::new();
    let found =
        fit::check(fit::Ground { config, source, facts, loaded: &loaded, rendered: &rendered, ours: &ours });
    found.iter().filter(|one| one.is_error()).map(ToString::to_string).collect()
}

#[test]
fn the_front_door_and_its_name_are_found() {
    let expected = [
        ("git-forge", "server", "git.example.org"),
        ("home-dashboard", "homepage", "home-dashboard.localhost"),
        ("mail-server", "nginx-mail", "mail.example.org"),
        ("monorepo", "gateway", "acme-monorepo.localhost"),
        ("portal", "traefik", "portal.example.org"),
        ("web-analytics", "analytics", "analytics.example.org"),
        ("web-shop", "web", "shop.example.org"),
    ];
    for (project, service, host) in expected {
        let path = projects().into_iter().find(|path| name(path) == project).expect("the fixture");
        let (text, _) = proposal(&path, &facts(&[]));
        let config =
            parse(&SourceFile::new("partywall.yaml", text.clone())).unwrap_or_else(|e| panic!("{e}"));
        let found: Vec<(String, Vec<String>)> = config
            .environments_in_order()
            .into_iter()
            .flat_map(|(_, environment)| &environment.routes)
            .map(|(name, route)| (name.to_string(), route.hosts().into_iter().map(str::to_owned).collect()))
            .collect();
        assert_eq!(found.first(), Some(&(service.to_owned(), vec![host.to_owned()])), "{project}\n{text}");
        assert_eq!(
            found.last().map(|(_, hosts)| hosts.concat()),
            Some(format!("development.{host}")),
            "{project}"
        );
    }
}

fn folder(files: &[(&str, &str)]) -> Vec<FolderFile> {
    let file = |(path, text): &(&str, &str)| FolderFile { path: (*path).into(), text: Some((*text).into()) };
    files.iter().map(file).collect()
}

const BASE: &str = "services:\n  web: { build: ., ports: ['8000:8000'] }\n  db: { image: postgres, volumes: ['d:/d'] }\nvolumes: { d: }\n";
const WHOLE: &str = "services:\n  web: { image: app }\n  db: { image: postgres }\n";
const PART: &str = "services: { web: { restart: always } }\n";

/// Files of production and of development.
fn both(files: &[(&str, &str)]) -> (Vec<String>, Vec<String>) {
    let guess = guess_files("shop", &folder(files));
    (guess.compose_files(Class::Production), guess.compose_files(Class::Development))
}

fn lists(production: &[&str], development: &[&str]) -> (Vec<String>, Vec<String>) {
    let list = |files: &[&str]| files.iter().map(|&file| file.to_owned()).collect();
    (list(production), list(development))
}

#[test]
fn usual_layouts_are_read_as_people_mean_them() {
    let base = ("docker-compose.yml", BASE);
    assert_eq!(both(&[base]), lists(&["docker-compose.yml"], &["docker-compose.yml"]));
    assert_eq!(
        both(&[base, ("docker-compose.prod.yml", PART), ("docker-compose.test.yml", PART)]),
        lists(&["docker-compose.yml", "docker-compose.prod.yml"], &["docker-compose.yml"])
    );
    // A complete production file beside a base that is development's.
    assert_eq!(
        both(&[base, ("docker-compose.prod.yml", WHOLE)]),
        lists(&["docker-compose.prod.yml"], &["docker-compose.yml"])
    );
    // An explicit development file before the override.
    assert_eq!(
        both(&[base, ("compose.dev.yaml", PART), ("docker-compose.override.yml", PART)]).1,
        ["docker-compose.yml", "compose.dev.yaml"]
    );
    // Files named by environment only, with other YAML beside them.
    assert_eq!(
        both(&[("local.yml", WHOLE), ("production.yml", WHOLE), ("mkdocs.yml", "site_name: x\n")]),
        lists(&["production.yml"], &["local.yml"])
    );
    // One default name before the other.
    assert_eq!(both(&[base, ("compose.yml", BASE)]), lists(&["compose.yml"], &["compose.yml"]));
    // A folder for Docker.
    assert_eq!(
        both(&[
            ("docker/docker-compose.yml", BASE),
            ("docker/docker-compose.prod.yml", PART),
            ("docs/x.yml", "a: 1")
        ])
        .0,
        ["docker/docker-compose.yml", "docker/docker-compose.prod.yml"]
    );
    // Parts over a base with a name of its own.
    assert_eq!(
        both(&[
            ("docker-compose.base.yml", BASE),
            ("docker-compose.prod.yml", PART),
            ("docker-compose.dev.yml", PART)
        ])
        .1,
        ["docker-compose.base.yml", "docker-compose.dev.yml"]
    );
    // Only one file, with an environment's name.
    assert_eq!(both(&[("docker-compose.prod.yml", WHOLE)]).1, ["docker-compose.prod.yml"]);
    assert_eq!(
        both(&[("docker-compose.yml", BASE), ("docker-compose.staging.yml", PART)]).0,
        ["docker-compose.yml"]
    );
}

#[test]
fn a_default_file_elsewhere_was_written_to_be_run_there() {
    let base = "services:\n  app: { image: app }\n  db: { image: postgres }\n";
    let own = "services:\n  db: { image: postgres:16 }\n  mail: { image: mailpit }\n  back: { build: .. }\n";
    let files = folder(&[("compose.yaml", base), ("dev/compose.yaml", own)]);
    let guess = guess_files("shop", &files);
    assert_eq!(guess.compose_files(Class::Production), ["compose.yaml"]);
    assert_eq!(guess.compose_files(Class::Development), ["dev/compose.yaml"]);
}

#[test]
fn what_we_cannot_read_is_left_to_compose_when_it_reads_it_by_itself() {
    for text in ["services: [\n", "no: compose\n"] {
        let guess = guess_files("shop", &folder(&[("docker-compose.yml", text)]));
        assert_eq!(guess.compose_files(Class::Production), ["docker-compose.yml"], "{text}");
    }
}

#[test]
fn a_project_behind_profiles_runs_its_default_one() {
    let text =
        "services:\n  all: { image: a, profiles: [default] }\n  part: { image: b, profiles: [just-part] }\n";
    let guess = guess_files("shop", &folder(&[("compose.yaml", text)]));
    assert!(guess.environments.values().all(|environment| environment.profiles == ["default"]));
}

#[test]
fn compose_file_says_what_no_name_says() {
    let part = "services: { node: { ports: ['9000:9000'] } }\n";
    let files = folder(&[
        (".env", "COMPOSE_FILE=node.yml:ports.yml\n"),
        ("a.yml", "services: { tool: { image: tool } }\n"),
        ("node.yml", "services: { node: { image: node } }\n"),
        ("ports.yml", part),
    ]);
    let guess = guess_files("chain", &files);
    assert_eq!(guess.compose_files(Class::Production), ["node.yml", "ports.yml"]);
}

#[test]
fn staging_is_an_environment_only_with_a_file_of_its_own() {
    let with = guess_files("shop", &folder(&[("compose.yaml", BASE), ("compose.staging.yaml", PART)]));
    assert_eq!(with.compose_files(Class::Staging), ["compose.yaml", "compose.staging.yaml"]);
    let without = guess_files("shop", &folder(&[("compose.yaml", BASE), (".env.staging", "A=1")]));
    assert!(!without.environments.contains_key(&Class::Staging));
}

#[test]
fn env_files_follow_their_names_and_what_is_needed() {
    let needs = "services: { web: { image: 'app:${TAG}', environment: { K: '${KEY:-x}' } } }\n";
    let env = |files: &[(&str, &str)]| {
        let all: Vec<(&str, &str)> = [("compose.yaml", needs)].iter().chain(files).copied().collect();
        let guess = guess_files("shop", &folder(&all));
        let of =
            |class| guess.environments.get(&class).map(|one| one.env_files.join(" ")).unwrap_or_default();
        (of(Class::Production), of(Class::Development), guess.samples.len())
    };
    let is = |production: &str, development: &str, samples| {
        (production.to_owned(), development.to_owned(), samples)
    };
    assert_eq!(env(&[]), is("", "", 0));
    assert_eq!(env(&[(".env", "TAG=1")]), is(".env", ".env", 0));
    assert_eq!(env(&[(".env.example", "TAG=1")]), is("", "", 1));
    assert_eq!(env(&[("prod.env", "TAG=1"), (".env.dev", "TAG=2")]), is("prod.env", ".env.dev", 0));
    assert_eq!(
        env(&[(".env", "TAG=1"), (".env.prod", "KEY=2")]),
        is(".env .env.prod", ".env", 0),
        "TAG is only in .env"
    );
    assert_eq!(env(&[(".env", "KEY=1"), (".env.prod", "TAG=2")]), is(".env.prod", ".env", 0));
    assert_eq!(env(&[(".env", "TAG=1"), (".env.local", "KEY=2")]), is(".env", ".env .env.local", 0));
}

#[test]
fn everything_that_looks_like_compose_is_used_or_listed() {
    let files = folder(&[
        ("compose.yaml", BASE),
        ("compose.gpu.yaml", PART),
        ("docker-compose.ci.yml", WHOLE),
        ("docker-compose.broken.yml", "services: [\n"),
        ("examples/compose.yaml", BASE),
    ]);
    let left: Vec<String> = guess_files("shop", &files).left_out.into_iter().map(|left| left.path).collect();
    assert_eq!(left, ["compose.gpu.yaml", "docker-compose.ci.yml", "docker-compose.broken.yml"]);
}

#[test]
fn a_host_with_little_memory_gets_a_sound_proposal_too() {
    let path = projects().into_iter().find(|path| name(path) == "workflow-engine").expect("the fixture");
    let small =
        HostFacts { cpus: Cpus::from_number(1.0).expect("a number"), memory: Bytes(1 << 30), ..facts(&[]) };
    let (text, _) = proposal(&path, &small);
    let config =
        parse(&SourceFile::new("partywall.yaml", text.clone())).unwrap_or_else(|e| panic!("{e}\n{text}"));
    let sum: u64 =
        config.environments.values().filter_map(|one| one.budget.memory).map(|bytes| bytes.0).sum();
    assert!(sum <= 1 << 30, "{text}");
}
