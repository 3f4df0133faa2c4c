//! The journal keeps what it was told, tells what was tampered with, and fails without leaving halves.

#![expect(clippy::expect_used, reason = "helpers of tests, which fail by panicking")]

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use pw_journal::SqliteJournal;
use pw_plan::{Action, Plan, Step, Undo};
use pw_run::{Event, Journal, JournalFailure};
use rusqlite::Connection;

fn noon() -> Timestamp {
    "2026-01-02T12:00:00Z".parse().expect("a time")
}

fn plan() -> Plan {
    let step = Step::new(Action::MakeFolder { path: "/f".into() }, Undo::Nothing, "needed");
    Plan {
        operation: "up".into(),
        project: "shop".into(),
        environment: "development".into(),
        basis: "b".into(),
        steps: vec![step],
        texts: BTreeMap::from([("h".into(), "PASSWORD=hunter2".into())]),
    }
}

fn open(path: &Path) -> SqliteJournal {
    SqliteJournal::open(path).expect("opens").with_clock(noon).signed("ann")
}

fn fresh() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("state/shop/journal.db");
    (folder, path)
}

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).expect("a folder");
    let mut names: Vec<_> =
        entries.map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).expect("there").permissions().mode() & 0o777
}

fn hint(failure: &JournalFailure) -> &str {
    failure.hint.as_deref().unwrap_or("no hint")
}

#[test]
fn what_was_written_is_there_after_opening_again() {
    let (_folder, path) = fresh();
    let mut journal = open(&path);
    let id = journal.begin(&plan()).expect("begins");
    journal.record(id, &Event::Started(0), None).expect("writes");
    journal.record(id, &Event::Failed(0), Some("no room")).expect("writes");
    drop(journal);
    let left = open(&path).unfinished().expect("reads").expect("is unfinished");
    assert_eq!((left.id, left.by.as_str(), left.gap), (id, "ann", false));
    assert_eq!(left.begun, noon().as_second());
    assert_eq!(left.events, [Event::Started(0), Event::Failed(0)]);
    assert_eq!(left.plan, Plan { texts: BTreeMap::new(), ..plan() });
}

#[test]
fn a_plan_that_ended_is_no_longer_unfinished_and_takes_no_more_events() {
    let (_folder, path) = fresh();
    for end in [Event::Applied, Event::TakenBack] {
        let mut journal = open(&path);
        let id = journal.begin(&plan()).expect("begins");
        journal.record(id, &end, None).expect("writes");
        assert_eq!(journal.unfinished().expect("reads"), None);
        let late = journal.record(id, &Event::Started(0), None).expect_err("it has ended");
        assert!(hint(&late).contains("partywall status"), "{late:?}");
    }
    let outcomes: Vec<_> =
        open(&path).plans(9).expect("reads").into_iter().map(|plan| plan.outcome).collect();
    assert_eq!(outcomes, [Some("taken-back".to_owned()), Some("applied".to_owned())]);
}

#[test]
fn a_second_plan_is_refused_while_one_is_unfinished() {
    let (_folder, path) = fresh();
    let (mut one, mut two) = (open(&path), open(&path));
    one.begin(&plan()).expect("begins");
    let refusal = two.begin(&plan()).expect_err("one is unfinished");
    assert!(hint(&refusal).contains("partywall resume"), "{refusal:?}");
    assert_eq!(two.plans(9).expect("reads").len(), 1);
}

#[test]
fn only_the_owner_can_read_it_and_no_installed_text_is_in_it() {
    let (_folder, path) = fresh();
    let mut journal = open(&path);
    journal.begin(&plan()).expect("begins");
    let folder = path.parent().expect("a folder");
    assert_eq!(mode(folder), 0o700);
    for name in names(folder) {
        assert_eq!(mode(&folder.join(&name)), 0o600, "{name}");
        let bytes = fs::read(folder.join(&name)).expect("reads");
        assert!(!bytes.windows(7).any(|window| window == b"hunter2"), "{name} holds a secret");
    }
}

#[test]
fn reading_creates_nothing() {
    let (folder, path) = fresh();
    assert!(SqliteJournal::open_read_only(&path).expect("no journal is no failure").is_none());
    assert!(names(folder.path()).is_empty());

    open(&path).begin(&plan()).expect("begins");
    let state = path.parent().expect("a folder");
    let before = names(state);
    let journal = SqliteJournal::open_read_only(&path).expect("opens").expect("is there");
    assert!(journal.unfinished().expect("reads").is_some());
    assert!(journal.verify().expect("reads").broken_at.is_none());
    drop(journal);
    assert_eq!(names(state), before);
}

#[test]
fn reading_sees_what_a_writer_that_is_still_there_has_written() {
    let (_folder, path) = fresh();
    let mut writer = open(&path);
    writer.begin(&plan()).expect("begins");
    let mut reader = SqliteJournal::open_read_only(&path).expect("opens").expect("is there");
    assert!(reader.unfinished().expect("reads").is_some());
    reader.begin(&plan()).expect_err("it is read-only");
}

#[test]
fn every_plan_is_in_the_audit_log_with_begin_and_end() {
    let (_folder, path) = fresh();
    let mut journal = open(&path);
    let id = journal.begin(&plan()).expect("begins");
    journal.record(id, &Event::Started(0), None).expect("writes");
    journal.record(id, &Event::Applied, None).expect("writes");
    let told: Vec<_> = journal
        .history(9)
        .expect("reads")
        .into_iter()
        .map(|entry| format!("{} {} {}: {}", entry.who, entry.what, entry.environment, entry.outcome))
        .collect();
    assert_eq!(told, ["ann up (plan 1) development: applied", "ann up (plan 1) development: begun"]);
    let chain = journal.verify().expect("reads");
    assert_eq!((chain.entries, chain.broken_at), (2, None));
}

#[test]
fn tampering_with_the_audit_log_shows() {
    let tricks = [
        ("UPDATE audit SET who = 'nobody' WHERE seq = 2", 2),
        ("DELETE FROM audit WHERE seq = 1", 1),
        ("DELETE FROM audit WHERE seq = 2", 2),
        ("DELETE FROM audit WHERE seq = 4", 4),
        ("UPDATE audit SET at = at + 1 WHERE seq = 3", 3),
    ];
    for (trick, broken) in tricks {
        let (_folder, path) = fresh();
        let mut journal = open(&path);
        for _ in 0..2 {
            let id = journal.begin(&plan()).expect("begins");
            journal.record(id, &Event::Applied, None).expect("writes");
        }
        let raw = Connection::open(&path).expect("opens");
        raw.execute(trick, []).expect_err("a trigger forbids it");
        raw.execute_batch("DROP TRIGGER audit_is_never_changed; DROP TRIGGER audit_is_never_shortened")
            .expect("drops");
        raw.execute(trick, []).expect("tampers");
        assert_eq!(journal.verify().expect("reads").broken_at, Some(broken), "{trick}");
    }
}

#[test]
fn a_damaged_file_is_a_failure_with_a_way_out() {
    let (_folder, path) = fresh();
    open(&path).begin(&plan()).expect("begins");
    let healthy = fs::read(&path).expect("reads");
    let mut torn = healthy.clone();
    torn[4096..].fill(7);
    for (name, bytes) in
        [("noise", vec![7; 9000]), ("torn pages", torn), ("cut short", healthy[..5000].to_vec())]
    {
        fs::write(&path, bytes).expect("writes");
        let result = SqliteJournal::open(&path).and_then(|journal| journal.unfinished());
        let failure = result.expect_err(name);
        assert!(hint(&failure).contains("is damaged"), "{name}: {failure:?}");
        assert!(failure.to_string().starts_with("could not "), "{name}: {failure}");
    }
}

#[test]
fn a_newer_journal_is_left_alone() {
    let (_folder, path) = fresh();
    drop(open(&path));
    Connection::open(&path).expect("opens").pragma_update(None, "user_version", 99).expect("writes");
    let failure = SqliteJournal::open(&path).expect_err("too new");
    assert!(hint(&failure).contains("newer"), "{failure:?}");
}

#[test]
fn after_a_write_that_failed_the_plan_has_a_gap_until_the_next_one_begins() {
    let (_folder, path) = fresh();
    let mut journal = open(&path);
    let id = journal.begin(&plan()).expect("begins");
    journal.record(id + 7, &Event::Started(0), None).expect_err("there is no such plan");
    assert!(open(&path).unfinished().expect("reads").expect("is unfinished").gap);
    journal.record(id, &Event::TakenBack, None).expect("writes");
    journal.begin(&plan()).expect("begins");
    assert!(!open(&path).unfinished().expect("reads").expect("is unfinished").gap);
}
