//! The governor's last resort, end to end: production waits for memory, development loses its own and sleeps, and comes back.

use std::fs;

use serde_json::Value;

use crate::harness::{Agent, DEVELOPMENT, PRODUCTION, Story, Traffic, ask, docker, image, until};

/// Of the machine's memory, what development holds: the governor asks nobody to sleep who holds a twentieth or less.
const HELD: f64 = 0.06;
/// Production reads more than it has memory for while this file is there.
const PRESSES: &str = "/var/tmp/presses";

/// Both have what they need, and what they had to do for it presses nobody any more.
const READY: &str = "/var/tmp/ready";

fn megabytes_held() -> u64 {
    let text = fs::read_to_string("/proc/meminfo").expect("a Linux");
    let total = text.lines().find_map(|line| line.strip_prefix("MemTotal:")).expect("a size");
    let kilobytes: f64 = total.trim().trim_end_matches(" kB").parse().expect("a number");
    (kilobytes * HELD / 1024.0).ceil() as u64
}

/// In production `reader` waits for memory whenever it is told to; in development `hoard` holds what it can.
///
/// Nothing else does anything: development must not grow then, and would lose `hoard` to the kernel.
fn pressed() -> Story {
    let story = Story::light();
    let held = megabytes_held();
    let web = format!(
        "services:\n  web:\n    image: {}\n    command: [caddy, respond, --listen, \":8000\", \"${{APP_ENV}}\"]\n    \
         environment: {{ APP_ENV: \"${{APP_ENV}}\" }}\n    expose: [\"8000\"]\n    stop_grace_period: 1s\n",
        image("caddy")
    );
    story.write("docker-compose.yml", &web);
    // Each look for a page that is not there is a wait for memory: one at a time, none is read before it is wanted.
    let looks = format!(
        "open F, '<', '/var/tmp/file'; while (1) {{ select undef, undef, undef, 0.2 until -e '{PRESSES}'; \
         for (1..5000) {{ sysseek F, int(rand(20480)) * 4096, 0; sysread F, $$x, 4096 }} }}"
    );
    let reads = format!(
        "head -c 80M /dev/urandom > /var/tmp/file; touch {READY}; for i in 1 2 3; do perl -e \"$$LOOKS\" & done; wait"
    );
    let hoards =
        format!("my $$held = ''; vec($$held, {held} << 20, 8) = 1; open(F, '>', '{READY}'); sleep while 1;");
    let of = |name: &str, words: &str, limit: &str| {
        format!(
            "services:\n  {name}:\n    image: {}\n    init: true\n    command: {words}\n    mem_limit: {limit}\n    stop_grace_period: 0s\n",
            image("debian")
        )
    };
    story.write(
        "production.yml",
        &format!(
            "{}    environment: {{ LOOKS: {looks:?} }}\n",
            of("reader", &format!("[sh, -c, {reads:?}]"), "64m")
        ),
    );
    story.write(
        "compose.override.yml",
        &of("hoard", &format!("[perl, -e, {hoards:?}]"), &format!("{}m", held * 2)),
    );
    story.edit(
        "partywall.yaml",
        "env_file: .env.prod\n",
        "env_file: .env.prod\n    overlays: [production.yml]\n",
    );
    story.edit("partywall.yaml", "memory: 512MB", &format!("memory: {}MB", held * 3));
    let governor = "governor: { mode: guarantee, wake: 5s, room: 0% }\n";
    story.write("partywall.yaml", &format!("{}{governor}", story.read("partywall.yaml")));
    story
}

fn status(story: &Story) -> Value {
    story.run(&["agent", "status", "-n", "100", "--json"]).ended(0).json()
}

fn decisions(story: &Story) -> String {
    status(story)["decisions"].to_string()
}

/// Promise: where production waits hard for memory, who holds some of it loses it, and sleeps until production is calm.
/// Given: production that reads more than fits into its memory, development that holds a part of the machine's, visitors of
/// production who never stop.
/// Then: while no front runs, development's largest container ends; with one, development sleeps for as long as production
/// waits, whoever asks for it; afterwards it comes back, and no visitor of production has noticed.
#[test]
fn who_holds_memory_that_production_waits_for_sleeps_until_it_is_calm() {
    let story = pressed();
    story.up(PRODUCTION);
    story.up(DEVELOPMENT);
    let production = story.ids(PRODUCTION);
    let is_ready = |environment: &str, service: &str| {
        story.container(environment, service).exec(&["test", "-e", READY]).is_some()
    };
    until("all have what they need", || is_ready(PRODUCTION, "reader") && is_ready(DEVELOPMENT, "hoard"));
    let traffic = Traffic::to(story.http, &story.host(PRODUCTION), PRODUCTION);
    let agent = Agent::start(&story);
    until("the agent answers", || status(&story)["running"] == true);
    let press = |word: &str| docker(&["exec", &story.container(PRODUCTION, "reader").id(), word, PRESSES]);
    press("touch");
    until("development is to sleep", || status(&story)["status"]["to_sleep"][DEVELOPMENT].is_string());
    until("the largest container ends", || !story.container(DEVELOPMENT, "hoard").is_running());
    assert!(story.container(DEVELOPMENT, "web").is_running(), "only the largest");

    let front = Agent::of(story.start(&["agent", "front"]));
    until("development sleeps", || {
        let all = story.containers(DEVELOPMENT);
        !all.is_empty() && all.iter().all(|one| !one.is_running())
    });
    let mut refused = None;
    until("who asks is told so", || {
        refused = ask(story.http, &story.host(DEVELOPMENT), "/whoami").ok();
        refused.is_some()
    });
    let refused = refused.expect("an answer");
    assert_eq!(refused.status, 503, "{refused:?}");
    assert!(refused.body.contains("sleeps until production is calm"), "{refused:?}");

    press("rm");
    until("development is awake for who asks", || {
        ask(story.http, &story.host(DEVELOPMENT), "/whoami").is_ok_and(|one| one.status == 200)
    });
    until("all of it runs", || story.container(DEVELOPMENT, "hoard").is_running());
    let decided = decisions(&story);
    for what in ["production waited", "loses the container that holds most memory", "production is calm"] {
        assert!(decided.contains(what), "`{what}` is not among {decided}");
    }
    assert_eq!(story.ids(PRODUCTION), production, "production was touched");
    assert!(front.end().ended(0).out.contains("development wakes: production is calm"));
    agent.end().ended(0);
    traffic.all_answered();
}
