//! Commands that the front starts: at most one at a time for each environment.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use pw_host::lock;
use pw_model::name::EnvironmentName;
use pw_plan::proxy::is_front;
use pw_run::Failure;
use tokio::process::Command;

use super::others;
use crate::session::Session;

/// What could not be woken is tried again for who still asks.
const AGAIN: Duration = Duration::from_secs(10);
/// Between two looks whether another command still is at work.
const FREE: Duration = Duration::from_millis(300);

/// Where a name of the outside leads.
#[derive(Debug, Clone)]
pub(super) struct Place {
    pub(super) environment: EnvironmentName,
    /// The file that says who answers.
    switch: String,
}

impl Place {
    pub(super) fn is_awake(&self) -> bool {
        std::fs::read_to_string(&self.switch).is_ok_and(|address| !is_front(&address))
    }
}

#[derive(Debug, Clone)]
enum Waking {
    Starts,
    /// This command has to end first: there is one at a time.
    Waits(String),
    Failed(Instant),
}

pub(super) struct Waker {
    program: PathBuf,
    folder: PathBuf,
    /// Of the project.
    lock: PathBuf,
    places: BTreeMap<String, Place>,
    waking: Arc<Mutex<BTreeMap<EnvironmentName, Waking>>>,
    /// Nobody is woken by visitors while production needs what it had.
    kept: Mutex<BTreeSet<EnvironmentName>>,
}

impl Waker {
    pub(super) fn of(session: &Session) -> Result<Self, Failure> {
        let program = std::env::current_exe()
            .map_err(|error| Failure::new("could not find out where this program lies").because(error))?;
        let (config, layout) = (&session.config, &session.layout);
        let places = others(session).flat_map(|name| {
            let project = config.compose_project(name);
            config.environments[name].routes.iter().flat_map(move |(service, route)| {
                let switch = layout.switch(&config.proxy.name, &project, service.as_str());
                let place = Place { environment: name.clone(), switch };
                route
                    .hosts()
                    .into_iter()
                    .map(move |host| (host.to_lowercase(), place.clone()))
                    .collect::<Vec<_>>()
            })
        });
        Ok(Self {
            program,
            folder: session.directory.clone(),
            lock: layout.lock(&config.project).into(),
            places: places.collect(),
            waking: Arc::default(),
            kept: Mutex::default(),
        })
    }

    /// Who is meant by the name under which a request came.
    pub(super) fn place(&self, host: &str) -> Option<&Place> {
        let name = host.rsplit_once(':').map_or(host, |(name, _)| name);
        self.places.get(&name.to_lowercase())
    }

    pub(super) fn keep_asleep(&self, name: &EnvironmentName) {
        locked(&self.kept).insert(name.clone());
    }

    pub(super) fn let_wake(&self, name: &EnvironmentName) {
        locked(&self.kept).remove(name);
    }

    pub(super) fn is_kept_asleep(&self, name: &EnvironmentName) -> bool {
        locked(&self.kept).contains(name)
    }

    /// Begins to wake it, unless somebody does already, or it is to sleep.
    pub(super) fn wake(&self, name: &EnvironmentName) {
        if self.is_kept_asleep(name) {
            return;
        }
        let waking = || locked(&self.waking);
        match waking().get(name) {
            Some(Waking::Starts | Waking::Waits(_)) => return,
            Some(Waking::Failed(at)) if at.elapsed() < AGAIN => return,
            _ => {}
        }
        waking().insert(name.clone(), Waking::Starts);
        let (all, name, lock) = (Arc::clone(&self.waking), name.clone(), self.lock.clone());
        let mut up = self.command(&["up", name.as_str()]);
        tokio::spawn(async move {
            loop {
                while let Some(command) = lock::command(&lock) {
                    locked(&all).insert(name.clone(), Waking::Waits(command));
                    tokio::time::sleep(FREE).await;
                }
                locked(&all).insert(name.clone(), Waking::Starts);
                if up.status().await.is_ok_and(|status| status.success()) {
                    locked(&all).remove(&name);
                    return;
                }
                // Otherwise another command was faster.
                if !lock::is_held(&lock) {
                    locked(&all).insert(name, Waking::Failed(Instant::now()));
                    return;
                }
            }
        });
    }

    /// The command that has to end before it can wake.
    pub(super) fn waits_for(&self, name: &EnvironmentName) -> Option<String> {
        match locked(&self.waking).get(name) {
            Some(Waking::Waits(command)) => Some(command.clone()),
            _ => None,
        }
    }

    pub(super) fn has_failed(&self, name: &EnvironmentName) -> bool {
        matches!(locked(&self.waking).get(name), Some(Waking::Failed(_)))
    }

    /// True when it came to a good end.
    pub(super) async fn run(&self, words: &[&str]) -> bool {
        self.command(words).status().await.is_ok_and(|status| status.success())
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command.args(words).arg("--quiet").arg("--project").arg(&self.folder).stdin(Stdio::null());
        command
    }
}

fn locked<T>(all: &Mutex<T>) -> MutexGuard<'_, T> {
    // One who panicked left at worst an environment that is not tried again for a while.
    all.lock().unwrap_or_else(PoisonError::into_inner)
}
