//! The thread that looks each second, and what is looked at more slowly beside it.

use std::collections::BTreeMap;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use pw_host::Host;
use pw_host::docker::Running;
use pw_model::config::{Class, Config};
use pw_model::name::EnvironmentName;
use tokio::sync::watch;

use super::collector::Collector;
use super::picture::{DatabaseFigures, Disk, Picture};
use super::{containers, disk};
use crate::{AskDatabases, Settings};

const PERIOD: Duration = Duration::from_secs(1);
const DATABASES: Duration = Duration::from_secs(60);
const DISK: Duration = Duration::from_secs(300);
/// Who has a budget is counted more often, the more so the nearer it is to the end of it.
const DISK_OF_BUDGET: Duration = Duration::from_secs(60);
const DISK_NEARLY_FULL: Duration = Duration::from_secs(15);
const NEARLY: f64 = 0.75;

/// What takes longer than a second to know.
#[derive(Debug, Default)]
pub(crate) struct Slow {
    disk: BTreeMap<EnvironmentName, Disk>,
    databases: BTreeMap<(EnvironmentName, String), DatabaseFigures>,
}

/// The thread, and the newest picture.
pub(crate) struct Collecting {
    pub(crate) pictures: watch::Receiver<Arc<Picture>>,
    /// Dropped to end it.
    end: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

/// Starts; `each` gets every picture, in the thread.
pub(crate) fn collect(
    settings: &Settings,
    mut each: impl FnMut(&Arc<Picture>) + Send + 'static,
) -> Collecting {
    let mut collector = Collector::new(&settings.config, &settings.layout, settings.disks.clone());
    let slow = Arc::new(Mutex::new(Slow::default()));
    look_slowly(settings, &slow);
    let (known, running) = channel();
    let host = Host::new(settings.layout.clone(), &settings.config.project);
    tokio::spawn(containers::watch(host, settings.config.project.clone(), known));
    let (sender, pictures) = watch::channel(Arc::default());
    let (end, ended) = channel::<()>();
    let thread = std::thread::spawn(move || {
        while is_time(&ended) {
            newest(&running).into_iter().for_each(|running| collector.know(running));
            let mut picture = collector.look();
            with(&mut picture, &slow);
            let picture = Arc::new(picture);
            each(&picture);
            sender.send_replace(picture);
        }
    });
    Collecting { pictures, end: Some(end), thread: Some(thread) }
}

/// Waits for the next second; false when it is told to end.
fn is_time(ended: &Receiver<()>) -> bool {
    let now = pw_host::eyes::Eyes::now();
    let left = PERIOD - Duration::from_nanos(u64::from(now.subsec_nanos()));
    matches!(ended.recv_timeout(left), Err(RecvTimeoutError::Timeout))
}

fn newest(running: &Receiver<Vec<Running>>) -> Option<Vec<Running>> {
    running.try_iter().last()
}

fn with(picture: &mut Picture, slow: &Mutex<Slow>) {
    let slow = slow.lock().unwrap_or_else(PoisonError::into_inner);
    for (name, environment) in &mut picture.environments {
        environment.disk = slow.disk.get(name).copied();
        let own = slow.databases.iter().filter(|((of, _), _)| of == name);
        environment.databases = own.map(|((_, database), figures)| (database.clone(), *figures)).collect();
    }
}

/// In a thread and a runtime of its own, where waiting for a disk or a database keeps nobody.
fn look_slowly(settings: &Settings, slow: &Arc<Mutex<Slow>>) {
    let (config, layout) = (settings.config.clone(), settings.layout.clone());
    let (databases, slow) = (settings.databases.clone(), Arc::clone(slow));
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        // Without: these figures stay unknown, and everything else goes on.
        let Ok(runtime) = runtime else { return };
        let host = Host::new(layout, &config.project);
        let names = config.environments.keys();
        let projects: Vec<_> = names.map(|name| (name.clone(), config.compose_project(name))).collect();
        runtime.block_on(async {
            let budgets = budgets(&config);
            tokio::join!(measure_disk(&host, &projects, &budgets, &slow), ask_databases(databases, &slow))
        });
    });
}

/// Production's disk is not held to its budget.
fn budgets(config: &Config) -> BTreeMap<EnvironmentName, f64> {
    let others = config.environments.iter().filter(|(name, one)| one.class(name) != Class::Production);
    others.filter_map(|(name, one)| Some((name.clone(), one.budget.disk?.0 as f64))).collect()
}

async fn measure_disk(
    host: &Host,
    projects: &[(EnvironmentName, String)],
    budgets: &BTreeMap<EnvironmentName, f64>,
    slow: &Mutex<Slow>,
) {
    loop {
        let disk = disk::measure(host, projects).await;
        let wait = rest(&disk, budgets);
        slow.lock().unwrap_or_else(PoisonError::into_inner).disk = disk;
        tokio::time::sleep(wait).await;
    }
}

/// Until it is counted again.
fn rest(disk: &BTreeMap<EnvironmentName, Disk>, budgets: &BTreeMap<EnvironmentName, f64>) -> Duration {
    let parts = budgets.iter().filter_map(|(name, budget)| Some(disk.get(name)?.all() / budget));
    match parts.reduce(f64::max) {
        Some(part) if part > NEARLY => DISK_NEARLY_FULL,
        _ if budgets.is_empty() => DISK,
        _ => DISK_OF_BUDGET,
    }
}

async fn ask_databases(ask: Option<AskDatabases>, slow: &Mutex<Slow>) {
    let Some(ask) = ask else { return };
    loop {
        let begun = Instant::now();
        let databases = ask().await;
        slow.lock().unwrap_or_else(PoisonError::into_inner).databases = databases;
        tokio::time::sleep(DATABASES.saturating_sub(begun.elapsed())).await;
    }
}

impl Collecting {
    pub(crate) fn newest(&self) -> Arc<Picture> {
        Arc::clone(&self.pictures.borrow())
    }

    /// Bytes that each environment keeps on disk, as far as they have been counted.
    pub(crate) fn kept(&self) -> BTreeMap<EnvironmentName, f64> {
        let picture = self.pictures.borrow();
        let kept =
            picture.environments.iter().filter_map(|(name, one)| Some((name.clone(), one.disk?.all())));
        kept.collect()
    }

    /// Waits until the last look is over.
    pub(crate) fn finish(&mut self) {
        self.end = None;
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_nears_its_budget_is_counted_more_often() {
        let name = EnvironmentName::parse("development").expect("a name");
        let kept = |volumes, layers| BTreeMap::from([(name.clone(), Disk { volumes, layers })]);
        let budget = BTreeMap::from([(name.clone(), 100.0)]);
        assert_eq!(rest(&kept(500.0, 0.0), &BTreeMap::new()), DISK);
        assert_eq!(rest(&kept(30.0, 40.0), &budget), DISK_OF_BUDGET);
        assert_eq!(rest(&kept(36.0, 40.0), &budget), DISK_NEARLY_FULL);
        assert_eq!(rest(&BTreeMap::new(), &budget), DISK_OF_BUDGET);
    }
}
