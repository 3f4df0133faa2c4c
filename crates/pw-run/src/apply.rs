//! The executor: forward, and on failure backward.

use pw_plan::{Plan, Undo};

use crate::door::{Failure, Perform};
use crate::journal::{Event, Illegal, Journal, JournalFailure, StepState, Unfinished, replay};

/// How a plan ended.
#[derive(Debug)]
pub enum Outcome {
    /// Everything is as wanted.
    Applied,
    /// A step failed and everything is as before. `step` counts from 0.
    Undone { step: usize, error: Failure },
    /// `abandon` took everything back.
    TakenBack,
    /// A step failed and taking back failed too; the journal keeps the plan for `resume` or `abandon`.
    Stuck { error: Option<Failure>, undo_error: Failure },
    /// Nothing was done, or nothing more: the journal could not be written.
    Unrecorded { error: JournalFailure },
}

/// Told about each step as it goes, for the printer.
pub trait Progress {
    fn event(&mut self, plan: &Plan, event: &Event);
}

impl Progress for () {
    fn event(&mut self, _: &Plan, _: &Event) {}
}

/// What a run needs besides the plan.
struct Run<'a, W, J, P> {
    id: i64,
    plan: &'a Plan,
    world: &'a mut W,
    journal: &'a mut J,
    progress: &'a mut P,
}

/// Carries out the whole plan, or takes back what was done.
pub async fn apply(
    plan: &Plan,
    world: &mut impl Perform,
    journal: &mut impl Journal,
    progress: &mut impl Progress,
) -> Outcome {
    for (hash, text) in &plan.texts {
        if let Err(error) = world.stage(hash, text).await {
            return Outcome::Undone { step: 0, error };
        }
    }
    let id = match journal.begin(plan) {
        Ok(id) => id,
        Err(error) => return Outcome::Unrecorded { error },
    };
    Run { id, plan, world, journal, progress }.forward(0).await
}

/// Goes on where a run was cut off. The step that had started is done again.
pub async fn resume(
    left: &Unfinished,
    world: &mut impl Perform,
    journal: &mut impl Journal,
    progress: &mut impl Progress,
) -> Outcome {
    let states = match states(left) {
        Ok(states) => states,
        Err(outcome) => return outcome,
    };
    let mut run = Run { id: left.id, plan: &left.plan, world, journal, progress };
    if going_back(&states) {
        return run.back(&states, None).await;
    }
    let next = states.iter().position(|state| *state != StepState::Done).unwrap_or(states.len());
    run.forward(next).await
}

/// Takes back every step that ran or may have run.
pub async fn abandon(
    left: &Unfinished,
    world: &mut impl Perform,
    journal: &mut impl Journal,
    progress: &mut impl Progress,
) -> Outcome {
    match states(left) {
        Ok(states) => {
            Run { id: left.id, plan: &left.plan, world, journal, progress }.back(&states, None).await
        }
        Err(outcome) => outcome,
    }
}

/// True when the plan was already being taken back: then there is no way forward any more.
fn going_back(states: &[StepState]) -> bool {
    states.iter().any(|state| {
        matches!(state, StepState::Undoing | StepState::Undone | StepState::Stuck | StepState::Failed)
    })
}

fn states(left: &Unfinished) -> Result<Vec<StepState>, Outcome> {
    replay(left.plan.steps.len(), &left.events).map_err(|illegal: Illegal| Outcome::Stuck {
        error: None,
        undo_error: Failure::new("could not understand the journal").because(illegal),
    })
}

impl<W: Perform, J: Journal, P: Progress> Run<'_, W, J, P> {
    async fn forward(&mut self, from: usize) -> Outcome {
        let mut states = vec![StepState::Done; from];
        states.resize(self.plan.steps.len(), StepState::Waiting);
        for number in from..self.plan.steps.len() {
            if let Err(error) = self.record(Event::Started(number), None) {
                return self.stop_unrecorded(&states, error).await;
            }
            if let Err(error) = self.world.perform(&self.plan.steps[number].does).await {
                states[number] = StepState::Failed;
                let noted = self.record(Event::Failed(number), Some(&error.to_string()));
                // When even the failure cannot be written, going back needs no journal: undo is idempotent.
                drop(noted);
                return self.back(&states, Some((number, error))).await;
            }
            states[number] = StepState::Done;
            if let Err(error) = self.record(Event::Done(number), None) {
                return self.stop_unrecorded(&states, error).await;
            }
        }
        match self.record(Event::Applied, None) {
            Ok(()) => Outcome::Applied,
            Err(error) => Outcome::Unrecorded { error },
        }
    }

    /// The journal cannot be written (a full disk): what was done is taken back as far as it goes.
    async fn stop_unrecorded(&mut self, states: &[StepState], error: JournalFailure) -> Outcome {
        match self.back(states, None).await {
            Outcome::Stuck { undo_error, .. } => Outcome::Stuck {
                error: Some(Failure::new(error.to_string()).because(error.source)),
                undo_error,
            },
            _ => Outcome::Unrecorded { error },
        }
    }

    async fn back(&mut self, states: &[StepState], failed: Option<(usize, Failure)>) -> Outcome {
        for number in (0..self.plan.steps.len()).rev() {
            if matches!(states[number], StepState::Waiting | StepState::Undone) {
                continue;
            }
            if let Err(undo_error) = self.take_back(number).await {
                return Outcome::Stuck { error: failed.map(|(_, error)| error), undo_error };
            }
        }
        // Left unwritten, the plan stays in the journal as unfinished, and `abandon` finds nothing left to do.
        drop(self.record(Event::TakenBack, None));
        match failed {
            Some((step, error)) => Outcome::Undone { step, error },
            None => Outcome::TakenBack,
        }
    }

    async fn take_back(&mut self, number: usize) -> Result<(), Failure> {
        drop(self.record(Event::UndoStarted(number), None));
        let result = match &self.plan.steps[number].undo {
            Undo::Nothing => Ok(()),
            Undo::By { actions } => self.perform_all(actions).await,
            Undo::Impossible { saved_as } => Err(impossible(&self.plan.steps[number], saved_as.as_deref())),
        };
        match &result {
            Ok(()) => drop(self.record(Event::Undone(number), None)),
            Err(error) => drop(self.record(Event::UndoFailed(number), Some(&error.to_string()))),
        }
        result
    }

    async fn perform_all(&mut self, actions: &[pw_plan::Action]) -> Result<(), Failure> {
        for action in actions {
            self.world.perform(action).await?;
        }
        Ok(())
    }

    fn record(&mut self, event: Event, detail: Option<&str>) -> Result<(), JournalFailure> {
        self.progress.event(self.plan, &event);
        self.journal.record(self.id, &event, detail)
    }
}

fn impossible(step: &pw_plan::Step, saved_as: Option<&str>) -> Failure {
    let failure = Failure::new(format!("could not take back: {}", step.does));
    match saved_as {
        Some(place) => failure.hint(format!("what was there is saved as {place}")),
        None => failure.hint("go on with `partywall resume`; this step has no way back"),
    }
}
