//! Two people at one project.

use std::process::Child;

use crate::harness::{DEVELOPMENT, PRODUCTION, Story, finished, image, until};

/// Promise: two commands never change a project at once, and the second is told who was first.
/// Given: an `up` that waits for a service.
/// Then: another `up`, of any environment, ends with exit 2 and names the first one's user, process and
/// command; when the first has been killed, every command says that an operation was left unfinished,
/// changes are refused with a hint, and `abandon` puts it right.
#[test]
fn the_second_is_told_who_is_first() {
    let story = waiting();
    let mut first = story.start(&["up", DEVELOPMENT]);
    let waits =
        || story.containers(DEVELOPMENT).iter().any(|one| one.service() == "slow" && one.is_running());
    until("the first waits", waits);

    for environment in [DEVELOPMENT, PRODUCTION] {
        let process = format!("process {}", first.id());
        let told = story.run(&["up", environment]).ended(2);
        let told = told.says(&["`partywall up development` is at work, started by", &process, "hint: wait"]);
        assert!(!told.err.contains("unfinished"), "what is at work is not unfinished:\n{}", told.err);
    }
    killed(&mut first);
    for words in [&["status"][..], &["check"], &["plan", DEVELOPMENT], &["logs", DEVELOPMENT]] {
        story.run(words).says(&[
            "`up development` was left unfinished",
            "partywall resume",
            "partywall abandon",
        ]);
    }
    for words in [&["up", DEVELOPMENT][..], &["up", PRODUCTION], &["down", DEVELOPMENT]] {
        story.run(words).ended(1).says(&["error: `up development` was left unfinished", "hint: finish it"]);
    }
    story.run(&["abandon"]).ended(0);
    assert!(!story.run(&["status"]).ended(0).err.contains("unfinished"));
    assert_eq!(story.everything(DEVELOPMENT), Vec::<String>::new());
    story.run(&["resume"]).ended(0).says(&["nothing was left unfinished"]);
}

/// The light application with a service that becomes healthy only when told to.
fn waiting() -> Story {
    let story = Story::light();
    let slow = format!(
        "services:\n  slow:\n    image: {}\n    command: [sleep, infinity]\n    init: true\n    healthcheck:\n      test: [CMD, test, -e, /tmp/ready]\n      interval: 1s\n      start_period: 300s\n      start_interval: 500ms\n",
        image("debian")
    );
    story.edit("docker-compose.yml", "services:\n", &slow);
    story
}

fn killed(child: &mut Child) {
    child.kill().expect("it still ran");
    child.wait().expect("its end");
}

/// Promise: what runs can be waited for and goes on undisturbed by a second command.
/// Given: an `up` that waits, and a second one that was refused.
/// Then: the first ends well when its service is healthy.
#[test]
fn the_first_is_not_disturbed() {
    let story = waiting();
    let first = story.start(&["up", DEVELOPMENT]);
    until("the service runs", || {
        story.containers(DEVELOPMENT).iter().any(|one| one.service() == "slow" && one.is_running())
    });
    story.run(&["down", DEVELOPMENT]).ended(2);
    story.container(DEVELOPMENT, "slow").exec(&["touch", "/tmp/ready"]).expect("ready");
    finished(first).ended(0);
    assert!(story.plan(DEVELOPMENT).is_empty());
}
