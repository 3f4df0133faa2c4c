//! A journal that cannot be written, as on a full disk.

use pw_plan::Plan;
use pw_run::{Outcome, Standing};

use super::course::{Course, How};
use crate::{Fails, FakeHost, MemoryJournal, Moment};

const BOTH: [How; 2] = [How::Resume, How::Abandon];

/// Fails each write of the journal, once and from then on, also while recovering from a cut.
///
/// The host must stand as the outcome says, and once the journal can be written again, `resume` and
/// `abandon` must each end with the host as before or as wanted, and nothing unfinished.
pub fn fail_every_write(plan: &Plan, before: &FakeHost) {
    let course = Course::of(plan, before);
    for fails in (0..course.writes).flat_map(|n| [Fails::Once(n), Fails::From(n)]) {
        for how in BOTH {
            let place = format!("journal fails {fails:?}, {how:?}");
            let journal = MemoryJournal::failing(fails);
            let (host, journal, outcome) = course.start_with(course.before.clone(), journal);
            let outcome = outcome.unwrap_or_else(|| panic!("{place}: hangs"));
            course.stands_as_said(&place, &host, &journal, &outcome);
            nothing_without_room(&course, &place, &host, &journal);
            mended(&course, &place, host, &journal, how);
        }
    }
    while_recovering(&course);
    cut_off_with_a_gap(&course);
}

fn mended(course: &Course<'_>, place: &str, host: FakeHost, journal: &MemoryJournal, how: How) {
    journal.fail(Fails::Never);
    let (mut host, mut journal) = (host.calm(), journal.clone());
    let outcome = course.recover(&mut host, &mut journal, how);
    course.recovered_well(place, &mut host, &mut journal, outcome);
}

/// While the journal still cannot be written, recovering does not act, unless it says truly how the host stands then.
fn nothing_without_room(course: &Course<'_>, place: &str, host: &FakeHost, journal: &MemoryJournal) {
    for how in BOTH.into_iter().filter(|_| journal.is_full()) {
        let mut after = host.clone().calm();
        match course.recover(&mut after, &mut journal.clone(), how) {
            None => {}
            Some(Outcome::Unrecorded { host: Standing::Between, .. }) => {
                assert!(after.log.is_empty(), "{place}: {how:?} acted unrecorded: {:?}", after.log);
            }
            Some(outcome) => course.stands_as_said(place, &after, journal, &outcome),
        }
    }
}

/// Cut at every call, and before the end was noted; then every write of the recovery fails in turn.
fn while_recovering(course: &Course<'_>) {
    for call in course.plan.texts.len()..course.calls {
        for moment in [Moment::Before, Moment::After] {
            let place = format!("cut at call {call} {moment:?} `{}`", course.log[call]);
            let broken = course.before.clone().hang_at(call, moment);
            let (host, journal, _) = course.start(broken);
            each_write_of_recovery(course, &place, (&host.calm(), &journal));
        }
    }
    let (host, journal, _) = course.start(course.before.clone());
    journal.forget_last();
    each_write_of_recovery(course, "cut before the end was noted", (&host.calm(), &journal));
}

fn each_write_of_recovery(course: &Course<'_>, place: &str, (cut, written): (&FakeHost, &MemoryJournal)) {
    for write in 0..=2 * course.plan.steps.len() {
        for fails in [Fails::Once(write), Fails::From(write)] {
            for (first, second) in BOTH.into_iter().flat_map(|first| BOTH.map(|second| (first, second))) {
                let place = format!("{place}, {first:?} with a journal that fails {fails:?}, {second:?}");
                let (mut host, journal) = (cut.clone(), written.copied());
                journal.fail(fails);
                let outcome = course.recover(&mut host, &mut journal.clone(), first);
                match outcome.unwrap_or_else(|| panic!("{place}: hangs")) {
                    Outcome::Unrecorded { host: Standing::Between, .. } => {}
                    outcome => course.stands_as_said(&place, &host, &journal, &outcome),
                }
                mended(course, &place, host, &journal, second);
            }
        }
    }
}

/// A call fails, one write is lost, and then the run is cut off: what is written must still make sense.
fn cut_off_with_a_gap(course: &Course<'_>) {
    for step in 0..course.plan.steps.len() {
        let call = course.plan.texts.len() + step;
        let broken = course.before.clone().fail_at(call, Moment::After);
        let (whole, ..) = course.start(broken.clone());
        // One write at the beginning and two for each step that was done; then those of the way back.
        let failed = 2 + 2 * step;
        for cut in call + 1..whole.calls() {
            for write in failed..=failed + 2 * (step + 1) {
                let place = format!("failed at call {call}, write {write} lost, cut at call {cut}");
                let journal = MemoryJournal::failing(Fails::Once(write));
                let broken = broken.clone().hang_at(cut, Moment::After);
                let (host, journal, _) = course.start_with(broken, journal);
                mended(course, &place, host, &journal, How::Resume);
            }
        }
    }
}
