//! The host: one value that carries out every action.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use pw_model::ProjectName;
use pw_model::layout::Layout;
use pw_plan::Action;
use pw_plan::step::ComposeRun;
use pw_run::{Failure, Perform};

use crate::docker::{Awaited, Engine};
use crate::files::Store;
use crate::{caddy, compose, files, firewall, git, group, hook, prove, vault, watch};

/// The engine is busy for a moment after it has joined a container to a network, and is also the name server that the
/// proxy asks for the new generation: visitors come behind that moment.
const SETTLING: Duration = Duration::from_millis(300);

/// Told each line that a long run (pull, build, start) prints.
pub type OnLine = Arc<dyn Fn(&str) + Send + Sync>;

/// One Docker host, as one project sees it. Making it touches nothing: the engine is called when it is needed.
pub struct Host {
    pub(crate) layout: Layout,
    pub(crate) engine: Engine,
    pub(crate) groups: PathBuf,
    store: Store,
    on_line: Option<OnLine>,
    /// What the release before answered, for the watch over the one that follows it.
    before: Mutex<Option<watch::Before>>,
}

impl Host {
    pub fn new(layout: Layout, project: &ProjectName) -> Self {
        Self {
            store: Store::new(layout.store(project)),
            engine: Engine::new(project),
            groups: PathBuf::from(group::ROOT),
            on_line: None,
            before: Mutex::default(),
            layout,
        }
    }

    /// Keeps the texts of plans where they go with the environment that they are for.
    #[must_use]
    pub fn storing_for(mut self, environment: &str) -> Self {
        self.store = self.store.of(environment);
        self
    }

    /// Hands the lines of long runs to `callback`, for a progress display.
    #[must_use]
    pub fn on_line(mut self, callback: OnLine) -> Self {
        self.on_line = Some(callback);
        self
    }

    pub fn engine(&self) -> &Engine {
        &self.engine
    }

    /// A text that a plan keeps out of the journal.
    ///
    /// # Errors
    /// It is not in the store, or damaged.
    pub fn text(&self, hash: &str) -> Result<String, Failure> {
        self.store.get(hash)
    }

    async fn load_proxy(&self, folder: &str, admin: Option<&str>) -> Result<(), Failure> {
        match admin {
            Some(admin) => caddy::load_external(Path::new(folder), admin).await,
            None => {
                let container = folder.rsplit('/').next().unwrap_or(folder);
                // One that another state folder made does not read this one's files.
                let running = self.engine.runs_with(container, folder).await?;
                caddy::load(Path::new(folder), running).await
            }
        }
    }

    /// Starts a service that ends by itself, without waiting for it.
    ///
    /// # Errors
    /// Compose or the engine refuses.
    pub async fn start_job(&self, run: &ComposeRun, service: &str) -> Result<(), Failure> {
        let services = [service.to_owned()];
        compose::up(run, &services, self.on_line.as_deref()).await
    }

    /// Pulls only what the engine does not have, so that the same plan runs the same image.
    async fn pull_missing(&self, run: &ComposeRun, services: &[String]) -> Result<(), Failure> {
        let images = compose::images(Path::new(&run.file))?;
        let present = self.engine.images(images.values().map(String::as_str)).await?;
        let is_missing =
            |service: &&String| images.get(*service).is_some_and(|image| !present.contains(image));
        let missing: Vec<String> = services.iter().filter(is_missing).cloned().collect();
        compose::pull(run, &missing, self.on_line.as_deref()).await
    }

    async fn perform_on_engine(&self, action: &Action) -> Result<(), Failure> {
        let line = self.on_line.as_deref();
        match action {
            Action::PullImages { compose, services } => self.pull_missing(compose, services).await,
            Action::BuildImages { compose, services, group } => {
                compose::build(compose, services, group.as_deref(), line).await
            }
            Action::StartServices { compose, services } => {
                self.engine.await_leaving(&compose.project, services).await?;
                let started = compose::up(compose, services, line).await;
                self.engine.explain_start(&compose.project, started).await
            }
            Action::RecreateServices { compose, services } => {
                let started = compose::recreate(compose, services, line).await;
                self.engine.explain_start(&compose.project, started).await
            }
            Action::AwaitServices { project, services, timeout_seconds } => {
                let awaited = Awaited { project, services, timeout_seconds: *timeout_seconds, ended: false };
                self.engine.await_services(awaited, line).await
            }
            Action::AwaitJobs { project, services, timeout_seconds } => {
                let awaited = Awaited { project, services, timeout_seconds: *timeout_seconds, ended: true };
                self.engine.await_services(awaited, line).await
            }
            Action::RemoveServices { project, services } => {
                self.engine.remove_services(project, services).await
            }
            Action::RemoveNetworks { project, names } => self.engine.remove_networks(project, names).await,
            Action::RemoveVolumes { project, names } => self.engine.remove_volumes(project, names).await,
            Action::JoinNetwork { container, network } => self.engine.join(container, network).await,
            Action::LeaveNetwork { container, network } => self.engine.leave(container, network).await,
            Action::StopServices { project, services } => self.engine.stop_services(project, services).await,
            Action::FreezeServices { project, services } => {
                self.engine.freeze_services(project, services).await
            }
            Action::ThawServices { project, services } => self.engine.thaw_services(project, services).await,
            Action::ThrottleServices { project, services } => {
                self.engine.throttle_services(project, services).await
            }
            Action::UnthrottleServices { project, ceilings } => {
                self.engine.unthrottle_services(project, ceilings).await
            }
            Action::SetCacheAside { cache, numbers } => self.engine.set_cache_aside(cache, numbers).await,
            Action::BringCacheBack { cache, numbers } => self.engine.bring_cache_back(cache, numbers).await,
            Action::RemoveCacheAside { cache, numbers } => {
                self.engine.remove_cache_aside(cache, numbers).await
            }
            Action::LoadProxy { folder, admin } => self.load_proxy(folder, admin.as_deref()).await,
            Action::CopyDatabase { copy } => self.engine.copy_database(copy, line).await,
            Action::EndCopy { copy } => self.engine.end_copy(copy).await,
            _ => self.perform_on_generations(action).await,
        }
    }

    async fn perform_on_generations(&self, action: &Action) -> Result<(), Failure> {
        let (engine, line) = (&self.engine, self.on_line.as_deref());
        let tell = |text: &str| line.iter().for_each(|line| line(text));
        match action {
            Action::CheckOut { checkout } => git::check_out(checkout).await,
            Action::MakeGeneration { compose, generation } => {
                engine.make_generation(compose, generation, line).await
            }
            Action::StartContainers { containers } => engine.start_containers(containers).await,
            Action::AwaitContainers { containers, timeout_seconds } => {
                engine.await_containers(containers, *timeout_seconds, line).await
            }
            Action::RemoveContainers { containers } => engine.remove_containers(containers).await,
            Action::WithdrawContainers { containers, edge, networks } => {
                engine.withdraw_running(containers, edge, networks).await
            }
            Action::Probe { probe } => {
                caddy::probe(probe).await?;
                let before = watch::Before::read(&probe.folder).await;
                *self.before.lock().unwrap_or_else(PoisonError::into_inner) = Some(before);
                Ok(())
            }
            Action::AnswerCalls { containers, network, aliases } => {
                let mut joined = false;
                for name in &containers.names {
                    joined |= engine.join_as(name, network, aliases).await?;
                }
                if joined {
                    tokio::time::sleep(SETTLING).await;
                }
                Ok(())
            }
            Action::ReplaceServices { compose, services, overlap } => {
                engine.replace_services(compose, services, overlap, line).await
            }
            Action::RunCommand { run } => engine.run_command(run).await,
            Action::EndCommand { run } => engine.end_command(run).await,
            Action::RunHook { hook } => hook::run(hook, &tell).await,
            Action::RemoveImages { names } => engine.remove_images(names).await,
            Action::RemoveUnnamedImages { identities } => engine.remove_unnamed_images(identities).await,
            Action::ClearBuildCache { unused_seconds } => engine.clear_build_cache(*unused_seconds).await,
            Action::Watch { watch: wanted } => {
                let before = self.before.lock().unwrap_or_else(PoisonError::into_inner).take();
                watch::watch(engine, wanted, before, &tell).await
            }
            Action::Drain { drain } => caddy::drain(drain, &tell).await.map(drop),
            _ => self.perform_on_files(action).await,
        }
    }

    async fn perform_on_files(&self, action: &Action) -> Result<(), Failure> {
        match action {
            Action::InstallFile { path, hash } => self.store.install(hash, Path::new(path)),
            Action::KeepFile { path, hash } => self.store.keep(hash, Path::new(path)),
            Action::RemoveFile { path } => files::remove(Path::new(path)),
            Action::MakeFolder { path } => files::make_folder(Path::new(path)),
            Action::MakePrivateFolder { path } => files::private_folder(Path::new(path)),
            Action::MakeSharedFolder { path } => files::make_shared_folder(Path::new(path)),
            Action::RemoveFolder { path } => files::remove_folder(Path::new(path)),
            Action::RemoveTree { path } => files::remove_tree(Path::new(path), Path::new(self.layout.root())),
            Action::GenerateSecret { path } => files::generate_secret(Path::new(path)),
            Action::LimitGroup { limits } => group::limit(&self.groups, limits).await,
            Action::RemoveGroup { path } => group::remove(&self.groups, path).await,
            Action::EndAttack { group } => prove::end(group).await,
            Action::SetFirewall { chain } => firewall::set(chain).await,
            Action::RemoveFirewall { name } => firewall::remove(name).await,
            Action::MakeKey { path } => files::make_key(Path::new(path)),
            Action::SwitchFiles { vault } => vault::switch(vault),
            Action::SwitchFilesBack { vault } => vault::switch_back(vault),
            Action::RemoveStaged { vault } => vault::remove_staged(vault),
            Action::OpenSwitch { path, address, .. } => files::open_switch(Path::new(path), address),
            Action::OpenCanary { canary } => files::open_switch(Path::new(&canary.path), &canary.text()),
            Action::CloseSwitch { path, .. } => files::close_switch(Path::new(path)),
            other => Err(Failure::new(format!("nobody carries out `{other}`"))),
        }
    }
}

impl Perform for Host {
    async fn stage(&mut self, hash: &str, text: &str) -> Result<(), Failure> {
        self.store.stage(hash, text)
    }

    async fn perform(&mut self, action: &Action) -> Result<(), Failure> {
        self.perform_on_engine(action).await
    }
}
