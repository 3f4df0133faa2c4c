//! What is throttled: it is planned for like anything else, after a first step that gives it back what it had.

use std::collections::BTreeMap;

use pw_model::desired::{Desired, DesiredService};
use pw_model::observed::{Container, Observed, THROTTLED};
use pw_model::unit::Cpus;

use crate::parts::levels;
use crate::step::{Action, Plan, Step, Undo};

/// What has no more by its own ceiling is left as it is.
pub(crate) fn can_be(service: &DesiredService) -> bool {
    service.cpus.is_none_or(|cpus| cpus > THROTTLED)
}

/// Throttles these services.
pub(crate) fn step(desired: &Desired, services: Vec<String>, because: String) -> Step {
    let undo = Undo::by(back(desired, &services));
    let throttle = Action::ThrottleServices { project: desired.compose_project.clone(), services };
    Step::new(throttle, undo, because)
}

fn back(desired: &Desired, services: &[String]) -> Action {
    let own = |name: &String| Some((name.clone(), desired.services.get(name)?.cpus));
    let ceilings: BTreeMap<String, Option<Cpus>> = services.iter().filter_map(own).collect();
    Action::UnthrottleServices { project: desired.compose_project.clone(), ceilings }
}

/// A plan that brings up what may be throttled.
pub(crate) fn with_all_it_had(mut plan: Plan, desired: &Desired, observed: &Observed) -> Plan {
    let is = |name: &String| {
        let mut containers = observed.containers.iter().filter(|one| one.service == *name);
        containers.any(|one: &Container| one.throttled)
    };
    let services: Vec<String> = levels(desired).into_iter().flatten().filter(is).collect();
    if services.is_empty() {
        return plan;
    }
    let project = desired.compose_project.clone();
    let first = back(desired, &services);
    let undo = Undo::by(Action::ThrottleServices { project, services: services.into_iter().rev().collect() });
    plan.steps.insert(0, Step::new(first, undo, "it sleeps no longer"));
    plan
}
