//! `up`: only what differs is done, and what fails is taken back.

use crate::harness::{DEVELOPMENT, PRODUCTION, Story};

/// Promise: `up` does what is needed and nothing more.
/// Given: an environment that is up.
/// Then: a second `up` changes nothing and leaves no journal entry; another value in the
/// environment of one service makes that container anew and no other; a service that is taken out of
/// the file loses its container.
#[test]
fn only_what_differs_is_done() {
    let story = Story::light();
    story.up(DEVELOPMENT);
    let (before, plans) = (story.ids(DEVELOPMENT), story.plans());
    assert_eq!((before.len(), plans), (3, 1));

    story.up(DEVELOPMENT).says(&["nothing to do"]);
    assert_eq!(story.ids(DEVELOPMENT), before);
    assert_eq!(story.plans(), plans, "an `up` that does nothing is not noted");

    story.note(DEVELOPMENT, "second");
    story.up(DEVELOPMENT);
    let after = story.ids(DEVELOPMENT);
    assert_ne!(after["web"], before["web"]);
    assert_eq!((&after["db"], &after["migrate"]), (&before["db"], &before["migrate"]));
    assert_eq!(story.ask(DEVELOPMENT, "/").body, "development second");

    let (compose, _) =
        story.read("docker-compose.yml").split_once("  migrate:\n").map(split_off).expect("migrate");
    story.write("docker-compose.yml", &compose);
    story.up(DEVELOPMENT);
    let left = story.ids(DEVELOPMENT);
    assert_eq!(left.keys().collect::<Vec<_>>(), ["db", "web"]);
    assert_eq!(left["db"], before["db"]);
    assert!(story.plan(DEVELOPMENT).is_empty());
}

/// The light application without its job.
fn split_off((before, after): (&str, &str)) -> (String, String) {
    let volumes = &after[after.find("volumes:").unwrap_or(after.len())..];
    let kept = before.replace("      migrate: { condition: service_completed_successfully }\n", "");
    (kept + volumes, after.to_owned())
}

/// Promise: an `up` that fails leaves everything as it was, and says why.
/// Given: production that answers, and a new version of it that dies at once.
/// Then: exit 1, the error shows the last lines of its log, the same database runs, the old version
/// answers, the rendered file is the old one, and no note of an unfinished operation stays.
#[test]
fn a_version_that_never_gets_healthy_is_taken_back() {
    let story = Story::light();
    story.up(PRODUCTION);
    let (ids, file) = (story.ids(PRODUCTION), std::fs::read_to_string(story.rendered(PRODUCTION)));
    let good = story.read("docker-compose.yml");
    story.edit(
        "docker-compose.yml",
        "[caddy, respond, --listen, \":8000\", \"${APP_ENV} ${NOTE}\"]",
        "[sh, -c, \"echo the settings are wrong >&2; exit 3\"]",
    );
    story.run(&["up", PRODUCTION]).ended(1).says(&[
        "error: service `web`",
        "the settings are wrong",
        "hint: ",
        "everything is as before",
    ]);

    assert_eq!(story.ask(PRODUCTION, "/").body, "production first");
    let now = story.ids(PRODUCTION);
    assert_eq!((&now["db"], &now["migrate"]), (&ids["db"], &ids["migrate"]));
    assert_eq!(std::fs::read_to_string(story.rendered(PRODUCTION)).ok(), file.ok());
    let status = story.run(&["status"]).ended(0);
    assert!(!status.err.contains("unfinished"), "{}", status.err);
    story.write("docker-compose.yml", &good);
    assert_eq!(story.plan(PRODUCTION), Vec::<serde_json::Value>::new());
}

/// Promise: a first `up` that fails leaves nothing behind.
/// Given: an environment that was never up, with a service that dies at once.
/// Then: exit 1, and no container, network, volume, control group or file of it exists.
#[test]
fn a_first_up_that_fails_leaves_nothing() {
    let story = Story::light();
    story.edit(
        "docker-compose.yml",
        "[caddy, respond, --listen, \":8000\", \"${APP_ENV} ${NOTE}\"]",
        "[sh, -c, \"exit 3\"]",
    );
    story.run(&["up", DEVELOPMENT]).ended(1).says(&["error: service `web`"]);
    assert_eq!(story.everything(DEVELOPMENT), Vec::<String>::new());
}

/// Promise: no route leads to a container that is about to go, also when the route goes with it.
/// Given: production with a second routed service, which is then taken out of both files.
/// Then: its route is closed before its container is removed; the other service answers on.
#[test]
fn a_lost_route_is_closed_before_its_service_goes() {
    let story = Story::light();
    let (config, compose) = (story.read("partywall.yaml"), story.read("docker-compose.yml"));
    let admin = format!("{{ admin: admin.{}, web:", story.host(PRODUCTION));
    story.write("partywall.yaml", &config.replacen("{ web:", &admin, 1));
    let service = "services:\n  admin: { extends: { service: web } }\n";
    story.write("docker-compose.yml", &compose.replacen("services:\n", service, 1));
    story.up(PRODUCTION);
    story.write("partywall.yaml", &config);
    story.write("docker-compose.yml", &compose);
    let does: Vec<String> = story.plan(PRODUCTION).iter().map(|step| step["does"].to_string()).collect();
    let at = |word: &str| does.iter().position(|does| does.contains(word) && does.contains("admin"));
    assert!(at("close-switch").is_some() && at("close-switch") < at("remove-services"), "{does:#?}");
    story.up(PRODUCTION);
    assert_eq!(story.ask(PRODUCTION, "/").body, "production first");
    assert!(story.plan(PRODUCTION).is_empty());
}
