//! Promotions: a second generation beside the first, a flip, a way back, and what comes after them.

use pw_model::config::{Canary, Migrate};
use pw_model::desired::{Desired, DesiredCalls, FileText};
use pw_model::name::ServiceName;
use pw_model::role::Role;
use pw_model::unit::Span;
use pw_plan::promote::{self, Schema, Wanted};
use pw_plan::{Action, Plan, down, up};
use pw_run::{Outcome, apply};
use pw_test::{FakeHost, MemoryJournal, Moment, run};

use crate::{PRODUCTION, Shape, desired};

/// Production of this version, as a release.
pub(crate) fn release(version: u8) -> Desired {
    let mut wanted = desired(&Shape { version, ..PRODUCTION });
    wanted.release =
        Some(FileText { path: wanted.release_path.clone(), text: format!("{{\"number\": {version}}}") });
    let network = format!("{}_partywall-calls-web", wanted.compose_project);
    wanted.networks.push(network.clone());
    for name in ["web", "worker"] {
        wanted.services.get_mut(name).unwrap().networks.insert(network.clone());
    }
    wanted.routes[0].calls = Some(DesiredCalls { network, aliases: vec!["web".into()] });
    wanted.compose_file.text.push_str(" with calls");
    let words = |text: &str| text.split(' ').map(str::to_owned).collect();
    wanted.promote.migrate = Some(Migrate {
        service: ServiceName::parse("worker").unwrap(),
        database: None,
        command: words("./migrate up"),
        down: words("./migrate down"),
        retries: 2,
        compatible: false,
    });
    wanted.promote.canary = Some(Canary { share: "10%".into(), watch: Span::seconds(60) });
    wanted.promote.assets = vec!["/static/*".into()];
    wanted
}

/// Promotes to this version, or rolls back to it where the schema does not go forward.
pub(crate) fn plan_promote(host: &mut FakeHost, version: u8, schema: Schema) -> Plan {
    let migrates = schema == Schema::Forward;
    let mut wanted = release(version);
    if !migrates {
        wanted.services.insert("migrate".into(), release(version + 1).services["migrate"].clone());
        wanted.compose_file.text.push_str(" again");
    }
    host.knows_desired(&wanted);
    let entry = FileText {
        path: format!("/state/projects/shop/production/releases/{version}{migrates}.json"),
        text: format!("release {version}"),
    };
    let operation = if migrates { promote::OPERATION } else { promote::ROLLBACK };
    promote::plan(&wanted, &host.snapshot(&wanted), Wanted { operation, entry: &entry, commit: "c", schema })
        .unwrap()
}

/// Promotes to a third version in which `worker` has another name.
fn plan_renamed(host: &mut FakeHost) -> Plan {
    let mut wanted = release(3);
    let worker = wanted.services.remove("worker").unwrap();
    wanted.services.insert("jobs".into(), worker);
    wanted.promote.migrate = None;
    wanted.compose_file.text.push_str(" with jobs");
    host.knows_desired(&wanted);
    let entry = FileText { path: "/state/projects/shop/production/releases/3.json".into(), text: "3".into() };
    let (operation, schema) = (promote::OPERATION, Schema::Forward);
    promote::plan(&wanted, &host.snapshot(&wanted), Wanted { operation, entry: &entry, commit: "c", schema })
        .unwrap()
}

fn carried_out(mut host: FakeHost, plan: &Plan) -> FakeHost {
    let outcome = run(apply(plan, &mut host, &mut MemoryJournal::default(), &mut ()));
    assert!(matches!(outcome, Some(Outcome::Applied)), "{outcome:?}\n{plan}");
    host
}

/// Production that was promoted to this version, one after the other; the generation before is still there.
pub(crate) fn promoted(mut host: FakeHost, version: u8) -> FakeHost {
    // The network of calls comes with the first `up` that knows of promotions.
    let first = Desired { release: None, ..release(1) };
    host.knows_desired(&first);
    let plan = up::plan(&first, &host.snapshot(&first)).unwrap();
    host = carried_out(host, &plan);
    for version in 2..=version {
        let plan = plan_promote(&mut host, version, Schema::Forward);
        host = carried_out(host, &plan);
    }
    host
}

fn retired(host: FakeHost, version: u8) -> FakeHost {
    let wanted = release(version);
    let plan = promote::retire(&wanted, &host.snapshot(&wanted), 60).unwrap();
    assert!(!plan.is_empty());
    carried_out(host, &plan)
}

/// Every kind of plan that has to do with generations.
pub(crate) fn kinds(host: &impl Fn() -> FakeHost) -> Vec<(&'static str, Plan, FakeHost)> {
    let mut kinds = Vec::new();
    let mut before = promoted(host(), 1);
    kinds.push(("a promotion", plan_promote(&mut before, 2, Schema::Forward), before));
    let mut before = retired(promoted(host(), 2), 2);
    kinds.push(("a second promotion", plan_promote(&mut before, 3, Schema::Forward), before));
    let mut before = promoted(host(), 3);
    kinds.push(("a rollback to what is warm", plan_promote(&mut before, 2, Schema::Stays), before));
    let mut before = retired(promoted(host(), 3), 3);
    kinds.push(("a rollback to what is gone", plan_promote(&mut before, 2, Schema::Stays), before));
    let mut before = promoted(host(), 3);
    kinds.push(("a rollback of the schema", plan_promote(&mut before, 2, Schema::Back), before));
    let mut before = retired(promoted(host(), 2), 2);
    kinds.push(("a promotion with a renamed worker", plan_renamed(&mut before), before));
    let before = retired(promoted(host(), 2), 2);
    let wanted = release(2);
    kinds.push(("down after a promotion", down::plan(&wanted, &before.snapshot(&wanted)).unwrap(), before));
    let (mut before, mut wanted) = (retired(promoted(host(), 2), 2), release(2));
    for name in ["web", "worker"] {
        wanted.services.get_mut(name).unwrap().config_hash = "other limits".into();
    }
    wanted.compose_file.text.push_str(" and other limits");
    before.knows_desired(&wanted);
    kinds.push(("up after a promotion", up::plan(&wanted, &before.snapshot(&wanted)).unwrap(), before));
    kinds
}

#[test]
fn a_promotion_reads_as_a_person_would_say_it() {
    let mut host = promoted(crate::with(FakeHost::default(), &PRODUCTION), 1);
    let text = plan_promote(&mut host, 2, Schema::Forward).to_string();
    let steps: Vec<&str> = text.lines().map(|line| line.split(" | ").next().unwrap()).collect();
    let hash = |text: &str| pw_plan::hash(text)[..8].to_owned();
    let folder = "/state/projects/shop/production";
    assert_eq!(
        steps,
        [
            format!("1. write {folder}/releases/2true.json ({})", hash("release 2")),
            format!("2. write {folder}/release.json ({})", hash("{\"number\": 2}")),
            format!("3. keep a copy of {folder}/compose.yaml"),
            format!("4. write {folder}/compose.yaml ({})", hash("production 2 false with calls")),
            "5. create shop-production-web-blue-1".into(),
            "6. replace migrate".into(),
            "7. wait for the end of migrate".into(),
            "8. run `./migrate up` in worker".into(),
            "9. start shop-production-web-blue-1".into(),
            "10. wait for shop-production-web-blue-1".into(),
            "11. ask shop-production-web-blue-1 over the proxy, 3 times in a row, then 40 times to warm up"
                .into(),
            "12. replace worker".into(),
            "13. wait for worker".into(),
            "14. lead 10 % of the visitors of web to shop-production-web-blue:8000".into(),
            "15. watch the new release for 60 s".into(),
            "16. let shop-production-web-blue-1 answer calls to web".into(),
            "17. open route to web at shop-production-web-blue:8000".into(),
            "18. fetch assets that web lacks from shop-production-web:8000".into(),
            "19. lead no part of the visitors of web elsewhere".into(),
            "20. watch the new release for 30 s".into(),
        ]
    );
}

#[test]
fn a_worker_with_another_name_is_never_there_twice() {
    let mut host = retired(promoted(crate::with(FakeHost::default(), &PRODUCTION), 2), 2);
    let plan = plan_renamed(&mut host);
    let at = |wanted: &str| plan.steps.iter().position(|step| step.does.to_string().starts_with(wanted));
    let (gone, new) = (at("stop and remove worker").unwrap(), at("replace jobs").unwrap());
    assert!(gone < new, "{plan}");
    let host = carried_out(host, &plan);
    let running: Vec<_> = host.world.containers.keys().filter(|name| name.contains("worker")).collect();
    assert!(running.is_empty(), "{running:?}");
}

#[test]
fn a_rollback_does_not_wait_long_for_what_is_left_from_before() {
    let mut host = promoted(crate::with(FakeHost::default(), &PRODUCTION), 3);
    let mut seconds = |version, schema| {
        let plan = plan_promote(&mut host, version, schema);
        let drains = plan.steps.into_iter().filter_map(|step| match step.does {
            Action::Drain { drain } => Some(drain.seconds),
            _ => None,
        });
        drains.max()
    };
    assert_eq!((seconds(4, Schema::Forward), seconds(1, Schema::Stays)), (Some(600), Some(30)));
}

#[test]
fn the_same_release_again_is_no_plan() {
    let mut host = promoted(crate::with(FakeHost::default(), &PRODUCTION), 2);
    assert!(plan_promote(&mut host, 2, Schema::Forward).is_empty());
    let wanted = release(2);
    assert_eq!(up::plan(&wanted, &host.snapshot(&wanted)).unwrap().to_string(), "");
    let host = retired(host, 2);
    assert_eq!(up::plan(&wanted, &host.snapshot(&wanted)).unwrap().to_string(), "");
    assert!(promote::left(&wanted, &host.snapshot(&wanted)).is_empty());
}

/// A job that ran, or was cut off while it ran, would otherwise run once more with the next `up`, on a newer schema.
#[test]
fn after_a_promotion_that_went_back_nothing_is_to_be_done() {
    let mut before = promoted(crate::with(FakeHost::default(), &PRODUCTION), 2);
    let plan = plan_promote(&mut before, 3, Schema::Forward);
    let wanted = release(2);
    for step in 0..plan.steps.len() {
        for moment in [Moment::Before, Moment::Halfway, Moment::After] {
            let mut host = before.clone().fail_at(before.calls() + plan.texts.len() + step, moment);
            let outcome = run(apply(&plan, &mut host, &mut MemoryJournal::default(), &mut ()));
            assert!(matches!(outcome, Some(Outcome::Undone { .. })), "{step} {moment:?}: {outcome:?}");
            let left = up::plan(&wanted, &host.snapshot(&wanted)).unwrap();
            assert_eq!(left.to_string(), "", "{step} {moment:?}");
        }
    }
}

#[test]
fn what_keeps_data_is_never_flipped() {
    let host = promoted(crate::with(FakeHost::default(), &PRODUCTION), 1);
    let mut wanted = release(2);
    let refused = |wanted: &Desired| {
        let entry = FileText { path: "/e".into(), text: String::new() };
        let how = Wanted { operation: "promote", entry: &entry, commit: "c", schema: Schema::Forward };
        promote::plan(wanted, &host.snapshot(wanted), how).unwrap_err().message
    };
    wanted.services.get_mut("db").unwrap().config_hash = "db-2".into();
    assert_eq!(refused(&wanted), "`db` keeps data and would be made anew");
    // Nor is one that visitors ask, as a store of files or a broker with a page.
    let mut wanted = release(2);
    wanted.services.get_mut("web").unwrap().role = Role::Broker;
    assert_eq!(refused(&wanted), "`web` keeps data and would be made anew");
}
