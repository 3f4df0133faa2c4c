//! The attack on the wall: it finds nothing in a sound one, names every hole, and leaves nothing of itself.

use std::fs;
use std::path::PathBuf;

use serde_json::Value;

use crate::harness::{DEVELOPMENT, PRODUCTION, Story, docker, image, until};

const PROBES: [&str; 5] = ["prove", "--only", "probes", "--confirm", PRODUCTION];

/// An objective that no machine breaks: what is tried here is the attack, not the machine.
fn attacked() -> Story {
    let story = Story::light();
    let config = story.read("partywall.yaml") + "objective: { p99: 30s, errors: 50% }\n";
    story.write("partywall.yaml", &config);
    story.up(PRODUCTION);
    story
}

/// Control groups that attackers live in, and how many do.
fn attackers(story: &Story) -> (Vec<PathBuf>, usize) {
    let name = format!("partywall-prove-{}", story.name);
    let mut found = Vec::new();
    for group in story.groups(DEVELOPMENT) {
        let below = fs::read_dir(group).into_iter().flatten().flatten();
        found.extend(below.map(|container| container.path().join(&name)).filter(|path| path.is_dir()));
    }
    let count =
        |path: &PathBuf| fs::read_to_string(path.join("cgroup.procs")).map_or(0, |text| text.lines().count());
    let living = found.iter().map(count).max().unwrap_or(0);
    (found, living)
}

fn through(told: &Value) -> Vec<String> {
    let probes = told["probes"].as_array().expect("probes").iter();
    let through = probes.filter(|probe| probe["verdict"] == "through");
    through
        .map(|probe| {
            format!(
                "{}: {}",
                probe["kind"].as_str().unwrap_or_default(),
                probe["what"].as_str().unwrap_or_default()
            )
        })
        .collect()
}

/// Promise: `prove` finds nothing in a sound wall and says so in a certificate; a hole that was made by hand is found,
/// named, and is exit code 1; killed at its worst, nothing of it lives on, and the next command removes what it left.
/// Given: production and development, then a container of development on production's network, with its data and
/// the engine's socket.
/// Then: each of these in turn. It wants production's name typed, and development up.
#[test]
fn the_wall_is_proved_and_a_hole_is_found() {
    let story = attacked();
    story
        .run(&["prove", "--confirm", PRODUCTION])
        .ended(1)
        .says(&["nothing runs beside production", "partywall up development"]);
    story.up(DEVELOPMENT);
    story.run(&["prove", "--yes"]).ended(1).says(&["add `--confirm production`"]);
    a_sound_wall_holds(&story);
    a_kill_leaves_nothing(&story);
    holes_are_found(&story);
}

fn a_sound_wall_holds(story: &Story) {
    let page = story.folder().join("certificate.html");
    let out = page.display().to_string();
    let words = [
        "prove",
        "--json",
        "--blasts",
        "memory,cache,direct,bandwidth",
        "--rounds",
        "1",
        "--seconds",
        "1",
        "--confirm",
        PRODUCTION,
        "--out",
        &out,
    ];
    let told = story.run(&words).ended(0);
    let told: Value = serde_json::from_str(told.out.lines().last().expect("an answer")).expect("JSON");
    assert_eq!((&told["ok"], through(&told)), (&Value::Bool(true), Vec::new()));
    let probes = told["probes"].as_array().expect("probes");
    for kind in
        ["address", "name", "docker", "proxy-admin", "data", "secret", "processes", "devices", "capabilities"]
    {
        let held = |probe: &&Value| probe["kind"] == kind && probe["verdict"] == "held";
        let held: Vec<&Value> = probes.iter().filter(held).collect();
        assert!(!held.is_empty(), "no probe of `{kind}` has a control that succeeds");
        assert!(held.iter().all(|probe| probe["control"]["outcome"]["reached"] == true), "{held:?}");
    }
    let blasts = told["blasts"].as_array().expect("blasts");
    assert_eq!(blasts.len(), 4, "{blasts:?}");
    for blast in blasts {
        assert_eq!((&blast["hurt"], &blast["killed_in_production"]), (&Value::Null, &0.into()), "{blast}");
        assert!(!blast["done"].to_string().contains("refused"), "{blast}");
    }
    let text = fs::read_to_string(&page).expect("a page");
    assert!(text.contains("<strong>Passed</strong>") && text.contains("<svg"), "{text}");
    for foreign in ["src=", "href=", "url(", "@import", "<script"] {
        assert!(!text.contains(foreign), "the page asks for something: {foreign}");
    }
    let figures: Value =
        serde_json::from_str(&fs::read_to_string(page.with_extension("json")).expect("figures"))
            .expect("JSON");
    assert_eq!(figures["probes"], told["probes"]);
    assert_eq!(attackers(story), (Vec::new(), 0));
}

fn a_kill_leaves_nothing(story: &Story) {
    let words = [
        "prove",
        "--only",
        "blasts",
        "--blasts",
        "fork",
        "--seconds",
        "2",
        "--rounds",
        "100",
        "--confirm",
        PRODUCTION,
    ];
    let mut prove = story.start(&words);
    until("the fork bomb is at work", || attackers(story).1 > 20);
    prove.kill().expect("killed");
    prove.wait().expect("its end");
    until("the attackers have ended with it", || attackers(story).1 == 0);
    assert!(!attackers(story).0.is_empty(), "the groups are what is left");
    let told = story.run(&["status"]).ended(0);
    assert!(told.err.contains("`prove production` was left unfinished"), "{}", told.err);
    story.run(&["abandon"]).ended(0);
    assert_eq!(attackers(story), (Vec::new(), 0));
}

fn holes_are_found(story: &Story) {
    let label = |key: &str, value: &str| format!("com.docker.compose.{key}={value}");
    let network = format!("{}_default", story.compose_project(PRODUCTION));
    let volume = format!("{}_data:/stolen", story.compose_project(PRODUCTION));
    docker(&[
        "run",
        "-d",
        "--init",
        "--label",
        &label("project", &story.compose_project(DEVELOPMENT)),
        "--label",
        &label("service", "intruder"),
        "--name",
        &format!("{}-intruder", story.name),
        "--network",
        &network,
        "-v",
        &volume,
        "-v",
        "/var/run/docker.sock:/engine.sock",
        "--cap-add",
        "SYS_ADMIN",
        &image("debian"),
        "sleep",
        "3600",
    ]);
    let told = story.run(&[PROBES.as_slice(), &["--json"]].concat()).ended(1);
    let told: Value = serde_json::from_str(told.out.lines().last().expect("an answer")).expect("JSON");
    let found = through(&told);
    for hole in ["address: db at ", "name: `db` as db", "docker: /", "data: /", "capabilities: "] {
        assert!(found.iter().any(|one| one.starts_with(hole)), "`{hole}` is not among {found:?}");
    }
    assert!(!found.iter().any(|one| one.starts_with("processes") || one.starts_with("devices")), "{found:?}");
    let told = story.run(&PROBES).ended(1);
    let named = format!("from {}-intruder: /stolen shows", story.name);
    assert!(told.out.contains(&named) && told.out.contains("/engine.sock answers"), "{}", told.out);
    told.says(&["the wall around `production` does not hold"]);
}
