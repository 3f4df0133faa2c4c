//! Starting, in order; and what runs then.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use pw_host::{Host, ProjectLock, facts};
use pw_journal::History;
use pw_model::config::Objective;
use pw_model::name::EnvironmentName;
use pw_plan::alert::Alert;
use pw_run::{Failure, JournalFailure};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio::sync::watch;
use tokio::time::{Interval, MissedTickBehavior, interval};

use crate::collect::{Collecting, collect};
use crate::event::Event;
use crate::expose::Governed;
use crate::governor::Governor;
use crate::guard::Guard;
use crate::herald::Herald;
use crate::keep::Keeper;
use crate::record::Recorder;
use crate::status::Status;
use crate::{Notice, Settings, alarms, containers, expose, socket, watcher};

/// Two looks within the half second in which a squeeze must follow pressure.
const LOOK: Duration = Duration::from_millis(200);
const _: () = assert!(LOOK.as_millis() * 2 < 500, "a squeeze follows the second look at the latest");
const TEND: Duration = Duration::from_secs(1);
/// Beside the looks hardly anything happens.
const QUEUE: usize = 16;

/// The components.
pub(crate) struct Running {
    pub(crate) governor: Governor,
    pub(crate) guard: Guard,
    pub(crate) recorder: Recorder,
    pub(crate) herald: Herald,
    /// What is wrong with production's services.
    pub(crate) services: BTreeMap<EnvironmentName, Vec<Alert>>,
    /// The agent before this one, where it ended without being told to.
    pub(crate) crashed: Option<String>,
    pub(crate) collecting: Collecting,
    keeper: Keeper,
    /// Why figures are not shown.
    hidden: Arc<Mutex<Option<String>>>,
    governed: watch::Sender<Governed>,
    /// What failed when things were held again the last time.
    pub(crate) troubles: Vec<String>,
    pub(crate) since: Timestamp,
    looks: Interval,
    tends: Interval,
    events: Receiver<Event>,
    socket: Option<String>,
    /// `None` in a dry run.
    history: Option<String>,
    /// Held until the end.
    _lock: Option<ProjectLock>,
}

/// A history that cannot be written does not keep the governor from governing.
fn recorder(history: Option<Result<History, JournalFailure>>, tell: &mut impl FnMut(Notice<'_>)) -> Recorder {
    if let Some(Err(failure)) = &history {
        let what = Failure::new("decisions and incidents are not written down");
        tell(Notice::Trouble(&what.because(failure.to_string())));
    }
    history.map_or_else(Recorder::none, Recorder::start)
}

pub(crate) async fn boot(
    settings: Settings,
    host: Host,
    tell: &mut impl FnMut(Notice<'_>),
) -> Result<Running, Failure> {
    let (project, layout) = (settings.config.project.clone(), settings.layout.clone());
    let (events, received) = channel(QUEUE);
    // 1. Alone: two governors would pull at the same levers.
    let lock = match settings.dry_run {
        true => None,
        false => Some(alone(&layout.agent_lock(&project))?),
    };
    // 2. Told to stop from now on, whatever is being started.
    signals(&events)?;
    // 3. Decisions are written down.
    let mut history = (!settings.dry_run).then(|| History::open(Path::new(&layout.agent_history(&project))));
    let open = history.as_ref().and_then(|history| history.as_ref().ok()?.open_incident().ok()?);
    let crashed = history.as_mut().and_then(|history| mark(history.as_mut().ok()?));
    let recorder = recorder(history, tell);
    // 4. Watch and act; what a former agent left is gone on with.
    let driver = facts::cgroup_driver(host.engine()).await;
    let mut governor = Governor::new(&settings, driver);
    for (environment, left) in governor.resume() {
        recorder.own(&environment, &left, "a former agent left it so");
    }
    // 5. Networks come and go, and so do containers; of these, only control groups v1 need to know.
    containers::watch(&settings, governor.compose_projects(&settings.config), &events);
    // 6. What everything uses is known, kept, and shown where that is asked for.
    let keeper = match settings.dry_run {
        true => Keeper::none(),
        false => Keeper::start(layout.agent_metrics(&project)),
    };
    let collecting = collect(&settings, keeper.sink());
    let hidden = Arc::new(Mutex::new(None));
    let governed = watch::Sender::new(Governed::default());
    if let Some(address) = settings.config.agent.metrics {
        let shown = expose::Shown { pictures: collecting.pictures.clone(), governed: governed.subscribe() };
        expose::expose(address.address(), shown, Arc::clone(&hidden));
    }
    // 7. What production answers is held against what it promised.
    let goals = settings.config.objective.as_ref().map(Objective::goals).unwrap_or_default();
    watcher::start(&settings, goals, events.clone());
    // 8. Who is to be told of what is wrong is told.
    let herald = herald(&settings, &events);
    // 9. Whoever asks is answered.
    let path = (!settings.dry_run).then(|| layout.agent_socket(&project));
    if let Some(path) = &path {
        socket::listen(path, events)?;
    }
    let mut running = Running {
        governor,
        guard: Guard::new(&settings.config, goals, open),
        recorder,
        herald,
        services: BTreeMap::new(),
        crashed,
        collecting,
        keeper,
        hidden,
        governed,
        troubles: Vec::new(),
        since: Timestamp::now(),
        looks: every(LOOK),
        tends: every(TEND),
        events: received,
        socket: path,
        history: (!settings.dry_run).then(|| layout.agent_history(&project)),
        _lock: lock,
    };
    tell(Notice::Started(&running.status()));
    Ok(running)
}

/// A dry run tells nobody.
fn herald(settings: &Settings, events: &Sender<Event>) -> Herald {
    if settings.dry_run {
        return Herald::none();
    }
    let herald = Herald::start(settings);
    if herald.is_there() {
        let host = Host::new(settings.layout.clone(), &settings.config.project);
        alarms::watch(host, &settings.config, events.clone());
    }
    herald
}

/// Under this name stands who runs, for as long as it does.
const RUNS: &str = "runs";

/// Says that this one runs, and answers the process that said so before and never took it back.
fn mark(history: &mut History) -> Option<String> {
    let before = history.recall(RUNS).ok().flatten();
    drop(history.remember(RUNS, &std::process::id().to_string()));
    before
}

fn alone(lock: &str) -> Result<ProjectLock, Failure> {
    let taken = ProjectLock::acquire(Path::new(lock), "partywall agent run");
    taken.map_err(|other| other.hint("see how it fares with `partywall agent status`"))
}

fn signals(events: &Sender<Event>) -> Result<(), Failure> {
    for (kind, why) in
        [(SignalKind::terminate(), "it was told to end"), (SignalKind::interrupt(), "it was interrupted")]
    {
        let heard = signal(kind);
        let mut heard = heard.map_err(|error| Failure::new("could not listen for signals").because(error))?;
        let events = events.clone();
        tokio::spawn(async move {
            heard.recv().await;
            drop(events.send(Event::Stop(why)).await);
        });
    }
    Ok(())
}

/// A late tick is not made up for: one look tells of the whole time since the last.
fn every(period: Duration) -> Interval {
    let mut interval = interval(period);
    interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
    interval
}

impl Running {
    pub(crate) async fn next(&mut self) -> Event {
        tokio::select! {
            biased;
            _ = self.looks.tick() => Event::Look,
            _ = self.tends.tick() => Event::Tend,
            // The signals' tasks keep a sender, so that there is always a next.
            event = self.events.recv() => event.unwrap_or(Event::Stop("nothing is left to wait for")),
        }
    }

    pub(crate) fn status(&mut self) -> Status {
        let sensors =
            self.governor.eyes.sensors().map(|(what, sensor)| (what.into(), sensor.as_str().into()));
        Status {
            pid: std::process::id(),
            since: self.since,
            mode: self.governor.rules.mode,
            sensors: sensors.into(),
            reading: self.governor.reading.clone(),
            held: self.governor.held(),
            to_sleep: self.governor.to_sleep(),
            lacks: self.lacks(),
            picture: Some((*self.collecting.newest()).clone()),
            objective: Some(self.guard.promised()),
        }
    }

    /// To who collects figures.
    pub(crate) fn show(&self) {
        self.governed
            .send_modify(|before| *before = before.next(self.governor.amounts(), self.guard.promised()));
    }

    fn lacks(&self) -> Vec<String> {
        let said = [&self.hidden, &self.keeper.trouble];
        let said = said.map(|one| one.lock().unwrap_or_else(PoisonError::into_inner).clone());
        self.governor.hands.lacks().into_iter().chain(said.into_iter().flatten()).collect()
    }

    /// What has come together since, when it is time, or `now`.
    pub(crate) fn write_down(&mut self, now: bool) {
        self.recorder.hours(self.guard.due_hours(now));
        self.guard.due_incident(now).into_iter().for_each(|incident| self.recorder.incident(incident));
    }

    /// Told to end, nobody is to be alarmed by that.
    fn unmark(&self) {
        if let Some(path) = &self.history {
            drop(History::open(Path::new(path)).and_then(|mut history| history.forget(RUNS)));
        }
    }

    pub(crate) fn stop(&mut self) {
        self.governor.finish();
        self.collecting.finish();
        self.write_down(true);
        self.keeper.finish();
        self.recorder.finish();
        self.unmark();
        if let Some(path) = self.socket.take() {
            drop(std::fs::remove_file(path));
        }
    }
}
