//! What stands still: it is planned for as if it ran, after a first step that lets it go on.

use pw_model::desired::Desired;
use pw_model::observed::{Observed, State};

use crate::parts::{basis, levels};
use crate::step::{Action, Plan, Step, Undo};

/// The same host as it is once everything goes on; `None` where nothing stands still.
pub(crate) fn thawed(observed: &Observed) -> Option<Observed> {
    let mut thawed = observed.clone();
    let mut frozen = thawed.containers.iter_mut().filter(|one| one.state == State::Paused).peekable();
    frozen.peek()?;
    frozen.for_each(|one| one.state = State::Running);
    Some(thawed)
}

/// Described services that stand still, in the order in which they need each other.
pub(crate) fn services(desired: &Desired, observed: &Observed) -> Vec<String> {
    let stands = |name: &String| {
        let mut containers = observed.containers.iter().filter(|one| one.service == *name);
        containers.any(|one| one.state == State::Paused)
    };
    levels(desired).into_iter().flatten().filter(stands).collect()
}

/// A plan that was made for the thawed host, for the one that stands still.
pub(crate) fn after_thaw(plan: Plan, (desired, observed): (&Desired, &Observed)) -> Plan {
    let (services, project) = (services(desired, observed), desired.compose_project.clone());
    let back = services.iter().rev().cloned().collect();
    let undo = Undo::by(Action::FreezeServices { project: project.clone(), services: back });
    let thaw = Action::ThawServices { project, services };
    let others = plan.steps.into_iter().map(|step| Step { undo: awake_first(step.undo, &thaw), ..step });
    let because = "it stands still, and nothing can be done with it so";
    let first = Step::new(thaw.clone(), undo, because);
    let steps = std::iter::once(first).chain(others).collect();
    Plan { steps, basis: basis(desired, observed), ..plan }
}

/// The way back may be gone twice, the second time with everything standing still again already.
fn awake_first(undo: Undo, thaw: &Action) -> Undo {
    let needs_nobody =
        |action: &Action| matches!(action, Action::OpenSwitch { .. } | Action::CloseSwitch { .. });
    match undo {
        Undo::By { actions } if !actions.iter().all(needs_nobody) => {
            Undo::By { actions: std::iter::once(thaw.clone()).chain(actions).collect() }
        }
        undo => undo,
    }
}
