//! `retire`: the containers of the release before, once nobody is in them any more.

use pw_model::desired::Desired;
use pw_model::diagnostic::Diagnostic;
use pw_model::observed::Observed;

use super::generations::{self, Generations};
use super::step::{Containers, Drain};
use crate::parts::Draft;
use crate::step::{Action, Plan, Undo};

pub(super) const OPERATION: &str = "retire";

/// Steps that end the generations that serve no visitor. Empty when there are none.
///
/// # Errors
/// Containers under the environment's Compose project are not the environment's.
pub fn plan(desired: &Desired, observed: &Observed, drain_seconds: u64) -> Result<Plan, Box<Diagnostic>> {
    let mut draft = Draft::new(desired, observed)?;
    let folder = desired.proxy.as_ref().map(|proxy| proxy.folder.clone()).unwrap_or_default();
    for route in desired.routes.iter().filter(|route| observed.open_switches.contains_key(&route.before)) {
        draft.forget(&route.before, "what it leads to ends");
    }
    for (containers, address) in warm(desired, observed) {
        let (service, folder) = (containers.service.clone(), folder.clone());
        let drain = Drain { service, folder, address, seconds: drain_seconds };
        draft.step(Action::Drain { drain }, Undo::Nothing, "what began there may end there");
        if let Some(route) = desired.routes.iter().find(|route| route.service == containers.service) {
            generations::remove(&mut draft, route, &containers);
        }
    }
    Ok(draft.finish(OPERATION))
}

/// Names of the containers that serve no visitor any more.
pub fn left(desired: &Desired, observed: &Observed) -> Vec<String> {
    warm(desired, observed).into_iter().flat_map(|(containers, _)| containers.names).collect()
}

/// Where the proxy finds them.
pub fn left_addresses(desired: &Desired, observed: &Observed) -> Vec<String> {
    warm(desired, observed).into_iter().map(|(_, address)| address).collect()
}

fn warm(desired: &Desired, observed: &Observed) -> Vec<(Containers, String)> {
    let routes = desired.routes.iter();
    routes
        .flat_map(|route| {
            let generations = Generations::of(desired, observed, route);
            let others: Vec<_> = generations.others().collect();
            others.into_iter().map(move |one| (generations.containers(one), generations.address(one)))
        })
        .collect()
}
