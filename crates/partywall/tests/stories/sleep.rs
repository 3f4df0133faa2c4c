//! Sleep: what nobody uses stops or stands still, and comes back for who asks.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use crate::harness::{Agent, Answer, DEVELOPMENT, PRODUCTION, Story, ask, docker, until};

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

/// Promise: who asks for what sleeps while another command is at work gets it when that command has ended.
/// Given: development that sleeps, and a command that holds the project's lock.
/// Then: a browser is told which command has to end first; once it has, development wakes without being asked again.
#[test]
fn who_asks_while_a_command_is_at_work_waits_for_it() {
    let story = Story::light();
    story.edit("partywall.yaml", "memory: 512MB }\n", "memory: 512MB }\n    sleep: { idle: 4s }\n");
    story.up(PRODUCTION);
    story.up(DEVELOPMENT);
    let front = Agent::of(story.start(&["agent", "front"]));
    until("development sleeps", || is_asleep(&story));
    let lock = story.state().join("projects").join(&story.name).join("lock");
    let held = std::fs::File::open(&lock).expect("the project's lock");
    held.lock().expect("it is held");
    let holder =
        r#"{"user":"somebody","pid":1,"command":"partywall backup <all>","since":"2026-01-01T00:00:00Z"}"#;
    std::fs::write(&lock, holder).expect("who holds it");
    until("it is told what has to end", || {
        page(&story).contains("First <code>partywall backup &lt;all></code> has to end")
    });
    assert!(is_asleep(&story));
    drop(held);
    until("it wakes", || running(&story, DEVELOPMENT) == ["db", "web"]);
    until("it answers", || {
        ask(story.http, &story.host(DEVELOPMENT), "/whoami").is_ok_and(|one| one.status == 200)
    });
    front.end().ended(0);
}

/// Service → when its container was started.
fn started(story: &Story) -> Vec<(String, String)> {
    story.containers(DEVELOPMENT).iter().map(|one| (one.service(), one.started())).collect()
}

/// Services that stand still; jobs that have ended do not.
fn frozen(story: &Story) -> Vec<String> {
    let all = story.containers(DEVELOPMENT);
    all.iter().filter(|one| one.is_frozen()).map(|one| one.service()).collect()
}

/// Asks as a program does that waits, and goes where it is sent.
fn asked(story: &Story, path: &str) -> Answer {
    let mut answer = None;
    until("it answers itself", || {
        answer = ask(story.http, &story.host(DEVELOPMENT), path).ok();
        if let Some(sent) = answer.as_ref().filter(|one| one.status == 307) {
            assert_eq!(sent.header("Location"), Some(path));
        }
        answer.as_ref().is_some_and(|one| one.status == 200)
    });
    answer.expect("an answer")
}

/// Promise: development that is to freeze keeps its memory and gets no processor until somebody asks, and goes on where it was.
/// Given: development with `how: freeze`, frozen by the front because nobody uses it.
/// Then: its containers stand still and none of production's does; `plan` says how it wakes; who asks is answered by the same
/// processes; `--stop` stops what stands still, too, and `down` removes it.
#[test]
fn what_is_frozen_goes_on_where_it_was() {
    let story = Story::light();
    story.edit(
        "partywall.yaml",
        "memory: 512MB }\n",
        "memory: 512MB }\n    sleep: { idle: 3s, how: freeze }\n",
    );
    story.up(PRODUCTION);
    story.up(DEVELOPMENT);
    let (before, production) = (started(&story), story.ids(PRODUCTION));
    let steps = story.run(&["plan", DEVELOPMENT, "--operation", "sleep"]).ended(0).out;
    assert!(steps.contains("freeze web, db | undo: thaw db, web"), "{steps}");
    let front = Agent::of(story.start(&["agent", "front"]));
    until("development stands still", || frozen(&story) == ["db", "web"]);
    assert!(story.containers(PRODUCTION).iter().all(|one| !one.is_frozen()));
    assert_eq!(story.ask(PRODUCTION, "/whoami").status, 200);
    assert!(story.run(&["status"]).ended(0).out.contains("asleep"));
    assert!(front.end().ended(0).out.contains("development falls asleep: nobody has used it for"));
    let steps = story.run(&["plan", DEVELOPMENT]).ended(0).out;
    assert!(steps.contains("thaw db, web") && !steps.contains(" start "), "{steps}");

    // One that looks after nobody wakes all the same, and freezes nobody meanwhile.
    story.edit("partywall.yaml", "idle: 3s, ", "");
    let front = Agent::of(story.start(&["agent", "front"]));
    let answer = asked(&story, "/whoami?a=b");
    assert!(answer.body.contains(DEVELOPMENT), "{answer:?}");
    assert_eq!((started(&story), story.ids(PRODUCTION)), (before.clone(), production), "not started again");
    until("it is as described", || frozen(&story).is_empty() && story.plan(DEVELOPMENT).is_empty());

    story.run(&["sleep", DEVELOPMENT]).ended(0);
    assert_eq!(frozen(&story), ["db", "web"]);
    story.run(&["sleep", DEVELOPMENT]).ended(0).says(&["nothing to do"]);
    story.run(&["sleep", DEVELOPMENT, "--stop"]).ended(0);
    assert!(is_asleep(&story), "what stands still keeps its memory");
    assert!(asked(&story, "/whoami").body.contains(DEVELOPMENT));
    assert_ne!(started(&story), before);
    until("it is as described", || story.plan(DEVELOPMENT).is_empty());
    story.run(&["sleep", DEVELOPMENT]).ended(0);
    story.run(&["down", DEVELOPMENT]).ended(0);
    assert!(story.containers(DEVELOPMENT).is_empty());
    front.end().ended(0);
}

/// Service → the CPUs that its container may use, in billionths, and its quota.
fn ceilings(story: &Story, environment: &str) -> Vec<(String, String)> {
    let format = "{{.HostConfig.NanoCpus}} {{.HostConfig.CpuQuota}}";
    let of = |id: String| docker(&["inspect", "--format", format, &id]).trim().to_owned();
    let all = story.containers(environment);
    all.iter().map(|one| (one.service(), of(one.id()))).collect()
}

/// Services that go on, slowly.
fn throttled(story: &Story) -> Vec<String> {
    let is = |ceiling: &str| ["100000001 0", "0 10001"].contains(&ceiling);
    let all = ceilings(story, DEVELOPMENT).into_iter();
    all.filter(|(_, ceiling)| is(ceiling)).map(|(service, _)| service).collect()
}

/// Promise: development that is to be throttled goes on with a tenth of a processor for each container until somebody asks for it
/// or works in it, and has then what it had.
/// Given: development with `how: throttle`: a database with a ceiling, a web server with a quota, throttled by the front.
/// Then: nothing of it or of production was started again; a visitor and a shell wake it; `--stop` stops it, too, and `up`
/// gives it back what it had.
#[test]
fn what_is_throttled_goes_on() {
    let story = Story::light();
    story.edit("docker-compose.yml", "    expose: ", "    cpu_quota: 50000\n    expose: ");
    story.edit(
        "partywall.yaml",
        "memory: 512MB }\n",
        "memory: 512MB }\n    sleep: { idle: 3s, how: throttle }\n",
    );
    story.up(PRODUCTION);
    story.up(DEVELOPMENT);
    let (before, had) = (started(&story), ceilings(&story, DEVELOPMENT));
    let others = ceilings(&story, PRODUCTION);
    let steps = story.run(&["plan", DEVELOPMENT, "--operation", "sleep"]).ended(0).out;
    assert!(steps.contains("throttle web, db to 0.1 CPUs each | undo: give db "), "{steps}");
    let front = Agent::of(story.start(&["agent", "front"]));
    until("development is throttled", || throttled(&story) == ["db", "web"]);
    let shown = story.run(&["status"]).ended(0).out;
    assert!(shown.contains("asleep") && shown.contains("throttled"), "{shown}");
    let told = story.run(&["drift", DEVELOPMENT]).ended(1).out;
    assert!(told.contains("throttled, for it sleeps"), "{told}");
    assert!(asked(&story, "/whoami?a=b").body.contains(DEVELOPMENT));
    until("it is as described", || story.plan(DEVELOPMENT).is_empty());

    until("it is throttled again", || !throttled(&story).is_empty());
    docker(&["exec", "-d", &story.container(DEVELOPMENT, "web").id(), "sleep", "60"]);
    until("a shell wakes it", || throttled(&story).is_empty() && story.plan(DEVELOPMENT).is_empty());
    assert_eq!((started(&story), ceilings(&story, PRODUCTION)), (before, others));
    assert_eq!(ceilings(&story, DEVELOPMENT), had);
    let said = front.end().ended(0).out;
    assert!(said.contains("development wakes: somebody works in "), "{said}");

    story.run(&["sleep", DEVELOPMENT]).ended(0).says(&["nobody wakes it"]);
    story.run(&["sleep", DEVELOPMENT]).ended(0).says(&["nothing to do"]);
    story.run(&["sleep", DEVELOPMENT, "--stop"]).ended(0);
    assert!(is_asleep(&story));
    story.up(DEVELOPMENT);
    assert_eq!(ceilings(&story, DEVELOPMENT), had);
    assert_eq!(story.ask(DEVELOPMENT, "/whoami").status, 200);
}

/// Promise: the demonstration's development comes back for who asks, as it was.
/// Given: its database, cache, broker, worker and web server, all asleep.
/// Then: the first request is answered by the right environment, from the same containers.
#[test]
fn the_demonstration_wakes_for_who_asks() {
    let story = Story::demo();
    story.up(DEVELOPMENT);
    let ids = story.ids(DEVELOPMENT);
    let front = Agent::of(story.start(&["agent", "front"]));
    story.run(&["sleep", DEVELOPMENT]).ended(0);
    assert!(is_asleep(&story));
    let answer = asked(&story, "/whoami");
    assert!(answer.body.contains("\"environment\":\"development\""), "{answer:?}");
    assert_eq!(story.ids(DEVELOPMENT), ids, "the same containers");
    until("it is as described", || story.plan(DEVELOPMENT).is_empty());
    front.end().ended(0);
}
