//! `backup`, `restore`, `drill`: what was backed up comes back, or it is said why not.

use std::fs;
use std::process::Command;
use std::time::Instant;

use serde_json::Value;

use crate::harness::{PRODUCTION, Story, docker_answers, finished, random, until};

/// Promise: what a backup holds comes back equal, beside it what was there stays, and a drill leaves nothing.
/// Given: the demonstration's production with 2,000 people and their files.
/// Then: after a backup, a drill passes; after rows and files were destroyed, a restore brings back every row and
/// every file, the destroyed database stays under another name; `status` and `backups` tell the drill, and what would be lost now.
#[test]
fn what_was_backed_up_comes_back() {
    let story = production();
    let before = state(&story);
    let made = last(&story.run(&["backup", PRODUCTION, "--json"]).ended(0).out);
    assert_eq!(made["backup"]["databases"]["main"]["tables"]["public.users"]["rows"], 2000, "{made}");
    drilled(&story);
    query(&story, "DELETE FROM comments; UPDATE users SET handle = 'broken_' || id");
    story.container(PRODUCTION, "web").exec(&["sh", "-c", "rm -rf /vault/*"]).expect("removed");
    assert_ne!(state(&story), before);

    story.run(&["restore", PRODUCTION, "latest"]).ended(1).says(&["was not confirmed"]);
    story.run(&["restore", PRODUCTION, "latest", "--confirm", PRODUCTION]).ended(0);
    assert_eq!(state(&story), before);
    let kept = "SELECT count(*) FROM pg_database WHERE datname LIKE 'atelier\\_\\_partywall\\_replaced%'";
    assert_eq!(query(&story, kept), "1");
    assert_eq!(story.ask(PRODUCTION, "/health").status, 200);
    let status = story.run(&["status", PRODUCTION]).ended(0);
    let backups = story.run(&["backups"]).ended(0);
    for told in [&status.out, &backups.out] {
        for words in [" restored in ", "\n  RPO     ", " now; RTO "] {
            assert!(told.contains(words), "`{words}` in\n{told}");
        }
    }
}

fn drilled(story: &Story) {
    let told = story.run(&["drill", "--json"]).ended(0);
    let drill = last(&told.out);
    let tried: Vec<&str> = drill["drill"]["tried"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|one| one["what"].as_str())
        .collect();
    let wanted = [
        "database main",
        "folder redisdata",
        "folder vault",
        "repository",
        "rows",
        "foreign keys",
        "newest row",
    ];
    assert_eq!(tried, wanted, "{drill}");
    assert_eq!(scratch(story), "");
}

/// Promise: a backup that would not come back fails its drill, with the cause.
/// Given: a backup of production.
/// Then: a flipped byte in any file of data, a check of the application that fails, and a wrong key each end
/// with exit 1 or 2 and are named; nothing of the scratch place is left.
#[test]
fn a_backup_that_would_not_come_back_fails_its_drill() {
    let story = production();
    story.run(&["backup", PRODUCTION]).ended(0);
    let key = story.state().join("projects").join(&story.name).join("backup.key");
    let kept = fs::read(&key).expect("a key");
    fs::write(&key, "another").expect("written");
    story.run(&["drill"]).ended(2).says(&["is the key of another repository"]);
    story.run(&["backup", PRODUCTION]).ended(2).says(&["is the key of another repository"]);
    fs::write(&key, kept).expect("written");

    story.edit(
        "partywall.yaml",
        "drill: weekly",
        "drill: weekly, check: { service: web, command: [nonsense] }",
    );
    story.run(&["drill"]).ended(1).says(&["does not restore", "the application's check: ended with"]);
    story.edit("partywall.yaml", ", check: { service: web, command: [nonsense] }", "");

    damage(&story);
    story.run(&["drill"]).ended(1).says(&["does not restore"]);
    assert_eq!(scratch(&story), "");
    let status = story.run(&["status", PRODUCTION]).ended(0);
    assert!(status.out.contains("did not restore"), "{}", status.out);
}

/// Promise: whenever a restore is killed, production has what it had or what the backup holds.
/// Given: a backup, and other rows since.
/// Then: after each kill at a random moment and `abandon` or `resume`, one of the two states is whole, and answers.
#[test]
fn a_killed_restore_leaves_one_state_whole() {
    let story = production();
    let backed_up = state(&story);
    story.run(&["backup", PRODUCTION]).ended(0);
    let words = ["restore", PRODUCTION, "latest", "--confirm", PRODUCTION];
    let begun = Instant::now();
    story.run(&words).ended(0);
    let takes = begun.elapsed();
    for word in ["abandon", "resume", "abandon"] {
        query(&story, "UPDATE users SET handle = 'later_' || id");
        let later = state(&story);
        let moment = takes.mul_f64((random() % 1000) as f64 / 1000.0);
        let mut restore = story.start(&words);
        std::thread::sleep(moment);
        drop(restore.kill());
        let told = format!("{word} after {moment:.2?} of {takes:.2?}: {}", finished(restore).err);
        story.run(&[word]).ended(0);
        let after = state(&story);
        assert!(after == later || after == backed_up, "{told}");
        assert_eq!(story.ask(PRODUCTION, "/health").status, 200, "{told}");
        let restored = "SELECT count(*) FROM pg_database WHERE datname LIKE '%restored%'";
        assert_eq!(query(&story, restored), "0", "{told}");
    }
}

/// Promise: a backup that is killed leaves nothing running in production's containers, where a dump would keep its locks.
/// Given: a dump that does not end, and a backup that is killed while it reads it.
/// Then: the dump is gone, though nobody has run `resume` or `abandon` yet, and the server took no end of it for a crash;
/// `abandon` leaves no backup.
#[test]
fn a_killed_backup_leaves_no_dump_behind() {
    let story = production();
    let words = "real=$(readlink -f $(command -v pg_dump)); mv $real $real.whole; \
        printf '#!/bin/sh\nexec yes endless\n' >$real; chmod 755 $real";
    story.container(PRODUCTION, "db").exec(&["sh", "-c", words]).expect("replaced");
    let dumps = || {
        let count = "grep -lx endles[s] /proc/[0-9]*/cmdline -z 2>/dev/null | wc -l";
        story.container(PRODUCTION, "db").exec(&["sh", "-c", count]).expect("counted").trim().to_owned()
    };
    let mut backup = story.start(&["backup", PRODUCTION]);
    until("the dump runs", || dumps() == "1");
    drop(backup.kill());
    drop(finished(backup));
    until("the dump is gone", || dumps() == "0");
    let log = Command::new("docker").args(["logs", &story.container(PRODUCTION, "db").id()]).output();
    let log = String::from_utf8(log.expect("docker").stderr).expect("text");
    assert!(log.contains("ready to accept") && !log.contains("terminated by signal"), "{log}");
    story.run(&["abandon"]).ended(0);
    let listed = story.run(&["backups", PRODUCTION, "--json"]).ended(0).json();
    assert_eq!(listed["backups"].as_array().map(Vec::len), Some(0), "{listed}");
}

fn production() -> Story {
    let story = Story::demo();
    let sections = format!(
        "databases:\n  main: {{ service: db }}\nbackup: {{ repository: {}, every: 6h, drill: weekly }}\n",
        story.state().join("repository").display()
    );
    story.write("partywall.yaml", &format!("{}{sections}", story.read("partywall.yaml")));
    story.up(PRODUCTION);
    let mut populate = Command::new(story.project().join("populate.sh"));
    populate.arg(env!("CARGO_BIN_EXE_partywall")).env("PARTYWALL_STATE", story.state());
    let told = populate.output().expect("populate.sh runs");
    assert!(told.status.success(), "{}", String::from_utf8_lossy(&told.stderr));
    story
}

fn query(story: &Story, sql: &str) -> String {
    let words = ["psql", "-qAtX", "-v", "ON_ERROR_STOP=1", "-U", "atelier", "-d", "atelier", "-c", sql];
    story.container(PRODUCTION, "db").exec(&words).unwrap_or_else(|| panic!("{sql}"))
}

/// Every row that only people change, and every file.
fn state(story: &Story) -> String {
    let mut all = String::new();
    for table in ["users", "posts", "post_files", "comments", "follows"] {
        let sql = format!(
            "SELECT count(*) || ' ' || coalesce(md5(string_agg(t::text, ',' ORDER BY t::text)), '') FROM {table} t"
        );
        all += &format!("{table} {}\n", query(story, &sql));
    }
    let words = "cd /vault && find . -type f -exec md5sum {} + | sort -k 2";
    all + &story.container(PRODUCTION, "web").exec(&["sh", "-c", words]).expect("a vault")
}

/// Flips a byte in the middle of the largest file of data.
fn damage(story: &Story) {
    let words = "f=$(find data -type f -printf '%s %p\\n' | sort -n | tail -1 | cut -d' ' -f2); chmod u+w $f; printf 'XXXX' | dd of=$f bs=1 seek=3000 conv=notrunc";
    let told = Command::new("sh").args(["-c", words]).current_dir(story.state().join("repository")).output();
    assert!(told.expect("sh").status.success());
}

/// Containers, volumes and networks of a drill.
fn scratch(story: &Story) -> String {
    let filter = format!("label=com.docker.compose.project={}-drill", story.compose_project(PRODUCTION));
    let kinds: [&[&str]; 3] = [&["ps", "-aq"], &["volume", "ls", "-q"], &["network", "ls", "-q"]];
    let found = kinds
        .iter()
        .map(|words| docker_answers(&[*words, &["--filter", &filter]].concat()).expect("docker answers"));
    found.collect::<Vec<_>>().concat()
}

fn last(lines: &str) -> Value {
    let line = lines.lines().next_back().unwrap_or_default();
    serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {lines}"))
}
