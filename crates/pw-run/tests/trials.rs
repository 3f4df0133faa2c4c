//! Whatever breaks, and whenever: the host is as before or as wanted, never between.

#![expect(clippy::expect_used, reason = "helpers of tests, which fail by panicking")]

mod scene;

use std::path::PathBuf;

use pw_journal::SqliteJournal;
use pw_plan::Plan;
use pw_run::{Journal, Outcome, apply};
use pw_test::{
    FakeHost, MemoryJournal, Reopen, apply_twice, cut_everywhere, cut_everywhere_with, fail_every_step,
    fail_every_write, run,
};

fn plans() -> [(Plan, FakeHost); 3] {
    [
        (scene::fresh_up(), scene::production_alone()),
        (scene::change("two"), scene::both()),
        (scene::destroy(), scene::both()),
    ]
}

#[test]
fn a_failing_step_leaves_the_host_as_before() {
    plans().iter().for_each(|(plan, host)| fail_every_step(plan, host));
}

#[test]
fn a_run_that_is_cut_off_can_be_taken_back_and_can_be_finished() {
    plans().iter().for_each(|(plan, host)| cut_everywhere(plan, host));
}

#[test]
fn doing_everything_twice_is_doing_it_once() {
    plans().iter().for_each(|(plan, host)| apply_twice(plan, host));
}

#[test]
fn a_journal_that_cannot_be_written_leaves_the_host_as_it_says() {
    plans().iter().for_each(|(plan, host)| fail_every_write(plan, host));
}

/// A journal on disk, opened again after each cut.
struct OnDisk {
    _folder: tempfile::TempDir,
    path: PathBuf,
}

impl OnDisk {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("journal.db");
        Self { _folder: folder, path }
    }
}

impl Reopen for OnDisk {
    type Journal = SqliteJournal;
    fn open(&self) -> SqliteJournal {
        SqliteJournal::open(&self.path).expect("opens")
    }
}

#[test]
fn the_journal_on_disk_alone_is_enough_to_recover() {
    plans().iter().for_each(|(plan, host)| cut_everywhere_with(plan, host, OnDisk::new));
}

#[test]
fn a_release_that_never_gets_healthy_is_taken_back() {
    let (before, mut journal) = (scene::both(), MemoryJournal::default());
    let mut host = before.clone();
    let outcome = run(apply(&scene::change("sick"), &mut host, &mut journal, &mut ()));
    assert!(matches!(outcome, Some(Outcome::Undone { step: 6, .. })), "{outcome:?}");
    assert_eq!(host.world.differs_from(&before.world), Vec::<String>::new());
    assert_eq!(journal.unfinished().expect("reads"), None);
}
