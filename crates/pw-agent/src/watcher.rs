//! What production answers, read from the proxy's log by a thread of its own; and who changed production, from the journal.

use std::path::{Path, PathBuf};
use std::time::Duration;

use pw_host::caddy::Answered;
use pw_journal::SqliteJournal;
use pw_model::config::{Class, Config};
use pw_plan::latency::Tally;
use pw_plan::objective::{Change, Goals};
use tokio::sync::mpsc::Sender;

use crate::Settings;
use crate::event::Event;

const PERIOD: Duration = Duration::from_secs(1);
/// The journal is asked once in so many looks.
const JOURNAL: u32 = 5;
/// Older changes explain nothing.
const CHANGES: u32 = 20;

/// What one look tells.
#[derive(Debug, Clone, Default)]
pub(crate) struct Answers {
    /// Since the last look; `None` where there is no log.
    pub(crate) tally: Option<Tally>,
    /// Of production, the newest first.
    pub(crate) changes: Vec<Change>,
}

struct Watcher {
    log: PathBuf,
    journal: PathBuf,
    /// Environments of class production.
    production: Vec<String>,
    routes: Vec<String>,
    answered: Answered,
    before: Tally,
}

/// Sends what was answered, every second, until nobody listens.
pub(crate) fn start(settings: &Settings, goals: Goals, events: Sender<Event>) {
    let mut watcher = Watcher::new(settings, goals);
    let looks = move || {
        let mut changes = Vec::new();
        for turn in 0_u32.. {
            std::thread::sleep(PERIOD);
            if turn % JOURNAL == 0 {
                changes = watcher.changes();
            }
            let told = Answers { tally: watcher.look(), changes: changes.clone() };
            if events.blocking_send(Event::Answered(told)).is_err() {
                return;
            }
        }
    };
    // Without the thread nothing is known of the objective, and that is what is said.
    drop(std::thread::Builder::new().name("answers".into()).spawn(looks));
}

impl Watcher {
    fn new(settings: &Settings, goals: Goals) -> Self {
        let (config, layout) = (&settings.config, &settings.layout);
        let log = PathBuf::from(layout.traffic_log(&config.proxy.name));
        let routes = routes(config);
        let limits = routes.iter().map(|route| (route.clone(), goals.p99.map(|limit| limit.0)));
        let production =
            config.environments.iter().filter(|(name, one)| one.class(name) == Class::Production);
        Self {
            answered: Answered::following(&log, limits),
            log,
            journal: PathBuf::from(layout.journal(&config.project)),
            production: production.map(|(name, _)| name.to_string()).collect(),
            routes,
            before: Tally::default(),
        }
    }

    fn look(&mut self) -> Option<Tally> {
        self.answered.read();
        let mut now = Tally::default();
        self.routes.iter().for_each(|route| now.add(&self.answered.of_route(route)));
        let since = now.since(&self.before);
        self.before = now;
        self.log.is_file().then_some(since)
    }

    /// A journal that cannot be read explains nothing.
    fn changes(&self) -> Vec<Change> {
        let journal = SqliteJournal::open_read_only(Path::new(&self.journal)).ok().flatten();
        let plans = journal.and_then(|journal| journal.plans(CHANGES).ok()).unwrap_or_default();
        let own = plans.into_iter().filter(|plan| {
            self.production.contains(&plan.environment) && CHANGING.contains(&plan.operation.as_str())
        });
        own.map(|plan| Change {
            operation: plan.operation,
            begun: plan.begun * 1000,
            ended: plan.ended.map(|ended| ended * 1000),
        })
        .collect()
    }
}

/// Operations after which something else runs than before.
const CHANGING: [&str; 6] = ["promote", "rollback", "up", "down", "restore", "push"];

/// As the log names them, of all environments of class production.
fn routes(config: &Config) -> Vec<String> {
    let production = config.environments.iter().filter(|(name, one)| one.class(name) == Class::Production);
    let routes = production.flat_map(|(name, one)| {
        let project = config.compose_project(name);
        one.routes.keys().map(move |service| format!("{project}/{service}"))
    });
    routes.collect()
}
