//! Holds what production answers against its objective.

use std::time::Duration;

use jiff::Timestamp;
use pw_host::eyes::Eyes;
use pw_journal::Hour;
use pw_model::config::{Class, Config};
use pw_plan::govern::Reading;
use pw_plan::latency::Tally;
use pw_plan::objective::{Event, Goals, Incident, Moment, Scene, State, watch};

use crate::status::Promised;
use crate::watcher::Answers;

/// What the governor hears of: long enough to tell a percentile, short enough to act upon.
const NOW: Duration = Duration::from_secs(10);
/// What was seen longer ago is not known.
const FRESH: Duration = Duration::from_secs(2);
/// An incident that goes on is written down again after so many looks.
const AGAIN: u32 = 10;
/// Looks after which what was used is written down.
const MINUTE: u32 = 60;
/// CPUs from which another environment is at work.
const WORKS: f64 = 0.1;

pub(crate) struct Guard {
    goals: Goals,
    /// The environments that are held to them, by name.
    pub(crate) production: String,
    state: State,
    looks: u32,
    seen: Option<Duration>,
    log: bool,
    /// What was used with and without development since it was last written down.
    hours: [Hour; 2],
}

impl Guard {
    pub(crate) fn new(config: &Config, goals: Goals, open: Option<Incident>) -> Self {
        let production =
            config.environments.iter().filter(|(name, one)| one.class(name) == Class::Production);
        let production = production.map(|(name, _)| name.as_str()).collect::<Vec<_>>().join(", ");
        let hours = [false, true].map(|developing| Hour { developing, ..Hour::default() });
        Self { goals, production, state: State::resumed(open), looks: 0, seen: None, log: false, hours }
    }

    /// Takes in a second. Beside it stands what else was seen.
    pub(crate) fn take(
        &mut self,
        told: Answers,
        reading: Reading,
        beside: (Vec<String>, f64),
    ) -> Option<Event> {
        let now = Moment { at: Eyes::now(), wall: Timestamp::now().as_millisecond() };
        self.looks = self.looks.wrapping_add(1);
        self.log = told.tally.is_some();
        self.seen = Some(now.at);
        self.count(&told.tally, &reading, now.wall);
        let (squeezed, cpus) = beside;
        let scene = Scene { reading, squeezed, cpus, changes: told.changes };
        let (state, event) = watch(&self.goals, std::mem::take(&mut self.state), (told.tally, scene), now);
        self.state = state;
        event
    }

    fn count(&mut self, tally: &Option<Tally>, reading: &Reading, wall: i64) {
        let developing = reading.uses.values().any(|used| used.cpus.is_some_and(|cpus| cpus > WORKS));
        let [without, with] = &mut self.hours;
        let hour = if developing { with } else { without };
        hour.hour = wall.div_euclid(3_600_000);
        hour.seconds += 1.0;
        hour.busy += reading.busy.unwrap_or_default();
        if let Some(tally) = tally {
            hour.answers += tally.count();
            hour.bad += tally.failures.max(tally.slow);
        }
    }

    /// What is to be written down now, once a minute.
    pub(crate) fn due_hours(&mut self, now: bool) -> Vec<Hour> {
        if !(now || self.looks.is_multiple_of(MINUTE)) {
            return Vec::new();
        }
        let taken = self.hours.each_mut().map(|hour| {
            let fresh = Hour { developing: hour.developing, ..Hour::default() };
            std::mem::replace(hour, fresh)
        });
        taken.into_iter().filter(|hour| hour.seconds > 0.0).collect()
    }

    /// An incident that goes on, when it is time to write it down again.
    pub(crate) fn due_incident(&self, now: bool) -> Option<&Incident> {
        self.state.open().filter(|_| now || self.looks.is_multiple_of(AGAIN))
    }

    /// Latency and failures over what is promised, for the governor.
    pub(crate) fn ratios(&self) -> (Option<f64>, Option<f64>) {
        let now = Eyes::now();
        let fresh = self.seen.is_some_and(|seen| now.saturating_sub(seen) <= FRESH);
        match fresh && self.log {
            true => self.state.windows().within(NOW, &self.goals, now).ratios(&self.goals),
            false => (None, None),
        }
    }

    /// True once in so many seconds.
    pub(crate) fn is_turn(&self, seconds: u32) -> bool {
        self.looks.is_multiple_of(seconds)
    }

    pub(crate) fn open(&self) -> Option<&Incident> {
        self.state.open()
    }

    pub(crate) fn promised(&self) -> Promised {
        Promised {
            p99: self.goals.p99.map(|limit| limit.0.as_secs_f64()),
            errors: self.goals.errors,
            standing: self.log.then(|| self.state.windows().standing(&self.goals, Eyes::now())),
            incident: self.state.open().cloned(),
        }
    }
}
