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
            let (host, journal, outcome) = course.start_with(before.clone().calm(), journal);
            let outcome = outcome.unwrap_or_else(|| panic!("{place}: hangs"));
            course.stands_as_said(&place, &host, &journal, &outcome);
            nothing_without_room(&course, &place, &host, &journal);
            mended(&course, &place, host, &journal, how);
        }
    }
    for call in plan.texts.len()..course.calls {
        fail_while_recovering(&course, call);
    }
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

/// Cut at the call; then every write of the recovery fails in turn.
fn fail_while_recovering(course: &Course<'_>, call: usize) {
    for moment in [Moment::Before, Moment::After] {
        for (first, second) in BOTH.into_iter().flat_map(|first| BOTH.map(|second| (first, second))) {
            for write in 0..=2 * course.plan.steps.len() {
                for fails in [Fails::Once(write), Fails::From(write)] {
                    let place = format!(
                        "cut at call {call} {moment:?} `{}`, {first:?} with a journal that fails {fails:?}, {second:?}",
                        course.log[call]
                    );
                    let (host, journal, _) = course.start(course.before.clone().calm().hang_at(call, moment));
                    journal.fail(fails);
                    let mut host = host.calm();
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
}
