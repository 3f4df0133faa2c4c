//! The governor: what development gets while production is under pressure.
//!
//! Route: [`Counters`](sense::Counters) are what the kernel counts; [`sense::reading`] makes shares of time of two of
//! them; [`govern`] holds those against the [`Rules`] and answers [`Order`]s. Each lever ([`lever`]) is let go slowly
//! and pulled at once; after them come [`freeze`] and [`leave`].
//!
//! **Invariant:** no order names an environment of class production: levers exist only for the others.
//! **Invariant:** what cannot be seen neither squeezes nor lets go; what cannot be seen for long is met by halving.

mod feeling;
mod freeze;
mod leave;
mod lever;
mod network;
mod order;
mod promise;
mod reading;
mod resume;
mod rules;
pub mod sense;
mod yields;

use std::collections::BTreeMap;
use std::time::Duration;

use pw_model::name::EnvironmentName;

use feeling::{Feeling, Own};
use freeze::Ice;
use leave::Leave;
use lever::{Bounds, Growth, Lever};
use promise::Promise;
use yields::Yields;

pub use network::NETWORK_RATES;
pub use order::{Amount, Order, Resource};
pub use pw_model::config::Mode;
pub use reading::{Reading, Use};
pub use resume::Found;
pub use rules::{Rules, Subject};

/// Two looks are never further apart than this, unless the clock jumped or the machine slept.
const LONGEST_STEP: Duration = Duration::from_secs(5);
/// A sensor may be silent for so long before it counts as lost.
const BLIND_AFTER: Duration = Duration::from_secs(2);

/// When a reading was taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moment {
    /// Since the machine started; wall clocks are set back and forth.
    pub at: Duration,
    /// Within the office hours of the rules.
    pub office: bool,
}

/// What the governor remembers between two readings.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct State {
    last: Option<Duration>,
    /// Since the look before the first that showed pressure.
    pressed: Option<Duration>,
    /// Since when production's pressure cannot be seen.
    blind: Option<Duration>,
    /// The kernel tells what production waits for a disk; some never do.
    sees_io: bool,
    own: Own,
    promise: Promise,
    subjects: BTreeMap<EnvironmentName, Levers>,
}

/// The levers of one environment.
#[derive(Debug, Clone, PartialEq, Default)]
struct Levers {
    yields: Yields,
    cpu: Lever,
    memory: Lever,
    io: Lever,
    network: Lever,
    ice: Ice,
    leave: Leave,
}

/// How production feels, resource by resource, and in words.
struct Mood {
    /// What is left of what is used, after a pull.
    factor: f64,
    /// Of the objective.
    promise: (Feeling, String),
    cpu: (Feeling, String),
    memory: (Feeling, String),
    io: (Feeling, String),
    disk: (Feeling, String),
}

/// Decides. The same state, reading and moment give the same orders.
pub fn govern(rules: &Rules, mut state: State, reading: &Reading, now: Moment) -> (State, Vec<Order>) {
    let before = state.last;
    let reading = state.believable(reading, now.at);
    state.own.learn(rules, &reading, now.at);
    state.promise.look(rules, &reading, now.at);
    let mood = state.mood(rules, &reading, now);
    state.pressed = mood.is_pressed().then(|| state.pressed.or(before).unwrap_or(now.at));
    let blind = state.blind.is_some_and(|since| now.at.saturating_sub(since) >= BLIND_AFTER);
    let mut orders = Vec::new();
    for (name, subject) in rules.squeezable() {
        let used = reading.uses.get(name).copied().unwrap_or_default();
        let levers = state.subjects.entry(name.clone()).or_default();
        let turn = Turn { rules, name, subject, mood: &mood, used, now };
        levers.yields.learn(&used, now.at);
        let only_computes = levers.yields.only_computes();
        orders.extend(turn.cpu(&mut levers.cpu, only_computes, blind));
        orders.extend(turn.memory(&mut levers.memory));
        orders.extend(turn.io(&mut levers.io));
        let no_cpu_to_take = only_computes || turn.is_at_the_end(&levers.cpu);
        orders.extend(turn.network(&mut levers.network, no_cpu_to_take));
        let ice = turn.freeze(levers);
        let leave = turn.leave(levers, ice.as_ref());
        orders.extend(ice.into_iter().chain(leave));
    }
    (state, orders)
}

/// One environment at one moment.
struct Turn<'a> {
    rules: &'a Rules,
    name: &'a EnvironmentName,
    subject: &'a Subject,
    mood: &'a Mood,
    used: Use,
    now: Moment,
}

/// Environments that keep more on disk than their budget, each in words.
pub fn over_quota(rules: &Rules, reading: &Reading) -> Vec<(EnvironmentName, String)> {
    let over = rules.squeezable().filter_map(|(name, subject)| {
        let (kept, budget) = (reading.uses.get(name)?.kept?, subject.disk?);
        (kept > budget).then(|| (name.clone(), feeling::over(kept, budget)))
    });
    over.collect()
}

impl State {
    /// Without what two looks that are too far apart, or in the wrong order, have told.
    fn believable(&mut self, reading: &Reading, now: Duration) -> Reading {
        let steady = |last| now.checked_sub(last).is_some_and(|step| step <= LONGEST_STEP);
        if self.last.replace(now).is_none_or(steady) {
            return reading.checked();
        }
        (self.blind, self.pressed) = (None, None);
        self.own.restart(now);
        self.promise.restart();
        for levers in self.subjects.values_mut() {
            levers.restart(now);
        }
        Reading { uses: reading.checked().uses, ..Reading::default() }
    }

    fn mood(&mut self, rules: &Rules, reading: &Reading, now: Moment) -> Mood {
        let limits = rules.limits(self.promise.ratio(), now);
        let seen = reading.cpu.is_some() || self.promise.ratio().is_some();
        self.blind = if seen { None } else { Some(self.blind.unwrap_or(now.at)) };
        self.sees_io |= reading.io.is_some();
        Mood {
            factor: limits.factor,
            promise: self.promise.feeling(),
            cpu: feeling::cpu(&limits, &self.own, reading),
            memory: feeling::memory(&limits, reading),
            // Who is squeezed for another cause, and never seen to harm, has to get back what was taken.
            io: if self.sees_io { feeling::io(&limits, reading) } else { (Feeling::Calm, String::new()) },
            disk: feeling::disk(reading),
        }
    }

    /// Since when there is pressure: it began after the look before the first that showed it.
    pub fn pressed(&self) -> Option<Duration> {
        self.pressed
    }

    /// What an environment is held to at present, for those who ask.
    pub fn held(&self, name: &EnvironmentName) -> Vec<Amount> {
        let Some(levers) = self.subjects.get(name) else { return Vec::new() };
        let cpu = levers.cpu.ceiling().map(|ceiling| Amount::Cpu(order::cpus(Some(ceiling))));
        let memory = levers.memory.ceiling().map(|ceiling| Amount::Memory(order::bytes(Some(ceiling))));
        let io = levers.io.ceiling().map(|ceiling| Amount::Io(order::bytes(Some(ceiling))));
        let network = network::prepared(levers.network.ceiling()).map(|rate| Amount::Network(Some(rate)));
        let ice = levers.ice.is_frozen().then_some(Amount::Frozen(true));
        let asleep = levers.leave.is_to_sleep().then_some(Amount::Asleep(true));
        [cpu, memory, io, network, ice, asleep].into_iter().flatten().collect()
    }
}

impl Levers {
    fn restart(&mut self, now: Duration) {
        self.yields = Yields::default();
        for lever in [&mut self.cpu, &mut self.memory, &mut self.io, &mut self.network] {
            lever.restart(now);
        }
        self.ice.restart(now);
        self.leave.restart(now);
    }
}

impl Turn<'_> {
    fn cpu(&self, lever: &mut Lever, only_computes: bool, blind: bool) -> Option<Order> {
        let budget = self.subject.cpus.map_or(self.rules.cpus, |budget| budget.min(self.rules.cpus));
        let bounds = Bounds {
            least: self.rules.least_cpus().min(budget),
            most: budget,
            // Who gives way at once may be trusted with more of it.
            growth: Growth::Add(self.rules.cpus * if only_computes { 0.5 } else { 0.05 }),
            factor: self.mood.factor,
        };
        // Nobody waits for who gives way at once.
        let felt = if only_computes { self.mood.cpu.0.min(Feeling::Calm) } else { self.mood.cpu.0 };
        let waiting = (felt, self.mood.cpu.1.clone());
        let (feeling, because) = worse(&waiting, &self.mood.promise);
        let blinded = blind.then(|| lever.halve(bounds, self.now.at)).flatten();
        let because = if blinded.is_some() { "production's pressure cannot be seen" } else { because };
        let turned = blinded
            .or_else(|| lever.turn(*feeling, self.used.cpus.unwrap_or(budget), bounds, self.now.at))?;
        Some(self.order(Amount::Cpu(order::cpus(turned.ceiling)), turned.why(because)))
    }

    fn memory(&self, lever: &mut Lever) -> Option<Order> {
        let budget = self.subject.memory.map_or(self.rules.memory, |budget| budget.min(self.rules.memory));
        let bounds = Bounds {
            least: (64.0 * 1024.0 * 1024.0_f64).min(budget),
            most: budget,
            growth: Growth::Add(self.rules.memory * 0.05),
            // What it holds goes on being held: pages of files go, and it grows no further.
            factor: 1.0,
        };
        let used = self.used.memory?;
        let held = if used > bounds.least { used + rules::BREATH } else { used };
        let (feeling, because) = &self.mood.memory;
        let turned = lever.turn(*feeling, held, bounds, self.now.at)?;
        Some(self.order(Amount::Memory(order::bytes(turned.ceiling)), turned.why(because)))
    }

    fn io(&self, lever: &mut Lever) -> Option<Order> {
        let bounds = Bounds {
            least: rules::LEAST_IO,
            most: rules::MOST_IO,
            growth: Growth::Times(1.5),
            factor: self.mood.factor,
        };
        let used = self.used.io?;
        let quota = feeling::quota(self.used.kept, self.subject.disk);
        let (disk, filling) = &self.mood.disk;
        let (feeling, because) = match (disk.is_pressed(), worse(&self.mood.io, &self.mood.promise)) {
            (true, _) => (disk, filling),
            (false, felt) if quota.0 > *felt.0 => (&quota.0, &quota.1),
            (false, felt) => felt,
        };
        // Who keeps no disk busy does not break the objective by it; but is not let go while it is broken.
        let spared = *feeling > self.mood.io.0.max(*disk).max(quota.0) && used < promise::WRITES;
        let feeling = if spared { (*feeling).min(Feeling::Warm) } else { *feeling };
        let turned = lever.turn(feeling, used, bounds, self.now.at)?;
        Some(self.order(Amount::Io(order::bytes(turned.ceiling)), turned.why(because)))
    }

    fn freeze(&self, levers: &mut Levers) -> Option<Order> {
        let working =
            self.used.cpus.is_none_or(|cpus| cpus > 0.02) || self.used.io.is_some_and(|io| io > 1e5);
        let seen = freeze::Seen {
            may: working && self.is_at_the_end(&levers.cpu),
            worst: self.mood.worst(),
            disk: self.mood.disk.0,
            because: self.mood,
        };
        let (frozen, because) = levers.ice.turn(&seen, self.now.at)?;
        Some(self.order(Amount::Frozen(frozen), because))
    }

    fn is_at_the_end(&self, cpu: &Lever) -> bool {
        cpu.ceiling().is_some_and(|ceiling| ceiling <= self.rules.least_cpus() * 1.01)
    }

    fn order(&self, amount: Amount, because: String) -> Order {
        Order { environment: self.name.clone(), amount, because }
    }
}

/// A broken objective presses too, however calm the kernel finds production.
fn worse<'m>(felt: &'m (Feeling, String), promise: &'m (Feeling, String)) -> (&'m Feeling, &'m String) {
    let worse = if promise.0 > felt.0 { promise } else { felt };
    (&worse.0, &worse.1)
}

impl Mood {
    fn is_pressed(&self) -> bool {
        let all = [&self.promise, &self.cpu, &self.memory, &self.io, &self.disk];
        all.iter().any(|(feeling, _)| feeling.is_pressed())
    }

    /// Nobody stands still for the objective alone: it tells late, and not whose doing it is.
    fn worst(&self) -> (Feeling, &str) {
        let all = [&self.cpu, &self.memory, &self.io];
        let worst = all.into_iter().max_by_key(|(feeling, _)| *feeling);
        worst.map_or((Feeling::Unknown, ""), |(feeling, because)| (*feeling, because))
    }
}
