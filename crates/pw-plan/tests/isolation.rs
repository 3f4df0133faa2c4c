//! Whatever people write, no two environments share anything: random Compose models and configurations
//! through the wall, judged from the rendered models alone.

#![expect(clippy::expect_used, clippy::panic, reason = "helpers of tests stop like tests")]

#[path = "isolation/judge.rs"]
mod judge;
#[path = "isolation/models.rs"]
mod models;

use models::{Project, project};
use proptest::prelude::*;
use pw_plan::wall::conflicts;

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_two_environments_share_anything(project in project()) {
        let rendered = project.render();
        let found = judge::shared(&rendered, Project::is_shareable);
        prop_assert!(found.is_empty(), "{found:#?}\n{}", project.describe(&rendered));
        let reported = conflicts(&rendered);
        prop_assert!(reported.is_empty(), "{}", reported[0]);
    }

    #[test]
    fn production_publishes_only_what_it_is_told_and_the_rest_stays_local(project in project()) {
        for rendered in project.render() {
            let wrong = judge::open_ports(&rendered, &project.published(&rendered.name));
            prop_assert!(wrong.is_empty(), "{}: {wrong:?}", rendered.name);
        }
    }

    #[test]
    fn rendering_twice_gives_the_same(project in project()) {
        let (one, other) = (project.render(), project.render());
        for (one, other) in one.iter().zip(&other) {
            prop_assert_eq!(&one.model, &other.model);
        }
    }

    #[test]
    fn every_key_that_changed_is_explained_by_a_rule(project in project()) {
        for rendered in project.render() {
            let unexplained = judge::unexplained(project.loaded(&rendered.name), &rendered);
            prop_assert!(unexplained.is_empty(), "{}: {unexplained:#?}", rendered.name);
        }
    }
}
