//! Steps that several plans are made of.

use std::collections::{BTreeMap, BTreeSet};

use pw_model::desired::{Desired, DesiredRoute, FileText};
use pw_model::diagnostic::Diagnostic;
use pw_model::observed::{Container, Observed};
use pw_model::role::Role;

use crate::promote::generations::{Generations, serving, serving_address};
use crate::step::{Action, ComposeRun, Plan, Step, Undo};

/// The same on the way back: it was healthy a moment ago.
const AWAIT_AGAIN_SECONDS: u64 = 120;

/// A plan being put together.
pub(crate) struct Draft<'a> {
    pub(crate) desired: &'a Desired,
    pub(crate) observed: &'a Observed,
    pub(crate) steps: Vec<Step>,
    pub(crate) texts: BTreeMap<String, String>,
}

impl<'a> Draft<'a> {
    /// Refuses when containers under the environment's Compose project are not the environment's, or run from elsewhere.
    pub(crate) fn new(desired: &'a Desired, observed: &'a Observed) -> Result<Self, Box<Diagnostic>> {
        match observed.containers.iter().find(|container| !is_ours(container, desired)) {
            Some(container) => Err(Box::new(foreign(container, desired))),
            None => crate::origin::check(desired, observed).map(|()| Self {
                desired,
                observed,
                steps: Vec::new(),
                texts: BTreeMap::new(),
            }),
        }
    }

    pub(crate) fn step(&mut self, does: Action, undo: Undo, because: impl Into<String>) {
        self.steps.push(Step::new(does, undo, because));
    }

    pub(crate) fn finish(self, operation: &str) -> Plan {
        Plan {
            operation: operation.to_owned(),
            project: self.desired.project.to_string(),
            environment: self.desired.environment.to_string(),
            basis: basis(self.desired, self.observed),
            steps: self.steps,
            texts: self.texts,
        }
    }

    /// Writes a file when its content differs, keeping what was there for the way back.
    pub(crate) fn install(&mut self, file: &FileText, because: &str) {
        let hash = crate::hash(&file.text);
        let before = self.observed.files.get(&file.path);
        if before == Some(&hash) {
            return;
        }
        let path = file.path.clone();
        let undo = match before {
            Some(before) => {
                self.step(
                    Action::KeepFile { path: path.clone(), hash: before.clone() },
                    Undo::Nothing,
                    "for the way back",
                );
                Undo::by(Action::InstallFile { path: path.clone(), hash: before.clone() })
            }
            None => Undo::by(Action::RemoveFile { path: path.clone() }),
        };
        self.texts.insert(hash.clone(), file.text.clone());
        self.step(Action::InstallFile { path, hash }, undo, because);
    }

    pub(crate) fn folder(&mut self, path: &str, because: &str) {
        if !self.observed.folders.contains(path) {
            let path = path.to_owned();
            self.step(
                Action::MakeFolder { path: path.clone() },
                Undo::by(Action::RemoveFolder { path }),
                because,
            );
        }
    }

    pub(crate) fn compose(&self) -> ComposeRun {
        ComposeRun {
            project: self.desired.compose_project.clone(),
            file: self.desired.compose_file.path.clone(),
        }
    }

    pub(crate) fn containers_of(&self, service: &str) -> impl Iterator<Item = &'a Container> {
        let name = service.to_owned();
        self.observed.containers.iter().filter(move |container| container.service == name)
    }

    /// The generations of a routed service that can have more than one.
    pub(crate) fn generations(&self, service: &str) -> Option<Generations<'a>> {
        let route = self.desired.routes.iter().find(|route| route.service == service)?;
        route.edge.as_ref().map(|_| Generations::of(self.desired, self.observed, route))
    }

    /// The containers that serve: of a service with two generations, those of one.
    pub(crate) fn serving(&self, service: &str) -> Vec<&'a Container> {
        serving(self.desired, self.observed, service)
    }

    /// Where the proxy finds the containers that serve.
    pub(crate) fn serving_address(&self, route: &DesiredRoute) -> String {
        serving_address(self.desired, self.observed, route)
    }

    /// True where Compose alone would take containers for too many, or for its own to replace.
    pub(crate) fn has_colours(&self) -> bool {
        let all = self.desired.routes.iter().filter_map(|route| self.generations(&route.service));
        all.into_iter().any(|all| all.all.len() > 1 || all.all.keys().any(Option::is_some))
    }

    /// Starts services as described, and touches no others.
    pub(crate) fn start_action(&self, services: Vec<String>) -> Action {
        if !self.has_colours() {
            return Action::StartServices { compose: self.compose(), services };
        }
        let hash = |name: &String| self.desired.services.get(name).map(|one| one.config_hash.clone());
        let services = services.iter().filter_map(|name| Some((name.clone(), hash(name)?))).collect();
        Action::ReplaceServices { compose: self.compose(), services, overlap: Vec::new() }
    }

    /// Starts services as they are now, after what they were started from is in its place again.
    pub(crate) fn start_as_now(&self, compose: ComposeRun, services: &[String]) -> Vec<Action> {
        if !self.has_colours() {
            return vec![Action::StartServices { compose, services: services.to_vec() }];
        }
        let now = |name: &String| self.serving(name).first().map(|one| one.config_hash.clone());
        let (coloured, plain): (Vec<&String>, Vec<&String>) =
            services.iter().partition(|name| self.coloured(name).is_some());
        let plain: BTreeMap<String, String> =
            plain.into_iter().filter_map(|name| Some((name.clone(), now(name)?))).collect();
        let mut actions = Vec::new();
        if !plain.is_empty() {
            let overlap = Vec::new();
            actions.push(Action::ReplaceServices { compose: compose.clone(), services: plain, overlap });
        }
        let again = coloured.into_iter().filter_map(|name| self.coloured(name));
        actions.extend(again.flat_map(|(route, all)| all.again(route, &compose, AWAIT_AGAIN_SECONDS)));
        actions
    }

    fn coloured(&self, service: &str) -> Option<(&'a DesiredRoute, Generations<'a>)> {
        let route = self.desired.routes.iter().find(|route| route.service == service)?;
        let all = self.generations(service)?;
        matches!(all.live, Some(Some(_))).then_some((route, all))
    }

    /// The route is opened next, and must lead to something that answers. What was not up before is not waited for.
    pub(crate) fn await_again(&self, services: Vec<String>) -> Option<Action> {
        let was_up = |name: &String| {
            self.containers_of(name).all(|container| container.is_up() || container.ended_well())
        };
        let services: Vec<String> = services.into_iter().filter(was_up).collect();
        let project = self.desired.compose_project.clone();
        let some = !services.is_empty();
        some.then_some(Action::AwaitServices { project, services, timeout_seconds: AWAIT_AGAIN_SECONDS })
    }

    /// Closes a route if it is open; on the way back it is opened as it was.
    pub(crate) fn close(&mut self, switch: &str, because: &str) {
        if let Some(address) = self.observed.open_switches.get(switch) {
            let (path, service, address) = (switch.to_owned(), service_of(switch), address.clone());
            let back = Action::OpenSwitch { path: path.clone(), service: service.clone(), address };
            self.step(Action::CloseSwitch { path, service }, Undo::by(back), because);
        }
    }

    /// Closes for good what leads only some requests somewhere else.
    pub(crate) fn forget(&mut self, switch: &str, because: &str) {
        let does = Action::CloseSwitch { path: switch.to_owned(), service: service_of(switch) };
        self.step(does, Undo::Nothing, because);
    }

    /// Switches of services that are not routed any more, and those that lead somewhere else without need.
    pub(crate) fn close_lost_routes(&mut self) {
        for (switch, address) in &self.observed.open_switches {
            if self.desired.routes.iter().any(|route| route.switch == *switch) {
                continue;
            }
            let beside =
                self.desired.routes.iter().find(|one| one.before == *switch || one.canary == *switch);
            match beside {
                Some(route) if self.is_bridge(route, switch, address) => {}
                Some(_) => self.forget(switch, "what it was for is over"),
                None => self.close(switch, "no longer routed"),
            }
        }
    }

    /// True for what leads to a generation that still runs beside the one that serves.
    fn is_bridge(&self, route: &DesiredRoute, switch: &str, address: &str) -> bool {
        let beside = || {
            let all = Generations::of(self.desired, self.observed, route);
            all.others().any(|one| all.address(one) == address)
        };
        route.before == switch && !self.desired.promote.assets.is_empty() && beside()
    }
}

fn service_of(switch: &str) -> String {
    switch.rsplit('/').next().unwrap_or(switch).to_owned()
}

/// Why a build's group is limited first.
pub(crate) const BUILD_LIMITS: &str = "production's processors and memory come before a build";

/// True for a job that the release which runs has behind it.
///
/// A job runs when its release is promoted. Later its container may be gone or that of another release: one that went
/// back, or was cut off. To run the job again on a newer schema could harm what the other services already use.
pub(crate) fn job_is_over(desired: &Desired, observed: &Observed, name: &str) -> bool {
    let is_job = |name: &str| desired.services.get(name).is_some_and(|one| one.role == Role::Job);
    let is_over = |one: &Container| match is_job(&one.service) {
        true => one.service == name && one.ended_well(),
        false => desired.services.contains_key(&one.service) && one.is_up(),
    };
    is_job(name) && desired.release.is_some() && observed.containers.iter().any(is_over)
}

/// Hash of both sides of a plan: it is stale as soon as either changes.
pub fn basis(desired: &Desired, observed: &Observed) -> String {
    let observed = serde_json::to_string(observed).unwrap_or_default();
    crate::hash(&format!("{desired:?}\n{observed}"))
}

fn is_ours(container: &Container, desired: &Desired) -> bool {
    container.owner.as_ref().is_some_and(|(project, environment)| {
        project == desired.project.as_str() && environment == desired.environment.as_str()
    })
}

fn foreign(container: &Container, desired: &Desired) -> Diagnostic {
    let whose = match &container.owner {
        Some((project, environment)) => {
            format!("its labels say project `{project}`, environment `{environment}`")
        }
        None => "it has no Partywall labels, so somebody else made it".to_owned(),
    };
    Diagnostic::error(format!(
        "container `{}` is in Compose project `{}` but not ours",
        container.name, desired.compose_project
    ))
    .because(whose)
    .because("containers whose labels disagree with the request are never touched")
    .hint(format!(
        "look at it with `docker inspect {}`; remove it yourself, or change `project` in partywall.yaml",
        container.name
    ))
}

/// Services in levels: each needs only those of the levels before it. What is in a circle comes last, together.
pub(crate) fn levels(desired: &Desired) -> Vec<Vec<String>> {
    let mut left: BTreeSet<&String> = desired.services.keys().collect();
    let mut levels = Vec::new();
    while !left.is_empty() {
        let ready = |name: &&&String| desired.services[**name].needs.iter().all(|need| !left.contains(need));
        let level: Vec<&String> = left.iter().filter(ready).copied().collect();
        let level = if level.is_empty() { left.iter().copied().collect() } else { level };
        left.retain(|name| !level.contains(name));
        levels.push(level.into_iter().cloned().collect());
    }
    levels
}
