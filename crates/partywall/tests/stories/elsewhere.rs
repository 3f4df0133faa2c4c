//! Environments that changed under our feet: another copy of the project, another state folder, a lost network.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;
use std::process::{Command, Stdio};

use crate::harness::{DEVELOPMENT, PRODUCTION, Story, Told, docker, docker_answers, finished};

/// Runs the program in another folder or with another state folder.
fn told(story: &Story, words: &[&str], change: impl FnOnce(&mut Command)) -> Told {
    let mut command = story.command(words);
    change(&mut command);
    finished(command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the program"))
}

/// Promise: a second copy of a project never takes the first one's place by accident.
/// Given: production with its data in a relative folder, and a second copy of the project.
/// Then: there `plan`, `up`, `down`, `destroy`, `exec` and `shell` are refused and name both folders;
/// `--moved` alone does not give production other data, the typed name does; a folder that has been moved
/// says that the one before is gone; the copy that lost production is refused then.
#[test]
fn a_second_copy_of_the_project() {
    let story = Story::light();
    story.edit("docker-compose.yml", "volumes: [\"data:/data\"]", "volumes: [\"./data:/data\"]");
    story.up(PRODUCTION);
    let ids = story.ids(PRODUCTION);
    let first = story.project();
    let second = first.with_file_name("second");
    copy(&first, &second);
    let there = |words: &[&str]| {
        told(&story, words, |command| {
            command.current_dir(&second);
        })
    };
    let both =
        format!("because: it was brought up from {}, and this is {}", first.display(), second.display());
    for words in [
        &["plan", PRODUCTION][..],
        &["up", PRODUCTION],
        &["down", PRODUCTION, "--confirm", PRODUCTION],
        &["destroy", PRODUCTION, "--confirm", PRODUCTION],
        &["exec", PRODUCTION, "db", "--", "true"],
        &["shell", PRODUCTION],
    ] {
        there(words).ended(1).says(&["error: `production` runs from another folder", &both, "`--moved`"]);
    }
    there(&["exec", PRODUCTION, "db", "--moved", "--", "true"]).ended(0);
    let change = format!("/data: {}/data → {}/data", first.display(), second.display());
    let plan = there(&["plan", PRODUCTION, "--moved"]).ended(0);
    assert!(plan.out.contains(&format!("configuration differs (db: {change})")), "{}", plan.out);
    there(&["up", PRODUCTION, "--moved"]).ended(1).says(&[
        "`up production` was not confirmed",
        &format!("it would find other data: `db` {change}"),
        "hint: add `--confirm production`",
    ]);
    assert_eq!(story.ids(PRODUCTION), ids, "nothing was touched");

    there(&["up", PRODUCTION, "--moved", "--confirm", PRODUCTION]).ended(0);
    let mounted = second.join("data").display().to_string();
    assert!(story.container(PRODUCTION, "db").mounts().contains(&mounted));
    story.run(&["up", PRODUCTION]).ended(1).says(&["runs from another folder", "hint: run it in "]);
    there(&["up", PRODUCTION]).ended(0).says(&["nothing to do"]);
    fs::rename(&second, second.with_file_name("third")).expect("a folder");
    story.run(&["up", PRODUCTION]).ended(1).says(&["is no longer there; if the project has moved here"]);
}

fn copy(from: &Path, to: &Path) {
    let status = Command::new("cp").arg("-rT").args([from, to]).status();
    assert!(status.is_ok_and(|status| status.success()));
}

/// Promise: two state folders on one engine do not fight for an environment.
/// Given: development, up; and another state folder.
/// Then: with that, `up`, `down`, `destroy` and `exec` are refused and say which file made it, and nothing
/// changes; `--moved` takes it over, proxy and all, and the first state folder is refused from then on.
#[test]
fn another_state_folder() {
    let story = Story::light();
    story.up(DEVELOPMENT);
    let ids = story.ids(DEVELOPMENT);
    let state = story.state().with_file_name("state2");
    let other = |words: &[&str]| {
        told(&story, words, |command| {
            command.env("PARTYWALL_STATE", &state);
        })
    };
    let made_from = story.rendered(DEVELOPMENT).display().to_string();
    let way = format!("`PARTYWALL_STATE={} partywall …`", story.state().display());
    for words in [
        &["up", DEVELOPMENT][..],
        &["down", DEVELOPMENT],
        &["destroy", DEVELOPMENT],
        &["exec", DEVELOPMENT, "web", "--", "true"],
    ] {
        let told = other(words).ended(1);
        told.says(&["error: `development` runs from another state folder", &made_from, &way, "`--moved`"]);
    }
    other(&["up", PRODUCTION]).ended(1).says(&["error: the proxy ", "runs from another state folder", &way]);
    assert_eq!(story.ids(DEVELOPMENT), ids);
    assert!(!state.exists(), "what is refused writes nothing");

    other(&["up", DEVELOPMENT, "--moved"]).ended(0);
    assert_eq!(story.ask(DEVELOPMENT, "/").body, "development first");
    let told = story.run(&["up", DEVELOPMENT]).ended(1);
    told.says(&["error: `development` runs from another state folder", &state.display().to_string()]);
    other(&["destroy", DEVELOPMENT]).ended(0);
}

/// Promise: a take-over that fails leaves what ran running.
/// Given: development, up; and another state folder, with a version of the application that dies at once.
/// Then: `up --moved` there fails, and what ran before answers again, as the first state folder knows it.
#[test]
fn a_failed_take_over_is_taken_back() {
    let story = Story::light();
    story.up(DEVELOPMENT);
    let good = story.read("docker-compose.yml");
    story.edit("docker-compose.yml", "[caddy, respond,", "[caddy, resprond,");
    let state = story.state().with_file_name("state2");
    let words = ["up", DEVELOPMENT, "--moved"];
    told(&story, &words, |command| {
        command.env("PARTYWALL_STATE", &state);
    })
    .ended(1)
    .says(&["error: service `web`", "everything is as before"]);
    story.write("docker-compose.yml", &good);
    story.up(DEVELOPMENT);
    assert_eq!(story.ask(DEVELOPMENT, "/").body, "development first");
}

/// Promise: `up` notices what a container has lost, and gives it back.
/// Given: development; its database is taken off its network, then its network is removed altogether.
/// Then: `plan` says so and `up` repairs it, with the data as it was; a second `up` has nothing to do.
#[test]
fn a_lost_network() {
    let story = Story::light();
    story.up(DEVELOPMENT);
    let network = format!("{}_default", story.compose_project(DEVELOPMENT));
    let db = story.container(DEVELOPMENT, "db");
    db.exec(&["redis-cli", "set", "kept", "yes"]).expect("redis answers");
    docker(&["network", "disconnect", &network, &db.id()]);
    let plan = story.run(&["plan", DEVELOPMENT]).ended(0).out;
    assert!(
        plan.contains("make anew db") && plan.contains(&format!("off its networks (db: {network})")),
        "{plan}"
    );
    repaired(&story);

    for one in story.containers(DEVELOPMENT) {
        docker_answers(&["network", "disconnect", &network, &one.id()]);
    }
    docker(&["network", "rm", &network]);
    repaired(&story);
    assert_eq!(story.ask(DEVELOPMENT, "/").body, "development first");
}

#[track_caller]
fn repaired(story: &Story) {
    story.up(DEVELOPMENT);
    let db = story.container(DEVELOPMENT, "db");
    let address = db.addresses().into_iter().map(|(address, _)| address).next().expect("an address");
    let ping = ["redis-cli", "-h", &address, "get", "kept"];
    assert_eq!(db.exec(&ping).as_deref(), Some("yes"));
    let found = story.container(DEVELOPMENT, "web").exec(&["getent", "hosts", "db"]);
    assert!(found.is_some_and(|found| found.starts_with(&address)), "`db` is not found by its name");
    story.up(DEVELOPMENT).says(&["nothing to do"]);
}

/// Promise: whoever makes the proxy anew cuts nobody off.
/// Given: both environments, and another port for the proxy in partywall.yaml.
/// Then: after `up production` alone, both answer on the new port.
#[test]
fn a_proxy_made_anew() {
    let mut story = Story::light();
    story.up(PRODUCTION);
    story.up(DEVELOPMENT);
    let port = story.port + 5;
    story.edit("partywall.yaml", &format!("http_port: {}", story.http), &format!("http_port: {port}"));
    story.http = port;
    story.up(PRODUCTION);
    assert_eq!(story.ask(PRODUCTION, "/").body, "production first");
    assert_eq!(story.ask(DEVELOPMENT, "/").body, "development first");
}

/// Promise: a plan says what differs, and never a value.
/// Given: an environment that is up, and another value in the environment of one service.
/// Then: the plan names service and variable.
#[test]
fn a_plan_names_what_differs() {
    let story = Story::light();
    story.up(DEVELOPMENT);
    story.note(DEVELOPMENT, "s3cret");
    let plan = story.run(&["plan", DEVELOPMENT]).ended(0).out;
    assert!(plan.contains("configuration differs (web: command, environment NOTE)"), "{plan}");
    assert!(!plan.contains("s3cret"), "{plan}");
}

/// Promise: `destroy` does not stop half-way at what containers wrote as somebody else.
/// Given: a user beside root with both environments up behind their proxy, and in the state folder a folder of root's.
/// Then: `destroy` is refused before anything is touched, with the way to go, and works when that is gone.
#[test]
fn a_folder_that_only_root_may_remove() {
    if !rustix::process::geteuid().is_root() {
        return;
    }
    let story = Story::light();
    for path in [story.project().parent().expect("a folder above"), &story.project()] {
        fs::set_permissions(path, fs::Permissions::from_mode(0o777)).expect("rights");
    }
    for environment in [PRODUCTION, DEVELOPMENT] {
        as_somebody(&story, &["up", environment]).ended(0);
        assert_eq!(story.ask(environment, "/").body, format!("{environment} first"));
    }
    let run = story.state().join("proxy").join(story.proxy()).join("run");
    let mode = fs::metadata(run).expect("the proxy's folder").permissions().mode();
    assert_eq!(mode & 0o777, 0o700, "only its owner may speak to the proxy");
    let folder = story.rendered(DEVELOPMENT).with_file_name("binds").join("of-root");
    fs::create_dir_all(&folder).expect("a folder");
    fs::write(folder.join("file"), "").expect("a file");
    let before = story.everything(DEVELOPMENT);
    as_somebody(&story, &["destroy", DEVELOPMENT]).ended(1).says(&[
        "error: `development` cannot be destroyed by this user",
        "because: a container made `",
        "hint: `partywall down development`, then `sudo rm -rf",
    ]);
    assert_eq!(story.everything(DEVELOPMENT), before);
    fs::remove_dir_all(story.rendered(DEVELOPMENT).with_file_name("binds")).expect("removed");
    as_somebody(&story, &["destroy", DEVELOPMENT]).ended(0);
    assert!(story.containers(DEVELOPMENT).is_empty() && !story.rendered(DEVELOPMENT).exists());
    assert_eq!(story.ask(PRODUCTION, "/").body, "production first");
    as_somebody(&story, &["destroy", PRODUCTION, "--confirm", PRODUCTION]).ended(0);
}

/// Runs the program as a user without rights but that to the engine.
fn as_somebody(story: &Story, words: &[&str]) -> Told {
    let program = story.project().join("partywall-copy");
    fs::copy(env!("CARGO_BIN_EXE_partywall"), &program).expect("a copy");
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).expect("rights");
    let socket = fs::metadata("/var/run/docker.sock").expect("a socket").gid();
    let mut command = Command::new("setpriv");
    command.args(["--reuid=65534", "--regid=65534", &format!("--groups={socket}"), "--"]);
    command.arg(&program).args(words).current_dir(story.project()).stdin(Stdio::null());
    command.env("PARTYWALL_STATE", story.state()).env("HOME", story.project());
    finished(command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the program"))
}
