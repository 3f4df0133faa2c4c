//! The agent: one process for each project, that watches production and squeezes development while production is
//! under pressure.
//!
//! Route: [`run`] boots (`boot`: every component, in order), then takes one [`event`] after the other until it is told
//! to stop. `governor` looks and acts; `watcher` reads what production answers and `guard` holds it against the
//! objective; `record` writes decisions and incidents down; `alarms` says what is wrong and `herald` tells it; `socket`
//! tells [`Status`] to who asks; [`collect`] knows what everything uses, `expose` shows it to Prometheus, and `keep` makes
//! it the [`past`].
//!
//! **Invariant:** the loop waits for nobody. The engine is asked beside it, decisions are written beside it.
//! **Invariant:** when the agent is gone, what it squeezed stays squeezed, and static limits hold as ever.

mod alarms;
mod beside;
mod boot;
pub mod collect;
mod containers;
mod event;
mod expose;
mod governor;
mod guard;
mod herald;
mod keep;
mod overdue;
pub mod past;
mod record;
mod socket;
mod status;
pub mod unit;
mod watcher;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;

use pw_host::Host;
use pw_model::config::Config;
use pw_model::layout::Layout;
use pw_model::name::EnvironmentName;
use pw_plan::govern::Order;
use pw_plan::objective;
use pw_run::Failure;

use boot::Running;
use collect::DatabaseFigures;
use event::Event;
use watcher::Answers;

pub use expose::{Governed, Squeezes, exposition};
pub use governor::is_within;
pub use socket::ask;
pub use status::{Holding, Left, Promised, Status, left};

/// What is wrong is told once in so many seconds.
const ALERTS: u32 = 5;

/// Whom the agent serves.
pub struct Settings {
    pub config: Config,
    pub layout: Layout,
    /// Folders whose disks must not fill; what is held of a disk is held of the first one's.
    pub disks: Vec<PathBuf>,
    /// Decides, tells, and touches nothing.
    pub dry_run: bool,
    /// How the project's databases tell what they use; without, they are not asked.
    pub databases: Option<AskDatabases>,
}

/// Asks every database that answers, by environment and name. Handed in, since only who knows PostgreSQL can ask it.
pub type AskDatabases = Arc<dyn Fn() -> Databases + Send + Sync>;

/// What they tell, once all have.
pub type Databases =
    Pin<Box<dyn Future<Output = BTreeMap<(EnvironmentName, String), DatabaseFigures>> + Send>>;

/// What the agent says while it runs.
pub enum Notice<'a> {
    Started(&'a Status),
    Ordered { order: &'a Order, dry_run: bool },
    Incident(&'a objective::Event),
    Trouble(&'a Failure),
    Stopped(&'static str),
    Outdated,
}

/// Why the agent ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// It was told to.
    Told,
    /// Its settings hold no more. What it held is held on: the next agent goes on from there.
    Outdated,
}

/// Watches until it is told to stop, or until its settings are `outdated`. `tell` hears of everything that is done.
///
/// # Errors
/// Another agent runs, or a component cannot be started. Whatever fails later is told, and tried again.
pub async fn run(
    settings: Settings,
    outdated: impl Future<Output = ()>,
    mut tell: impl FnMut(Notice<'_>),
) -> Result<Ended, Failure> {
    let host = Host::new(settings.layout.clone(), &settings.config.project);
    let mut running = boot::boot(settings, host, &mut tell).await?;
    tokio::pin!(outdated);
    loop {
        let event = tokio::select! {
            event = running.next() => event,
            () = &mut outdated => Event::Outdated,
        };
        match event {
            Event::Look => look(&mut running, &mut tell),
            Event::Tend => tend(&mut running, &mut tell),
            Event::Containers(name, found) => running.governor.know(&name, found),
            Event::Bridges(name, found) => running.governor.eyes.know_bridges(&name, found),
            Event::Services(name, alerts) => drop(running.services.insert(name, alerts)),
            Event::Answered(answers) => answered(&mut running, answers, &mut tell),
            Event::Asked(stream) => socket::answer(stream, &running.status()),
            Event::Outdated => {
                running.stop();
                tell(Notice::Outdated);
                return Ok(Ended::Outdated);
            }
            Event::Stop(why) => {
                let_go(&mut running, why, &mut tell);
                return Ok(Ended::Told);
            }
        }
    }
}

fn look(running: &mut Running, tell: &mut impl FnMut(Notice<'_>)) {
    for order in running.governor.look(running.guard.ratios(), &running.collecting.kept()) {
        carry_out(running, &order, tell);
    }
}

fn answered(running: &mut Running, answers: Answers, tell: &mut impl FnMut(Notice<'_>)) {
    let beside = (running.governor.squeezed(), running.governor.cpus);
    let event = running.guard.take(answers, running.governor.reading.clone(), beside);
    if let Some(event) = &event {
        let (objective::Event::Opened(incident) | objective::Event::Closed(incident)) = event;
        running.recorder.incident(incident);
        tell(Notice::Incident(event));
    }
    running.write_down(false);
    if running.herald.is_there() && running.guard.is_turn(ALERTS) {
        running.herald.see(alarms::seen(running));
    }
}

fn carry_out(running: &mut Running, order: &Order, tell: &mut impl FnMut(Notice<'_>)) {
    let dry_run = running.governor.dry_run;
    let done = if dry_run { Ok(()) } else { running.governor.carry_out(order) };
    let after = running.governor.answered(order);
    running.recorder.ordered(order, after, done.as_ref().err());
    match &done {
        Ok(()) => tell(Notice::Ordered { order, dry_run }),
        Err(failure) => tell(Notice::Trouble(failure)),
    }
}

/// What is held is held again: somebody may have set the limits anew, and new containers have come.
fn tend(running: &mut Running, tell: &mut impl FnMut(Notice<'_>)) {
    running.show();
    if running.governor.dry_run {
        return;
    }
    let failures = running.governor.tend();
    // What fails every second is told once.
    let words: Vec<String> = failures.iter().map(ToString::to_string).collect();
    for (failure, words) in failures.iter().zip(&words) {
        if !running.troubles.contains(words) {
            tell(Notice::Trouble(failure));
        }
    }
    running.troubles = words;
}

/// Who stops the agent wants development back as budgeted; the static limits go on holding.
fn let_go(running: &mut Running, why: &'static str, tell: &mut impl FnMut(Notice<'_>)) {
    for order in running.governor.let_go(why) {
        carry_out(running, &order, tell);
    }
    running.stop();
    tell(Notice::Stopped(why));
}
