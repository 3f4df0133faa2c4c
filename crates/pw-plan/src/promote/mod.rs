//! `promote`: a new release beside the one that serves, then a flip; and `retire`, what is left of the one before.
//!
//! Route: [`plan`] compares as `up` does, then makes each routed service a second generation
//! ([`generations`]), asks it, opens the route to it and watches. What cannot be flipped and keeps
//! data is refused. Every step can be taken back until the last, and going back is a flip as well.

pub mod build;
pub(crate) mod generations;
pub mod judge;
mod migrate;
pub mod prune;
mod retire;
pub(crate) mod step;

use pw_model::config::{Moment, Promote};
use pw_model::desired::{Desired, DesiredRoute, FileText};
use pw_model::diagnostic::Diagnostic;
use pw_model::observed::{Container, Observed};
use pw_model::role::Role;

use self::generations::Generations;
pub use self::generations::serving;
pub use self::retire::{left, left_addresses, plan as retire};
use self::step::{Canary, Containers, Drain, Generation, Hook, Probe, Watch, WatchedRoute};
use crate::parts::Draft;
use crate::step::{Action, Plan, Undo};

/// What is healthy answers soon or never.
const PROBE_SECONDS: u64 = 30;
pub const OPERATION: &str = "promote";
pub const ROLLBACK: &str = "rollback";
/// What still runs in a generation that is taken back gets this long, in seconds.
const DRAIN_TAKEN_BACK: u64 = 30;

/// A release that is to run.
#[derive(Debug, Clone, Copy)]
pub struct Wanted<'a> {
    /// `promote` or `rollback`.
    pub operation: &'a str,
    /// Its entry in the list of releases.
    pub entry: &'a FileText,
    /// Its commit, as hooks are told.
    pub commit: &'a str,
    pub schema: Schema,
}

/// What is done to the databases' schema.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Schema {
    /// It is brought to the release's: jobs and the migration command run.
    Forward,
    Stays,
    /// The way back of the release that serves runs.
    Back,
}

/// Steps that bring the release to the visitors. Empty when what runs is the same.
///
/// # Errors
/// What keeps data would have to change, or a route cannot be flipped.
pub fn plan(desired: &Desired, observed: &Observed, wanted: Wanted<'_>) -> Result<Plan, Box<Diagnostic>> {
    let mut draft = Draft::new(desired, observed)?;
    crate::origin::check_proxy(desired, observed)?;
    check_ways(desired, observed)?;
    if wanted.operation == OPERATION {
        migrate::check_names(desired)?;
    }
    let changed = draft.changed_services();
    let migrates = wanted.schema == Schema::Forward;
    let sorted = Sorted::of(desired, observed, &changed, migrates)?;
    let gone = draft.workers_not_described();
    if sorted.is_empty() && gone.is_empty() {
        return Ok(draft.finish(wanted.operation));
    }
    draft.install(wanted.entry, "the list of releases");
    let back = (wanted.schema == Schema::Back).then(|| draft.way_back_of_schema()).flatten();
    draft.ground();
    draft.images();
    let flips: Vec<Flip<'_>> = sorted.flipped.iter().map(|route| Flip::of(&draft, route)).collect();
    // Whoever goes back is in a hurry.
    let is_back = wanted.operation != OPERATION;
    flips.iter().for_each(|flip| flip.make(&mut draft, is_back));
    if migrates {
        draft.hook(Moment::BeforeMigrate, wanted);
    }
    draft.migrate(&sorted.jobs, migrates);
    if let Some(back) = back {
        draft.migrate_back(back);
    }
    flips.iter().for_each(|flip| flip.try_out(&mut draft));
    // Renamed, it would be there twice.
    draft.remove_not_described(gone);
    draft.replace(&sorted.others);
    draft.hook(Moment::BeforeFlip, wanted);
    let tried: Vec<Canary> = flips.iter().filter(|_| !is_back).filter_map(Flip::as_canary).collect();
    draft.canary(&flips, &tried);
    flips.iter().for_each(|flip| flip.open(&mut draft));
    tried.iter().for_each(|one| draft.forget(&one.path, "everybody meets it now"));
    draft.hook(Moment::AfterFlip, wanted);
    draft.watch(&flips);
    draft.hook(Moment::AfterWatch, wanted);
    Ok(draft.finish(wanted.operation))
}

/// Refuses where the proxy does not know the ways that a canary and assets take: nobody would go them, and nobody would tell.
///
/// # Errors
/// Its configuration is from before they were asked for.
pub fn check_ways(desired: &Desired, observed: &Observed) -> Result<(), Box<Diagnostic>> {
    let asked = desired.promote.canary.is_some() || !desired.promote.assets.is_empty();
    if !asked || observed.proxy.current {
        return Ok(());
    }
    let environment = &desired.environment;
    let what = "the proxy runs another configuration than `partywall.yaml` describes";
    let because = "without it, `promote.canary` and `promote.assets` do nothing";
    let hint = format!(
        "`partywall up {environment}` loads it, and changes nothing else where nothing else is different"
    );
    Err(Box::new(Diagnostic::error(what).because(because).hint(hint)))
}

/// The changed services by what is done with them.
struct Sorted<'a> {
    flipped: Vec<&'a DesiredRoute>,
    jobs: Vec<String>,
    others: Vec<String>,
}

impl<'a> Sorted<'a> {
    fn of(
        desired: &'a Desired,
        observed: &Observed,
        changed: &[String],
        migrates: bool,
    ) -> Result<Self, Box<Diagnostic>> {
        let mut sorted = Self { flipped: Vec::new(), jobs: Vec::new(), others: Vec::new() };
        let runs = desired.services.iter().filter(|(_, one)| one.role == Role::Job && migrates);
        sorted
            .jobs
            .extend(runs.map(|(name, _)| name).filter(|name| is_other(desired, observed, name)).cloned());
        for name in changed {
            let service = &desired.services[name];
            let route = desired.routes.iter().find(|route| route.service == *name);
            match (route, service.role) {
                (_, role) if role.is_stateful() => return Err(Box::new(keeps_data(desired, name))),
                (Some(route), _) => sorted.flipped.push(flippable(desired, observed, route)?),
                (None, Role::Job) => {}
                (None, _) => sorted.others.push(name.clone()),
            }
        }
        Ok(sorted)
    }

    fn is_empty(&self) -> bool {
        self.flipped.is_empty() && self.jobs.is_empty() && self.others.is_empty()
    }
}

/// True for a job that never ran, or ran from another configuration.
fn is_other(desired: &Desired, observed: &Observed, name: &str) -> bool {
    let mut own = observed.containers.iter().filter(|one| one.service == *name);
    !own.any(|one| one.ended_well() && one.config_hash == desired.services[name].config_hash)
}

fn keeps_data(desired: &Desired, name: &str) -> Diagnostic {
    let environment = &desired.environment;
    Diagnostic::error(format!("`{name}` keeps data and would be made anew"))
        .because("two generations of it cannot run side by side, so its visitors would wait")
        .hint(format!(
            "`partywall plan {environment}` says what is different; `partywall up {environment}` replaces it at a time of your choice"
        ))
}

fn flippable<'a>(
    desired: &Desired,
    observed: &Observed,
    route: &'a DesiredRoute,
) -> Result<&'a DesiredRoute, Box<Diagnostic>> {
    let refuse = |because: &str, hint: String| {
        let what = format!("`{}` cannot be flipped", route.service);
        Err(Box::new(Diagnostic::error(what).because(because.to_owned()).hint(hint)))
    };
    if route.edge.is_none() {
        return refuse(
            "a port of the host leads to it, and two generations cannot have the same one",
            format!("take `ports` of `{}` away in an overlay: `ports: !reset []`", route.service),
        );
    }
    if Generations::of(desired, observed, route).live.is_none() {
        return refuse(
            "its route is closed, so there is nothing to flip from",
            format!("`partywall up {}` first", desired.environment),
        );
    }
    Ok(route)
}

/// One service that gets a new generation.
pub(crate) struct Flip<'a> {
    route: &'a DesiredRoute,
    promote: &'a Promote,
    folder: String,
    project: String,
    before: Containers,
    before_address: String,
    after: Containers,
    after_address: String,
    /// `None` where the generation is there already, warm.
    made: Option<Generation>,
    /// Generations that are in the way, with their addresses.
    leftovers: Vec<(Containers, String)>,
}

impl<'a> Flip<'a> {
    pub(crate) fn of(draft: &Draft<'a>, route: &'a DesiredRoute) -> Self {
        let (desired, observed) = (draft.desired, draft.observed);
        let generations = Generations::of(desired, observed, route);
        let service = &desired.services[&route.service];
        let (hash, scale) = (service.config_hash.as_str(), service.scale.max(1));
        let live = generations.live.unwrap_or_default();
        let warm = generations.others().find(|one| generations.is_ready(*one, hash, scale));
        let leftovers = generations.others().filter(|one| Some(*one) != warm);
        let leftovers: Vec<(Containers, String)> =
            leftovers.map(|one| (generations.containers(one), generations.address(one))).collect();
        let project = desired.compose_project.clone();
        let colour = generations.free();
        let (after, after_address, made) = match warm {
            Some(warm) => (generations.containers(warm), generations.address(warm), None),
            None => {
                let names = (1..=scale).map(|number| colour.container(&project, &route.service, number));
                let containers = containers_named(&project, &route.service, names.collect());
                let made = Generation {
                    colour,
                    containers: containers.clone(),
                    config_hash: hash.to_owned(),
                    edge: route.edge.clone().unwrap_or_default(),
                    alias: colour.alias(generations::alias(route)),
                    networks: generations::silent_networks(desired, route),
                };
                (containers, generations.address(Some(colour)), Some(made))
            }
        };
        Self {
            route,
            promote: &desired.promote,
            folder: desired.proxy.as_ref().map(|proxy| proxy.folder.clone()).unwrap_or_default(),
            project,
            before: generations.containers(generations.live.unwrap_or_default()),
            before_address: generations.address(live),
            after,
            after_address,
            made,
            leftovers,
        }
    }

    fn drain(&self, address: &str, seconds: u64) -> Action {
        let (service, folder) = (self.route.service.clone(), self.folder.clone());
        Action::Drain { drain: Drain { service, folder, address: address.to_owned(), seconds } }
    }

    /// Created before anything is touched: what is slow or may fail comes first. `in_hurry`: visitors meet what they should
    /// not, and whoever is still in what is left from before cannot be waited for as long.
    pub(crate) fn make(&self, draft: &mut Draft<'_>, in_hurry: bool) {
        if !self.leftovers.is_empty() && draft.observed.open_switches.contains_key(&self.route.before) {
            draft.forget(&self.route.before, "what it leads to ends");
        }
        for (containers, address) in &self.leftovers {
            let whole = self.promote.drain.0.as_secs();
            let drain = self.drain(address, if in_hurry { whole.min(DRAIN_TAKEN_BACK) } else { whole });
            draft.step(drain, Undo::Nothing, "left from an earlier release");
            generations::remove(draft, self.route, containers);
        }
        let Some(generation) = &self.made else { return };
        let back = vec![
            self.drain(&self.after_address, DRAIN_TAKEN_BACK),
            Action::RemoveContainers { containers: self.after.clone() },
        ];
        draft.step(
            Action::MakeGeneration { compose: draft.compose(), generation: Box::new(generation.clone()) },
            Undo::By { actions: back },
            format!("{} beside the generation that serves; {} stay", generation.colour, self.before),
        );
    }

    /// Started and asked over the proxy's own path.
    pub(crate) fn try_out(&self, draft: &mut Draft<'_>) {
        let timeout_seconds = self.promote.ready.0.as_secs();
        let containers = || self.after.clone();
        if self.made.is_some() {
            let start = Action::StartContainers { containers: containers() };
            draft.step(start, Undo::Nothing, "no visitor meets them yet");
        }
        let wait = Action::AwaitContainers { containers: containers(), timeout_seconds };
        draft.step(wait, Undo::Nothing, "only what is healthy is asked");
        let all = self.promote.verify.iter();
        let own = all.filter(|one| one.service.as_ref().is_none_or(|of| of.as_str() == self.route.service));
        let probe = Probe {
            containers: containers(),
            folder: self.folder.clone(),
            candidate: self.route.candidate.clone(),
            address: self.after_address.clone(),
            host: self.route.hosts.first().cloned().unwrap_or_default(),
            requests: own.cloned().collect(),
            successes: self.promote.successes,
            // What was warm a moment ago is, and whoever goes back is in a hurry.
            warm_up: self.made.as_ref().map_or(0, |_| self.promote.warm_up),
            // A proxy that knows no word yet would ask the release that serves.
            entrance: draft.observed.proxy.current.then(|| self.route.entrance.clone()),
            timeout_seconds: timeout_seconds.min(PROBE_SECONDS),
        };
        draft.step(Action::Probe { probe: Box::new(probe) }, Undo::Nothing, "as a visitor would meet it");
    }

    pub(crate) fn open(&self, draft: &mut Draft<'_>) {
        if let Some(calls) = &self.route.calls {
            let leave = |container: &String| Action::LeaveNetwork {
                container: container.clone(),
                network: calls.network.clone(),
            };
            // A warm generation was never taken off.
            let undo = match &self.made {
                Some(_) => Undo::By { actions: self.after.names.iter().map(leave).collect() },
                None => Undo::Nothing,
            };
            let answer = Action::AnswerCalls {
                containers: self.after.clone(),
                network: calls.network.clone(),
                aliases: calls.aliases.clone(),
            };
            draft.step(answer, undo, "other services may call it, now that it is healthy");
        }
        let to = |address: &String| Action::OpenSwitch {
            path: self.route.switch.clone(),
            service: self.route.service.clone(),
            address: address.clone(),
        };
        draft.step(
            to(&self.after_address),
            Undo::by(to(&self.before_address)),
            format!("from here on visitors of {} meet the new release", self.route.hosts.join(", ")),
        );
        self.bridge(draft);
    }

    /// Pages of the release before ask for assets that the new one does not have.
    fn bridge(&self, draft: &mut Draft<'_>) {
        if self.promote.assets.is_empty() {
            return;
        }
        let (path, service) = (self.route.before.clone(), self.route.service.clone());
        let to = |address: &String| Action::OpenSwitch {
            path: path.clone(),
            service: service.clone(),
            address: address.clone(),
        };
        // What it led to otherwise was removed.
        let before = draft.observed.open_switches.get(&path).filter(|one| **one == self.after_address);
        let undo =
            before.map_or_else(|| Action::CloseSwitch { path: path.clone(), service: service.clone() }, to);
        let because = "assets that the new release does not have come from the one before while it is warm";
        draft.step(to(&self.before_address), Undo::by(undo), because);
    }

    fn as_canary(&self) -> Option<Canary> {
        let share = self.promote.canary.as_ref()?.millionths()?;
        Some(Canary {
            path: self.route.canary.clone(),
            service: self.route.service.clone(),
            address: self.after_address.clone(),
            share,
        })
    }
}

/// What is run at a moment, if anything; its folder is to be filled in.
pub fn hook(promote: &Promote, moment: Moment, (environment, commit): (&str, &str)) -> Option<Hook> {
    let command = promote.hooks.get(&moment).filter(|command| !command.is_empty())?;
    let told = [
        ("PARTYWALL_MOMENT", moment.as_str()),
        ("PARTYWALL_ENVIRONMENT", environment),
        ("PARTYWALL_COMMIT", commit),
    ];
    let variables = told.map(|(name, value)| (name.to_owned(), value.to_owned()));
    Some(Hook {
        moment: moment.as_str().to_owned(),
        command: command.clone(),
        folder: String::new(),
        variables: variables.into(),
    })
}

fn containers_named(project: &str, service: &str, names: Vec<String>) -> Containers {
    Containers { project: project.to_owned(), service: service.to_owned(), names }
}

impl Draft<'_> {
    fn hook(&mut self, moment: Moment, wanted: Wanted<'_>) {
        let desired = self.desired;
        if let Some(hook) = hook(&desired.promote, moment, (desired.environment.as_str(), wanted.commit)) {
            let hook = Hook { folder: desired.folder().to_owned(), ..hook };
            let does = Action::RunHook { hook: Box::new(hook) };
            self.step(does, Undo::Nothing, "`promote.hooks` names it; one that fails takes everything back");
        }
    }

    /// Nobody asks them, and they keep nothing. Who still has visitors, or data that the release before needs, stays until `up`.
    fn workers_not_described(&self) -> Vec<String> {
        let edge = crate::wall::edge_network(&self.desired.compose_project);
        let keeps = |one: &Container| one.mounts.values().any(|source| !source.starts_with('/'));
        self.not_described(|one| one.is_up() && !one.networks.contains(&edge) && !keeps(one))
    }

    /// Services without a route: one that cannot start stops the promotion before any visitor meets the new release.
    fn replace(&mut self, others: &[String]) {
        if others.is_empty() {
            return;
        }
        let overlap = self.desired.promote.overlap.iter().map(ToString::to_string);
        let overlap: Vec<String> = overlap.filter(|name| others.contains(name)).collect();
        let undo = self.replaced_back(others, &overlap);
        self.replaced(others, overlap, undo, "never two at once, unless `promote.overlap` names it");
    }

    fn replaced(&mut self, services: &[String], overlap: Vec<String>, undo: Undo, because: &str) {
        self.replaced_alone(services, overlap, undo, because);
        let (project, services) = (self.desired.compose_project.clone(), services.to_vec());
        let wait = Action::AwaitServices { project, services, timeout_seconds: crate::up::AWAIT_SECONDS };
        self.step(wait, Undo::Nothing, "what follows needs them");
    }

    /// Nobody waits for what comes of it.
    pub(super) fn replaced_alone(
        &mut self,
        services: &[String],
        overlap: Vec<String>,
        undo: Undo,
        because: &str,
    ) {
        let hashes =
            services.iter().map(|name| (name.clone(), self.desired.services[name].config_hash.clone()));
        let replace =
            Action::ReplaceServices { compose: self.compose(), services: hashes.collect(), overlap };
        self.step(replace, undo, because);
    }

    /// The file before, and from it what ran before.
    fn replaced_back(&self, services: &[String], overlap: &[String]) -> Undo {
        let path = self.desired.compose_file.path.clone();
        let (old, new): (Vec<String>, Vec<String>) =
            services.iter().cloned().partition(|name| self.containers_of(name).next().is_some());
        let mut actions = Vec::new();
        if !new.is_empty() {
            let project = self.desired.compose_project.clone();
            actions.push(Action::RemoveServices { project, services: new });
        }
        if let Some(before) = self.observed.files.get(&path).filter(|_| !old.is_empty()) {
            let hash_of = |name: &String| {
                self.containers_of(name).next().map(|one: &Container| (name.clone(), one.config_hash.clone()))
            };
            actions.push(Action::InstallFile { path, hash: before.clone() });
            actions.push(Action::ReplaceServices {
                compose: self.compose(),
                services: old.iter().filter_map(hash_of).collect(),
                overlap: overlap.to_vec(),
            });
            actions.extend(self.await_again(old));
        }
        if actions.is_empty() { Undo::Nothing } else { Undo::By { actions } }
    }

    /// A part of the visitors first, if that is asked for; worse than before, only they have met it.
    fn canary(&mut self, flips: &[Flip<'_>], tried: &[Canary]) {
        for canary in tried {
            let (path, service) = (canary.path.clone(), canary.service.clone());
            let open = Action::OpenCanary { canary: Box::new(canary.clone()) };
            let undo = Undo::by(Action::CloseSwitch { path, service });
            self.step(open, undo, "the others meet the release that serves, and go on to do so");
        }
        if let Some(canary) = self.desired.promote.canary.as_ref().filter(|_| !tried.is_empty()) {
            self.watch_for(flips, canary.watch);
        }
    }

    fn watch(&mut self, flips: &[Flip<'_>]) {
        self.watch_for(flips, self.desired.promote.watch);
    }

    fn watch_for(&mut self, flips: &[Flip<'_>], span: pw_model::unit::Span) {
        let Some(first) = flips.first() else { return };
        let route = |flip: &Flip<'_>| WatchedRoute {
            containers: flip.after.clone(),
            route: format!("{}/{}", flip.project, flip.route.service),
            before: flip.before_address.clone(),
            after: flip.after_address.clone(),
        };
        let milliseconds = |span: pw_model::unit::Span| u64::try_from(span.0.as_millis()).unwrap_or(u64::MAX);
        let watch = Watch {
            folder: first.folder.clone(),
            milliseconds: milliseconds(span),
            routes: flips.iter().map(route).collect(),
            p99_milliseconds: self.desired.goals.p99.map(milliseconds),
            errors_per_million: self.desired.goals.errors.map(|share| (share * 1e6) as u64),
        };
        let because = "worse than before, everything goes back by itself";
        self.step(Action::Watch { watch: Box::new(watch) }, Undo::Nothing, because);
    }
}
