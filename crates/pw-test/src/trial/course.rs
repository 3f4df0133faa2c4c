//! The undisturbed run that all others are compared with.

use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use pw_plan::{Plan, Undo};
use pw_run::{Event, Journal, Outcome, Standing, Unfinished};

use super::{abandon, apply, resume};
use crate::{FakeHost, MemoryJournal, Moment, World};

pub(super) const MOMENTS: [Moment; 3] = [Moment::Before, Moment::Halfway, Moment::After];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum How {
    Resume,
    Abandon,
}

/// Runs what never truly waits. `None` when it hangs: then it is dropped on the spot, as by `kill -9`.
pub fn run<F: Future>(future: F) -> Option<F::Output> {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => Some(output),
        Poll::Pending => None,
    }
}

/// A plan, the host before it, and the host after it.
pub(super) struct Course<'a> {
    pub(super) plan: &'a Plan,
    pub(super) before: FakeHost,
    pub(super) wanted: World,
    pub(super) calls: usize,
    pub(super) writes: usize,
    pub(super) log: Vec<String>,
}

impl<'a> Course<'a> {
    pub(super) fn of(plan: &'a Plan, before: &FakeHost) -> Self {
        assert_eq!(plan.lint(), Ok(()), "the plan must not be carried out:\n{plan}");
        survives_writing(plan);
        let before = before.clone().calm();
        let (mut host, mut journal) = (before.clone(), MemoryJournal::default());
        let outcome = run(apply(plan, &mut host, &mut journal, &mut ()));
        assert!(matches!(outcome, Some(Outcome::Applied)), "without faults: {outcome:#?}\n{plan}");
        Self {
            plan,
            before,
            calls: host.calls(),
            writes: journal.writes(),
            wanted: host.world,
            log: host.log,
        }
    }

    /// Applies the plan on a host that may break.
    pub(super) fn start(&self, host: FakeHost) -> (FakeHost, MemoryJournal, Option<Outcome>) {
        self.start_with(host, MemoryJournal::default())
    }

    pub(super) fn start_with(
        &self,
        mut host: FakeHost,
        mut journal: MemoryJournal,
    ) -> (FakeHost, MemoryJournal, Option<Outcome>) {
        let outcome = run(apply(self.plan, &mut host, &mut journal, &mut ()));
        (host, journal, outcome)
    }

    /// `None` when nothing is left to do, or when cut off again.
    pub(super) fn recover(
        &self,
        host: &mut FakeHost,
        journal: &mut impl Journal,
        how: How,
    ) -> Option<Outcome> {
        let left = left(journal)?;
        match how {
            How::Resume => run(resume(&left, host, journal, &mut ())),
            How::Abandon => run(abandon(&left, host, journal, &mut ())),
        }
    }

    /// After one failure and no cut.
    pub(super) fn ended_well(
        &self,
        place: &str,
        host: &FakeHost,
        journal: &MemoryJournal,
        outcome: Option<Outcome>,
    ) {
        match outcome {
            Some(Outcome::Undone { .. }) => {
                self.is_as_before(place, host);
                assert_eq!(left(journal), None, "{place}: the journal is not closed");
            }
            Some(Outcome::Stuck { .. }) if self.no_way_back(journal) => {
                let (mut host, mut journal) = (host.clone().calm(), journal.clone());
                self.goes_forward(place, &mut host, &mut journal);
            }
            other => panic!("{place}: {other:#?}"),
        }
    }

    /// After `recover`: as before, as wanted, or stuck at a step without undo, from where `resume` leads on.
    pub(super) fn recovered_well(
        &self,
        place: &str,
        host: &mut FakeHost,
        journal: &mut impl Journal,
        outcome: Option<Outcome>,
    ) {
        match outcome {
            None => self.is_whole(place, host),
            Some(Outcome::Applied) => self.is_as_wanted(place, host),
            Some(Outcome::TakenBack | Outcome::Undone { .. }) => self.is_as_before(place, host),
            Some(Outcome::Stuck { .. }) if self.no_way_back(journal) => {
                self.goes_forward(place, host, journal)
            }
            Some(other) => panic!("{place}: {other:#?}\n{:?}", left(journal)),
        }
        assert_eq!(left(journal), None, "{place}: the journal is not closed");
    }

    fn goes_forward(&self, place: &str, host: &mut FakeHost, journal: &mut impl Journal) {
        let outcome = self.recover(host, journal, How::Resume);
        assert!(matches!(outcome, Some(Outcome::Applied)), "{place}: no way back, and forward {outcome:#?}");
        self.is_as_wanted(place, host);
    }

    pub(super) fn stands_as_said(
        &self,
        place: &str,
        host: &FakeHost,
        journal: &MemoryJournal,
        outcome: &Outcome,
    ) {
        match outcome {
            Outcome::Applied | Outcome::Unrecorded { host: Standing::AsWanted, .. } => {
                self.is_as_wanted(place, host);
            }
            Outcome::TakenBack
            | Outcome::Undone { .. }
            | Outcome::Unrecorded { host: Standing::AsBefore, .. } => {
                self.is_as_before(place, host);
            }
            Outcome::Stuck { .. } if self.no_way_back(journal) => {}
            Outcome::Stuck { .. } | Outcome::Unrecorded { host: Standing::Between, .. } => {
                panic!("{place}: {outcome:#?}")
            }
        }
    }

    /// True when a step that cannot be undone has started.
    fn no_way_back(&self, journal: &impl Journal) -> bool {
        left(journal).is_some_and(|left| {
            left.events.iter().any(|event| match event {
                Event::Started(step) => matches!(self.plan.steps[*step].undo, Undo::Impossible { .. }),
                _ => false,
            })
        })
    }

    pub(super) fn is_as_before(&self, place: &str, host: &FakeHost) {
        let lines = host.world.differs_from(&self.before.world);
        assert!(lines.is_empty(), "{place}: not as before: {lines:#?}\ncalls: {:#?}", host.log);
    }

    pub(super) fn is_as_wanted(&self, place: &str, host: &FakeHost) {
        let lines = host.world.differences(&self.wanted);
        assert!(lines.is_empty(), "{place}: not as wanted: {lines:#?}\ncalls: {:#?}", host.log);
    }

    fn is_whole(&self, place: &str, host: &FakeHost) {
        if host.world != self.wanted {
            self.is_as_before(place, host);
        }
    }
}

/// The journal in memory keeps a plan without its texts as it is, which is as good as a file exactly when this holds.
fn survives_writing(plan: &Plan) {
    let written = serde_json::to_string(plan);
    let read = written.and_then(|text| serde_json::from_str::<Plan>(&text));
    let kept = MemoryJournal::kept(plan);
    assert!(read.as_ref().is_ok_and(|read| *read == kept), "it does not survive writing: {read:?}");
}

pub(super) fn left(journal: &impl Journal) -> Option<Unfinished> {
    journal.unfinished().unwrap_or_else(|error| panic!("the journal cannot be read: {error:?}"))
}
