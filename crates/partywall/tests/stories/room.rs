//! Room on a full disk: what is surely nobody's goes, and nothing else.

use std::fs;
use std::process::Command;

use serde_json::{Value, json};

use crate::harness::{Engine, PRODUCTION, Story, docker, in_a_network_of_its_own, lines};

/// Promise: before development's writes are stopped, images that are nobody's go, and nothing that is somebody's.
/// Given: an engine of its own, for nothing of anybody else's is to be at stake.
#[test]
fn only_what_is_nobodys_goes() {
    in_a_network_of_its_own("room::room_in_an_engine_of_its_own", &["caddy", "redis"]);
}

/// Given: releases of production; images that are years old: one that nobody needs, one that somebody named, one of
/// which a container was made, one that a kept release mentions; a folder of a commit that never became a release; volumes.
/// Then: with room enough nothing is due; with too little, the chores remove the first image and the folder; all else is there; it is told, and
/// not due again at once; the release before comes back without being built.
#[test]
#[ignore = "runs in the network namespace that `only_what_is_nobodys_goes` makes"]
fn room_in_an_engine_of_its_own() {
    let _engine = Engine::start();
    let story = Story::released();
    story.commit_good("2");
    story.promote();
    story.commit_good("3");
    story.promote();
    story.run(&["retire", PRODUCTION]).ended(0);
    let [nobodys, named, used, mentioned] =
        ["nobodys", "named", "used", "mentioned"].map(|one| old(&story, one));
    docker(&["tag", &named, "somebody/else:1"]);
    docker(&["create", &used, "nothing"]);
    mention(&story, &mentioned);
    docker(&["volume", "create", "somebodys"]);
    let trees = story.state().join("projects").join(&story.name).join(".trees");
    let left = trees.join("left");
    fs::create_dir(&left).expect("a folder");
    assert!(
        Command::new("touch").args(["-d", "2020-01-01"]).arg(&left).status().is_ok_and(|one| one.success())
    );
    let images = || lines(&["image", "ls", "-aq", "--no-trunc"]);
    let (before, volumes) = (images(), lines(&["volume", "ls", "-q"]));
    let folders = || fs::read_dir(&trees).expect("a folder").count();
    let kept = folders() - 1;

    let chores = || story.run(&["agent", "chores", "--plan"]).ended(0).out;
    let room = |share: &str| format!("{}governor: {{ room: {share} }}\n", story.read("partywall.yaml"));
    let (never, always) = (room("0%"), room("100%"));
    story.write("partywall.yaml", &never);
    assert_eq!(chores(), "");
    story.write("partywall.yaml", &always);
    let due = chores();
    assert!(due.starts_with("partywall prune | ") && due.contains("`governor.room` is 100%"), "{due}");
    let plan = story.run(&["prune", "--plan"]).ended(0).out;
    let short = &nobodys.trim_start_matches("sha256:")[..12];
    assert!(plan.starts_with(&format!("1. remove unnamed images {short} | undo: - | ")), "{plan}");
    assert_eq!(images(), before, "a plan removes nothing");

    story.run(&["agent", "chores"]).ended(0).says(&["1 unnamed image"]);
    let (after, gone): (Vec<_>, Vec<_>) = before.into_iter().partition(|one| *one != nobodys);
    assert_eq!((images(), gone.len()), (after.clone(), 1));
    assert_eq!(lines(&["volume", "ls", "-q"]), volumes);
    assert_eq!((left.exists(), folders()), (false, kept));
    assert_eq!(chores(), "", "it was done a moment ago");
    let told = story.run(&["status"]).ended(0).out;
    assert!(told.contains("given back: 1 unnamed image, 1 folder"), "{told}");
    story.run(&["rollback", PRODUCTION]).ended(0);
    assert_eq!(story.serves(PRODUCTION), "production release 2");
    assert_eq!(images(), after, "nothing had to be built");
}

/// An image without a name that was made years ago.
fn old(story: &Story, name: &str) -> String {
    let folder = story.folder().join(name);
    fs::create_dir(&folder).expect("a folder");
    fs::write(folder.join("file"), format!("{name}\n").repeat(1000)).expect("a file");
    let run = |program: &str, words: &[&str]| {
        let output = Command::new(program).args(words).current_dir(&folder).output().expect(program);
        assert!(output.status.success(), "{program}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    };
    run("tar", &["-cf", "layer.tar", "file"]);
    let layer = run("sha256sum", &["layer.tar"])[..64].to_owned();
    let config = json!({
        "architecture": "amd64", "os": "linux", "created": "2020-01-01T00:00:00Z", "config": {},
        "rootfs": {"type": "layers", "diff_ids": [format!("sha256:{layer}")]},
    });
    fs::write(folder.join("config.json"), config.to_string()).expect("a file");
    let manifest = json!([{"Config": "config.json", "RepoTags": null, "Layers": ["layer.tar"]}]);
    fs::write(folder.join("manifest.json"), manifest.to_string()).expect("a file");
    run("tar", &["-cf", "image.tar", "manifest.json", "config.json", "layer.tar"]);
    let told = docker(&["load", "-i", &folder.join("image.tar").display().to_string()]);
    told.rsplit(' ').next().unwrap_or_default().trim().to_owned()
}

/// Writes it into the oldest release that is listed, as that of a service which there was then.
fn mention(story: &Story, identity: &str) {
    let project = story.state().join("projects").join(&story.name);
    let path = project.join(PRODUCTION).join("releases").join("1.json");
    let mut release: Value =
        serde_json::from_str(&fs::read_to_string(&path).expect("a release")).expect("JSON");
    release["digests"]["before"] = json!(identity);
    fs::write(&path, release.to_string()).expect("written");
}
