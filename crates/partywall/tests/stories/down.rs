//! `down` and `destroy`: development never asks, production wants its name, strangers are left alone.

use crate::harness::{DEVELOPMENT, PRODUCTION, Story, docker, docker_answers, image};

/// Promise: production is not hit by accident, and what is destroyed is gone.
/// Given: both environments up.
/// Then: `down` and `destroy` of production are refused without its name, with another name and with
/// `--yes`, and nothing changes; development goes without a question; in the end no container, network,
/// volume, control group or file of an environment is left.
#[test]
fn production_wants_its_name_and_development_never_asks() {
    let story = Story::light();
    story.up(PRODUCTION);
    story.up(DEVELOPMENT);
    let before = story.everything(PRODUCTION);
    for operation in ["down", "destroy"] {
        for extra in [&[][..], &["--yes"], &["--confirm", "development"], &["--confirm", "yes"]] {
            let words: Vec<&str> = [operation, PRODUCTION].iter().chain(extra).copied().collect();
            story.run(&words).ended(1).says(&[
                "was not confirmed",
                "because: ",
                "hint: add `--confirm production`",
            ]);
        }
    }
    assert_eq!(story.everything(PRODUCTION), before);

    let volume = format!("{}_data", story.compose_project(DEVELOPMENT));
    story.run(&["down", DEVELOPMENT]).ended(0);
    assert!(story.containers(DEVELOPMENT).is_empty());
    assert!(docker_answers(&["volume", "inspect", &volume]).is_some(), "`down` keeps volumes");
    assert_eq!(story.ask(DEVELOPMENT, "/").status, 503, "a stopped environment says so");
    story.run(&["down", DEVELOPMENT]).ended(0).says(&["nothing to do"]);
    story.up(DEVELOPMENT);
    story.run(&["destroy", DEVELOPMENT]).ended(0);
    assert_eq!(story.everything(DEVELOPMENT), Vec::<String>::new());
    assert_eq!(story.everything(PRODUCTION), before);
    assert_eq!(story.ask(PRODUCTION, "/").body, "production first");

    story.run(&["destroy", PRODUCTION, "--confirm", PRODUCTION]).ended(0);
    assert_eq!(story.everything(PRODUCTION), Vec::<String>::new());
}

/// Promise: containers whose labels disagree with the request are never touched.
/// Given: an environment that is up, and under its Compose project a container without our labels, or
/// with another environment's.
/// Then: `up`, `down`, `destroy`, `logs` and `exec` refuse with exit 1 and name it; nothing changes.
#[test]
fn strangers_are_told_and_left_alone() {
    let story = Story::light();
    story.up(DEVELOPMENT);
    for labels in [&[][..], &["partywall.environment=production"], &["partywall.environment=development"]] {
        let stranger = format!("{}-stranger", story.name);
        run_under(&story, &stranger, labels);
        let before = story.everything(DEVELOPMENT);
        for words in [
            &["up", DEVELOPMENT][..],
            &["down", DEVELOPMENT],
            &["destroy", DEVELOPMENT],
            &["logs", DEVELOPMENT],
            &["exec", DEVELOPMENT, "web", "--", "true"],
        ] {
            story.run(words).ended(1).says(&["error: ", &stranger, "never touched", "hint: "]);
        }
        assert_eq!(story.everything(DEVELOPMENT), before, "{labels:?}");
        docker(&["rm", "-f", &stranger]);
    }
    story.run(&["destroy", DEVELOPMENT]).ended(0);
}

/// A container of somebody else under development's Compose project; `partywall.project` is there or wrong.
fn run_under(story: &Story, name: &str, labels: &[&str]) {
    let project = format!("com.docker.compose.project={}", story.compose_project(DEVELOPMENT));
    let whose = if labels == ["partywall.environment=production"] { story.name.as_str() } else { "another" };
    let ours = format!("partywall.project={whose}");
    let (debian, service) = (image("debian"), "com.docker.compose.service=stranger");
    let mut words = vec!["run", "-d", "--init", "--name", name, "--label", &project, "--label", service];
    words.extend(["--label", "com.docker.compose.oneoff=False"]);
    if !labels.is_empty() {
        words.extend(["--label", ours.as_str()]);
    }
    words.extend(labels.iter().flat_map(|label| ["--label", *label]));
    words.extend([debian.as_str(), "sleep", "infinity"]);
    docker(&words);
}
