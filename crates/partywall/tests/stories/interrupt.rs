//! Ctrl-C, and being told to end, during `up`.

use std::collections::BTreeMap;

use rustix::process::{Pid, Signal, kill_process};

use crate::harness::{DEVELOPMENT, Story, finished, until};

/// Promise: Ctrl-C takes back what was done; so does what systemd and those who cancel jobs send.
/// Given: an environment that is up, and an `up` that waits for a service that does not get healthy.
/// Then: after SIGINT, and then after SIGTERM, it says that it takes back, everything is as before, and nothing is unfinished.
#[test]
fn ctrl_c_takes_back() {
    let story = Story::light();
    story.up(DEVELOPMENT);
    let (ids, file) = (story.ids(DEVELOPMENT), std::fs::read_to_string(story.rendered(DEVELOPMENT)));
    story.note(DEVELOPMENT, "second");
    story.edit("docker-compose.yml", "grep -q ':1F40 ' /proc/net/tcp /proc/net/tcp6", "false");
    for told in [Signal::INT, Signal::TERM] {
        is_taken_back(&story, &ids, told);
    }
    assert_eq!(std::fs::read_to_string(story.rendered(DEVELOPMENT)).ok(), file.ok());
    assert!(!story.run(&["status"]).ended(0).err.contains("unfinished"));
}

fn is_taken_back(story: &Story, ids: &BTreeMap<String, String>, told: Signal) {
    let before = story.ids(DEVELOPMENT);
    let up = story.start(&["up", DEVELOPMENT]);
    until("the new container is waited for", || {
        let web = story.ids(DEVELOPMENT).get("web").cloned();
        web.is_some_and(|id| id != before["web"]) && story.container(DEVELOPMENT, "web").is_running()
    });
    kill_process(Pid::from_child(&up), told).expect("it still runs");
    let told = finished(up).says(&["taking back", "everything is as before"]);
    assert!(
        matches!(told.code, Some(code) if code != 0),
        "an `up` that did not happen is no success: {told:?}"
    );

    assert_eq!(story.ask(DEVELOPMENT, "/").body, "development first");
    let now = story.ids(DEVELOPMENT);
    assert_eq!((&now["db"], &now["migrate"]), (&ids["db"], &ids["migrate"]));
}
