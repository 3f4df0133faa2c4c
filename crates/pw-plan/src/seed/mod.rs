//! `seed`: a development environment gets a masked sample of another environment's data, or keeps its own.
//!
//! What takes long happens beside the running environment: the sample is made in a database of its own and
//! files are copied to a staging folder. Then the services stop, names and files change hands, and the
//! services start. Until the last steps, which forget what was before, all of it can be taken back.

pub mod backup;
mod order;
pub(crate) mod step;

use pw_model::desired::{Desired, DesiredRoute, FileText};
use pw_model::diagnostic::Diagnostic;
use pw_model::observed::Observed;

use crate::parts::{Draft, levels};
use crate::step::{
    Action, CachePlace, DatabasePlace, Plan, SampleRun, Step, Stored, TakeRun, Undo, VaultPlace, VaultRun,
};
use crate::up::AWAIT_SECONDS;

pub use order::{Found, Keyspace, Order, VaultOrder, VaultSource};

/// Stands in the name of every database that a seed makes or sets aside.
const OURS: &str = "__partywall_";
/// The longest name that PostgreSQL keeps whole.
const LONGEST_NAME: usize = 63;

/// The folder of one seed's figures and lists.
pub fn folder(order: &Order, number: u64) -> String {
    format!("{}/{number}", order.folder)
}

/// The file that says which seed is in use.
pub fn current_file(folder: &str) -> String {
    format!("{folder}/current")
}

/// Steps of a seed. Never empty: the data of production has changed, or may have.
pub fn plan(
    desired: &Desired,
    observed: &Observed,
    order: &Order,
    found: &Found,
) -> Result<Plan, Box<Diagnostic>> {
    runs(desired, observed, &order.to.service)?;
    let observed = with_current(observed, order, found);
    let mut draft = Seed::new(desired, &observed, order, found)?;
    let numbers = draft.numbers()?;
    draft.prepare();
    draft.stand_in(|backup| &backup.make);
    draft.sample();
    draft.stage();
    draft.stand_in(|backup| &backup.remove);
    let restarted = draft.restarted();
    draft.stop(&restarted);
    draft.switch(&numbers);
    draft.start(&restarted);
    draft.remember();
    draft.forget(&numbers);
    let mut plan = draft.draft.finish("seed");
    plan.basis = crate::hash(&format!("{}{order:?}{found:?}", plan.basis));
    Ok(plan)
}

fn runs(desired: &Desired, observed: &Observed, service: &str) -> Result<(), Box<Diagnostic>> {
    let mut containers = observed.containers.iter().filter(|container| container.service == service);
    if containers.any(pw_model::observed::Container::is_up) {
        return Ok(());
    }
    let environment = &desired.environment;
    Err(Box::new(
        Diagnostic::error(format!("`{service}` of environment `{environment}` does not run"))
            .because("the sample is made in its server")
            .hint(format!("run `partywall up {environment}` first")),
    ))
}

/// The file that says which seed is in use is one of ours too.
fn with_current(observed: &Observed, order: &Order, found: &Found) -> Observed {
    let mut observed = observed.clone();
    if !found.seeds.is_empty() {
        observed.folders.insert(order.folder.clone());
    }
    if let Some(current) = found.current {
        observed.files.insert(current_file(&order.folder), crate::hash(&current_text(current)));
    }
    observed
}

fn current_text(number: u64) -> String {
    format!("{number}\n")
}

struct Seed<'a> {
    draft: Draft<'a>,
    order: &'a Order,
    found: &'a Found,
    number: u64,
    /// Names of the databases that are made and set aside.
    scratch: String,
    former: String,
}

/// Service → from, to.
type Numbers = Vec<(CachePlace, Vec<(u32, u32)>)>;

impl<'a> Seed<'a> {
    fn new(
        desired: &'a Desired,
        observed: &'a Observed,
        order: &'a Order,
        found: &'a Found,
    ) -> Result<Self, Box<Diagnostic>> {
        let name = &order.to.name;
        let in_databases = found.databases.iter().filter_map(|known| numbered(known, name));
        let last = in_databases.chain(found.seeds.iter().copied()).chain(found.current).max();
        let number = last.unwrap_or(0) + 1;
        let (scratch, former) = (format!("{name}{OURS}{number}"), format!("{name}{OURS}before_{number}"));
        if former.len() > LONGEST_NAME {
            let told = Diagnostic::error(format!("the database name `{name}` is too long to be seeded"));
            return Err(Box::new(
                told.because(format!("`{former}` stands beside it for a while, and is over 63 bytes long"))
                    .hint("give development's database a shorter name"),
            ));
        }
        Ok(Self { draft: Draft::new(desired, observed)?, order, found, number, scratch, former })
    }

    /// Free numbers for what each Redis holds.
    fn numbers(&self) -> Result<Numbers, Box<Diagnostic>> {
        let of = |cache: &CachePlace| {
            let keyspace = self.found.caches.get(&cache.service).cloned().unwrap_or_default();
            let free = (0..keyspace.limit).rev().filter(|number| !keyspace.used.contains(number));
            let pairs: Vec<(u32, u32)> = keyspace.used.iter().copied().zip(free).collect();
            if pairs.len() == keyspace.used.len() {
                return Ok((cache.clone(), pairs));
            }
            let told = Diagnostic::error(format!("`{}` has no room to set its content aside", cache.service));
            Err(Box::new(
                told.because(format!(
                    "{} of its {} numbered databases are in use",
                    keyspace.used.len(),
                    keyspace.limit
                ))
                .hint(format!("write `caches: {{ {}: leave }}` under `seed:`", cache.service)),
            ))
        };
        let all: Result<Numbers, _> = self.order.caches.iter().map(of).collect();
        Ok(all?.into_iter().filter(|(_, pairs)| !pairs.is_empty()).collect())
    }

    fn step(&mut self, does: Action, undo: Undo, because: &str) {
        self.draft.step(does, undo, because);
    }

    fn prepare(&mut self) {
        if !self.found.has_key {
            let path = self.order.key.clone();
            let back = Undo::by(Action::RemoveFile { path: path.clone() });
            self.step(Action::MakeKey { path }, back, "the same value gets the same mask in every seed");
        }
        self.draft.folder(&self.order.folder, "figures and proof are kept");
        self.draft.folder(&folder(self.order, self.number), "of this seed");
    }

    /// Steps of the server that stands in for the source, where there is one.
    fn stand_in(&mut self, steps: fn(&backup::FromBackup) -> &Vec<Step>) {
        let Some(backup) = &self.order.backup else { return };
        self.draft.steps.extend(steps(backup).iter().cloned());
        self.draft.texts.extend(backup.texts.clone());
    }

    fn sample(&mut self) {
        let record = format!("{}/record.json", folder(self.order, self.number));
        let made = self.server(&self.scratch);
        let mut back = vec![Action::RemoveFile { path: record.clone() }];
        if !self.order.keep_failed {
            back.insert(
                0,
                Action::RemoveDatabases { server: made.clone(), names: vec![self.scratch.clone()] },
            );
        }
        let sample = SampleRun {
            from: self.order.from.clone(),
            backup: self.order.backup.as_ref().map(|backup| backup.origin.clone()),
            to: self.order.to.clone(),
            scratch: self.scratch.clone(),
            rules: self.text(&self.order.rules),
            size: self.order.size.clone(),
            rate: self.order.rate,
            key: self.order.key.clone(),
            record,
            keep_failed: self.order.keep_failed,
        };
        let does = Action::SampleDatabase { sample: Box::new(sample) };
        self.step(does, Undo::By { actions: back }, "masked and proved before anybody can use it");
        if let Some(text) = &self.order.rewrites {
            let does = Action::RewriteRows { database: made, hash: self.text(text) };
            self.step(does, Undo::Nothing, "what is development's own");
        }
    }

    /// Keeps a text in the store, out of the journal.
    fn text(&mut self, text: &str) -> String {
        let hash = crate::hash(text);
        self.draft.texts.insert(hash.clone(), text.to_owned());
        hash
    }

    fn server(&self, database: &str) -> DatabasePlace {
        DatabasePlace { name: database.to_owned(), ..self.order.to.clone() }
    }

    /// The folder for files out of a backup.
    fn taken(&self, index: usize) -> String {
        format!("{}/taken-{index}", folder(self.order, self.number))
    }

    fn vaults(&self) -> Vec<VaultRun> {
        let manifest = |number, index| format!("{}/{number}/files-{index}.json", self.order.folder);
        let from = |index, source: &VaultSource| match source {
            VaultSource::Place(place) => place.clone(),
            VaultSource::Stored { .. } => VaultPlace::Folder { path: format!("{}/files", self.taken(index)) },
        };
        let run = |(index, vault): (usize, &VaultOrder)| VaultRun {
            from: from(index, &vault.from),
            to: vault.to.clone(),
            column: vault.column.clone(),
            strip: vault.strip.clone(),
            files: vault.files.clone(),
            manifest: manifest(self.number, index),
            former: self.found.current.map(|current| manifest(current, index)),
        };
        self.order.vaults.iter().enumerate().map(run).collect()
    }

    /// Brings the files out of the backup that stands in for the source.
    fn take(&mut self, vault: &VaultRun, index: usize) {
        let from = &self.order.vaults[index].from;
        let (Some(backup), VaultSource::Stored { part, below }) = (&self.order.backup, from) else { return };
        let take = TakeRun {
            database: self.server(&self.scratch),
            stored: Stored { part: part.clone(), ..backup.stored.clone() },
            below: below.clone(),
            vault: vault.clone(),
        };
        let path = self.taken(index);
        let back = Undo::by(Action::RemoveTree { path: path.clone() });
        self.draft.step(Action::MakePrivateFolder { path }, back, "production's files are nobody else's");
        let does = Action::TakeFiles { take: Box::new(take) };
        self.step(does, Undo::Nothing, "only what the sampled rows name");
    }

    fn stage(&mut self) {
        for (index, vault) in self.vaults().into_iter().enumerate() {
            self.take(&vault, index);
            let VaultPlace::Folder { path } = vault.to.clone();
            if self.order.vaults[index].is_new {
                let back = Undo::by(Action::RemoveFolder { path: path.clone() });
                self.step(Action::MakeFolder { path }, back, "the mount is empty so far");
            }
            let manifest = vault.manifest.clone();
            let vault = Box::new(vault);
            let back =
                vec![Action::RemoveStaged { vault: vault.clone() }, Action::RemoveFile { path: manifest }];
            let does = Action::StageFiles { database: self.server(&self.scratch), vault };
            self.step(does, Undo::By { actions: back }, "only what the sampled rows name");
        }
    }

    /// Levels of services that stop and start, those that are needed first.
    fn restarted(&self) -> Vec<Vec<String>> {
        let there = |name: &String| self.draft.containers_of(name).next().is_some();
        if !self.order.restart.is_empty() {
            return self
                .order
                .restart
                .iter()
                .filter(|name| there(name))
                .map(|name| vec![name.clone()])
                .collect();
        }
        let mut levels = levels(self.draft.desired);
        for level in &mut levels {
            level.retain(|name| self.order.users.contains(name) && there(name));
        }
        levels.retain(|level| !level.is_empty());
        levels
    }

    /// Routes that are open now and lead to one of these services.
    fn routes_of<'s>(&self, services: &'s [String]) -> impl Iterator<Item = &'a DesiredRoute> + use<'a, 's> {
        let open = &self.draft.observed.open_switches;
        let ours: Vec<&DesiredRoute> =
            self.draft.desired.routes.iter().filter(|route| open.contains_key(&route.switch)).collect();
        ours.into_iter().filter(move |route| services.contains(&route.service))
    }

    fn stop(&mut self, levels: &[Vec<String>]) {
        let services: Vec<String> = levels.iter().flatten().cloned().collect();
        let routes: Vec<String> = self.routes_of(&services).map(|route| route.switch.clone()).collect();
        for switch in routes {
            self.draft.close(&switch, "its service is about to stop");
        }
        let running = |name: &String| self.draft.containers_of(name).any(|one| !one.ended_well());
        let running: Vec<Vec<String>> = levels
            .iter()
            .rev()
            .map(|level| level.iter().filter(|name| running(name)).cloned().collect::<Vec<_>>())
            .filter(|level| !level.is_empty())
            .collect();
        for services in running {
            let project = self.draft.desired.compose_project.clone();
            let compose = self.draft.compose();
            let mut back = self.draft.start_as_now(compose, &services);
            back.extend(self.draft.await_again(services.clone()));
            let does = Action::StopServices { project, services };
            self.step(does, Undo::By { actions: back }, "nobody may hold the database open");
        }
    }

    fn switch(&mut self, numbers: &Numbers) {
        let name = self.order.to.name.clone();
        let new = (self.scratch.clone(), name.clone());
        let mut renames = vec![new.clone()];
        let mut back = vec![(new.1, new.0)];
        if self.found.databases.contains(&name) {
            renames.insert(0, (name.clone(), self.former.clone()));
            back.push((self.former.clone(), name.clone()));
        }
        let server = self.order.to.clone();
        let back = Undo::by(Action::RenameDatabases { server: server.clone(), renames: back });
        self.step(Action::RenameDatabases { server, renames }, back, "from now on it is the database");
        for vault in self.vaults() {
            let vault = Box::new(vault);
            let back = Undo::by(Action::SwitchFilesBack { vault: vault.clone() });
            self.step(Action::SwitchFiles { vault }, back, "files and rows fit each other");
        }
        for (cache, numbers) in numbers.clone() {
            let back = Undo::by(Action::BringCacheBack { cache: cache.clone(), numbers: numbers.clone() });
            self.step(Action::SetCacheAside { cache, numbers }, back, "it speaks of rows that are gone");
        }
    }

    fn start(&mut self, levels: &[Vec<String>]) {
        for services in levels.iter().cloned() {
            let project = self.draft.desired.compose_project.clone();
            // Going back may begin with routes open, where a run before went back already and could not note it.
            let mut back: Vec<Action> = self.routes_of(&services).map(closed).collect();
            back.push(Action::StopServices { project: project.clone(), services: services.clone() });
            let back = Undo::By { actions: back };
            let does = self.draft.start_action(services.clone());
            self.step(does, back, "in the order in which they need each other");
            let wait = Action::AwaitServices { project, services, timeout_seconds: AWAIT_SECONDS };
            self.step(wait, Undo::Nothing, "what follows needs them");
        }
        let services: Vec<String> = levels.iter().flatten().cloned().collect();
        for route in self.routes_of(&services).collect::<Vec<_>>() {
            let Some(address) = self.draft.observed.open_switches.get(&route.switch) else { continue };
            let (path, service) = (route.switch.clone(), route.service.clone());
            let back = Undo::by(closed(route));
            let does = Action::OpenSwitch { path, service, address: address.clone() };
            self.step(does, back, &format!("{} answers", route.hosts.join(", ")));
        }
    }

    fn remember(&mut self) {
        let file = FileText { path: current_file(&self.order.folder), text: current_text(self.number) };
        self.draft.install(&file, "`status` shows it");
    }

    /// What was before goes last, since nothing brings it back.
    fn forget(&mut self, numbers: &Numbers) {
        let stored = |order: &VaultOrder| matches!(order.from, VaultSource::Stored { .. });
        let taken: Vec<usize> =
            (0..self.order.vaults.len()).filter(|index| stored(&self.order.vaults[*index])).collect();
        for index in taken {
            let does = Action::RemoveTree { path: self.taken(index) };
            self.step(does, Undo::Nothing, "each file has its place");
        }
        let lost = || Undo::Impossible { saved_as: None };
        for vault in self.vaults() {
            self.step(Action::RemoveStaged { vault: Box::new(vault) }, lost(), "no row names it");
        }
        for (cache, numbers) in numbers.clone() {
            self.step(Action::RemoveCacheAside { cache, numbers }, lost(), "it speaks of rows that are gone");
        }
        let name = &self.order.to.name;
        let mut names: Vec<String> =
            self.found.databases.iter().filter(|known| numbered(known, name).is_some()).cloned().collect();
        if !self.order.keep && self.found.databases.contains(name) {
            names.push(self.former.clone());
        }
        if !names.is_empty() {
            let server = self.order.to.clone();
            let because = if self.order.keep { "of seeds before" } else { "`--keep` would keep it" };
            self.step(Action::RemoveDatabases { server, names }, lost(), because);
        }
        for number in self.found.seeds.iter().copied() {
            let path = folder(self.order, number);
            self.step(Action::RemoveTree { path }, lost(), "of a seed before");
        }
    }
}

fn closed(route: &DesiredRoute) -> Action {
    Action::CloseSwitch { path: route.switch.clone(), service: route.service.clone() }
}

/// The number in the name of a database that a seed made or set aside beside `target`.
fn numbered(name: &str, target: &str) -> Option<u64> {
    let rest = name.strip_prefix(target)?.strip_prefix(OURS)?;
    rest.strip_prefix("before_").unwrap_or(rest).parse().ok()
}
