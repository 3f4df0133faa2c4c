//! What is remembered of a plan, and the life of a step.

use std::error::Error;

use pw_plan::Plan;
use serde::{Deserialize, Serialize};

/// What happened to a plan or a step, in the order in which it is written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", content = "step", rename_all = "kebab-case")]
pub enum Event {
    Started(usize),
    Done(usize),
    Failed(usize),
    UndoStarted(usize),
    Undone(usize),
    UndoFailed(usize),
    /// Every step is done.
    Applied,
    /// Every step that ran is undone.
    TakenBack,
}

/// The life of a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum StepState {
    Waiting,
    Started,
    Done,
    Failed,
    Undoing,
    Undone,
    Stuck,
}

/// An event that cannot follow the state; the journal was damaged or written by two.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the journal says {event:?} of a step that is {state:?}")]
pub struct Illegal {
    state: StepState,
    event: Event,
}

/// A plan that was begun and neither finished nor taken back.
#[derive(Debug, Clone, PartialEq)]
pub struct Unfinished {
    pub id: i64,
    pub plan: Plan,
    pub events: Vec<Event>,
    /// True when a later write failed: what was done after the last event is unknown, so the only way is back.
    pub gap: bool,
    /// Seconds since 1970.
    pub begun: i64,
    pub by: String,
}

/// The journal could not be read or written.
#[derive(Debug, thiserror::Error)]
#[error("could not {what} the journal")]
pub struct JournalFailure {
    pub what: &'static str,
    /// A command to run or a thing to mend.
    pub hint: Option<String>,
    #[source]
    pub source: Box<dyn Error + Send + Sync>,
}

/// Memory that survives a crash. Each call is durable when it returns.
pub trait Journal {
    /// Writes the whole plan before its first step; answers the plan's number. Refuses while another plan is
    /// unfinished, which would else be forgotten.
    fn begin(&mut self, plan: &Plan) -> Result<i64, JournalFailure>;
    /// Writes one event. After a failure the plan counts as having a gap, even where nothing can be written any more.
    fn record(&mut self, plan: i64, event: &Event, detail: Option<&str>) -> Result<(), JournalFailure>;
    fn unfinished(&self) -> Result<Option<Unfinished>, JournalFailure>;
}

impl StepState {
    /// The whole life of a step on one screen.
    pub fn after(self, event: &Event) -> Result<Self, Illegal> {
        use StepState as S;
        match (self, event) {
            // `resume` starts a step again after any end: cut off, undone up to a step without undo, or unknown after a gap.
            (_, Event::Started(_)) => Ok(S::Started),
            (S::Started, Event::Done(_)) => Ok(S::Done),
            (S::Started, Event::Failed(_)) => Ok(S::Failed),
            // Also of an undone step: again, when an event of a later step was lost.
            (S::Started | S::Done | S::Failed, Event::UndoStarted(_)) => Ok(S::Undoing),
            (S::Undoing | S::Undone | S::Stuck, Event::UndoStarted(_)) => Ok(S::Undoing),
            (S::Undoing, Event::Undone(_)) => Ok(S::Undone),
            (S::Undoing, Event::UndoFailed(_)) => Ok(S::Stuck),
            (state, event) => Err(Illegal { state, event: event.clone() }),
        }
    }
}

impl Event {
    pub fn step(&self) -> Option<usize> {
        match self {
            Self::Started(n) | Self::Done(n) | Self::Failed(n) => Some(*n),
            Self::UndoStarted(n) | Self::Undone(n) | Self::UndoFailed(n) => Some(*n),
            Self::Applied | Self::TakenBack => None,
        }
    }
}

/// The state of every step after the events.
pub fn replay(steps: usize, events: &[Event]) -> Result<Vec<StepState>, Illegal> {
    let mut states = vec![StepState::Waiting; steps];
    for event in events {
        if let Some(state) = event.step().and_then(|n| states.get_mut(n)) {
            *state = state.after(event)?;
        }
    }
    Ok(states)
}
