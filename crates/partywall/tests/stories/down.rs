//! `down` and `destroy`: development never asks, production wants its name, strangers are left alone.

use crate::harness::{DEVELOPMENT, PRODUCTION, Story, docker, docker_answers, image};

/// Promise: production is not hit by accident, and what is destroyed is gone.
/// Given: both environments up.
/// Then: `down` and `destroy` of production are refused without its name, with another name and with
/// `--yes`, and nothing changes; development goes without a question; in the end no container, network,
/// volume, control group or file of an environment is left.
#[test]
fn production_wants_its_name_and_development_never_asks() {
    let story = Story::light();
    story.up(PRODUCTION);
    story.up(DEVELOPMENT);
    let before = story.everything(PRODUCTION);
    for operation in ["down", "destroy"] {
        for extra in [&[][..], &["--yes"], &["--confirm", "development"], &["--confirm", "yes"]] {
            let words: Vec<&str> = [operation, PRODUCTION].iter().chain(extra).copied().collect();
            story.run(&words).ended(1).says(&[
                "was not confirmed",
                "because: ",
                "hint: add `--confirm production`",
            ]);
        }
    }
    assert_eq!(story.everything(PRODUCTION), before);

    let volume = format!("{}_data", story.compose_project(DEVELOPMENT));
    story.run(&["down", DEVELOPMENT]).ended(0);
    assert!(story.containers(DEVELOPMENT).is_empty());
    assert!(docker_answers(&["volume", "inspect", &volume]).is_some(), "`down` keeps volumes");
    assert_eq!(story.ask(DEVELOPMENT, "/").status, 503, "a stopped environment says so");
    story.run(&["down", DEVELOPMENT]).ended(0).says(&["nothing to do"]);
    story.up(DEVELOPMENT);
    story.run(&["destroy", DEVELOPMENT]).ended(0);
    assert_eq!(story.everything(DEVELOPMENT), Vec::<String>::new());
    assert_eq!(story.everything(PRODUCTION), before);
    assert_eq!(story.ask(PRODUCTION, "/").body, "production first");

    story.run(&["destroy", PRODUCTION, "--confirm", PRODUCTION]).ended(0);
    assert_eq!(story.everything(PRODUCTION), Vec::<String>::new());
    let left = files_below(&story.state());
    let may_stay = |path: &str| {
        ["journal.db", "journal.db-wal", "journal.db-shm", "reserve", "lock", "identity"]
            .iter()
            .any(|end| path.ends_with(end))
            || path.contains("/proxy/") && !path.contains("/sites/") && !path.contains("/switch/")
    };
    assert!(left.iter().all(|path| may_stay(path)), "{left:?}");
    story.up(DEVELOPMENT);
    assert_eq!(story.ask(DEVELOPMENT, "/").status, 200, "the proxy without a site took in the next one");
}

fn files_below(folder: &std::path::Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    let files = |path: std::path::PathBuf| {
        if path.is_dir() { files_below(&path) } else { vec![path.display().to_string()] }
    };
    entries.flat_map(files).collect()
}

/// Promise: what `destroy` does not reach is said before and after.
/// Given: a production database in a folder beside the Compose file.
/// Then: the refusal and the destruction both name the folder, and its files are still there.
#[test]
fn data_that_stays_is_named() {
    let story = Story::light();
    let compose = story.read("docker-compose.yml").replace("\"data:/data\"", "\"./data:/data\"");
    story.write("docker-compose.yml", &compose.replace("volumes:\n  data:\n", ""));
    story.up(PRODUCTION);
    let folder = story.project().join("data");
    let said = format!("data outside of its own volumes stays: {}", folder.display());
    story.run(&["destroy", PRODUCTION]).ended(1).says(&[&said]);
    let told = story.run(&["destroy", PRODUCTION, "--confirm", PRODUCTION]).ended(0);
    assert_eq!(told.err.matches(&said).count(), 2, "{}", told.err);
    assert!(folder.is_dir());
    // What the container wrote may belong to another user.
    docker(&[
        "run",
        "--rm",
        "-v",
        &format!("{}:/d", folder.display()),
        &image("debian"),
        "find",
        "/d",
        "-mindepth",
        "1",
        "-delete",
    ]);
}

/// Promise: containers whose labels disagree with the request are never touched.
/// Given: an environment that is up, and under its Compose project a container without our labels, or
/// with another environment's.
/// Then: `up`, `down`, `destroy`, `logs` and `exec` refuse with exit 1 and name it; nothing changes.
#[test]
fn strangers_are_told_and_left_alone() {
    let story = Story::light();
    story.up(DEVELOPMENT);
    for labels in [&[][..], &["partywall.environment=production"], &["partywall.environment=development"]] {
        let stranger = format!("{}-stranger", story.name);
        run_under(&story, &stranger, labels);
        let before = story.everything(DEVELOPMENT);
        for words in [
            &["up", DEVELOPMENT][..],
            &["down", DEVELOPMENT],
            &["destroy", DEVELOPMENT],
            &["logs", DEVELOPMENT],
            &["exec", DEVELOPMENT, "web", "--", "true"],
        ] {
            story.run(words).ended(1).says(&["error: ", &stranger, "never touched", "hint: "]);
        }
        assert_eq!(story.everything(DEVELOPMENT), before, "{labels:?}");
        docker(&["rm", "-f", &stranger]);
    }
    story.run(&["destroy", DEVELOPMENT]).ended(0);
}

/// A container of somebody else under development's Compose project; `partywall.project` is there or wrong.
fn run_under(story: &Story, name: &str, labels: &[&str]) {
    let project = format!("com.docker.compose.project={}", story.compose_project(DEVELOPMENT));
    let whose = if labels == ["partywall.environment=production"] { story.name.as_str() } else { "another" };
    let ours = format!("partywall.project={whose}");
    let (debian, service) = (image("debian"), "com.docker.compose.service=stranger");
    let mut words = vec!["run", "-d", "--init", "--name", name, "--label", &project, "--label", service];
    words.extend(["--label", "com.docker.compose.oneoff=False"]);
    if !labels.is_empty() {
        words.extend(["--label", ours.as_str()]);
    }
    words.extend(labels.iter().flat_map(|label| ["--label", *label]));
    words.extend([debian.as_str(), "sleep", "infinity"]);
    docker(&words);
}
