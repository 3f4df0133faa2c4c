//! Trials: a plan is broken at every point, and the host must end as before or as wanted, never between.

mod course;
mod cut;
mod twice;

pub use self::course::run;
pub use self::cut::{Reopen, cut_everywhere, cut_everywhere_with};
pub use self::twice::{Twice, apply_twice};

use pw_plan::Plan;
use pw_run::{Outcome, Standing, abandon, apply, resume};

use self::course::{Course, How, MOMENTS};
use crate::{Fails, FakeHost, MemoryJournal};

/// Fails each call before, halfway and after acting, then each call of the way back as well.
///
/// One failure ends `Undone` with the host as before; where a step without undo had started it ends `Stuck`,
/// and `resume` brings the host to what is wanted. A second failure ends `Stuck`, and both `resume` and
/// `abandon` bring the host back.
pub fn fail_every_step(plan: &Plan, before: &FakeHost) {
    let course = Course::of(plan, before);
    for call in 0..course.calls {
        for moment in MOMENTS {
            let place = format!("failed at call {call} {moment:?} `{}`", course.log[call]);
            let broken = before.clone().fail_at(call, moment);
            let (host, journal, outcome) = course.start(broken.clone());
            course.ended_well(&place, &host, &journal, outcome);
            for second in call + 1..host.calls() {
                for moment in MOMENTS {
                    let place = format!("{place}, then at call {second} {moment:?} `{}`", host.log[second]);
                    let twice_broken = broken.clone().fail_at(second, moment);
                    fail_the_way_back(&course, &place, &twice_broken);
                }
            }
        }
    }
}

fn fail_the_way_back(course: &Course<'_>, place: &str, broken: &FakeHost) {
    for how in [How::Resume, How::Abandon] {
        let (host, journal, outcome) = course.start(broken.clone());
        assert!(matches!(outcome, Some(Outcome::Stuck { .. })), "{place}: {outcome:?}");
        let mut host = host.calm();
        let outcome = course.recover(&mut host, &mut journal.clone(), how);
        course.recovered_well(&format!("{place}, {how:?}"), &mut host, &mut journal.clone(), outcome);
    }
}

/// Fails each write of the journal, once and from then on.
///
/// The host must stand as the outcome says, and once the journal can be written again, `resume` and
/// `abandon` must each end with the host as before or as wanted, and nothing unfinished.
pub fn fail_every_write(plan: &Plan, before: &FakeHost) {
    let course = Course::of(plan, before);
    for fails in (0..course.writes).flat_map(|n| [Fails::Once(n), Fails::From(n)]) {
        for how in [How::Resume, How::Abandon] {
            let place = format!("journal fails {fails:?}, {how:?}");
            let mut journal = MemoryJournal::failing(fails);
            let mut host = before.clone();
            let outcome = run(apply(plan, &mut host, &mut journal, &mut ()))
                .unwrap_or_else(|| panic!("{place}: hangs"));
            course.stands_as_said(&place, &host, &journal, &outcome);
            recover_without_room(&course, &place, &host, &journal);
            journal.mend();
            let outcome = course.recover(&mut host, &mut journal, how);
            course.recovered_well(&place, &mut host, &mut journal, outcome);
        }
    }
}

/// While the journal still cannot be written, recovering changes nothing, or says truly how the host stands.
fn recover_without_room(course: &Course<'_>, place: &str, host: &FakeHost, journal: &MemoryJournal) {
    if !journal.is_full() {
        return;
    }
    for how in [How::Resume, How::Abandon] {
        let mut after = host.clone().calm();
        let outcome = course.recover(&mut after, &mut journal.clone(), how);
        match outcome {
            None => {}
            Some(Outcome::Unrecorded { host: Standing::Between, .. }) => {
                assert!(after.log.is_empty(), "{place}: {how:?} acted unrecorded: {:?}", after.log);
            }
            Some(outcome) => course.stands_as_said(place, &after, journal, &outcome),
        }
    }
}
