//! Trials: a plan is broken at every point, and the host must end as before or as wanted, never between.

mod course;
mod cut;
mod twice;
mod write;

pub use self::course::run;
pub use self::cut::{Reopen, cut_everywhere, cut_everywhere_with};
pub use self::twice::{Twice, apply_twice};
pub use self::write::fail_every_write;

use pw_plan::Plan;
use pw_run::{Outcome, abandon, apply, resume};

use self::course::{Course, How, MOMENTS};
use crate::FakeHost;

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
            let broken = course.before.clone().fail_at(call, moment);
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
