//! How an environment is used.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::{Duration, Instant};

use pw_host::caddy::{self, Answered};
use pw_model::config::Sleep;
use pw_model::name::EnvironmentName;
use pw_plan::proxy::is_front;
use pw_plan::sleep::Usage;
use pw_run::Failure;

use super::others;
use crate::session::Session;

/// What would not fall asleep is not tried again before.
const AGAIN: Duration = Duration::from_secs(60);

/// An environment that may sleep.
pub(super) struct Sleeper {
    pub(super) name: EnvironmentName,
    pub(super) sleep: Sleep,
    compose_project: String,
    proxy: String,
    /// Files that say where its routes lead.
    switches: Vec<String>,
    answered: Answered,
    answers: u64,
    used: Instant,
    tried: Option<Instant>,
    /// Commands in its containers that were there at the last look.
    commands: BTreeSet<(String, String)>,
    /// At the last look; what has no routes is not known to sleep by them.
    throttled: bool,
    was_in_hours: Option<bool>,
}

/// What a look found.
pub(super) enum Seen {
    /// It does not run, or sleeps and nobody does anything in it.
    Nothing,
    /// It sleeps and goes on, and somebody works in this container.
    Entered(String),
    Awake(Usage),
}

pub(super) fn sleepers(session: &Session) -> Vec<Sleeper> {
    others(session).filter_map(|name| sleeper(session, name)).collect()
}

/// The files that say where the routes of an environment lead.
pub(super) fn switches(session: &Session, name: &EnvironmentName) -> Vec<String> {
    let (config, layout) = (&session.config, &session.layout);
    let project = config.compose_project(name);
    let routes = config.environments.get(name).map(|environment| environment.routes.keys());
    routes
        .into_iter()
        .flatten()
        .map(|service| layout.switch(&config.proxy.name, &project, service.as_str()))
        .collect()
}

fn sleeper(session: &Session, name: &EnvironmentName) -> Option<Sleeper> {
    let (config, layout) = (&session.config, &session.layout);
    let environment = &config.environments[name];
    let (project, proxy) = (config.compose_project(name), &config.proxy.name);
    let routes: Vec<String> = environment.routes.keys().map(ToString::to_string).collect();
    let log = layout.traffic_log(proxy);
    let told = routes.iter().map(|service| (format!("{project}/{service}"), None));
    Some(Sleeper {
        name: name.clone(),
        sleep: environment.sleep.clone()?,
        proxy: layout.proxy(proxy),
        switches: switches(session, name),
        answered: Answered::following(Path::new(&log), told),
        compose_project: project,
        answers: 0,
        used: Instant::now(),
        tried: None,
        commands: BTreeSet::new(),
        throttled: false,
        was_in_hours: None,
    })
}

impl Sleeper {
    /// True at the first look of its hours, if there was one before them.
    pub(super) fn begins(&mut self, in_hours: Option<bool>) -> bool {
        let was = std::mem::replace(&mut self.was_in_hours, in_hours);
        (was, in_hours) == (Some(false), Some(true))
    }

    pub(super) fn is_asleep(&self) -> bool {
        self.throttled || self.addresses().any(|address| is_front(&address))
    }

    fn addresses(&self) -> impl Iterator<Item = String> + '_ {
        self.switches.iter().filter_map(|switch| std::fs::read_to_string(switch).ok())
    }

    pub(super) fn may_try(&mut self) -> bool {
        let may = self.tried.is_none_or(|tried| tried.elapsed() >= AGAIN);
        if may {
            self.tried = Some(Instant::now());
        }
        may
    }

    /// What fell asleep may do so again as soon as nobody uses it.
    pub(super) fn sleeps(&mut self) {
        self.tried = None;
    }

    pub(super) async fn look(&mut self, session: &Session) -> Result<Seen, Failure> {
        let occupied = session.host().engine().occupied(&self.compose_project).await?;
        self.throttled = occupied.throttled > 0;
        // A command by which somebody only looks is over by the next look, a shell is not.
        let stay: Vec<_> =
            occupied.commands.intersection(&self.commands).map(|(name, _)| name.clone()).collect();
        self.commands = occupied.commands;
        if occupied.running == 0 || self.is_asleep() {
            // Who wakes is not asleep again at once.
            self.used = Instant::now();
            let entered = stay.into_iter().chain(occupied.works).next();
            return Ok(entered.filter(|_| self.throttled).map_or(Seen::Nothing, Seen::Entered));
        }
        self.answered.read();
        let answers = self.answered.tallies().values().map(|tally| tally.count()).sum();
        if std::mem::replace(&mut self.answers, answers) != answers {
            self.used = Instant::now();
        }
        let mut open = 0;
        for address in self.addresses().collect::<Vec<_>>() {
            // What is not known may be somebody.
            open += caddy::in_flight(Path::new(&self.proxy), &address).await.unwrap_or(1);
        }
        if open > 0 || !stay.is_empty() || !occupied.works.is_empty() {
            self.used = Instant::now();
        }
        Ok(Seen::Awake(Usage { unused: self.used.elapsed(), open, entered: stay, works: occupied.works }))
    }
}
