//! One lever: pulled at once, let go slowly, and not again past the place where it hurt.

use std::time::Duration;

use super::feeling::Feeling;

/// After a pull, what it did must show before the next.
const SETTLES: Duration = Duration::from_millis(400);
/// So long nothing presses before the first step back.
const CALM: Duration = Duration::from_secs(2);
/// Between two steps back.
const STEP: Duration = Duration::from_secs(1);
/// How long the lever stays below the place where it hurt, at first and at the most.
const FIRST_WAIT: Duration = Duration::from_secs(20);
const LONGEST_WAIT: Duration = Duration::from_secs(300);
/// Of the place where it hurt: so far it is let go before the wait is over.
const NEAR: f64 = 0.9;

#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Lever {
    /// `None`: let go.
    ceiling: Option<f64>,
    pulled: Option<Duration>,
    moved: Option<Duration>,
    calm: Option<Duration>,
    hot_before: bool,
    /// What was used when it hurt.
    hurt: Option<f64>,
    wait: Duration,
}

/// Between what it moves, and how.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bounds {
    pub(super) least: f64,
    pub(super) most: f64,
    pub(super) growth: Growth,
    /// What is left of what is used, after a pull.
    pub(super) factor: f64,
}

#[derive(Debug, Clone, Copy)]
pub(super) enum Growth {
    Add(f64),
    Times(f64),
}

/// Where a lever went.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Turned {
    pub(super) ceiling: Option<f64>,
    pub(super) pulled: bool,
}

impl Turned {
    pub(super) fn why(self, pressure: &str) -> String {
        match self.pulled {
            true => pressure.to_owned(),
            false => "production is calm".into(),
        }
    }
}

impl Lever {
    /// Goes on from what was found.
    pub(super) fn found(ceiling: f64) -> Self {
        Self { ceiling: Some(ceiling), ..Self::default() }
    }

    pub(super) fn ceiling(&self) -> Option<f64> {
        self.ceiling
    }

    pub(super) fn turn(
        &mut self,
        feeling: Feeling,
        used: f64,
        bounds: Bounds,
        now: Duration,
    ) -> Option<Turned> {
        // A sensor that is silent now and then takes nothing back of what it said before.
        if feeling == Feeling::Unknown {
            return None;
        }
        let again = std::mem::replace(&mut self.hot_before, feeling.is_pressed());
        match feeling {
            Feeling::Severe => self.pull(used, Bounds { factor: bounds.factor.powi(2), ..bounds }, now),
            Feeling::Hot if again => self.pull(used, bounds, now),
            Feeling::Calm => self.let_go(bounds, now),
            Feeling::Hot | Feeling::Warm | Feeling::Unknown => {
                self.calm = None;
                None
            }
        }
    }

    fn pull(&mut self, used: f64, bounds: Bounds, now: Duration) -> Option<Turned> {
        self.calm = None;
        let settling = self.pulled.is_some_and(|pulled| now.saturating_sub(pulled) < SETTLES);
        // Who uses next to nothing is not the one who presses.
        if settling || used <= bounds.least {
            return None;
        }
        let from = self.ceiling.unwrap_or(bounds.most).min(used).min(bounds.most);
        let to = (from * bounds.factor).max(bounds.least);
        if self.ceiling.is_some_and(|ceiling| to >= ceiling) {
            return None;
        }
        self.remember(from, now);
        self.go(Some(to), true, now)
    }

    /// One pull after the other is one pain; a pull after letting go is a new one, and the wait doubles.
    fn remember(&mut self, from: f64, now: Duration) {
        let last = self.pulled.replace(now);
        let grown = self.moved > last;
        if self.hurt.is_some() && last.is_some() && !grown {
            return;
        }
        let soon = last.is_some_and(|last| now.saturating_sub(last) < self.wait * 4);
        self.wait = if soon { (self.wait * 2).min(LONGEST_WAIT) } else { FIRST_WAIT };
        self.hurt = Some(from);
    }

    fn let_go(&mut self, bounds: Bounds, now: Duration) -> Option<Turned> {
        let since = *self.calm.get_or_insert(now);
        let ceiling = self.ceiling?;
        let moved = self.moved.unwrap_or_default();
        if now.saturating_sub(since) < CALM || now.saturating_sub(moved) < STEP {
            return None;
        }
        let to = match bounds.growth {
            Growth::Add(step) => ceiling + step,
            Growth::Times(factor) => ceiling * factor,
        };
        let waiting = self.pulled.is_some_and(|pulled| now.saturating_sub(pulled) < self.wait);
        let stop =
            self.hurt.filter(|_| waiting).map_or(f64::INFINITY, |hurt| (hurt * NEAR).max(bounds.least));
        match to.min(stop) {
            to if to >= bounds.most => self.go(None, false, now),
            to if to > ceiling => self.go(Some(to), false, now),
            _ => None,
        }
    }

    /// Half of everything, for who cannot be watched; once.
    pub(super) fn halve(&mut self, bounds: Bounds, now: Duration) -> Option<Turned> {
        self.calm = None;
        let half = (bounds.most * 0.5).max(bounds.least);
        let above = self.ceiling.is_none_or(|ceiling| ceiling > half * 1.001);
        if above { self.go(Some(half), true, now) } else { None }
    }

    fn go(&mut self, ceiling: Option<f64>, pulled: bool, now: Duration) -> Option<Turned> {
        self.ceiling = ceiling;
        self.moved = Some(now);
        Some(Turned { ceiling, pulled })
    }

    /// The clock jumped: every wait begins again.
    pub(super) fn restart(&mut self, now: Duration) {
        self.calm = None;
        self.hot_before = false;
        self.pulled = self.pulled.map(|_| now);
        self.moved = self.moved.map(|_| now);
    }
}
