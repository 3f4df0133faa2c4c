//! `sleep`: the containers of an environment stop, stand still or get hardly a processor, and whoever asks for it meets the
//! front, which wakes it.

use std::time::Duration;

use pw_model::config::{Class, How, Sleep};
use pw_model::desired::Desired;
use pw_model::diagnostic::Diagnostic;
use pw_model::observed::{Container, Observed, State};

use crate::frozen;
use crate::parts::{Draft, levels};
use crate::proxy::is_front;
use crate::step::{Action, Plan, Undo};
use crate::throttled;

pub const OPERATION: &str = "sleep";
/// Outside of its hours, an environment that nobody used for so long sleeps.
const UNUSED: Duration = Duration::from_secs(300);

/// Why an environment sleeps, where nothing else is said.
pub const UNASKED: &str = "nobody uses it";

/// How an environment falls asleep.
#[derive(Debug, Clone, Copy)]
pub struct Fall<'a> {
    /// Where visitors are led.
    pub front: &'a str,
    pub because: &'a str,
    pub how: How,
}

/// Steps that lead visitors to the front and stop, freeze or throttle what runs, dependents first. Empty for what sleeps so already
/// or does not run.
///
/// # Errors
/// Production does not sleep; nor does a service of which two generations are there, for nobody would know which served.
pub fn plan(desired: &Desired, observed: &Observed, fall: Fall<'_>) -> Result<Plan, Box<Diagnostic>> {
    let thawed = frozen::thawed(observed).filter(|_| fall.how == How::Stop);
    let mut draft = Draft::new(desired, thawed.as_ref().unwrap_or(observed))?;
    crate::origin::check_proxy(desired, observed)?;
    let environment = &desired.environment;
    if desired.class == Class::Production {
        let what = format!("`{environment}` is production, and production does not sleep");
        return Err(Box::new(Diagnostic::error(what).hint("`partywall down` ends it")));
    }
    if draft.has_colours() {
        let what = format!("`{environment}` has services of more than one generation");
        let hint = format!("`partywall retire {environment}` ends the one before");
        return Err(Box::new(
            Diagnostic::error(what).because("which of them serves would be forgotten").hint(hint),
        ));
    }
    let levels = running(&draft, fall.how);
    if !levels.is_empty() {
        draft.lead_to(fall.front);
        match fall.how {
            How::Stop => draft.lay_down(levels, fall.because),
            How::Freeze => draft.freeze(&levels, fall.because),
            How::Throttle => draft.throttle(&levels, fall.because),
        }
    }
    let plan = draft.finish(OPERATION);
    match thawed {
        Some(_) => Ok(frozen::after_thaw(plan, (desired, observed))),
        None => Ok(plan),
    }
}

/// Services that run, in the order in which they need each other, and do not sleep so already, or deeper.
fn running(draft: &Draft<'_>, how: How) -> Vec<Vec<String>> {
    let can_be_throttled = |one: &Container| {
        !one.throttled && draft.desired.services.get(&one.service).is_some_and(throttled::can_be)
    };
    let is_there = |one: &Container| match one.state {
        State::Created | State::Exited | State::Dead => false,
        State::Paused => how == How::Stop,
        State::Running | State::Restarting => how != How::Throttle || can_be_throttled(one),
    };
    let runs = |name: &String| draft.containers_of(name).any(is_there);
    let mut levels = levels(draft.desired);
    levels.iter_mut().for_each(|level| level.retain(runs));
    levels.retain(|level| !level.is_empty());
    levels
}

impl Draft<'_> {
    fn lead_to(&mut self, front: &str) {
        for route in &self.desired.routes {
            let Some(before) = self.observed.open_switches.get(&route.switch) else { continue };
            if is_front(before) {
                continue;
            }
            let to = |address: &str| Action::OpenSwitch {
                path: route.switch.clone(),
                service: route.service.clone(),
                address: address.to_owned(),
            };
            self.step(to(front), Undo::by(to(before)), "whoever asks wakes it, and is told so");
        }
    }

    /// Who needs others stands still before them, so that nobody waits for an answer of what does.
    fn freeze(&mut self, levels: &[Vec<String>], because: &str) {
        let project = self.desired.compose_project.clone();
        let services: Vec<String> = levels.iter().rev().flatten().cloned().collect();
        let back = services.iter().rev().cloned().collect();
        let freeze = Action::FreezeServices { project: project.clone(), services };
        let undo = Undo::by(Action::ThawServices { project, services: back });
        self.step(freeze, undo, format!("{because}; it keeps its memory and goes on where it is"));
    }

    fn throttle(&mut self, levels: &[Vec<String>], because: &str) {
        let services = levels.iter().rev().flatten().cloned().collect();
        self.steps.push(throttled::step(self.desired, services, format!("{because}; it goes on, slowly")));
    }

    fn lay_down(&mut self, levels: Vec<Vec<String>>, because: &str) {
        for services in levels.into_iter().rev() {
            let project = self.desired.compose_project.clone();
            let mut back = self.start_as_now(self.compose(), &services);
            back.extend(self.await_again(services.clone()));
            let stop = Action::StopServices { project, services };
            self.step(stop, Undo::By { actions: back }, format!("{because}; data and containers stay"));
        }
    }
}

/// What is known of the use of an environment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Usage {
    /// Since the last answer that was given to somebody, or since somebody looks.
    pub unused: Duration,
    /// Requests, streams and websockets that are open.
    pub open: u64,
    /// Containers with an open shell, or a command that somebody runs in them.
    pub entered: Vec<String>,
    /// Jobs and commands that have not ended.
    pub works: Vec<String>,
}

/// Why an environment is to sleep; `None` while it is not. `in_hours` is `None` where there are no hours.
pub fn tired(sleep: &Sleep, usage: &Usage, in_hours: Option<bool>) -> Option<String> {
    let idle = sleep.idle.map(|idle| idle.0);
    let limit = match in_hours {
        Some(false) => Some(idle.map_or(UNUSED, |idle| idle.min(UNUSED))),
        _ => idle,
    }?;
    let is_used = usage.open > 0 || !usage.entered.is_empty() || !usage.works.is_empty();
    if is_used || usage.unused < limit {
        return None;
    }
    let unused = match usage.unused.as_secs() {
        seconds @ ..60 => format!("{seconds} seconds"),
        seconds => format!("{} minutes", seconds / 60),
    };
    let hours = if in_hours == Some(false) { ", outside of its hours" } else { "" };
    Some(format!("nobody has used it for {unused}{hours}"))
}

#[cfg(test)]
mod tests {
    use pw_model::config::Hours;
    use pw_model::unit::Span;

    use super::*;

    fn after(minutes: u64) -> Usage {
        Usage { unused: Duration::from_secs(minutes * 60), ..Usage::default() }
    }

    #[test]
    fn what_is_used_does_not_sleep() {
        let sleep = Sleep { idle: Some(Span::seconds(1800)), hours: None, how: How::Stop };
        assert_eq!(tired(&sleep, &after(29), None), None);
        assert_eq!(tired(&sleep, &after(30), None).as_deref(), Some("nobody has used it for 30 minutes"));
        for used in [
            Usage { open: 1, ..after(60) },
            Usage { entered: vec!["web-1".into()], ..after(60) },
            Usage { works: vec!["migrate".into()], ..after(60) },
        ] {
            assert_eq!(tired(&sleep, &used, None), None, "{used:?}");
        }
    }

    #[test]
    fn outside_of_its_hours_it_sleeps_as_soon_as_nobody_uses_it() {
        let hours = Some(Hours::default());
        let of = |idle| Sleep { idle, hours, how: How::Stop };
        let (both, only) = (of(Some(Span::seconds(1800))), of(None));
        assert_eq!(tired(&only, &after(600), Some(true)), None, "awake in its hours");
        assert!(tired(&both, &after(30), Some(true)).is_some(), "but not for nobody");
        for sleep in [both, only] {
            assert_eq!(tired(&sleep, &after(4), Some(false)), None);
            let why = tired(&sleep, &after(5), Some(false));
            assert_eq!(why.as_deref(), Some("nobody has used it for 5 minutes, outside of its hours"));
        }
        assert_eq!(tired(&Sleep { idle: None, hours: None, how: How::Stop }, &after(600), None), None);
    }
}
