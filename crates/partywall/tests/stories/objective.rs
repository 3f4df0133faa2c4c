//! Production's objective: what visitors got, when that was too little, and why.

use serde_json::Value;

use crate::harness::{Agent, PRODUCTION, Story, docker, until};

fn incidents(story: &Story) -> Vec<Value> {
    let told = story.run(&["incidents", "--json"]).ended(0).json();
    told["incidents"].as_array().cloned().unwrap_or_default()
}

/// Asks so often, and answers the statuses.
fn visit(story: &Story, count: usize) -> Vec<u16> {
    (0..count).map(|_| story.ask(PRODUCTION, "/whoami").status).collect()
}

/// Promise: when production fails its visitors, an incident is opened and written down with what it cost; an agent that
/// is killed in the middle of it is followed by one that goes on with the same; `status` shows it.
/// Given: production behind the proxy with an objective, the agent, and a container that is killed.
#[test]
fn an_incident_is_opened_and_outlives_its_agent() {
    let story = Story::light();
    let config = story.read("partywall.yaml");
    story.write("partywall.yaml", &format!("{config}objective: {{ errors: 1%, p99: 5s }}\n"));
    let told = story.run(&["incidents"]).ended(0).out;
    assert!(told.contains("no agent has watched yet"), "{told}");
    story.up(PRODUCTION);
    let agent = Agent::start(&story);
    until("the agent answers", || story.run(&["agent", "status", "--json"]).json()["running"] == true);
    let status = || story.run(&["status"]).ended(0).out;
    until("enough was answered well", || {
        assert_eq!(visit(&story, 10), [200; 10]);
        status().contains("0.00 % of 1 % failed")
    });
    assert_eq!(incidents(&story), Vec::<Value>::new());

    docker(&["update", "--restart", "no", &story.container(PRODUCTION, "web").id()]);
    docker(&["kill", &story.container(PRODUCTION, "web").id()]);
    until("an incident is opened", || {
        visit(&story, 10);
        !incidents(&story).is_empty()
    });
    assert!(status().contains("incident  since"), "{}", status());
    let before = incidents(&story);
    assert!(before[0]["end"].is_null() && before[0]["hit"].as_u64() > Some(2), "{before:?}");
    agent.kill();

    let agent = Agent::start(&story);
    until("the next agent goes on with it", || {
        visit(&story, 10);
        let own = story.run(&["agent", "status", "--json"]).json()["status"]["objective"]["incident"].clone();
        own["start"] == before[0]["start"] && own["hit"].as_u64() > before[0]["hit"].as_u64()
    });
    agent.end().ended(0);
    let after = incidents(&story);
    assert_eq!((after.len(), &after[0]["start"]), (1, &before[0]["start"]), "{after:?}");
    assert!(after[0]["hit"].as_u64() > before[0]["hit"].as_u64(), "{before:?} {after:?}");
    let told = story.run(&["incidents"]).ended(0).out;
    assert!(told.contains("goes on") && told.contains("without development"), "{told}");
}
