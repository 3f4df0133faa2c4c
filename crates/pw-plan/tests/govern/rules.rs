//! What holds whatever is seen.

use std::collections::BTreeMap;
use std::time::Duration;

use proptest::prelude::*;
use pw_model::config::Class;
use pw_plan::govern::{Amount, Found, Mode, Moment, Reading, Rules, State, Subject, Use, govern};

use crate::trace::{WAKE, name, subject};

fn rules(mode: Mode, budget: Option<f64>) -> Rules {
    let subjects = [
        ("production", Class::Production, None),
        ("shop", Class::Production, Some(1.0)),
        ("development", Class::Development, budget),
        ("staging", Class::Staging, None),
    ];
    let subjects = subjects.map(|(text, class, cpus)| {
        (
            name(text),
            Subject {
                disk: cpus.map(|cpus| cpus * 4e9),
                ..subject(class, cpus, cpus.map(|cpus| cpus * 1e9))
            },
        )
    });
    Rules { mode, cpus: 4.0, memory: 8e9, wake: WAKE, subjects: BTreeMap::from(subjects) }
}

/// A figure, none, or what no sensor should answer.
fn figure(most: f64) -> impl Strategy<Value = Option<f64>> {
    prop_oneof![
        6 => (0.0..most).prop_map(Some),
        2 => Just(None),
        1 => Just(Some(f64::NAN)),
        1 => Just(Some(-1.0)),
        1 => Just(Some(f64::INFINITY)),
    ]
}

fn reading() -> impl Strategy<Value = (Reading, Duration)> {
    let uses = (figure(4.0), figure(4.0), figure(9e9), figure(3e9), figure(3e9)).prop_map(
        |(cpus, unyielding, memory, io, network)| Use { cpus, unyielding, memory, io, network, kept: memory },
    );
    let shares = (
        figure(1.0),
        figure(1.0),
        figure(1.0),
        (figure(2.0), figure(2.0)),
        figure(1.0),
        figure(1.0),
        figure(0.2),
    );
    let steps = prop_oneof![8 => 100_u64..400, 1 => Just(0), 1 => 6_000_u64..1_000_000];
    (shares, proptest::collection::vec(uses, 4), steps).prop_map(|(shares, uses, step)| {
        let (cpu, memory, io, (latency, errors), busy, memory_free, disk_free) = shares;
        let names = ["production", "shop", "development", "staging"].map(name);
        let uses = names.into_iter().zip(uses).collect();
        let reading = Reading {
            cpu,
            memory,
            io,
            latency,
            errors,
            busy,
            memory_free,
            disk_free,
            uses,
            ..Reading::default()
        };
        (reading, Duration::from_millis(step))
    })
}

fn mode() -> impl Strategy<Value = Mode> {
    prop_oneof![Just(Mode::Guarantee), Just(Mode::Balanced), Just(Mode::OfficeHours)]
}

fn budget() -> impl Strategy<Value = Option<f64>> {
    prop_oneof![Just(None), (0.06..6.0).prop_map(Some)]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, failure_persistence: None, ..ProptestConfig::default() })]

    /// Never on production, never below the least, never above the budget; whatever the sensors answer.
    #[test]
    fn orders_stay_within_bounds(
        mode in mode(),
        budget in budget(),
        found in figure(4.0),
        office in any::<bool>(),
        seen in proptest::collection::vec(reading(), 1..200),
    ) {
        let rules = rules(mode, budget);
        let left = Found { cpus: found, frozen: office, ..Found::default() };
        let left = BTreeMap::from([(name("development"), left), (name("production"), left)]);
        let mut state = State::resumed(&rules, &left, Duration::ZERO);
        let mut at = Duration::ZERO;
        for (reading, step) in seen {
            at += step;
            let (next, orders) = govern(&rules, state, &reading, Moment { at, office });
            state = next;
            for order in orders {
                let subject = &rules.subjects[&order.environment];
                prop_assert_ne!(subject.class, Class::Production, "{}", order);
                let cpus = subject.cpus.unwrap_or(rules.cpus).min(rules.cpus);
                let least = rules.least_cpus().min(cpus);
                match order.amount {
                    Amount::Cpu(Some(ceiling)) => {
                        prop_assert!(ceiling.count() <= cpus + 0.011, "{} of {}", order, cpus);
                        prop_assert!(ceiling.count() >= least - 0.001, "{} is below {}", order, least);
                    }
                    Amount::Memory(Some(bytes)) => {
                        prop_assert!(bytes.0 as f64 <= subject.memory.unwrap_or(rules.memory), "{}", order);
                        prop_assert!(bytes.0 >= 49 << 20, "{}", order);
                    }
                    Amount::Io(Some(bytes)) | Amount::Network(Some(bytes)) => {
                        prop_assert!(bytes.0 >= 1 << 20, "{}", order);
                    }
                    _ => {}
                }
            }
        }
    }

    /// Whatever happened, calm lets everything go again; also where the kernel never tells who waits for a disk.
    #[test]
    fn calm_lets_everything_go(
        mode in mode(),
        tells_io in any::<bool>(),
        seen in proptest::collection::vec(reading(), 1..100),
    ) {
        let rules = rules(mode, Some(2.0));
        let (mut state, mut at) = (State::default(), Duration::ZERO);
        for (mut reading, step) in seen {
            at += step;
            reading.io = reading.io.filter(|_| tells_io);
            state = govern(&rules, state, &reading, Moment { at, office: false }).0;
        }
        let used = Use { cpus: Some(0.5), memory: Some(1e8), io: Some(0.0), ..Use::default() };
        let calm = Reading {
            cpu: Some(0.0), memory: Some(0.0), io: tells_io.then_some(0.0), busy: Some(0.2), latency: None,
            memory_free: Some(0.6), disk_free: Some(0.6),
            uses: [(name("development"), used), (name("staging"), used)].into(),
            ..Reading::default()
        };
        for _ in 0..600 {
            at += Duration::from_secs(1);
            state = govern(&rules, state, &calm, Moment { at, office: false }).0;
        }
        for environment in ["development", "staging"] {
            prop_assert_eq!(state.held(&name(environment)), vec![]);
        }
    }
}

/// From the first look that shows a sign to the squeeze: the second look at the latest, which is less than half a second
/// at the agent's pace. Whatever the sign, the mode, and how long it was calm before.
#[test]
fn the_second_look_squeezes_at_the_latest() {
    let calm = Reading {
        cpu: Some(0.01),
        memory: Some(0.0),
        io: Some(0.01),
        busy: Some(0.9),
        latency: Some(0.4),
        memory_free: Some(0.5),
        disk_free: Some(0.5),
        uses: [(
            name("development"),
            Use { cpus: Some(3.0), memory: Some(3e9), io: Some(2e8), network: Some(1e8), ..Use::default() },
        )]
        .into(),
        ..Reading::default()
    };
    let signs = [
        ("processors", Reading { cpu: Some(0.11), ..calm.clone() }),
        ("processors, badly", Reading { cpu: Some(0.9), ..calm.clone() }),
        ("memory", Reading { memory: Some(0.06), ..calm.clone() }),
        ("little memory", Reading { memory_free: Some(0.07), ..calm.clone() }),
        ("disk", Reading { io: Some(0.25), ..calm.clone() }),
        ("little disk", Reading { disk_free: Some(0.04), ..calm.clone() }),
        ("latency", Reading { latency: Some(1.1), ..calm.clone() }),
    ];
    for (mode, (sign, seen), turns) in [Mode::Guarantee, Mode::Balanced]
        .into_iter()
        .flat_map(|mode| signs.iter().flat_map(move |sign| [1_u32, 7, 100].map(|turns| (mode, sign, turns))))
    {
        let (rules, mut state) = (rules(mode, None), State::default());
        let moment = |turn: u32| Moment { at: Duration::from_millis(200) * turn, office: false };
        for turn in 0..turns {
            let (next, orders) = govern(&rules, state, &calm, moment(turn));
            assert_eq!((orders, next.pressed()), (vec![], None), "{sign}: it was calm");
            state = next;
        }
        let looks = (1..=10).find(|look| {
            let (next, orders) = govern(&rules, std::mem::take(&mut state), seen, moment(turns + look));
            state = next;
            orders.iter().any(|order| order.amount.is_squeeze())
        });
        assert!(looks.is_some_and(|looks| looks <= 2), "{mode:?}, {sign}: {looks:?} looks");
        assert_eq!(state.pressed(), Some(moment(turns - 1).at), "since the look before the first sign");
    }
}

/// An agent that died while development stood still must not leave it so.
#[test]
fn what_is_found_standing_still_goes_on() {
    for cpu in [Some(0.0), Some(1.0), None] {
        let rules = rules(Mode::Balanced, None);
        let left = Found { cpus: Some(0.2), frozen: true, ..Found::default() };
        let left = BTreeMap::from([(name("development"), left)]);
        let mut state = State::resumed(&rules, &left, Duration::ZERO);
        let mut thawed = false;
        for turn in 1..=30 {
            let reading = Reading { cpu, busy: Some(1.0), ..Reading::default() };
            let moment = Moment { at: Duration::from_millis(200) * turn, office: false };
            let (next, orders) = govern(&rules, state, &reading, moment);
            state = next;
            thawed |= orders.iter().any(|order| order.amount == Amount::Frozen(false));
        }
        assert!(thawed, "it stands still after six seconds, with {cpu:?}");
    }
}
