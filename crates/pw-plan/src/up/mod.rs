//! `up`: bring one environment to what its files describe, and take it back whole when that fails.

use std::collections::BTreeSet;

use pw_model::config::Class;
use pw_model::desired::{Desired, FileText, FirewallChain, GroupLimits};
use pw_model::diagnostic::Diagnostic;
use pw_model::observed::{Container, Observed, State};
use pw_model::role::Role;

use crate::frozen;
use crate::parts::{BUILD_LIMITS, Draft, levels};
use crate::promote::Flip;
use crate::proxy::is_front;
use crate::step::{Action, ComposeRun, Plan, Step, Undo};
use crate::throttled;

mod data;
mod differ;
mod proxy;

pub use data::{OtherData, other_data};

/// The operation that sets limits and rules again, and starts nothing.
pub const WALL: &str = "wall";

/// How long a service may take to become healthy, in seconds. A large database replaying its log needs minutes.
pub(crate) const AWAIT_SECONDS: u64 = 300;

/// The same for another release, which is entered into the list of releases.
pub fn with_release(
    desired: &Desired,
    observed: &Observed,
    entry: &FileText,
) -> Result<Plan, Box<Diagnostic>> {
    let mut listed = Draft::new(desired, observed)?;
    listed.install(entry, "the list of releases");
    let mut plan = plan(desired, observed)?;
    let entered = listed.finish("push");
    plan.steps.splice(0..0, entered.steps);
    plan.texts.extend(entered.texts);
    Ok(Plan { operation: "push".to_owned(), ..plan })
}

/// Steps that start what is missing or changed, dependencies first, and open routes last. Empty when nothing differs.
pub fn plan(desired: &Desired, observed: &Observed) -> Result<Plan, Box<Diagnostic>> {
    Ok(throttled::with_all_it_had(going(desired, observed)?, desired, observed))
}

/// Only the limits of the group and the firewall's rules, which a reboot takes away while containers come back by themselves.
/// Empty where they are as described, or nothing is there to be walled in.
pub fn wall(desired: &Desired, observed: &Observed) -> Result<Plan, Box<Diagnostic>> {
    let mut draft = Draft::new(desired, observed)?;
    if !observed.containers.is_empty() {
        draft.wall();
    }
    Ok(draft.finish(WALL))
}

/// The same where nothing is throttled.
fn going(desired: &Desired, observed: &Observed) -> Result<Plan, Box<Diagnostic>> {
    let Some(thawed) = frozen::thawed(observed) else { return awake(desired, observed) };
    let (services, project) = (frozen::services(desired, observed), desired.compose_project.clone());
    let wait = Action::AwaitServices { project, services, timeout_seconds: AWAIT_SECONDS };
    let wait = Step::new(wait, Undo::Nothing, "the engine has not looked at their health meanwhile");
    let mut plan = awake(desired, &thawed)?;
    // They were healthy and go on where they were: who waits for them is let in before the engine has looked again.
    let only_opens = plan.steps.iter().all(|step| matches!(step.does, Action::OpenSwitch { .. }));
    plan.steps.insert(if only_opens { plan.steps.len() } else { 0 }, wait);
    Ok(frozen::after_thaw(plan, (desired, observed)))
}

/// The same where nothing stands still either.
fn awake(desired: &Desired, observed: &Observed) -> Result<Plan, Box<Diagnostic>> {
    let mut draft = Draft::new(desired, observed)?;
    crate::origin::check_proxy(desired, observed)?;
    let changed = draft.changed_services();
    draft.ground();
    draft.images();
    if let Some(proxy) = &desired.proxy {
        draft.proxy_ground(proxy);
    }
    let (flips, changed) = draft.split(changed);
    flips.iter().for_each(|flip| flip.make(&mut draft, false));
    draft.hold_routes(&changed);
    draft.close_lost_routes();
    draft.start(&changed);
    flips.iter().for_each(|flip| flip.try_out(&mut draft));
    draft.orphans();
    if let Some(proxy) = &desired.proxy {
        draft.proxy(proxy);
    }
    flips.iter().for_each(|flip| flip.open(&mut draft));
    draft.open_routes(&changed);
    Ok(draft.finish("up"))
}

impl<'a> Draft<'a> {
    /// Changed services that have been flipped before are flipped again; the others are started as Compose does it.
    fn split(&self, changed: Vec<String>) -> (Vec<Flip<'a>>, Vec<String>) {
        let coloured = |name: &String| self.generations(name).filter(|all| matches!(all.live, Some(Some(_))));
        let (flipped, rest): (Vec<String>, Vec<String>) =
            changed.into_iter().partition(|name| coloured(name).is_some());
        let desired = self.desired;
        let routes = desired.routes.iter().filter(|route| flipped.contains(&route.service));
        (routes.map(|route| Flip::of(self, route)).collect(), rest)
    }
}

impl Draft<'_> {
    /// Files, folders, secrets and the control group.
    pub(crate) fn ground(&mut self) {
        let desired = self.desired;
        for folder in &desired.folders {
            self.folder(folder, "mounted in place of another environment's data");
        }
        for path in &desired.generated_secrets {
            if !self.observed.files.contains_key(path) {
                let path = path.clone();
                self.step(
                    Action::GenerateSecret { path: path.clone() },
                    Undo::by(Action::RemoveFile { path }),
                    "each environment has its own secrets",
                );
            }
        }
        match &desired.release {
            Some(file) => self.install(file, "which release runs"),
            None => self.forget_release(),
        }
        if let Some(file) = &desired.variable_file {
            self.install(file, "what secrets and configs take from variables");
        }
        self.install(&desired.folder_file, "another copy of the project must not be taken for this one");
        self.install(&desired.compose_file, "what runs can be run without Partywall");
        self.wall();
    }

    fn wall(&mut self) {
        let desired = self.desired;
        if let Some(limits) = &desired.group {
            self.limit(limits);
        }
        if let Some(chain) = &desired.firewall {
            self.wall_off(chain);
        }
    }

    /// From here on the project's folder itself is what runs.
    fn forget_release(&mut self) {
        let path = self.desired.release_path.clone();
        let Some(hash) = self.observed.files.get(&path).cloned() else { return };
        let keep = Action::KeepFile { path: path.clone(), hash: hash.clone() };
        self.step(keep, Undo::Nothing, "for the way back");
        let back = Undo::by(Action::InstallFile { path: path.clone(), hash });
        self.step(Action::RemoveFile { path }, back, "the project's folder is what runs");
    }

    fn wall_off(&mut self, chain: &FirewallChain) {
        if self.observed.firewall.as_ref() == Some(chain) {
            return;
        }
        let undo = match &self.observed.firewall {
            Some(before) => Action::SetFirewall { chain: before.clone() },
            None => Action::RemoveFirewall { name: chain.name.clone() },
        };
        let because =
            "no packet leads from or to another environment, also while Docker changes its own rules";
        self.step(Action::SetFirewall { chain: chain.clone() }, Undo::by(undo), because);
    }

    fn limit(&mut self, limits: &GroupLimits) {
        if self.observed.group.as_ref() == Some(limits) {
            return;
        }
        let undo = match &self.observed.group {
            Some(before) => Action::LimitGroup { limits: before.clone() },
            None => Action::RemoveGroup { path: limits.path.clone() },
        };
        self.step(
            Action::LimitGroup { limits: limits.clone() },
            Undo::by(undo),
            "before the first container runs",
        );
    }

    /// Everything slow comes before anything that runs is touched.
    pub(crate) fn images(&mut self) {
        let missing = |built: bool| -> Vec<String> {
            let services = self.desired.services.iter();
            let wanted = services.filter(|(_, service)| {
                service.built == built && service.scale > 0 && !self.observed.images.contains(&service.image)
            });
            wanted.map(|(name, _)| name.clone()).collect()
        };
        let (pulled, built) = (missing(false), missing(true));
        let compose = self.compose();
        if !pulled.is_empty() {
            self.step(
                Action::PullImages { compose: compose.clone(), services: pulled },
                Undo::Nothing,
                "not on this host yet",
            );
        }
        if !built.is_empty() {
            let limits = self.desired.build_group.as_ref();
            if let Some(limits) = limits.cloned() {
                self.step(Action::LimitGroup { limits }, Undo::Nothing, BUILD_LIMITS);
            }
            let group = limits.map(|limits| limits.path.clone());
            self.step(
                Action::BuildImages { compose, services: built, group },
                Undo::Nothing,
                "not built yet",
            );
        }
    }

    /// No route may point at a container that is about to stop.
    fn hold_routes(&mut self, changed: &[String]) {
        for route in self.desired.routes.iter().filter(|route| changed.contains(&route.service)) {
            let because = "it is about to be replaced";
            if self.observed.open_switches.contains_key(&route.before) {
                self.forget(&route.before, because);
            }
            // Who asks for what sleeps is told that it wakes.
            if !self.observed.open_switches.get(&route.switch).is_some_and(|address| is_front(address)) {
                self.close(&route.switch, because);
            }
        }
    }

    fn start(&mut self, changed: &[String]) {
        let mut first = true;
        for level in levels(self.desired) {
            let services: Vec<String> = level.into_iter().filter(|name| changed.contains(name)).collect();
            if services.is_empty() {
                continue;
            }
            let mut actions = self.way_back(&services);
            if std::mem::replace(&mut first, false) {
                // On the way back this step is the last.
                actions.extend(self.remove_what_compose_makes());
            }
            let undo = if actions.is_empty() { Undo::Nothing } else { Undo::By { actions } };
            let because = self.reasons(&services);
            let (damaged, others) = services.iter().cloned().partition(|name| self.is_damaged(name));
            self.start_level(others, damaged, undo, &because);
            let project = self.desired.compose_project.clone();
            let services: Vec<String> =
                services.into_iter().filter(|name| self.desired.services[name].scale > 0).collect();
            if !services.is_empty() {
                let await_them = Action::AwaitServices { project, services, timeout_seconds: AWAIT_SECONDS };
                self.step(await_them, Undo::Nothing, "what follows needs them");
            }
        }
    }

    /// `damaged` are as described, so Compose would leave them as they are. The undo is of both.
    fn start_level(&mut self, others: Vec<String>, damaged: Vec<String>, undo: Undo, because: &str) {
        let mut undo = Some(undo);
        let mut undo_once = || undo.take().unwrap_or(Undo::Nothing);
        let compose = self.compose();
        if !damaged.is_empty() && self.has_colours() {
            let project = self.desired.compose_project.clone();
            let remove = Action::RemoveServices { project, services: damaged.clone() };
            self.step(remove, undo_once(), because);
            self.step(self.start_action([others, damaged].concat()), undo_once(), because);
            return;
        }
        if !others.is_empty() {
            self.step(self.start_action(others), undo_once(), because);
        }
        if !damaged.is_empty() {
            self.step(Action::RecreateServices { compose, services: damaged }, undo_once(), because);
        }
    }

    /// New services are removed again; changed ones are started from the file before; what stood still does so again.
    fn way_back(&self, services: &[String]) -> Vec<Action> {
        let (old, new): (Vec<String>, Vec<String>) =
            services.iter().cloned().partition(|name| self.containers_of(name).next().is_some());
        let path = &self.desired.compose_file.path;
        let mut actions = Vec::new();
        if !new.is_empty() {
            actions.push(Action::RemoveServices {
                project: self.desired.compose_project.clone(),
                services: new,
            });
        }
        if old.is_empty() {
            return actions;
        }
        let compose = match self.observed.files.get(path) {
            Some(before) => {
                actions.push(Action::InstallFile { path: path.clone(), hash: before.clone() });
                Some(self.compose())
            }
            None => self.elsewhere(),
        };
        let (stood, ran): (Vec<String>, Vec<String>) =
            old.iter().cloned().partition(|name| self.stands(name));
        let other: Vec<String> = stood.iter().filter(|name| self.differs(name)).cloned().collect();
        let started = [ran.clone(), other].concat();
        if let Some(compose) = compose.filter(|_| !started.is_empty()) {
            actions.extend(self.start_as_now(compose, &started));
            actions.extend(self.await_again(ran));
            actions.extend(self.leave_again(&old));
        }
        if !stood.is_empty() {
            let project = self.desired.compose_project.clone();
            actions.push(Action::StopServices { project, services: stood });
        }
        actions
    }

    /// True for a service of which containers are there and none runs. A job that ended is none.
    fn stands(&self, name: &str) -> bool {
        let stands = |one: &Container| matches!(one.state, State::Created | State::Exited | State::Dead);
        let is_job = self.desired.services.get(name).is_some_and(|one| one.role == Role::Job);
        !is_job && self.containers_of(name).all(stands)
    }

    fn differs(&self, name: &str) -> bool {
        let hash = self.desired.services.get(name).map(|one| &one.config_hash);
        self.containers_of(name).any(|one| Some(&one.config_hash) != hash)
    }

    /// The file of the state folder from which the environment is taken over.
    fn elsewhere(&self) -> Option<ComposeRun> {
        let mut files = self.observed.containers.iter().filter_map(|one| one.origin.compose_file.clone());
        files.next().map(|file| ComposeRun { project: self.desired.compose_project.clone(), file })
    }

    /// What was off a network is off it again.
    fn leave_again(&self, services: &[String]) -> Vec<Action> {
        let containers =
            self.observed.containers.iter().filter(|container| services.contains(&container.service));
        let left = containers.flat_map(|container| {
            let lost = self.lost_networks(&self.desired.services[&container.service], container);
            lost.into_iter().map(|network| (container.name.clone(), network.clone()))
        });
        left.map(|(container, network)| Action::LeaveNetwork { container, network }).collect()
    }

    /// Networks and volumes that are not there yet. Production's volumes stay: since the start, visitors may have filled them.
    fn remove_what_compose_makes(&self) -> Vec<Action> {
        let project = &self.desired.compose_project;
        let missing = |wanted: &[String], there: &BTreeSet<String>| -> Vec<String> {
            wanted.iter().filter(|name| !there.contains(*name)).cloned().collect()
        };
        let networks = missing(&self.desired.networks, &self.observed.networks);
        let mut volumes = missing(&self.desired.volumes, &self.observed.volumes);
        if self.desired.class == Class::Production {
            volumes.clear();
        }
        let mut actions = Vec::new();
        if !networks.is_empty() {
            actions.push(Action::RemoveNetworks { project: project.clone(), names: networks });
        }
        if !volumes.is_empty() {
            actions.push(Action::RemoveVolumes { project: project.clone(), names: volumes });
        }
        actions
    }

    /// Services that are no longer described.
    fn orphans(&mut self) {
        let gone = self.not_described(|_| true);
        self.remove_not_described(gone);
    }

    /// Services of which there are such containers, and that the Compose files no longer describe.
    pub(crate) fn not_described(&self, such: impl Fn(&Container) -> bool) -> Vec<String> {
        let known = &self.desired.services;
        let left = self.observed.containers.iter().filter(|one| !known.contains_key(&one.service));
        let gone: BTreeSet<String> =
            left.filter(|one| such(one)).map(|container| container.service.clone()).collect();
        gone.into_iter().collect()
    }

    pub(crate) fn remove_not_described(&mut self, gone: Vec<String>) {
        if gone.is_empty() {
            return;
        }
        let path = self.desired.compose_file.path.clone();
        let undo = match self.observed.files.get(&path) {
            Some(before) => {
                let mut actions = vec![
                    Action::InstallFile { path, hash: before.clone() },
                    Action::StartServices { compose: self.compose(), services: gone.clone() },
                ];
                actions.extend(self.await_again(gone.clone()));
                Undo::By { actions }
            }
            None => Undo::Nothing,
        };
        let project = self.desired.compose_project.clone();
        self.step(Action::RemoveServices { project, services: gone }, undo, "no longer in the Compose files");
    }

    fn open_routes(&mut self, changed: &[String]) {
        for route in &self.desired.routes {
            let before = self.observed.open_switches.get(&route.switch);
            let address = match changed.contains(&route.service) {
                true => route.address.clone(),
                false => self.serving_address(route),
            };
            // A route that was held during the start is open in the snapshot, and closed by now.
            if before == Some(&address) && !changed.contains(&route.service) {
                continue;
            }
            let (path, service) = (route.switch.clone(), route.service.clone());
            let open = |address: &String| Action::OpenSwitch {
                path: path.clone(),
                service: service.clone(),
                address: address.clone(),
            };
            let close = Action::CloseSwitch { path: path.clone(), service: service.clone() };
            let undo = match before {
                Some(address) if !changed.contains(&route.service) || is_front(address) => open(address),
                _ => close,
            };
            self.step(open(&address), Undo::by(undo), format!("{} answers", route.hosts.join(", ")));
        }
    }
}
