//! `promote`, `rollback`, `retire`, `push`: releases come and go, and no visitor notices.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::net::TcpStream;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::harness::{DEVELOPMENT, PRODUCTION, Rows, Story, Traffic, finished, lines, until};

/// Promise: a new release comes without a lost request, and what runs stays a plain Compose project.
/// Given: production from the folder, visitors who never stop, another service that calls `web` by name.
/// Then: three promotions lose no request of a visitor; each answers its release; an old generation stays as long as a stream is in it; the database keeps its
/// container; the same commit again builds and flips nothing; after `retire` one container serves, nothing is
/// left to do, and a plain `docker compose up -d` with the rendered file leaves every container as it is.
#[test]
fn promotions_lose_no_request() {
    let story = Story::released();
    // The disk of whoever runs this may be full.
    story.write("partywall.yaml", &format!("{}governor: {{ room: 0% }}\n", story.read("partywall.yaml")));
    let database = story.ids(PRODUCTION)["db"].clone();
    let traffic = Traffic::to(story.http, &story.host(PRODUCTION), "production release");
    for number in ["2", "3"] {
        story.answering(number, HOLDING);
        story.commit(number);
        story.promote();
        assert_eq!(story.serves(PRODUCTION), format!("production release {number}"));
    }
    let mut stream = TcpStream::connect(("127.0.0.1", story.http)).expect("the proxy");
    let request = format!("GET /hold HTTP/1.1\r\nHost: {}\r\n\r\n", story.host(PRODUCTION));
    stream.write_all(request.as_bytes()).expect("a request");
    story.commit_good("4");
    story.promote();
    assert_eq!(story.serves(PRODUCTION), "production release 4");
    story.promote().says(&["nothing is built, nothing is flipped"]);
    assert_eq!(story.run(&["agent", "chores", "--plan"]).ended(0).out, "", "it is still to be kept warm");
    story.edit("partywall.yaml", "  watch: 1s\n", "  watch: 1s\n  warm: 1s\n");
    std::thread::sleep(Duration::from_secs(2));
    let due = || story.run(&["agent", "chores", "--plan"]).ended(0).out;
    assert_eq!(due(), "", "a stream goes on in it");
    drop(stream);
    until("the stream's end", || due().contains("retire"));
    story.run(&["agent", "chores"]).ended(0);
    traffic.all_answered();

    let calls = story.container(PRODUCTION, "caller").exec(&["true"]).map(|_| lost_calls(&story));
    // One that is under way when a generation goes may be cut; none is refused, and none meets one that starts.
    assert!(calls.is_some_and(|lost| lost <= 4), "{calls:?} calls between services are lost");
    assert_eq!(story.ids(PRODUCTION)["db"], database);
    assert!(story.plan(PRODUCTION).is_empty());
    let before = story.ids(PRODUCTION);
    assert_eq!(story.containers(PRODUCTION).len(), 4);
    let file = story.rendered(PRODUCTION).display().to_string();
    lines(&["compose", "-f", &file, "up", "-d"]);
    let after = story.ids(PRODUCTION);
    assert_eq!(after["web"], before["web"]);
    assert_eq!(after, before);

    let listed = story.run(&["releases", PRODUCTION, "--json"]).ended(0).json();
    let numbers: Vec<_> =
        listed["releases"].as_array().expect("releases").iter().map(|one| one["number"].clone()).collect();
    assert_eq!((listed["current"].clone(), numbers), (3.into(), vec![3.into(), 2.into(), 1.into()]));
}

fn lost_calls(story: &Story) -> usize {
    let name = format!("{}-caller-1", story.compose_project(PRODUCTION));
    lines(&["logs", &name]).iter().filter(|line| line.contains("lost")).count()
}

/// Promise: a bad release goes back by itself, and says why.
/// Given: production on release 2, somebody who writes rows, and releases that never get healthy, that answer wrongly, whose
/// migration fails, that fail 1 of 16 requests, that are slow, that end after a while.
/// Then: each ends with an error that names the cause; release 2 answers, from the containers that it had
/// before; nothing is unfinished; visitors met no more than a few failures, and only those of the release that was
/// flipped to before it failed; no row is lost.
#[test]
fn a_bad_release_goes_back_by_itself() {
    let story = Story::released();
    story.edit("partywall.yaml", "watch: 1s", "watch: 4s");
    story.commit_good("2");
    story.promote();
    story.run(&["retire", PRODUCTION]).ended(0);
    let before = story.ids(PRODUCTION);
    let rows = Rows::of(&story);
    for (kind, says, may_fail) in bad_releases() {
        kind(&story);
        story.commit("a bad release");
        let traffic = Traffic::to(story.http, &story.host(PRODUCTION), "production release");
        let told = story.run(&["promote"]);
        let told = told.ended(1).says(&[says]);
        let failures = traffic.failures();
        assert!(failures.len() <= may_fail, "{says}: {} failures: {failures:#?}", failures.len());
        assert_eq!(story.serves(PRODUCTION), "production release 2", "{}", told.err);
        let mut after = story.ids(PRODUCTION);
        // A job that ran stays as it ran.
        after.insert("migrate".into(), before["migrate"].clone());
        assert_eq!(after, before, "{says}");
        assert!(!story.run(&["status"]).err.contains("unfinished"), "{says}");
    }
    rows.all_there();
}

type Bad = (fn(&Story), &'static str, usize);

/// What is bad, what is said, and how many failures visitors may meet before it is noticed.
fn bad_releases() -> Vec<Bad> {
    vec![
        (
            |story| {
                story.good_release("a");
                story.write("app/serve.sh", "exec sleep infinity\n");
            },
            "service `web`",
            0,
        ),
        (
            |story| story.answering("b", "respond \"no\" 500"),
            "the new `web` does not answer `/whoami` as wanted",
            0,
        ),
        (
            |story| {
                story.good_release("c");
                // Not over because it runs.
                story.write("app/migrate.sh", "sleep 3; echo no such column >&2; exit 3\n");
            },
            "no such column",
            0,
        ),
        (|story| story.answering("d", SOMETIMES), "answers failed", 40),
        (|story| story.answering("e", SLOW), "answers took", 0),
        (
            |story| {
                story.good_release("f");
                story.write(
                    "app/serve.sh",
                    "caddy run --config /app/Caddyfile --adapter caddyfile & sleep 4; exit 7\n",
                );
            },
            "the new `web` is worse than the one before",
            40,
        ),
    ]
}

/// A request that is under way for a minute.
const HOLDING: &str = "handle /hold {\n\t\treverse_proxy 127.0.0.1:9 {\n\t\t\tlb_try_duration 60s\n\t\t}\n\t}\n\thandle {\n\t\trespond \"{$APP_ENV} release NAME\"\n\t}";
/// One of sixteen requests fails, but for those of the probe.
const SOMETIMES: &str = "@bad {\n\t\tvars_regexp {http.request.uuid} ^0\n\t\theader !X-Nobody\n\t}\n\thandle @bad {\n\t\trespond \"bad\" 500\n\t}\n\thandle {\n\t\trespond \"{$APP_ENV} release NAME\"\n\t}";
/// One of four requests fails; three in a row answer, sooner or later.
const OFTEN: &str = "@bad {\n\t\tvars_regexp {http.request.uuid} ^[0-3]\n\t\theader !X-Nobody\n\t}\n\thandle @bad {\n\t\trespond \"bad\" 500\n\t}\n\thandle {\n\t\trespond \"{$APP_ENV} release NAME\"\n\t}";
/// A release has the assets of its own name.
const ASSET: &str = "handle /static/NAME.js {\n\t\trespond \"asset\"\n\t}\n\thandle /static/* {\n\t\trespond 404\n\t}\n\thandle {\n\t\trespond \"{$APP_ENV} release NAME\"\n\t}";
/// The answer comes after half a second, when a server that is not there was waited for.
const SLOW: &str = "reverse_proxy 127.0.0.1:9 {\n\t\tlb_try_duration 500ms\n\t}\n\thandle_errors {\n\t\trespond \"{$APP_ENV} release NAME\" 200\n\t}";

/// Promise: of a bad release only a part of the visitors hears, and pages of the release before keep their assets.
/// Given: a canary of a quarter of the visitors and assets below `/static`, then a release of which a quarter of the
/// requests fail, then a good one.
/// Then: a canary that the proxy does not know of yet is refused; the bad release goes back without having met everybody;
/// after the good one, an asset of the release before is there until that is retired.
#[test]
fn a_canary_spares_most_visitors_a_bad_release() {
    let story = Story::released();
    story.answering("1", ASSET);
    story.commit("release 1");
    story.promote();
    let flipped = "hooks: { after-flip: [sh, -c, 'touch ../flipped'] }";
    let canary =
        format!("  watch: 1s\n  canary: {{ share: 25%, watch: 10s }}\n  assets: [/static/*]\n  {flipped}\n");
    story.edit("partywall.yaml", "  watch: 1s\n", &canary);
    story.answering("2", OFTEN);
    story.commit("much of it fails");
    story.run(&["promote"]).ended(1).says(&["promote.canary", "partywall up production"]);
    story.up(PRODUCTION);
    let traffic = Traffic::to(story.http, &story.host(PRODUCTION), "production release");
    let told = story.run(&["promote"]).ended(1);
    let told = told.says(&["lead 25 % of the visitors of web to", "answers failed"]);
    let failures = traffic.failures();
    assert!((1..=40).contains(&failures.len()), "{} failures: {failures:#?}", failures.len());
    assert!(!story.folder().join("flipped").exists(), "{}", told.err);
    assert_eq!(story.serves(PRODUCTION), "production release 1");

    story.answering("3", ASSET);
    story.commit("release 3");
    story.promote();
    assert!(story.folder().join("flipped").exists());
    let asset = |name: &str| story.ask(PRODUCTION, &format!("/static/{name}.js")).status;
    assert_eq!([asset("3"), asset("1"), asset("2")], [200, 200, 404]);
    story.run(&["retire", PRODUCTION]).ended(0);
    assert_eq!([asset("3"), asset("1")], [200, 404]);
    assert_eq!(story.run(&["plan", PRODUCTION, "--json"]).ended(0).json()["steps"], serde_json::json!([]));
}

/// Promise: the release before comes back, at once while it is warm and else from its images; and never over a
/// migration that nobody called compatible.
/// Given: releases 1 and 2, then visitors.
/// Then: `rollback` from 2 brings 1 back without a build, while warm from the very container that it had; again
/// leads to 2; after `retire` the same from the image; without `compatible` it is refused until it is accepted.
#[test]
fn the_release_before_comes_back() {
    let story = Story::released();
    story.promote();
    story.run(&["retire", PRODUCTION]).ended(0);
    story.commit_good("2");
    let warm = web(&story);
    story.promote();
    let traffic = Traffic::to(story.http, &story.host(PRODUCTION), "production release");
    story.run(&["rollback", PRODUCTION]).ended(0).says(&["which is release 1 again"]);
    assert_eq!(story.serves(PRODUCTION), "production release 1");
    assert!(web(&story).is_superset(&warm), "the warm container is the one that serves");
    story.run(&["rollback", PRODUCTION]).ended(0).says(&["which is release 2 again"]);
    assert_eq!(story.serves(PRODUCTION), "production release 2");
    story.run(&["retire", PRODUCTION]).ended(0);
    assert_eq!(web(&story).len(), 1);

    story.edit("partywall.yaml", "compatible: true", "compatible: false");
    story.commit_good("3");
    story.promote();
    story.run(&["retire", PRODUCTION]).ended(0);
    story.run(&["rollback", PRODUCTION, "1"]).ended(1).says(&["may not run with the schema of today"]);
    assert_eq!(story.serves(PRODUCTION), "production release 3");
    story.run(&["rollback", PRODUCTION, "1", "--accept-schema"]).ended(0);
    assert_eq!(story.serves(PRODUCTION), "production release 1");
    story.run(&["rollback", PRODUCTION, "77"]).ended(1).says(&["has no release 77"]);
    traffic.all_answered();
}

fn web(story: &Story) -> BTreeSet<String> {
    let all = story.containers(PRODUCTION).into_iter().filter(|one| one.service() == "web");
    all.map(|one| one.id()).collect()
}

/// Promise: two at once are one after the other, and the second is told of the first.
/// Given: a promotion under watch.
/// Then: a second one ends at once and names who holds the lock, by which command, and since when; the first one ends well.
#[test]
fn the_second_of_two_promotions_is_told() {
    let story = Story::released();
    story.edit("partywall.yaml", "watch: 1s", "watch: 4s");
    // A shell that waits for its child gets no signal that it does not ask for.
    story.write("app/serve.sh", "caddy run --config /app/Caddyfile --adapter caddyfile\ntrue\n");
    story.commit("deaf");
    story.promote();
    story.commit_good("2");
    let first = story.start(&["promote"]);
    until("the flip", || story.serves(PRODUCTION) == "production release 2");
    story.commit_good("3");
    let begun = Instant::now();
    let second = story.run(&["promote"]);
    assert_ne!(second.code, Some(0));
    let holder = format!("(process {})", first.id());
    for told in ["`partywall promote", "` is at work, started by ", " at 20", &holder] {
        assert!(second.err.contains(told), "{told}: {}", second.err);
    }
    assert!(begun.elapsed() < Duration::from_secs(20));
    finished(first).ended(0).says(&["`web` does not hear SIGTERM"]);
    assert_eq!(story.serves(PRODUCTION), "production release 2");
}

/// Promise: what was tried in development is what production gets, and nothing is built twice.
/// Given: a commit that was pushed to development.
/// Then: development answers it; `promote` takes the same commit though the folder has gone on, and builds
/// nothing; what is built is held in a group of its own, for whomever; pushing to production is refused; the folder runs again in development when it is asked for.
#[test]
fn what_was_pushed_is_what_is_promoted() {
    let story = Story::released();
    story
        .write("Dockerfile", &format!("{}RUN cat /proc/self/cgroup > /built-in\n", story.read("Dockerfile")));
    story.commit_good("2");
    story.run(&["push", DEVELOPMENT]).ended(0).says(&["`development` runs release 1"]);
    let group = story.container(DEVELOPMENT, "web").exec(&["cat", "/built-in"]).unwrap_or_default();
    // Under version 2 a container sees its own group as the root.
    let is_hidden = group.trim() == "0::/";
    assert!(is_hidden || group.contains("/partywall-build/"), "{group}");
    assert_eq!(story.serves(DEVELOPMENT), "development release 2");
    story.run(&["push", DEVELOPMENT]).ended(0).says(&["nothing is built"]);
    story.commit_good("3");
    let told = story.promote();
    assert!(!told.err.contains("build images"), "{}", told.err);
    assert_eq!(story.serves(PRODUCTION), "production release 2");
    story.run(&["push", PRODUCTION]).ended(1).says(&["partywall promote --to production"]);

    story.write("app/Caddyfile", "changed and not committed");
    story.run(&["promote", "--ref", "HEAD"]).ended(0);
    assert_eq!(story.serves(PRODUCTION), "production release 3");
    story
        .run(&["push", DEVELOPMENT])
        .ended(1)
        .says(&["the folder is not what its last commit says", "app/Caddyfile"]);
    story
        .run(&["promote", "--ref", "no-such-branch"])
        .ended(2)
        .says(&["there is no commit `no-such-branch`"]);
    story.good_release("4");
    story.run(&["up", DEVELOPMENT, "--folder", "--build"]).ended(0);
    assert_eq!(story.serves(DEVELOPMENT), "development release 4");
}

/// Promise: hooks run at their moments, what somebody changed by hand stops a promotion, and old releases go.
/// Given: production on a release, hooks that note their moment, `keep: 2`, a container whose memory was changed.
/// Then: the change is named and nothing is built; accepted, the hooks run in order, and `--json` tells each step; one that fails
/// before the flip takes everything back; after four releases two are listed, with all that is to be known of them, and the images of
/// the others are gone.
#[test]
fn hooks_run_and_changes_by_hand_stop_it() {
    let story = Story::released();
    let noted = "[sh, -c, 'echo $PARTYWALL_MOMENT $PARTYWALL_ENVIRONMENT >> ../moments']";
    let moments = ["before-build", "before-migrate", "before-flip", "after-flip", "after-watch"];
    let hooks: Vec<String> = moments[1..].iter().map(|moment| format!("{moment}: {noted}")).collect();
    story.edit(
        "partywall.yaml",
        "  watch: 1s\n",
        &format!("  watch: 1s\n  keep: 2\n  hooks: {{ {} }}\n", hooks.join(", ")),
    );
    story.promote();
    let first = story.run(&["releases", PRODUCTION, "--json"]).ended(0).json();
    let image = first["releases"][0]["images"]["web"].as_str().expect("an image").to_owned();
    story.run(&["retire", PRODUCTION]).ended(0);

    let database = format!("{}-db-1", story.compose_project(PRODUCTION));
    lines(&["update", "--memory", "200m", "--memory-swap", "200m", &database]);
    story.commit_good("2");
    let refused = story.run(&["promote"]).ended(1).says(&["was changed by hand", "services.db.memory"]);
    assert!(!refused.err.contains("build images"), "{}", refused.err);
    tells_each_step(&story.run(&["promote", "--accept-drift", "--json"]).ended(0).out);
    let ran = || std::fs::read_to_string(story.folder().join("moments")).unwrap_or_default();
    let once: String = moments[1..].iter().map(|moment| format!("{moment} production\n")).collect();
    assert_eq!(ran(), once.repeat(2));

    let good = story.read("partywall.yaml");
    story.edit(
        "partywall.yaml",
        &format!("before-flip: {noted}"),
        "before-flip: [sh, -c, 'echo not today >&2; exit 3']",
    );
    story.commit_good("3");
    story.run(&["promote", "--accept-drift"]).ended(1).says(&["not today", "was taken back"]);
    assert_eq!(story.serves(PRODUCTION), "production release 2");
    story.write("partywall.yaml", &good);
    for number in ["4", "5"] {
        story.commit_good(number);
        story.run(&["promote", "--accept-drift"]).ended(0);
    }
    let left = story.run(&["releases", PRODUCTION, "--json"]).ended(0).json();
    assert_eq!(left["releases"].as_array().map(Vec::len), Some(2), "{left}");
    is_whole(&left);
    assert!(lines(&["images", "-q", &image]).is_empty(), "{image}");
}

/// Each step begins and ends, in order, and the last line says what runs now.
fn tells_each_step(out: &str) {
    let all: Vec<Value> = out.lines().map(|line| serde_json::from_str(line).expect("an object")).collect();
    let (last, events) = all.split_last().expect("lines");
    assert_eq!((&last["ok"], &last["changed"], &last["release"]), (&json!(true), &json!(true), &json!(2)));
    let steps = events[0]["steps"].as_u64().expect("a number");
    let ended = |event: &str| {
        let of = events.iter().filter(|one| one["event"] == event && one["steps"] == steps);
        of.map(|one| one["step"].as_u64().expect("a number")).collect::<Vec<_>>()
    };
    assert_eq!(ended("started"), (1..=steps).collect::<Vec<_>>(), "{out}");
    assert_eq!(ended("done"), ended("started"), "{out}");
    assert_eq!(events.last().map(|one| &one["event"]), Some(&json!("applied")), "{out}");
}

/// What ran, of what, since when, by whom, and how it went.
fn is_whole(listed: &Value) {
    let newest = &listed["releases"][0];
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    assert_eq!((text(&newest["commit"]).len(), text(&newest["subject"])), (40, "release 5".to_owned()));
    assert!(text(&newest["digests"]["web"]).starts_with("sha256:"), "{newest}");
    assert!(
        !text(&newest["compose"]).is_empty() && newest["at"].as_i64().is_some_and(|at| at > 0),
        "{newest}"
    );
    let attempts = listed["attempts"].as_array().expect("a list");
    let outcomes: Vec<String> = attempts.iter().map(|one| text(&one["outcome"])).collect();
    assert_eq!(outcomes, ["applied", "applied", "taken-back", "applied", "applied"]);
    let is_timed =
        |one: &Value| one["begun"].as_i64() <= one["ended"].as_i64() && !text(&one["by"]).is_empty();
    assert!(attempts.iter().all(is_timed), "{listed}");
}

/// Promise: what is pushed with plain git comes to production, by a hook of four lines.
/// Given: a bare repository of which the project is a clone, with the hook that the documentation shows.
/// Then: `git push` to `main` shows the steps and production answers the commit; another branch changes nothing.
#[test]
fn a_push_with_plain_git_promotes() {
    let story = Story::released();
    let bare = story.folder().join("bare.git");
    let bare = bare.to_str().expect("a path");
    story.git(&["clone", "--quiet", "--bare", ".", bare]);
    story.git(&["remote", "add", "origin", bare]);
    let documented = include_str!("../../../../docs/promote.md");
    let hook = documented.split("```sh\n").nth(1).and_then(|rest| rest.split("```").next()).expect("a hook");
    let project = story.project().display().to_string();
    let program = env!("CARGO_BIN_EXE_partywall");
    let state = format!("PARTYWALL_STATE={} {program} promote", story.state().display());
    let hook = hook.replace("/srv/shop", &project).replace("partywall promote", &state);
    let file = story.folder().join("bare.git/hooks/post-receive");
    std::fs::write(&file, hook).expect("a hook");
    std::fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(0o755)).expect("a hook");

    story.commit_good("2");
    story.git(&["push", "--quiet", "origin", "HEAD:refs/heads/topic"]);
    assert_eq!(story.serves(PRODUCTION), "production release 1");
    story.git(&["push", "--quiet", "origin", "HEAD:refs/heads/main"]);
    assert_eq!(story.serves(PRODUCTION), "production release 2");
}
