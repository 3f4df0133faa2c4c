//! The last levers: an environment is put to sleep, and where nobody does that in time, loses the container that holds
//! most memory.
//!
//! Who stands still neither works nor writes, but keeps its memory: only sleep gives that back. And who has to stand still
//! again and again is of more use asleep. A disk that is full is no cause: neither would make room on it.

use std::time::Duration;

use super::feeling::Feeling;
use super::order::{Amount, Order};
use super::{Levers, Turn};

/// So often it stood still within this time before it is to sleep.
const TIMES: usize = 3;
const WITHIN: Duration = Duration::from_secs(600);
/// There was next to no memory for so long before who holds some of it is to sleep.
const SHORT: Duration = Duration::from_secs(20);
/// Of the machine's memory: who holds less has nothing to give back.
const HOLDS: f64 = 0.05;
/// So long somebody has for putting it to sleep, and between two containers that are ended.
const PATIENCE: Duration = Duration::from_secs(30);

#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Leave {
    stood_still: Vec<Duration>,
    short: Option<Duration>,
    calm: Option<Duration>,
    asked: Option<Duration>,
    ended: Option<Duration>,
}

struct Seen<'a> {
    memory: (Feeling, &'a str),
    worst: (Feeling, &'a str),
    holds: bool,
    /// So long nothing must press before it may wake.
    wake: Duration,
}

impl Leave {
    pub(super) fn is_to_sleep(&self) -> bool {
        self.asked.is_some()
    }

    /// What standing still was good for.
    fn note(&mut self, frozen: Option<&Amount>, helped: bool, now: Duration) {
        match frozen {
            Some(Amount::Frozen(true)) => self.stood_still.push(now),
            // The load is production's own: sleep would not help either.
            Some(Amount::Frozen(false)) if !helped => self.stood_still.clear(),
            _ => {}
        }
        self.stood_still.retain(|at| now.saturating_sub(*at) <= WITHIN);
    }

    fn turn(&mut self, seen: &Seen<'_>, now: Duration) -> Option<(Amount, String)> {
        match seen.memory.0 {
            // A sensor that is silent now and then takes nothing back of what it said before.
            Feeling::Unknown => {}
            Feeling::Severe => drop(self.short.get_or_insert(now)),
            _ => self.short = None,
        }
        match seen.worst.0 {
            Feeling::Unknown => {}
            worst if worst.is_pressed() => self.calm = None,
            _ => drop(self.calm.get_or_insert(now)),
        }
        let short = self.short.filter(|_| seen.holds).map(|since| now.saturating_sub(since));
        match self.asked {
            None => self.ask(short, seen, now),
            Some(_) if self.calm.is_some_and(|since| now.saturating_sub(since) >= seen.wake) => {
                *self = Self::default();
                Some((Amount::Asleep(false), "production is calm".into()))
            }
            Some(asked) => self.end(short, asked, seen, now),
        }
    }

    fn ask(&mut self, short: Option<Duration>, seen: &Seen<'_>, now: Duration) -> Option<(Amount, String)> {
        let because = match short {
            Some(short) if short >= SHORT => {
                format!("{} for {} seconds", seen.memory.1, SHORT.as_secs())
            }
            _ if self.stood_still.len() >= TIMES => {
                format!("{}, and standing still did not help for long", seen.worst.1)
            }
            _ => return None,
        };
        self.asked = Some(now);
        Some((Amount::Asleep(true), because))
    }

    fn end(
        &mut self,
        short: Option<Duration>,
        asked: Duration,
        seen: &Seen<'_>,
        now: Duration,
    ) -> Option<(Amount, String)> {
        let waited = now.saturating_sub(self.ended.unwrap_or(asked)) >= PATIENCE;
        if !waited || short.is_none() {
            return None;
        }
        self.ended = Some(now);
        Some((Amount::Evicted, format!("{}, and it does not sleep", seen.memory.1)))
    }

    pub(super) fn restart(&mut self, now: Duration) {
        (self.short, self.calm) = (None, None);
        self.stood_still.clear();
        (self.asked, self.ended) = (self.asked.map(|_| now), self.ended.map(|_| now));
    }
}

impl Turn<'_> {
    /// `ice`: what was just decided of standing still.
    pub(super) fn leave(&self, levers: &mut Levers, ice: Option<&Order>) -> Option<Order> {
        let held = self.used.memory.unwrap_or(0.0);
        let memory = &self.mood.memory;
        let seen = Seen {
            memory: (memory.0, &memory.1),
            worst: self.mood.worst(),
            holds: held >= self.rules.memory * HOLDS,
            wake: self.rules.wake,
        };
        // When the disk is full, standing still keeps the rest of it, and sleep would not give any back.
        let for_load = ice.filter(|_| !self.mood.disk.0.is_pressed()).map(|order| &order.amount);
        levers.leave.note(for_load, !seen.worst.0.is_pressed(), self.now.at);
        let (amount, because) = levers.leave.turn(&seen, self.now.at)?;
        Some(self.order(amount, because))
    }
}
