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
    /// The journal could not be written, so nothing more was done; `host` says how it stands.
    Unrecorded { error: JournalFailure, host: Standing },
}

/// How the host stands after a run that the journal does not know the end of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    AsBefore,
    AsWanted,
    /// A plan that was cut off earlier is still half done.
    Between,
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

/// Why going back ended early.
enum Halt {
    World(Failure),
    Journal(JournalFailure),
}

/// What going back does when the journal cannot be written.
#[derive(Clone, Copy, PartialEq)]
enum Unwritten {
    /// Goes on: this very run changed the host, and leaving it between is worse than a gap in the journal.
    GoOn,
    /// Stops: the host was between before, and may wait until the journal can be written.
    Stop,
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
        Err(error) => return Outcome::Unrecorded { error, host: Standing::AsBefore },
    };
    let states = vec![StepState::Waiting; plan.steps.len()];
    Run { id, plan, world, journal, progress }.forward(0, states).await
}

/// Goes on where a run was cut off, in the direction in which it went. The step that had started is done again.
pub async fn resume(
    left: &Unfinished,
    world: &mut impl Perform,
    journal: &mut impl Journal,
    progress: &mut impl Progress,
) -> Outcome {
    take_up(left, way_forward, (world, journal, progress)).await
}

/// Takes back every step that ran or may have run.
pub async fn abandon(
    left: &Unfinished,
    world: &mut impl Perform,
    journal: &mut impl Journal,
    progress: &mut impl Progress,
) -> Outcome {
    take_up(left, |_, _| None, (world, journal, progress)).await
}

/// `next` chooses the step to go on with, or the way back.
async fn take_up(
    left: &Unfinished,
    next: fn(&Unfinished, &[StepState]) -> Option<usize>,
    with: (&mut impl Perform, &mut impl Journal, &mut impl Progress),
) -> Outcome {
    let states = match states(left) {
        Ok(states) => states,
        Err(outcome) => return *outcome,
    };
    let (world, journal, progress) = with;
    let mut run = Run { id: left.id, plan: &left.plan, world, journal, progress };
    match next(left, &states) {
        Some(next) => {
            run.wake(next).await;
            run.forward(next, states).await
        }
        None => run.back(&states, None, Unwritten::Stop).await,
    }
}

/// The step to go on with, or `None` when there is only the way back.
///
/// Going back runs from the last step to the first, so the first step that is not done tells the direction.
fn way_forward(left: &Unfinished, states: &[StepState]) -> Option<usize> {
    let next = states.iter().position(|state| *state != StepState::Done).unwrap_or(states.len());
    let no_undo = |number: &usize| matches!(left.plan.steps[*number].undo, Undo::Impossible { .. });
    // Going back never passes a step that cannot be undone: all before it stands, and forward is the only way.
    let wall = (0..states.len()).rev().filter(|number| states[*number] != StepState::Waiting).find(no_undo);
    match (wall, states.get(next)) {
        (_, None) => Some(next),
        (Some(wall), Some(_)) => Some(if left.gap { wall } else { next }),
        (None, Some(StepState::Waiting | StepState::Started)) if !left.gap => Some(next),
        (None, Some(_)) => None,
    }
}

fn states(left: &Unfinished) -> Result<Vec<StepState>, Box<Outcome>> {
    replay(left.plan.steps.len(), &left.events).map_err(|illegal: Illegal| {
        let undo_error = Failure::new("could not understand the journal").because(illegal);
        Box::new(Outcome::Stuck { error: None, undo_error })
    })
}

impl<W: Perform, J: Journal, P: Progress> Run<'_, W, J, P> {
    /// Starts again what a reboot has stopped in scratch places: nobody restarts those.
    async fn wake(&mut self, next: usize) {
        for number in self.plan.scratch_servers(next) {
            // Done already, and done twice is done once. Who needs what does not start says so.
            drop(self.world.perform(&self.plan.steps[number].does).await);
        }
    }

    /// `states` is what the journal says: a step that had started may have half run, and counts on the way back.
    async fn forward(&mut self, from: usize, mut states: Vec<StepState>) -> Outcome {
        let resumed = states.iter().any(|state| *state != StepState::Waiting);
        for number in from..self.plan.steps.len() {
            if let Err(error) = self.record(Event::Started(number), None) {
                if resumed && number == from {
                    return Outcome::Unrecorded { error, host: Standing::Between };
                }
                return self.stop_unrecorded(&states, error).await;
            }
            if let Err(error) = self.world.perform(&self.plan.steps[number].does).await {
                states[number] = StepState::Failed;
                drop(self.record(Event::Failed(number), Some(&error.to_string())));
                return self.back(&states, Some((number, error)), Unwritten::GoOn).await;
            }
            states[number] = StepState::Done;
            if let Err(error) = self.record(Event::Done(number), None) {
                return self.stop_unrecorded(&states, error).await;
            }
        }
        match self.record(Event::Applied, None) {
            Ok(()) => Outcome::Applied,
            Err(error) => Outcome::Unrecorded { error, host: Standing::AsWanted },
        }
    }

    /// The journal cannot be written (a full disk): what was done is taken back as far as it goes.
    async fn stop_unrecorded(&mut self, states: &[StepState], error: JournalFailure) -> Outcome {
        match self.back(states, None, Unwritten::GoOn).await {
            Outcome::Stuck { undo_error, .. } => Outcome::Stuck {
                error: Some(Failure {
                    what: error.to_string(),
                    hint: error.hint,
                    source: Some(error.source),
                }),
                undo_error,
            },
            _ => Outcome::Unrecorded { error, host: Standing::AsBefore },
        }
    }

    async fn back(
        &mut self,
        states: &[StepState],
        failed: Option<(usize, Failure)>,
        unwritten: Unwritten,
    ) -> Outcome {
        let over = |state: &StepState| matches!(state, StepState::Waiting | StepState::Undone);
        let end = states.iter().rposition(|state| !over(state)).map_or(0, |last| last + 1);
        // A step below `end` that is undone already means that an event was lost: order matters, so it is undone again.
        for number in (0..end).rev().filter(|number| states[*number] != StepState::Waiting) {
            match self.take_back(number, unwritten).await {
                Ok(()) => {}
                Err(Halt::World(undo_error)) => {
                    return Outcome::Stuck { error: failed.map(|(_, error)| error), undo_error };
                }
                Err(Halt::Journal(error)) => return Outcome::Unrecorded { error, host: Standing::Between },
            }
        }
        // Left unwritten, the plan stays in the journal as unfinished, and `abandon` finds nothing left to do.
        let ended = self.record(Event::TakenBack, None);
        match (failed, ended) {
            (Some((step, error)), _) => Outcome::Undone { step, error },
            (None, Ok(())) => Outcome::TakenBack,
            (None, Err(error)) => Outcome::Unrecorded { error, host: Standing::AsBefore },
        }
    }

    async fn take_back(&mut self, number: usize, unwritten: Unwritten) -> Result<(), Halt> {
        let noted = self.record(Event::UndoStarted(number), None);
        let written = noted.is_ok();
        match noted {
            Err(error) if unwritten == Unwritten::Stop => return Err(Halt::Journal(error)),
            Ok(()) | Err(_) => {}
        }
        let result = match &self.plan.steps[number].undo {
            Undo::Nothing => Ok(()),
            Undo::By { actions } => self.perform_all(actions).await,
            Undo::Impossible { saved_as } => Err(impossible(&self.plan.steps[number], saved_as.as_deref())),
        };
        // An end whose beginning is not written would make the journal illegible.
        if written {
            drop(match &result {
                Ok(()) => self.record(Event::Undone(number), None),
                Err(error) => self.record(Event::UndoFailed(number), Some(&error.to_string())),
            });
        }
        result.map_err(Halt::World)
    }

    async fn perform_all(&mut self, actions: &[pw_plan::Action]) -> Result<(), Failure> {
        for action in actions {
            self.world.perform(action).await?;
        }
        Ok(())
    }

    fn record(&mut self, event: Event, detail: Option<&str>) -> Result<(), JournalFailure> {
        self.journal.record(self.id, &event, detail)?;
        self.progress.event(self.plan, &event);
        Ok(())
    }
}

fn impossible(step: &pw_plan::Step, saved_as: Option<&str>) -> Failure {
    let failure = Failure::new(format!("could not take back: {}", step.does));
    match saved_as {
        Some(place) => failure.hint(format!("what was there is saved as {place}")),
        None => failure.hint("go on with `partywall resume`; this step has no way back"),
    }
}
