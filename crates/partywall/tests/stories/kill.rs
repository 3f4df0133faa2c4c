//! `kill -9` at any moment.

use std::time::{Duration, Instant};

use serde_json::Value;

use crate::harness::{DEVELOPMENT, PRODUCTION, Story, Traffic, finished, lines, random};

/// Promise: whenever `up` is killed, `resume` or `abandon` ends clean, and production never notices.
/// Given: production up and visited all the time; development never up before.
/// Then: after 10 kills at random moments, each followed by `resume` or `abandon` in turn, development
/// is as before (nothing of it exists) or as wanted (nothing to do), and no visit of production failed.
#[test]
fn a_first_up_of_development_is_killed_ten_times() {
    let story = Story::light();
    story.up(PRODUCTION);
    let traffic = Traffic::to(story.http, &story.host(PRODUCTION), "production first");
    let wanted = does(&story.plan(DEVELOPMENT));
    let takes = measured(|| drop(story.up(DEVELOPMENT)));
    story.run(&["destroy", DEVELOPMENT]).ended(0);
    for round in 0..10 {
        let moment = kill_up(&story, DEVELOPMENT, takes);
        let found = recovered(&story, DEVELOPMENT, round, &moment);
        if found.is_empty() {
            story.run(&["destroy", DEVELOPMENT]).ended(0);
        } else {
            assert_eq!(found, wanted, "{moment}");
        }
        assert_eq!(story.everything(DEVELOPMENT), Vec::<String>::new(), "{moment}: strays");
    }
    traffic.all_answered();
}

/// Promise: the same, when development runs already and is changed.
/// Given: both environments up; each round another value for development's `web`.
/// Then: after 10 kills development answers with the old value or the new one, as the plan says.
#[test]
fn a_changed_up_of_development_is_killed_ten_times() {
    let story = Story::light();
    story.up(PRODUCTION);
    story.up(DEVELOPMENT);
    let traffic = Traffic::to(story.http, &story.host(PRODUCTION), "production first");
    kill_changes(&story, DEVELOPMENT, 10);
    traffic.all_answered();
}

/// Promise: the same for production itself.
/// Given: production up; each round another value for its `web`.
/// Then: after 4 kills it answers with the old value or the new one, as the plan says.
#[test]
fn a_changed_up_of_production_is_killed_four_times() {
    let story = Story::light();
    story.up(PRODUCTION);
    kill_changes(&story, PRODUCTION, 4);
}

fn kill_changes(story: &Story, environment: &str, rounds: usize) {
    let mut present = "measured".to_owned();
    story.note(environment, &present);
    let takes = measured(|| drop(story.up(environment)));
    let networks = networks(story, environment);
    for round in 0..rounds {
        let note = format!("round-{round}");
        story.note(environment, &note);
        let wanted = does(&story.plan(environment));
        let moment = kill_up(story, environment, takes);
        let found = recovered(story, environment, round, &moment);
        if found.is_empty() {
            present = note;
        } else {
            assert_eq!(found, wanted, "{moment}");
        }
        let answer = story.ask(environment, "/");
        assert_eq!(answer.body, format!("{environment} {present}"), "{moment}: {answer:?}");
        assert_eq!(story.ids(environment).len(), 3, "{moment}");
        assert_eq!(self::networks(story, environment), networks, "{moment}");
    }
}

fn measured(work: impl FnOnce()) -> Duration {
    let begun = Instant::now();
    work();
    begun.elapsed()
}

/// Starts `up` and kills it at a random moment of the time that it takes. Answers the moment, for the report.
fn kill_up(story: &Story, environment: &str, takes: Duration) -> String {
    let moment = takes.mul_f64((random() % 1000) as f64 / 1000.0);
    let mut up = story.start(&["up", environment]);
    std::thread::sleep(moment);
    drop(up.kill());
    let told = finished(up);
    format!("killed after {moment:.2?} of {takes:.2?}, when it had said:\n{}", told.err)
}

/// Resumes or abandons; answers what is left to do then. Nothing is unfinished any more.
fn recovered(story: &Story, environment: &str, round: usize, moment: &str) -> Vec<String> {
    let word = if round.is_multiple_of(2) { "resume" } else { "abandon" };
    let told = story.run(&[word]);
    assert_eq!(told.code, Some(0), "{word} after: {moment}\n{}", told.err);
    let plan = story.run(&["plan", environment, "--json"]);
    assert_eq!(plan.code, Some(0), "{word} after: {moment}\n{}", plan.out);
    let quiet = story.run(&["status"]);
    assert!(!quiet.err.contains("unfinished"), "{moment}\n{}", quiet.err);
    does(plan.json()["steps"].as_array().expect("steps"))
}

fn does(steps: &[Value]) -> Vec<String> {
    steps.iter().map(|step| step["does"].to_string()).collect()
}

fn networks(story: &Story, environment: &str) -> Vec<String> {
    let label = format!("label=com.docker.compose.project={}", story.compose_project(environment));
    lines(&["network", "ls", "--format", "{{.Name}}", "--filter", &label])
}
