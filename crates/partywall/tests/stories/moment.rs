//! A database as it was at one second: a backup's files, and the log that is played onto them.

use std::collections::BTreeSet;
use std::fs;
use std::time::Duration;

use crate::harness::{PRODUCTION, Story, docker_answers};
use crate::roles;
use crate::steps::{clean, killed_when};

/// Promise: a restore to a second loses exactly what was committed after it.
/// Given: a backup with the log, of a database that several roles own and use; then rows, a moment, a role that the backup
/// does not know, another moment, and a careless `DROP TABLE` and `DROP ROLE` with more rows after it.
/// Then: restored to the moment, every row from before it is there and none from after, and each role may do what it might; what
/// was there before the restore stays under another name, the scratch server is gone, and the server holds no more log back than
/// before. To the later moment it is refused, with the role that is to be made. Another `log.hold` reaches the server.
#[test]
fn what_came_after_a_second_is_lost_and_nothing_else() {
    let story = shop();
    roles::make(&story, "of the application");
    story.run(&["backup", PRODUCTION]).ended(0);
    story.sql(PRODUCTION, "INSERT INTO item VALUES (5001, 1, now(), 'just in time')");
    let before = (story.holdings(PRODUCTION), roles::rights(&story));
    let moment = a_moment(&story);
    story.sql(PRODUCTION, "CREATE ROLE later; GRANT SELECT ON item TO later");
    let afterwards = a_moment(&story);
    story.sql(
        PRODUCTION,
        "INSERT INTO shelf VALUES (11, 'too late'); DROP TABLE item; ALTER DATABASE shop RESET search_path; \
         DROP OWNED BY later, helper; DROP ROLE later, helper",
    );

    let words = ["restore", PRODUCTION, "--at", &moment];
    story.run(&words).ended(1).says(&["was not confirmed"]);
    let confirm = ["--confirm", PRODUCTION];
    let told = story.run(&[["restore", PRODUCTION, "--at", &afterwards].as_slice(), &confirm].concat());
    told.ended(2).says(&["role \"later\" does not exist", "hint: ", "`CREATE ROLE \"later\"`", "taken back"]);
    assert_eq!(
        story.sql(PRODUCTION, "SELECT count(*) FROM pg_roles WHERE rolname IN ('later', 'helper')"),
        "0"
    );
    story.run(&[words.as_slice(), &confirm].concat()).ended(0);
    assert_eq!((story.holdings(PRODUCTION), roles::rights(&story)), before);
    let kept = "SELECT count(*) FROM pg_database WHERE datname LIKE 'shop\\_\\_partywall\\_replaced%'";
    assert_eq!(story.sql(PRODUCTION, kept), "1");
    assert_eq!(scratch(&story), "");
    assert_eq!(story.ask(PRODUCTION, "/").status, 200);
    let slots = "SELECT count(*) || ' ' || bool_and(wal_status <> 'lost') FROM pg_replication_slots";
    assert_eq!(story.sql(PRODUCTION, slots), "1 true");

    // Another `hold` is the server's limit from the next backup on. Without `log`, the next backup lets it go.
    let limit = "SELECT current_setting('max_slot_wal_keep_size')";
    assert_eq!(story.sql(PRODUCTION, limit), "512MB");
    story.edit("partywall.yaml", ", log: { hold: 512MB }", ", log: { hold: 640MB }");
    story.run(&["backup", PRODUCTION]).ended(0).says(&["at most 640 MB of it"]);
    assert_eq!(story.sql(PRODUCTION, limit), "640MB");
    story.edit("partywall.yaml", ", log: { hold: 640MB }", "");
    story.run(&["backup", PRODUCTION]).ended(0);
    assert_eq!(story.sql(PRODUCTION, "SELECT count(*) FROM pg_replication_slots"), "0");
}

/// Promise: a segment of the log that is missing is named, by a restore and by a drill, before anything is done.
/// Given: a backup with the log, and three more pieces of it, the middle one of which is removed from the repository.
/// Then: a moment before the gap can be restored, one after it cannot, and production goes on as it was.
#[test]
fn a_missing_segment_is_named() {
    let story = shop_with_log();
    let (mut moments, mut pieces) = (Vec::new(), Vec::new());
    for id in 6001..6004 {
        story.sql(PRODUCTION, &format!("INSERT INTO item VALUES ({id}, 1)"));
        moments.push(a_moment(&story));
        let known = snapshots(&story);
        story.run(&["backup", PRODUCTION, "--log"]).ended(0).says(&["the log of `production` is kept"]);
        pieces.extend(snapshots(&story).difference(&known).cloned());
    }
    story.run(&["drill"]).ended(0);
    assert_eq!(pieces.len(), 3, "{pieces:?}");
    fs::remove_file(story.repository().join("snapshots").join(&pieces[1])).expect("removed");

    let told = story.run(&["drill"]).ended(1);
    told.says(&["does not restore", "log of db: segment 0000000", "is missing"]);
    let confirm = ["--confirm", PRODUCTION];
    let before = story.holdings(PRODUCTION);
    let told = story.run(&[["restore", PRODUCTION, "--at", &moments[2]].as_slice(), &confirm].concat());
    told.ended(2).says(&["segment 0000000", "of the log of `db` is missing"]);
    assert_eq!(story.holdings(PRODUCTION), before);
    story.run(&[["restore", PRODUCTION, "--at", &moments[0]].as_slice(), &confirm].concat()).ended(0);
    assert_eq!(story.sql(PRODUCTION, "SELECT max(id) FROM item"), "6001");
}

/// Promise: a drill plays the log to its end, so that one that cannot be played is known before it is needed.
/// Given: a backup with the log, and a piece of it that came whole; then one whose bytes the server's container gave
/// wrongly, though there were as many.
/// Then: the first drill tells up to when, and how many rows; the second fails; nothing of the scratch server is left.
#[test]
fn a_log_that_cannot_be_played_fails_its_drill() {
    let story = shop_with_log();
    story.sql(PRODUCTION, "INSERT INTO item VALUES (7001, 1)");
    story.run(&["backup", PRODUCTION, "--log"]).ended(0);
    let told = story.run(&["drill"]).ended(0);
    let played = told.out.lines().find(|line| line.contains("log of db, played")).expect("a line");
    assert!(played.contains("1,011 rows in 2 tables, every one read"), "{}", told.out);
    let status = story.run(&["status", PRODUCTION]).ended(0);
    assert!(status.out.contains("log     taken "), "{}", status.out);

    let words = "real=$(readlink -f $(command -v cat)); mv $real $real.whole; \
        printf '#!/bin/sh\nhead -c 16777216 /dev/zero\n' >$real; chmod 755 $real";
    story.sql(PRODUCTION, "INSERT INTO item VALUES (7002, 1)");
    story.container(PRODUCTION, "db").exec(&["sh", "-c", words]).expect("replaced");
    story.run(&["backup", PRODUCTION, "--log"]).ended(0);
    let told = story.run(&["drill"]).ended(1);
    told.says(&["does not restore", "log of db, played: "]);
    let scratch = story.rendered(PRODUCTION).with_file_name("drill");
    assert!(!scratch.exists(), "{}", scratch.display());
}

/// Promise: a restore to a second that is killed in any of its steps is taken back or finished, and production has all of one state.
/// Given: a moment, and other rows since; the journal tells which step has begun, and the kill follows at once: in every other
/// step, and in each step of one that is resumed again and again.
/// Then: after `abandon` production has what it had, after the last `resume` what there was at that second; it answers; of the
/// scratch server and of what was laid beside nothing is left; what was replaced stays only where the restore was finished.
#[test]
fn a_restore_to_a_second_is_killed_in_each_of_its_steps() {
    let story = shop_with_log();
    let then = story.holdings(PRODUCTION);
    let moment = a_moment(&story);
    // A plan takes none.
    story.run(&["backup", PRODUCTION, "--log"]).ended(0);
    let words = ["restore", PRODUCTION, "--at", &moment, "--confirm", PRODUCTION];
    let plan = story.run(&[&words[..], &["--plan"]].concat()).ended(0);
    let steps: Vec<&str> = plan.out.lines().filter(|line| line.contains(" | undo: ")).collect();
    assert!(steps.len() > 12, "{}", plan.out);
    let as_wanted = |wanted: &str, replaced: bool, told: &str| {
        assert_eq!(story.holdings(PRODUCTION), wanted, "{told}");
        assert_eq!(story.ask(PRODUCTION, "/").status, 200, "{told}");
        assert_eq!(scratch(&story), "", "{told}");
        clean(&story, (replaced, false), told);
    };
    // A step that takes no time may be over before the kill; most are not.
    let mut hit = 0;
    for (number, step) in steps.iter().enumerate().step_by(2) {
        story.sql(PRODUCTION, &format!("UPDATE item SET words = 'later {number}'"));
        let later = story.holdings(PRODUCTION);
        let killed = killed_when(&story, &words, |at, _| at >= number);
        let told = format!("abandon after {killed:?} of {number}: {step}");
        hit += usize::from(killed == Some(number));
        if killed.is_some() {
            story.run(&["abandon"]).ended(0);
        }
        as_wanted(if killed.is_some() { &later } else { &then }, killed.is_none(), &told);
    }
    assert!(hit * 4 > steps.len(), "taken back in {hit} of {}", steps.len());
    let mut run: &[&str] = &words;
    let mut hit = 0;
    let killed = (0..steps.len()).all(|number| {
        let killed = killed_when(&story, run, |at, _| at >= number);
        run = &["resume"];
        hit += usize::from(killed == Some(number));
        killed.is_some()
    });
    if killed {
        story.run(run).ended(0);
    }
    assert!(hit * 2 > steps.len(), "killed in {hit} of {}", steps.len());
    as_wanted(&then, true, "the last resume");
}

fn shop_with_log() -> Story {
    let story = shop();
    story.run(&["backup", PRODUCTION]).ended(0);
    story
}

/// With `log`, and no backup yet.
fn shop() -> Story {
    let story = Story::shop();
    let path = story.repository().display().to_string();
    story.edit("partywall.yaml", &path, &format!("{path}, log: {{ hold: 512MB }}"));
    story.up(PRODUCTION);
    story.stock(PRODUCTION, 1000);
    story
}

/// A time of the server with at least a second of quiet on both sides.
fn a_moment(story: &Story) -> String {
    let pause = Duration::from_millis(1100);
    std::thread::sleep(pause);
    let time = "SELECT to_char(clock_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"')";
    let moment = story.sql(PRODUCTION, time);
    std::thread::sleep(pause);
    moment
}

fn snapshots(story: &Story) -> BTreeSet<String> {
    let all = fs::read_dir(story.repository().join("snapshots")).expect("a folder");
    all.map(|one| one.expect("a file").file_name().to_string_lossy().into_owned()).collect()
}

/// Containers, volumes and networks of the scratch server.
fn scratch(story: &Story) -> String {
    let filter = format!("label=com.docker.compose.project={}-moment", story.compose_project(PRODUCTION));
    let kinds: [&[&str]; 3] = [&["ps", "-aq"], &["volume", "ls", "-q"], &["network", "ls", "-q"]];
    let found = kinds
        .iter()
        .map(|words| docker_answers(&[*words, &["--filter", &filter]].concat()).expect("docker answers"));
    found.collect::<Vec<_>>().concat()
}
