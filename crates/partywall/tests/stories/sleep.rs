//! Sleep: what nobody uses stops, and comes back for who asks.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use crate::harness::{Agent, DEVELOPMENT, PRODUCTION, Story, ask, docker, until};

fn is_asleep(story: &Story) -> bool {
    let all = story.containers(DEVELOPMENT);
    !all.is_empty() && running(story, DEVELOPMENT).is_empty()
}

fn running(story: &Story, environment: &str) -> Vec<String> {
    let all = story.containers(environment);
    all.iter().filter(|one| one.is_running()).map(|one| one.service()).collect()
}

/// What a browser gets.
fn page(story: &Story) -> String {
    let mut stream = TcpStream::connect(("127.0.0.1", story.http)).expect("the proxy listens");
    let host = story.host(DEVELOPMENT);
    write!(stream, "GET / HTTP/1.1\r\nHost: {host}\r\nAccept: text/html\r\nConnection: close\r\n\r\n")
        .expect("sent");
    let mut text = String::new();
    stream.read_to_string(&mut text).expect("an answer");
    text
}

/// Promise: development that nobody uses sleeps, but not under somebody's hands; who asks for it wakes it; production never does.
/// Given: development that sleeps after eight seconds, and a command that runs in it for longer.
/// Then: it sleeps after the command's end, with its containers kept and production as it was; a browser is shown that it
/// wakes, a program waits and is sent to the same address again; with nobody to wake it, `sleep` says so and `up` wakes.
#[test]
fn what_nobody_uses_sleeps_until_somebody_asks() {
    const WORK: u64 = 15;
    let story = Story::light();
    story.edit("partywall.yaml", "memory: 512MB }\n", "memory: 512MB }\n    sleep: { idle: 8s }\n");
    story.up(PRODUCTION);
    story.up(DEVELOPMENT);
    story.run(&["sleep", PRODUCTION]).ended(1).says(&["production does not sleep"]);
    let (production, development) = (story.ids(PRODUCTION), story.ids(DEVELOPMENT));
    let at_work = running(&story, PRODUCTION);
    let (began, seconds) = (Instant::now(), WORK.to_string());
    docker(&["exec", "-d", &story.container(DEVELOPMENT, "web").id(), "sleep", &seconds]);
    let front = Agent::of(story.start(&["agent", "front"]));
    until("development sleeps", || is_asleep(&story));
    assert!(began.elapsed() >= Duration::from_secs(WORK), "somebody worked in it");
    assert_eq!((story.ids(PRODUCTION), story.ids(DEVELOPMENT)), (production, development.clone()));
    assert_eq!(running(&story, PRODUCTION), at_work);
    assert!(story.run(&["status"]).ended(0).out.contains("asleep"));

    let shown = page(&story);
    assert!(shown.starts_with("HTTP/1.1 503 ") && shown.contains("<h1>development wakes up</h1>"), "{shown}");
    until("it is awake", || {
        ask(story.http, &story.host(DEVELOPMENT), "/whoami").is_ok_and(|one| one.status == 200)
    });
    assert_eq!(story.ids(DEVELOPMENT), development, "the same containers");

    story.run(&["sleep", DEVELOPMENT]).ended(0).says(&["sleeps; its data and containers stay"]);
    story.run(&["sleep", DEVELOPMENT]).ended(0).says(&["nothing to do"]);
    let mut sent = None;
    until("a program is sent to it", || {
        sent = ask(story.http, &story.host(DEVELOPMENT), "/whoami?a=b").ok();
        sent.is_some()
    });
    let sent = sent.expect("an answer");
    assert_eq!((sent.status, sent.header("Location")), (307, Some("/whoami?a=b")));
    assert_eq!(story.ask(DEVELOPMENT, "/whoami").status, 200);

    assert!(front.end().ended(0).out.contains("development falls asleep: nobody has used it for"));
    story.run(&["sleep", DEVELOPMENT]).ended(0).says(&["nobody wakes it"]);
    story.up(DEVELOPMENT);
    assert_eq!(story.ask(DEVELOPMENT, "/whoami").status, 200);
}
