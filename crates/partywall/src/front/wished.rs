//! Whom the governor wants asleep: it decides, and runs no plans.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use pw_agent::Status;
use pw_model::config::Config;
use pw_model::name::EnvironmentName;

/// What would not fall asleep is tried again after this time.
const AGAIN: Duration = Duration::from_secs(20);

/// What is to be done for a wish.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Wish {
    Sleep(EnvironmentName, String),
    Wake(EnvironmentName),
}

/// Wishes that were heard.
#[derive(Debug)]
pub(super) struct Wishes {
    /// An agent that is younger does not know what the one before wished: so long it would have had to be calm.
    young: Duration,
    heard: BTreeMap<EnvironmentName, Heard>,
}

#[derive(Debug)]
enum Heard {
    Done,
    Tried(Instant),
}

impl Wishes {
    pub(super) fn of(config: &Config) -> Self {
        Self { young: config.governor.wake.0, heard: BTreeMap::new() }
    }

    /// What is new. A wish is carried out once: who wakes an environment all the same, by `up`, keeps it. An agent that
    /// does not answer has not changed its mind.
    pub(super) fn hear(&mut self, status: Option<&Status>, now: Timestamp) -> Vec<Wish> {
        let Some(status) = status else { return Vec::new() };
        let is_new = |name: &&EnvironmentName| match self.heard.get(*name) {
            None => true,
            Some(Heard::Tried(at)) => at.elapsed() >= AGAIN,
            Some(Heard::Done) => false,
        };
        let new = status.to_sleep.keys().filter(is_new);
        let mut wishes: Vec<Wish> =
            new.map(|name| Wish::Sleep(name.clone(), status.to_sleep[name].clone())).collect();
        let age = now.as_second() - status.since.as_second();
        if u64::try_from(age).is_ok_and(|age| age >= self.young.as_secs()) {
            let over = self.heard.keys().filter(|name| !status.to_sleep.contains_key(*name)).cloned();
            let over: Vec<EnvironmentName> = over.collect();
            self.heard.retain(|name, _| !over.contains(name));
            wishes.extend(over.into_iter().map(Wish::Wake));
        }
        wishes
    }

    pub(super) fn carried_out(&mut self, name: EnvironmentName, done: bool) {
        let heard = if done { Heard::Done } else { Heard::Tried(Instant::now()) };
        self.heard.insert(name, heard);
    }

    /// Nobody is woken by visitors while production needs what it had.
    pub(super) fn names(&self) -> Vec<EnvironmentName> {
        self.heard.keys().cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// An agent that runs since the epoch.
    fn status(to_sleep: &serde_json::Value) -> Status {
        let mut status = json!({
            "pid": 1, "since": "1970-01-01T00:00:00Z", "mode": "balanced", "sensors": [],
            "reading": {"uses": {}}, "held": {}, "lacks": [],
        });
        status["to_sleep"] = to_sleep.clone();
        serde_json::from_value(status).expect("a status")
    }

    #[test]
    fn a_wish_is_carried_out_once_and_taken_back_by_an_agent_that_knows() {
        let name = EnvironmentName::parse("development").expect("a name");
        let sleep = Wish::Sleep(name.clone(), "2 % of the memory is left".into());
        let (wished, calm) =
            (status(&json!({"development": "2 % of the memory is left"})), status(&json!({})));
        let (young, old) = (Timestamp::from_second(60), Timestamp::from_second(600));
        let (young, old) = (young.expect("a time"), old.expect("a time"));
        let mut wishes = Wishes { young: Duration::from_secs(300), heard: BTreeMap::new() };
        assert_eq!(wishes.hear(Some(&calm), old), []);
        assert_eq!(wishes.hear(Some(&wished), old), [sleep]);
        wishes.carried_out(name.clone(), false);
        assert_eq!(wishes.hear(Some(&wished), old), [], "it failed a moment ago");
        wishes.carried_out(name.clone(), true);
        assert_eq!(wishes.hear(Some(&wished), old), [], "who runs `up` keeps it");
        assert_eq!(wishes.hear(None, old), [], "an agent that does not answer");
        assert_eq!(wishes.hear(Some(&calm), young), [], "an agent that has just started");
        assert_eq!(wishes.names().first(), Some(&name));
        assert_eq!(wishes.hear(Some(&calm), old), [Wish::Wake(name)]);
        assert_eq!(wishes.names(), []);
    }
}
