//! What everything uses: shown to Prometheus, shown live, and kept.

use std::path::Path;

use serde_json::Value;

use crate::harness::{Agent, DEVELOPMENT, Link, PRODUCTION, Story, docker, until};

/// The value of a series, by the beginning of its line.
fn value(page: &str, series: &str) -> Option<f64> {
    let line = page.lines().find(|line| line.starts_with(series))?;
    line.rsplit_once(' ')?.1.parse().ok()
}

fn top(story: &Story) -> Value {
    story.run(&["top", "--json"]).ended(0).json()
}

/// Promise: what containers use and the proxy answers is told as it is, by name, and kept when the agent ends.
/// Given: production and development behind the proxy, and an agent that shows its figures.
/// Then: each request is counted, and each processor's second; a container that is gone is not told of;
/// `top` tells the same with an agent and, of what the kernel knows, without one.
#[test]
fn what_is_used_and_answered_is_told() {
    let story = Story::light();
    let port = story.port + 6;
    story.edit("partywall.yaml", "proxy:\n", &format!("agent: {{ metrics: {port} }}\nproxy:\n"));
    story.up(PRODUCTION);
    // Before the agent, who holds development back on a machine whose disk is nearly full.
    story.up(DEVELOPMENT);
    let agent = Agent::start(&story);
    let page = || {
        let answer = Link::open(port).and_then(|mut link| link.get("localhost", "/metrics"));
        answer.map(|answer| answer.body).unwrap_or_default()
    };
    let web = "environment=\"production\",service=\"web\"";
    let cpu = format!("partywall_container_cpu_seconds_total{{{web}");
    until("production's container is seen", || value(&page(), &cpu).is_some());
    let before = value(&page(), &cpu).unwrap_or_default();
    for _ in 0..7 {
        assert_eq!(story.ask(PRODUCTION, "/").status, 200);
    }
    let count = format!("partywall_answer_seconds_count{{{web},generation=\"\"}}");
    until("seven answers are counted", || value(&page(), &count) == Some(7.0));
    let container = story.container(PRODUCTION, "web");
    docker(&["exec", &container.id(), "sh", "-c", "timeout 1 sh -c 'while :; do :; done' || true"]);
    until("its work is counted", || value(&page(), &cpu).is_some_and(|now| now > before + 0.2));
    let received =
        value(&page(), &format!("partywall_container_received_bytes_total{{{web}")).expect("received");
    assert!(received > 500.0, "{received} bytes of seven requests");
    assert_eq!(
        Link::open(port).and_then(|mut link| link.get("localhost", "/")).expect("answers").status,
        404
    );

    let other = "partywall_container_memory_bytes{environment=\"development\",service=\"web\"";
    until("development's container is found", || value(&page(), other).is_some_and(|bytes| bytes > 0.0));
    let told = top(&story);
    assert_eq!(told["agent"], true);
    assert_eq!(told["environments"][0]["environment"], PRODUCTION);
    story.run(&["down", DEVELOPMENT]).ended(0);
    until("what is gone is not told of", || value(&page(), other).is_none());
    assert_eq!(story.ask(DEVELOPMENT, "/").status, 503);
    let asleep =
        "partywall_failed_answers_total{environment=\"development\",service=\"web\",generation=\"\"}";
    until("the page of who is not up counts as failed", || value(&page(), asleep) == Some(1.0));

    let kept = story.state().join("projects").join(&story.name).join("metrics.db");
    agent.end().ended(0);
    assert!(Path::new(&kept).metadata().is_ok_and(|file| file.len() > 8192), "nothing was kept");
    assert!(Link::open(port).is_err(), "the port is still open");
    let told = top(&story);
    assert_eq!(told["agent"], false);
    let memory = told["environments"][0]["services"][0]["used_per_second"]["memory_bytes"].as_f64();
    assert!(memory.is_some_and(|bytes| bytes > 0.0), "{told}");
    let text = story.run(&["top", "--once"]).ended(0).out;
    assert!(text.contains("PRODUCTION") && text.contains("no agent runs"), "{text}");
}
