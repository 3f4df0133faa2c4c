//! Idempotence: what is done twice in a row is done once.

use pw_plan::{Action, Plan};
use pw_run::{Failure, Outcome, Perform, apply};

use super::course::{Course, run};
use crate::{FakeHost, MemoryJournal, Moment};

/// Does everything twice and panics when the second time changes anything.
#[derive(Debug)]
pub struct Twice(pub FakeHost);

impl Perform for Twice {
    async fn stage(&mut self, hash: &str, text: &str) -> Result<(), Failure> {
        self.0.stage(hash, text).await?;
        self.0.stage(hash, text).await
    }

    async fn perform(&mut self, action: &Action) -> Result<(), Failure> {
        self.0.perform(action).await?;
        let once = self.0.world.clone();
        if let Err(error) = self.0.perform(action).await {
            // A fault that was asked for may strike the second time; the host's own refusal may not.
            assert!(error.source.is_none(), "`{action}` cannot be done twice: {error:?}");
            return Err(error);
        }
        let lines = self.0.world.differences(&once);
        assert!(lines.is_empty(), "`{action}` twice is not once: {lines:#?}");
        Ok(())
    }
}

/// Does every action twice: the whole way forward, and the way back from every step.
pub fn apply_twice(plan: &Plan, before: &FakeHost) {
    let course = Course::of(plan, before);
    let mut host = Twice(course.before.clone());
    let outcome = run(apply(plan, &mut host, &mut MemoryJournal::default(), &mut ()));
    assert!(matches!(outcome, Some(Outcome::Applied)), "everything twice: {outcome:#?}");
    course.is_as_wanted("everything twice", &host.0);
    for call in (0..course.calls).map(|call| 2 * call + 1) {
        let place = format!("everything twice, failed at call {call}");
        let mut host = Twice(course.before.clone().fail_at(call, Moment::After));
        let mut journal = MemoryJournal::default();
        let outcome = run(apply(plan, &mut host, &mut journal, &mut ()));
        course.ended_well(&place, &host.0, &journal, outcome);
    }
}
