//! Cutting a run off, as `kill -9` does, and recovering with nothing but the journal.

use pw_model::observed::State;
use pw_plan::Plan;
use pw_run::{Event, Journal, Outcome, apply};

use super::course::{Course, How, MOMENTS, left, run};
use crate::{FakeHost, MemoryJournal, Moment};

/// Opens the same journal again, as the next process does.
pub trait Reopen {
    type Journal: Journal;
    fn open(&self) -> Self::Journal;
}

impl Reopen for MemoryJournal {
    type Journal = Self;
    fn open(&self) -> Self {
        self.clone()
    }
}

/// Cuts `apply` off at every call, between every write and act, on the way back, and during recovery.
///
/// `abandon` must bring the host back, and `resume` to what is wanted.
pub fn cut_everywhere(plan: &Plan, before: &FakeHost) {
    let course = Course::of(plan, before);
    each_call(&course, &mut MemoryJournal::default);
    before_each_write(&course);
    on_the_way_back(&course);
    while_recovering(&course);
    before_a_reboot(&course);
}

/// The same with journals of the caller's, each opened again after the cut; one cut per run, for writing takes time.
pub fn cut_everywhere_with<S: Reopen>(plan: &Plan, before: &FakeHost, mut fresh: impl FnMut() -> S) {
    each_call(&Course::of(plan, before), &mut fresh);
}

fn each_call<S: Reopen>(course: &Course<'_>, fresh: &mut impl FnMut() -> S) {
    for call in 0..course.calls {
        for (moment, how) in MOMENTS.into_iter().flat_map(|m| [(m, How::Resume), (m, How::Abandon)]) {
            let place = format!("cut at call {call} {moment:?} `{}`, {how:?}", course.log[call]);
            let shelf = fresh();
            let host = cut(course, &place, call, moment, &shelf);
            recover(course, &place, host, &shelf, how);
        }
    }
}

fn cut<S: Reopen>(course: &Course<'_>, place: &str, call: usize, moment: Moment, shelf: &S) -> FakeHost {
    let mut host = course.before.clone().hang_at(call, moment);
    let outcome = run(apply(course.plan, &mut host, &mut shelf.open(), &mut ()));
    assert!(outcome.is_none(), "{place}: was not cut off: {outcome:#?}");
    host.calm()
}

/// The machine goes down, and nobody starts what only the plan knows of: `resume` leads all the way forward.
fn before_a_reboot(course: &Course<'_>) {
    for call in course.plan.texts.len()..course.calls {
        for moment in [Moment::Before, Moment::Halfway] {
            let place = format!("rebooted at call {call} {moment:?} `{}`", course.log[call]);
            let shelf = MemoryJournal::default();
            let mut host = cut(course, &place, call, moment, &shelf);
            let passing = |name: &String| {
                !course.before.world.containers.contains_key(name)
                    && !course.wanted.containers.contains_key(name)
            };
            for (_, container) in host.world.containers.iter_mut().filter(|(name, _)| passing(name)) {
                container.state = State::Exited;
            }
            recover(course, &place, host, &shelf, How::Resume);
        }
    }
}

/// A run that was cut on the way forward: `resume` leads all the way forward and `abandon` all the way back.
fn recover<S: Reopen>(course: &Course<'_>, place: &str, mut host: FakeHost, shelf: &S, how: How) {
    let mut journal = shelf.open();
    let begun = left(&journal).is_some();
    let outcome = course.recover(&mut host, &mut journal, how);
    match (&outcome, how) {
        (None, _) => assert!(!begun, "{place}: recovering hangs"),
        (Some(Outcome::Applied), How::Resume) => {}
        (Some(Outcome::TakenBack | Outcome::Stuck { .. }), How::Abandon) => {}
        (other, _) => panic!("{place}: {other:#?}"),
    }
    course.recovered_well(place, &mut host, &mut shelf.open(), outcome);
}

/// Cut after each act and before the event that would follow it, and between two events.
fn before_each_write(course: &Course<'_>) {
    for call in course.plan.texts.len()..course.calls {
        for how in [How::Resume, How::Abandon] {
            let place = format!("cut before `{}` was noted as started, {how:?}", course.log[call]);
            let journal = MemoryJournal::default();
            let host = cut(course, &place, call, Moment::Before, &journal);
            assert!(
                matches!(journal.forget_last(), Some(Event::Started(_))),
                "{place}: {:?}",
                journal.events()
            );
            recover(course, &place, host, &journal, how);
        }
    }
    for how in [How::Resume, How::Abandon] {
        let (host, journal, _) = course.start(course.before.clone());
        journal.forget_last();
        recover(course, &format!("cut before the end was noted, {how:?}"), host.calm(), &journal, how);
    }
}

/// A call fails, and then the way back is cut off: both ways of recovering lead back.
fn on_the_way_back(course: &Course<'_>) {
    for call in 0..course.calls {
        let broken = course.before.clone().fail_at(call, Moment::After);
        let (whole, ..) = course.start(broken.clone());
        for again in call + 1..whole.calls() {
            for (moment, how) in MOMENTS.into_iter().flat_map(|m| [(m, How::Resume), (m, How::Abandon)]) {
                let place = format!(
                    "failed at call {call} `{}`, cut at {again} {moment:?} `{}`, {how:?}",
                    course.log[call], whole.log[again]
                );
                let (host, journal, outcome) = course.start(broken.clone().hang_at(again, moment));
                assert!(outcome.is_none(), "{place}: was not cut off: {outcome:#?}");
                let (mut host, mut journal) = (host.calm(), journal);
                let outcome = course.recover(&mut host, &mut journal, how);
                assert!(
                    !matches!(outcome, Some(Outcome::Applied)) || has_no_way_back(course),
                    "{place}: went forward"
                );
                course.recovered_well(&place, &mut host, &mut journal, outcome);
            }
        }
    }
}

fn has_no_way_back(course: &Course<'_>) -> bool {
    course.plan.steps.iter().any(|step| matches!(step.undo, pw_plan::Undo::Impossible { .. }))
}

/// Cut once on the way forward, then again at every call of the recovery; the third run must end it.
fn while_recovering(course: &Course<'_>) {
    for call in course.plan.texts.len()..course.calls {
        for moment in [Moment::Before, Moment::After] {
            for first in [How::Resume, How::Abandon] {
                for second in [How::Resume, How::Abandon] {
                    cut_twice(course, call, moment, (first, second));
                }
            }
        }
    }
}

fn cut_twice(course: &Course<'_>, call: usize, moment: Moment, (first, second): (How, How)) {
    for (again, at) in (0..).flat_map(|again| [(again, Moment::Before), (again, Moment::After)]) {
        let place = format!(
            "cut at call {call} {moment:?} `{}`, {first:?} cut at its call {again} {at:?}, {second:?}",
            course.log[call]
        );
        let mut journal = MemoryJournal::default();
        let mut host = cut(course, &place, call, moment, &journal).hang_at(again, at);
        if course.recover(&mut host, &mut journal, first).is_some() {
            return;
        }
        let mut host = host.calm();
        let outcome = course.recover(&mut host, &mut journal, second);
        assert!(outcome.is_some(), "{place}: hangs or is forgotten");
        course.recovered_well(&place, &mut host, &mut journal, outcome);
    }
}
