//! Ordinary Compose: what Partywall runs is a Compose project like any other.

use crate::harness::{DEVELOPMENT, PRODUCTION, Story, docker};

/// Promise: `docker compose` sees and runs the environments without Partywall.
/// Given: both environments of the light application, up.
/// Then: `ls`, `ps` and `logs` show them; the rendered file is valid; `up` by hand leaves every
/// container as it is; the config hashes are those of the labels.
#[test]
fn docker_compose_sees_two_ordinary_projects() {
    let story = Story::light();
    story.up(PRODUCTION);
    story.up(DEVELOPMENT);
    let listed = docker(&["compose", "ls", "-a", "--format", "json"]);
    for environment in [PRODUCTION, DEVELOPMENT] {
        let project = story.compose_project(environment);
        assert!(listed.contains(&format!("\"{project}\"")), "{listed}");
        by_hand(&story, environment, &project);
    }
    assert!(story.plan(PRODUCTION).is_empty() && story.plan(DEVELOPMENT).is_empty());
}

fn by_hand(story: &Story, environment: &str, project: &str) {
    let file = story.rendered(environment).display().to_string();
    let compose = |words: &[&str]| {
        docker(&["compose", "-f", file.as_str()].iter().chain(words).copied().collect::<Vec<_>>())
    };
    let shown = docker(&["compose", "-p", project, "ps", "-a", "--services"]);
    let mut services: Vec<&str> = shown.lines().collect();
    services.sort_unstable();
    assert_eq!(services, ["db", "migrate", "web"]);
    assert!(docker(&["compose", "-p", project, "logs", "migrate"]).contains("migrated"));
    assert_eq!(compose(&["config", "-q"]), "");

    let before = story.ids(environment);
    compose(&["up", "-d"]);
    assert_eq!(story.ids(environment), before, "plain `up` made other containers");
    for one in story.containers(environment) {
        let service = one.service();
        let hash = compose(&["config", "--hash", &service]);
        assert_eq!(hash, format!("{service} {}", one.label("com.docker.compose.config-hash")));
    }
}
