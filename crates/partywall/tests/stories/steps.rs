//! `kill -9` in every step of a restore, one after the other.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use pw_journal::SqliteJournal;
use pw_plan::Step;
use pw_run::{Event, Journal, Unfinished};

use crate::harness::{PRODUCTION, Story, docker, finished};

const WORDS: [&str; 5] = ["restore", PRODUCTION, "latest", "--confirm", PRODUCTION];

/// Promise: a restore that is killed in any of its steps is taken back or finished, and production has all of one state.
/// Given: a backup, and then other rows and files; the journal tells which step has begun, and the kill follows at once.
/// Then: after `abandon` production has what it had, after `resume` what the backup holds; it answers; of what was laid beside
/// nothing is left; what was replaced stays only where the restore was finished.
#[test]
fn a_restore_is_killed_in_each_of_its_steps() {
    let story = Story::shop();
    story.up(PRODUCTION);
    story.stock(PRODUCTION, 50);
    let backed_up = story.holdings(PRODUCTION);
    story.run(&["backup", PRODUCTION]).ended(0);
    let plan = story.run(&[&WORDS[..], &["--plan"]].concat()).ended(0);
    let steps: Vec<&str> = plan.out.lines().filter(|line| line.contains(" | undo: ")).collect();
    assert!(steps.len() > 6, "{}", plan.out);
    let mut hit = 0;
    for (number, step) in steps.iter().enumerate() {
        story.sql(PRODUCTION, &format!("UPDATE item SET words = 'later {number}'"));
        story
            .container(PRODUCTION, "web")
            .exec(&["sh", "-c", "echo later > /files/1/name; rm -rf /files/3"])
            .expect("changed");
        let later = story.holdings(PRODUCTION);
        let word = if number % 2 == 0 { "abandon" } else { "resume" };
        let killed = killed_when(&story, &WORDS, |at, _| at >= number);
        let told = format!(
            "{word} after {} of {number}: {}",
            killed.map_or("all".into(), |at| format!("step {at}")),
            step
        );
        hit += usize::from(killed == Some(number));
        if killed.is_some() {
            story.run(&[word]).ended(0);
        }
        let wanted = if killed.is_some() && word == "abandon" { &later } else { &backed_up };
        assert_eq!(story.holdings(PRODUCTION), *wanted, "{told}");
        assert_eq!(story.ask(PRODUCTION, "/").status, 200, "{told}");
        clean(&story, (wanted != &later, wanted != &later), &told);
    }
    // A step that takes no time may be over before the kill; most are not.
    assert!(hit * 2 > steps.len(), "killed in {hit} of {}", steps.len());
}

/// Kills a run as soon as the journal holds that a step has begun for which `wanted` is true; answers the step in which it was,
/// or `None` when it had ended.
pub(crate) fn killed_when(
    story: &Story,
    words: &[&str],
    wanted: impl Fn(usize, &Step) -> bool,
) -> Option<usize> {
    let path = story.state().join("projects").join(&story.name).join("journal.db");
    let mut run = story.start(words);
    // A restore to a moment takes the log first, which is an operation of its own.
    let begun = |left: Unfinished| {
        if ![left.plan.operation.as_str(), "resume"].contains(&words[0]) {
            return false;
        }
        let is = |event: &Event| matches!(event, Event::Started(at) if wanted(*at, &left.plan.steps[*at]));
        left.events.iter().any(is)
    };
    while !unfinished(&path).is_some_and(begun) && run.try_wait().expect("asked").is_none() {
        std::thread::sleep(Duration::from_millis(1));
    }
    drop(run.kill());
    drop(finished(run));
    let started = |event: &Event| if let Event::Started(at) = event { Some(*at) } else { None };
    unfinished(&path)?.events.iter().filter_map(started).max()
}

fn unfinished(path: &Path) -> Option<Unfinished> {
    let journal = SqliteJournal::open_read_only(path).expect("a journal")?;
    journal.unfinished().expect("it reads")
}

/// Nothing lies beside any more; what was replaced, databases and folders, is there exactly when something was, and is removed
/// for the next round.
pub(crate) fn clean(story: &Story, were_replaced: (bool, bool), told: &str) {
    let databases = "SELECT string_agg(datname, ' ') FROM pg_database WHERE datname LIKE '%partywall%'";
    let databases = story.sql(PRODUCTION, databases);
    let volume = format!("{}_files", story.compose_project(PRODUCTION));
    let volume = docker(&["volume", "inspect", "-f", "{{.Mountpoint}}", &volume]);
    let above = Path::new(volume.trim()).parent().expect("a folder of the volume");
    let all = fs::read_dir(above).expect("it reads").flatten().map(|one| one.path());
    let folders: Vec<PathBuf> = all.filter(|path| !path.ends_with("_data")).collect();
    let has = |word: &str| {
        (databases.contains(word), folders.iter().any(|path| path.to_string_lossy().contains(word)))
    };
    assert_eq!(has("restored"), (false, false), "{told}: {databases} {folders:?}");
    assert_eq!(has("replaced"), were_replaced, "{told}: {databases} {folders:?}");
    for name in databases.split_whitespace() {
        story.sql(PRODUCTION, &format!("DROP DATABASE \"{name}\""));
    }
    folders.iter().for_each(|path| fs::remove_dir_all(path).expect("removed"));
}
