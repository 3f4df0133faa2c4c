//! Plans that put development to sleep and wake it.

use pw_model::config::How;
use pw_model::observed::State;
use pw_plan::{Plan, sleep};
use pw_run::{Outcome, apply};
use pw_test::{FakeContainer, FakeHost, MemoryJournal, run};

use crate::{DEVELOPMENT, PRODUCTION, Shape, desired, plan_for, with};

/// Development falls asleep, and wakes; what stands still or is throttled is stopped where its memory is needed.
pub(crate) fn kinds(both: &impl Fn() -> FakeHost) -> Vec<(&'static str, Plan, FakeHost)> {
    let (stopped, frozen) = (fallen(both(), How::Stop), fallen(both(), How::Freeze));
    let (wanted, mut host) = (desired(&DEVELOPMENT), stopped.clone());
    let wakes = plan_for(&mut host, &wanted);
    let text = wakes.to_string();
    assert!(text.contains("open route to web") && !text.contains("close route"), "{text}");
    let mut still = frozen.clone();
    let thaws = plan_for(&mut still, &wanted);
    let text = thaws.to_string();
    assert!(text.starts_with("1. thaw db, ") && !text.contains(". start "), "{text}");
    let slow = fallen(both(), How::Throttle);
    assert!(slow.world.containers.values().all(|one| one.throttled == is_throttled(one)));
    let mut slowly = slow.clone();
    let hurries = plan_for(&mut slowly, &wanted);
    let text = hurries.to_string();
    let first = "1. give db all CPUs, mail its 0.5 CPUs, web all CPUs | undo: throttle ";
    assert!(text.starts_with(first) && !text.contains(". start "), "{text}");
    let mut slow_and_other = slow.clone();
    let others = plan_for(&mut slow_and_other, &desired(&Shape { version: 2, ..DEVELOPMENT }));
    let mut stopped_slow = fallen(slow.clone(), How::Stop);
    let from_both = plan_for(&mut stopped_slow, &wanted);
    let mut frozen_slow = fallen(slow.clone(), How::Freeze);
    let from_frozen = plan_for(&mut frozen_slow, &wanted);
    let mut changed = frozen.clone();
    let changes = plan_for(&mut changed, &desired(&Shape { version: 2, ..DEVELOPMENT }));
    assert_eq!(fallen(frozen.clone(), How::Stop).world, stopped.world);
    let falls = |host: &FakeHost, how| sleep::plan(&wanted, &host.snapshot(&wanted), fall(how)).unwrap();
    vec![
        ("development falls asleep", falls(&both(), How::Stop), both()),
        ("development wakes", wakes, host),
        ("development freezes", falls(&both(), How::Freeze), both()),
        ("development thaws", thaws, still),
        ("a change of frozen development", changes, changed),
        ("frozen development stops", falls(&frozen, How::Stop), frozen),
        ("development is throttled", falls(&both(), How::Throttle), both()),
        ("throttled development hurries", hurries, slowly),
        ("a change of throttled development", others, slow_and_other),
        ("throttled and frozen development wakes", from_frozen, frozen_slow),
        ("throttled development stops", falls(&slow, How::Stop), slow),
        ("throttled and stopped development wakes", from_both, stopped_slow),
    ]
}

/// What goes on of development, but for what has hardly a processor of its own.
fn is_throttled(one: &FakeContainer) -> bool {
    one.project == "shop-development" && one.service != "worker" && one.state == State::Running
}

fn fall(how: How) -> sleep::Fall<'static> {
    sleep::Fall { front: "unix//run/front.sock", because: sleep::UNASKED, how }
}

/// Asleep, for good.
fn fallen(mut host: FakeHost, how: How) -> FakeHost {
    let wanted = desired(&DEVELOPMENT);
    let plan = sleep::plan(&wanted, &host.snapshot(&wanted), fall(how)).unwrap();
    let outcome = run(apply(&plan, &mut host, &mut MemoryJournal::default(), &mut ()));
    assert!(matches!(outcome, Some(Outcome::Applied)), "{outcome:?}\n{plan}");
    let again = sleep::plan(&wanted, &host.snapshot(&wanted), fall(how)).unwrap();
    assert!(again.is_empty(), "it sleeps:\n{again}");
    host
}

#[test]
fn production_does_not_sleep() {
    let (host, wanted) = (with(FakeHost::default(), &PRODUCTION), desired(&PRODUCTION));
    for how in [How::Stop, How::Freeze, How::Throttle] {
        let refused = sleep::plan(&wanted, &host.snapshot(&wanted), fall(how)).unwrap_err();
        assert!(refused.to_string().contains("production does not sleep"), "{refused}");
    }
}
