//! `restore`: what a backup holds is laid beside what is there, verified, and then the two change places.
//!
//! What was there stays, under a name that tells when, until somebody removes it.

use std::collections::{BTreeMap, BTreeSet};

use pw_model::desired::{Desired, DesiredRoute};
use pw_model::diagnostic::Diagnostic;
use pw_model::observed::Observed;

use crate::parts::{Draft, levels};
use crate::scratch::{Ground, Scratch};
use crate::step::{Action, BaseRun, DatabasePlace, Plan, RepositoryPlace, ScratchServer, Step, Stored, Undo};
use crate::up::AWAIT_SECONDS;

/// The longest name that PostgreSQL keeps whole.
const LONGEST_NAME: usize = 63;
/// Of the folder of the server's data, in which the log lies beside it.
pub const LOG_FOLDER: &str = "partywall_log";
const PLAYS: &str = "restore_command=cp partywall_log/%f \"%p\"";
/// Nobody waits longer for a log to be played.
const LONGEST_PLAY: u64 = 6 * 3600;

/// What is to come back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    pub repository: RepositoryPlace,
    pub backup: String,
    /// Time of the plan, such as `20261121_072437`; stands in the names of what is replaced.
    pub stamp: String,
    /// Name in the backup → the database that it replaces.
    pub databases: BTreeMap<String, DatabasePlace>,
    /// Name in the backup → the folder of the host that it replaces.
    pub folders: BTreeMap<String, String>,
    /// Services that use any of these.
    pub users: BTreeSet<String>,
    /// Name in the backup → roles that its database needs and that the server lacks.
    pub roles: BTreeMap<String, BTreeSet<String>>,
    /// Where the databases come from a server that was brought to a moment, not from a dump.
    pub moment: Option<Moment>,
}

/// A scratch server whose log is played up to a moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Moment {
    /// Make and fill it, start it, wait until it has played the log.
    pub make: Vec<Step>,
    pub remove: Vec<Step>,
    pub texts: BTreeMap<String, String>,
    pub server: ScratchServer,
}

/// Steps to a server that is filled with files of a backup instead of a copy, and then plays its log.
///
/// # Errors
/// It does not fit on the disk.
pub fn moment(ground: Ground<'_>, wanted: &Played<'_>) -> Result<Moment, Box<Diagnostic>> {
    let target = format!("recovery_target_time={}", wanted.until);
    let settings = [target.as_str(), PLAYS, "recovery_target_action=promote", "hot_standby=off"];
    let scratch = Scratch::new(ground, &settings)?;
    let mut make = scratch.make(wanted.variables);
    for step in &mut make {
        match &mut step.does {
            Action::CopyDatabase { copy } => {
                let base = BaseRun {
                    stored: wanted.stored.clone(),
                    log: wanted.log.to_vec(),
                    project: copy.project.clone(),
                    service: copy.service.clone(),
                    data: copy.data.clone(),
                    socket: copy.socket.clone(),
                };
                step.does = Action::RestoreBase { base: Box::new(base) };
                step.undo = Undo::Nothing;
                "the files as they were, and all that was written since".clone_into(&mut step.because);
            }
            Action::AwaitServices { timeout_seconds, .. } => {
                *timeout_seconds = LONGEST_PLAY;
                "it has played its log up to the moment".clone_into(&mut step.because);
            }
            _ => {}
        }
    }
    let texts = [Some(scratch.text()), wanted.variables.map(str::to_owned)].into_iter().flatten();
    let texts = texts.map(|text| (crate::hash(&text), text)).collect();
    Ok(Moment { make, remove: scratch.remove(), texts, server: scratch.server() })
}

/// What is played, and up to when.
#[derive(Debug, Clone, Copy)]
pub struct Played<'a> {
    pub stored: &'a Stored,
    pub log: &'a [(String, Vec<String>)],
    /// As PostgreSQL reads it; what was committed up to then is there.
    pub until: &'a str,
    pub variables: Option<&'a str>,
}

/// The name under which a replaced database stays.
pub fn former(database: &str, stamp: &str) -> String {
    format!("{database}__partywall_replaced_{stamp}")
}

/// The name under which a replaced folder stays.
pub fn former_folder(path: &str, stamp: &str) -> String {
    format!("{path}.replaced-{stamp}")
}

/// Steps of a restore.
///
/// # Errors
/// Containers are not the environment's, or a name would be too long.
pub fn plan(desired: &Desired, observed: &Observed, wanted: &Wanted) -> Result<Plan, Box<Diagnostic>> {
    for place in wanted.databases.values() {
        fits(place, wanted)?;
    }
    let mut restore = Restore { draft: Draft::new(desired, observed)?, wanted };
    restore.lay_beside();
    let stopped = restore.stop();
    restore.swap();
    restore.start(&stopped);
    let mut plan = restore.draft.finish("restore");
    plan.basis = crate::hash(&format!("{}{wanted:?}", plan.basis));
    Ok(plan)
}

fn fits(place: &DatabasePlace, wanted: &Wanted) -> Result<(), Box<Diagnostic>> {
    let name = former(&place.name, &wanted.stamp);
    if name.len() <= LONGEST_NAME {
        return Ok(());
    }
    Err(Box::new(
        Diagnostic::error(format!("the database name `{}` is too long to be set aside", place.name))
            .because(format!("`{name}` is over {LONGEST_NAME} bytes long"))
            .hint("give the database a shorter name"),
    ))
}

struct Restore<'a> {
    draft: Draft<'a>,
    wanted: &'a Wanted,
}

impl Restore<'_> {
    fn stored(&self, part: &str) -> Stored {
        let (repository, backup) = (self.wanted.repository.clone(), self.wanted.backup.clone());
        Stored { repository, backup, part: part.to_owned() }
    }

    fn beside(&self, place: &DatabasePlace) -> DatabasePlace {
        DatabasePlace {
            name: format!("{}__partywall_restored_{}", place.name, self.wanted.stamp),
            ..place.clone()
        }
    }

    fn beside_folder(&self, path: &str) -> String {
        format!("{path}.restored-{}", self.wanted.stamp)
    }

    fn lay_beside(&mut self) {
        let moment = self.wanted.moment.as_ref();
        self.draft.steps.extend(moment.into_iter().flat_map(|moment| moment.make.clone()));
        self.draft.texts.extend(moment.into_iter().flat_map(|moment| moment.texts.clone()));
        // All of them before the first database: going back, no database is left that belongs to one.
        for (part, names) in &self.wanted.roles {
            let Some(server) = self.wanted.databases.get(part).cloned() else { continue };
            let back = Action::RemoveRoles { server: server.clone(), names: names.clone() };
            let does = Action::MakeRoles { stored: self.stored(part), server, names: names.clone() };
            self.draft.step(does, Undo::by(back), "the database belongs to them, or grants them something");
        }
        for (part, place) in &self.wanted.databases {
            let (to, like) = (self.beside(place), place.name.clone());
            let back = Action::RemoveDatabases { server: place.clone(), names: vec![to.name.clone()] };
            let (does, because) = match moment {
                None => (
                    Action::RestoreDatabase { stored: self.stored(part), like, to },
                    "counted against the manifest before anybody can use it",
                ),
                Some(moment) => (
                    Action::CopyRestored { from: Box::new(moment.server.clone()), like, to },
                    "counted against the scratch server before anybody can use it",
                ),
            };
            self.draft.step(does, Undo::by(back), because);
        }
        self.draft.steps.extend(moment.into_iter().flat_map(|moment| moment.remove.clone()));
        for (part, path) in &self.wanted.folders {
            let into = self.beside_folder(path);
            let back = Action::RemoveRestored { path: into.clone() };
            let does = Action::RestoreFolder { stored: self.stored(part), into };
            self.draft.step(does, Undo::by(back), "its checksum is compared before anybody can use it");
        }
    }

    fn routes_of<'s>(&'s self, services: &'s [String]) -> impl Iterator<Item = &'s DesiredRoute> {
        let open = &self.draft.observed.open_switches;
        let routes = self.draft.desired.routes.iter();
        routes.filter(move |route| open.contains_key(&route.switch) && services.contains(&route.service))
    }

    /// Levels of services that run and use what is replaced, those that are needed first.
    fn stop(&mut self) -> Vec<Vec<String>> {
        let runs = |name: &String| self.draft.containers_of(name).any(|one| !one.ended_well());
        let mut running = levels(self.draft.desired);
        for level in &mut running {
            level.retain(|name| self.wanted.users.contains(name) && runs(name));
        }
        running.retain(|level| !level.is_empty());
        let all: Vec<String> = running.iter().flatten().cloned().collect();
        let switches: Vec<String> = self.routes_of(&all).map(|route| route.switch.clone()).collect();
        for switch in switches {
            self.draft.close(&switch, "its service is about to stop");
        }
        for services in running.iter().rev().cloned() {
            let project = self.draft.desired.compose_project.clone();
            let mut back =
                vec![Action::StartServices { compose: self.draft.compose(), services: services.clone() }];
            back.extend(self.draft.await_again(services.clone()));
            let does = Action::StopServices { project, services };
            self.draft.step(does, Undo::By { actions: back }, "nobody may use what is replaced");
        }
        running
    }

    fn swap(&mut self) {
        for place in self.wanted.databases.values() {
            let (name, aside) = (place.name.clone(), former(&place.name, &self.wanted.stamp));
            let beside = self.beside(place).name;
            let renames = vec![(name.clone(), aside.clone()), (beside.clone(), name.clone())];
            let back = Action::RenameDatabases {
                server: place.clone(),
                renames: vec![(name.clone(), beside), (aside, name)],
            };
            let does = Action::RenameDatabases { server: place.clone(), renames };
            self.draft.step(does, Undo::by(back), "what was there stays under its new name");
        }
        for path in self.wanted.folders.values() {
            let (new, aside) = (self.beside_folder(path), former_folder(path, &self.wanted.stamp));
            let swap = |new: String, aside| Action::SwapFolders { path: path.clone(), new, aside };
            let back = Undo::by(swap(aside.clone(), new.clone()));
            self.draft.step(swap(new, aside), back, "what was there stays under its new name");
        }
    }

    fn start(&mut self, levels: &[Vec<String>]) {
        for services in levels.iter().cloned() {
            let project = self.draft.desired.compose_project.clone();
            // Going back may begin with routes open, where a run before went back already and could not note it.
            let closed = |route: &DesiredRoute| Action::CloseSwitch {
                path: route.switch.clone(),
                service: route.service.clone(),
            };
            let mut actions: Vec<Action> = self.routes_of(&services).map(closed).collect();
            actions.push(Action::StopServices { project: project.clone(), services: services.clone() });
            let does = self.draft.start_action(services.clone());
            self.draft.step(does, Undo::By { actions }, "in the order in which they need each other");
            let wait = Action::AwaitServices { project, services, timeout_seconds: AWAIT_SECONDS };
            self.draft.step(wait, Undo::Nothing, "what follows needs them");
        }
        let services: Vec<String> = levels.iter().flatten().cloned().collect();
        let routes: Vec<DesiredRoute> = self.routes_of(&services).cloned().collect();
        for route in routes {
            let Some(address) = self.draft.observed.open_switches.get(&route.switch).cloned() else {
                continue;
            };
            let (path, service) = (route.switch.clone(), route.service.clone());
            let back = Action::CloseSwitch { path: path.clone(), service: service.clone() };
            let because = format!("{} answers", route.hosts.join(", "));
            self.draft.step(Action::OpenSwitch { path, service, address }, Undo::by(back), because);
        }
    }
}
