//! Looks, decides, acts.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use jiff::Zoned;
use pw_host::eyes::Eyes;
use pw_host::facts;
use pw_host::group::{self, Hands, Place};
use pw_model::config::{Class, Config, Hours};
use pw_model::host::CgroupDriver;
use pw_model::name::EnvironmentName;
use pw_model::unit::{Bytes, Cpus};
use pw_plan::govern::sense::{Counters, reading};
use pw_plan::govern::{Amount, Found, Moment, Order, Reading, Rules, State, govern};
use pw_plan::wall::group_path;
use pw_run::Failure;

use crate::Settings;
use crate::beside::Beside;
use crate::status::Holding;

pub(crate) struct Governor {
    pub(crate) rules: Rules,
    pub(crate) eyes: Eyes,
    pub(crate) hands: Hands,
    memory: Beside,
    pub(crate) reading: Reading,
    pub(crate) dry_run: bool,
    /// The machine's.
    pub(crate) cpus: f64,
    hours: Hours,
    places: BTreeMap<EnvironmentName, Place>,
    state: State,
    before: Option<Counters>,
    /// The pressure that was answered by a squeeze.
    answered: Option<Duration>,
    /// Why each is to sleep; the newest of its reasons may be another one.
    sleep_because: BTreeMap<EnvironmentName, String>,
    /// Why each is held to what it is.
    reasons: BTreeMap<EnvironmentName, String>,
}

impl Governor {
    pub(crate) fn new(settings: &Settings, driver: CgroupDriver) -> Self {
        let (config, root) = (&settings.config, Path::new(group::ROOT));
        let disks = settings.disks.clone();
        let path = |name: &EnvironmentName| group_path(config, name, driver);
        let (production, others): (Vec<_>, Vec<_>) =
            config.environments.iter().partition(|(name, one)| one.class(name) == Class::Production);
        let production = production.into_iter().map(|(name, _)| path(name)).collect();
        let places = others.iter().map(|(name, environment)| {
            let budget = &environment.budget;
            let place = Place {
                path: path(name),
                cpus: budget.cpus,
                memory: budget.memory,
                containers: BTreeMap::new(),
                compose_project: config.compose_project(name),
            };
            ((*name).clone(), place)
        });
        let others = others.iter().map(|(name, _)| ((*name).clone(), path(name))).collect();
        let disk = disks.first().cloned().unwrap_or_else(|| "/".into());
        Self {
            rules: Rules::of(config, facts::cpus(), facts::memory()),
            eyes: Eyes::new(root, production, others, disks),
            hands: Hands::new(root, &disk),
            memory: {
                let mut hands = Hands::new(root, &disk);
                Beside::start(move |place, amount| hands.hold(place, amount))
            },
            reading: Reading::default(),
            dry_run: settings.dry_run,
            cpus: facts::cpus().count(),
            hours: config.governor.hours,
            places: places.collect(),
            state: State::default(),
            before: None,
            answered: None,
            sleep_because: BTreeMap::new(),
            reasons: BTreeMap::new(),
        }
    }

    /// Takes over what is found squeezed, and answers it in words.
    pub(crate) fn resume(&mut self) -> Vec<(EnvironmentName, String)> {
        let found: BTreeMap<EnvironmentName, Found> =
            self.places.iter().map(|(name, place)| (name.clone(), self.hands.held(place))).collect();
        self.state = State::resumed(&self.rules, &found, Eyes::now());
        let held = self.held().into_iter().filter(|(_, holding)| !holding.to.is_empty());
        let told: Vec<(EnvironmentName, String)> =
            held.map(|(name, holding)| (name, holding.to.join(", "))).collect();
        for (name, _) in &told {
            self.reasons.insert(name.clone(), "a former agent left it so".into());
        }
        told
    }

    /// `promised`: latency and failures over what production is held to; `kept`: bytes on disk.
    pub(crate) fn look(
        &mut self,
        promised: (Option<f64>, Option<f64>),
        kept: &BTreeMap<EnvironmentName, f64>,
    ) -> Vec<Order> {
        let mut now = self.eyes.look();
        (now.latency, now.errors) = promised;
        let moment = Moment { at: now.at, office: is_within(&self.hours, &Zoned::now()) };
        // The first look has nothing to compare with.
        self.reading = reading(self.before.as_ref().unwrap_or(&now), &now);
        self.reading.uses.iter_mut().for_each(|(name, used)| used.kept = kept.get(name).copied());
        self.before = Some(now);
        let (state, orders) = govern(&self.rules, std::mem::take(&mut self.state), &self.reading, moment);
        self.state = state;
        orders
    }

    pub(crate) fn carry_out(&mut self, order: &Order) -> Result<(), Failure> {
        self.reasons.insert(order.environment.clone(), order.because.clone());
        if order.amount == Amount::Asleep(true) {
            self.sleep_because.insert(order.environment.clone(), order.because.clone());
        }
        match self.places.get(&order.environment) {
            Some(place) => hold(&mut self.hands, &self.memory, (&order.environment, place), order.amount),
            None => Ok(()),
        }
    }

    /// Waits until everything is written that was ordered.
    pub(crate) fn finish(&self) {
        self.memory.finish();
    }

    /// How long production was under pressure before this first squeeze for it; `None` for what came after.
    pub(crate) fn answered(&mut self, order: &Order) -> Option<Duration> {
        let pressed = self.state.pressed().filter(|_| order.amount.is_squeeze())?;
        let is_first = self.answered.replace(pressed) != Some(pressed);
        is_first.then(|| Eyes::now().saturating_sub(pressed))
    }

    /// Holds again what is held; gives back what a mark is left on.
    pub(crate) fn tend(&mut self) -> Vec<Failure> {
        let mut failures = self.memory.failures();
        for (name, place) in &self.places {
            let mut amounts = self.state.held(name);
            if !amounts.iter().any(|amount| matches!(amount, Amount::Cpu(_))) {
                amounts.push(Amount::Cpu(None));
            }
            let hold = |amount| hold(&mut self.hands, &self.memory, (name, place), amount).err();
            failures.extend(amounts.into_iter().filter_map(hold));
        }
        failures
    }

    pub(crate) fn know(&mut self, name: &EnvironmentName, containers: BTreeMap<String, Option<Cpus>>) {
        if let Some(place) = self.places.get_mut(name) {
            place.containers = containers;
        }
    }

    /// The orders that give everything back.
    pub(crate) fn let_go(&mut self, why: &str) -> Vec<Order> {
        let mut orders = Vec::new();
        for name in self.places.keys() {
            let back = self.state.held(name).into_iter().map(|amount| match amount {
                Amount::Cpu(_) => Amount::Cpu(None::<Cpus>),
                Amount::Memory(_) => Amount::Memory(None::<Bytes>),
                Amount::Io(_) => Amount::Io(None),
                Amount::Network(_) => Amount::Network(None),
                Amount::Frozen(_) => Amount::Frozen(false),
                Amount::Asleep(_) | Amount::Evicted => Amount::Asleep(false),
            });
            let because = format!("the agent ends: {why}");
            orders.extend(back.map(|amount| Order {
                environment: name.clone(),
                amount,
                because: because.clone(),
            }));
        }
        self.state = State::default();
        orders
    }

    /// What each is held to; nothing where it has its budget.
    pub(crate) fn amounts(&self) -> impl Iterator<Item = (EnvironmentName, Vec<Amount>)> {
        self.places.keys().map(|name| (name.clone(), self.state.held(name)))
    }

    pub(crate) fn held(&self) -> BTreeMap<EnvironmentName, Holding> {
        let holding = |name: &EnvironmentName| {
            let to: Vec<String> = self.state.held(name).iter().map(ToString::to_string).collect();
            let because = self.reasons.get(name).filter(|_| !to.is_empty()).cloned();
            Holding { to, because }
        };
        self.places.keys().map(|name| (name.clone(), holding(name))).collect()
    }

    /// Who is squeezed, and to what, in words.
    pub(crate) fn squeezed(&self) -> Vec<String> {
        let held = self.held().into_iter().filter(|(_, holding)| !holding.to.is_empty());
        held.map(|(name, holding)| format!("{name}: {}", holding.to.join(", "))).collect()
    }

    /// Who is to sleep, and why.
    pub(crate) fn to_sleep(&self) -> BTreeMap<EnvironmentName, String> {
        let names = self.places.keys();
        let names = names.filter(|name| self.state.held(name).contains(&Amount::Asleep(true)));
        names.map(|name| (name.clone(), self.sleep_because.get(name).cloned().unwrap_or_default())).collect()
    }

    /// Compose project of each that may be squeezed.
    pub(crate) fn compose_projects(&self, config: &Config) -> Vec<(EnvironmentName, String)> {
        self.places.keys().map(|name| (name.clone(), config.compose_project(name))).collect()
    }
}

fn hold(
    hands: &mut Hands,
    memory: &Beside,
    (name, place): (&EnvironmentName, &Place),
    amount: Amount,
) -> Result<(), Failure> {
    if matches!(amount, Amount::Memory(_)) {
        memory.hold(name, place, amount);
        return Ok(());
    }
    hands.hold(place, amount)
}

/// In the server's own time.
pub fn is_within(hours: &Hours, now: &Zoned) -> bool {
    let day = now.weekday().to_monday_zero_offset().unsigned_abs();
    hours.contain(day, u16::from(now.hour().unsigned_abs()) * 60 + u16::from(now.minute().unsigned_abs()))
}
