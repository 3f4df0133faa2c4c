//! A machine that answers to what is decided: where one decision changes what is seen next, loops swing.

use std::collections::BTreeMap;
use std::time::Duration;

use pw_model::config::Class;
use pw_plan::govern::{Amount, Mode, Moment, Reading, Rules, State, Use, govern};

use crate::trace::{WAKE, name, subject};

const STEP: Duration = Duration::from_millis(200);

/// Two processors; production wants some, development all it gets. Production waits the more, the less is left.
struct Plant {
    wanted_by_production: f64,
    wanted_by_development: f64,
    held: f64,
}

impl Plant {
    fn reading(&self) -> Reading {
        let used = self.wanted_by_development.min(self.held);
        let total = used + self.wanted_by_production;
        let waits = ((total - 1.6) / 0.8).clamp(0.01, 1.0);
        let used =
            Use { cpus: Some(used), memory: Some(1e8), io: Some(0.0), network: Some(0.0), ..Use::default() };
        Reading {
            cpu: Some(waits),
            memory: Some(0.0),
            io: Some(0.0),
            busy: Some((total / 2.0).min(1.0)),
            memory_free: Some(0.5),
            disk_free: Some(0.5),
            uses: BTreeMap::from([(name("development"), used)]),
            ..Reading::default()
        }
    }
}

/// What development was held to, every 200 ms of ten minutes.
fn run(mode: Mode, production: f64) -> Vec<f64> {
    let mut rules = Rules { mode, cpus: 2.0, memory: 8e9, wake: WAKE, subjects: BTreeMap::new() };
    rules.subjects.insert(name("production"), subject(Class::Production, None, None));
    rules.subjects.insert(name("development"), subject(Class::Development, None, None));
    let mut plant = Plant { wanted_by_production: production, wanted_by_development: 2.0, held: 2.0 };
    let (mut state, mut all) = (State::default(), Vec::new());
    for turn in 0..3000 {
        let now = Moment { at: STEP * turn, office: false };
        let (next, orders) = govern(&rules, state, &plant.reading(), now);
        state = next;
        for order in orders {
            if let Amount::Cpu(ceiling) = order.amount {
                plant.held = ceiling.map_or(2.0, |cpus| cpus.count());
            }
        }
        all.push(plant.held);
    }
    all
}

#[test]
fn the_loop_settles_and_development_keeps_what_production_leaves() {
    for (mode, production) in [(Mode::Balanced, 0.5), (Mode::Guarantee, 0.5), (Mode::Balanced, 1.0)] {
        let held = run(mode, production);
        let second_half = &held[1500..];
        let downs = second_half.windows(2).filter(|pair| pair[1] < pair[0]).count();
        assert!(
            downs <= 4,
            "{mode:?}, {production}: squeezed {downs} times in five minutes of the same load"
        );
        #[expect(clippy::cast_precision_loss, reason = "a mean")]
        let mean = second_half.iter().sum::<f64>() / second_half.len() as f64;
        let left = 1.6 - production;
        assert!(mean > left * 0.7, "{mode:?}, {production}: development has {mean:.2} of {left:.2} CPUs");
    }
}

#[test]
fn production_that_leaves_nothing_leaves_the_least() {
    let held = run(Mode::Balanced, 2.0);
    let least = held[600..].iter().copied().fold(f64::INFINITY, f64::min);
    assert!((least - 0.1).abs() < 1e-9, "{least}");
}
