//! A host in memory: strict about what it is asked to do, and breakable at every call.

mod act;
mod data;
mod known;
mod observe;
mod promote;
mod rules;
mod world;

use std::collections::{BTreeMap, BTreeSet};
use std::future::pending;
use std::rc::Rc;

use pw_plan::Action;
use pw_run::{Failure, Perform};

pub use self::known::{Known, Nature, ServiceSketch};
use self::rules::Guard;
pub use self::world::{FakeContainer, FakeVault, World};

/// When within a call it breaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    Before,
    /// An action on several things has done the first of them.
    Halfway,
    After,
}

#[derive(Debug, Clone, Copy)]
enum Kind {
    Fail,
    /// Never answers: who waits is cut off, as by `kill -9`.
    Hang,
}

/// The host. Clone it to keep what was before.
#[derive(Debug, Clone, Default)]
pub struct FakeHost {
    pub world: World,
    /// Every call as the plan prints it, oldest first.
    pub log: Vec<String>,
    store: BTreeSet<String>,
    /// Shared by all clones, of which the trials make millions.
    known: Rc<BTreeMap<String, Known>>,
    guard: Option<Rc<Guard>>,
    faults: BTreeMap<usize, (Kind, Moment)>,
    generated: u64,
}

impl FakeHost {
    /// Teaches what the Compose file with this hash describes, since its text means nothing to the fake.
    pub fn knows(&mut self, hash: impl Into<String>, known: Known) {
        Rc::make_mut(&mut self.known).insert(hash.into(), known);
    }

    /// Puts a text into the store, as an earlier plan did that installed it.
    pub fn stored(&mut self, hash: impl Into<String>) {
        self.store.insert(hash.into());
    }

    /// From now on no call may change what belongs to this Compose project, nor who can reach it.
    pub fn guard(&mut self, project: &str, prefixes: &[&str]) {
        self.guard = Some(Rc::new(Guard::new(project, prefixes, &self.world)));
    }

    /// The call fails with that number, counted from 0 and including the staging of texts.
    #[must_use]
    pub fn fail_at(mut self, call: usize, moment: Moment) -> Self {
        self.faults.insert(call, (Kind::Fail, moment));
        self
    }

    /// The call with that number never answers.
    #[must_use]
    pub fn hang_at(mut self, call: usize, moment: Moment) -> Self {
        self.faults.insert(call, (Kind::Hang, moment));
        self
    }

    /// Nothing breaks any more, and calls are counted from 0 again.
    #[must_use]
    pub fn calm(mut self) -> Self {
        self.faults.clear();
        self.log.clear();
        self
    }

    /// How many calls there were.
    pub fn calls(&self) -> usize {
        self.log.len()
    }

    /// Does the action with all checks, without faults: to set the scene before a test.
    pub fn act(&mut self, action: &Action) -> Result<(), Failure> {
        let result = self
            .do_strictly(action)
            .map_err(|reason| Failure::new(format!("could not {action}")).because(reason));
        self.world.keeps_the_promises(action);
        if let Some(guard) = &self.guard {
            guard.check(&self.world, action);
        }
        result
    }

    fn next_fault(&mut self, what: String) -> Option<(Kind, Moment)> {
        let fault = self.faults.get(&self.calls()).copied();
        self.log.push(what);
        fault
    }
}

impl Perform for FakeHost {
    async fn stage(&mut self, hash: &str, _text: &str) -> Result<(), Failure> {
        let fault = self.next_fault(format!("stage {hash}"));
        if !matches!(fault, Some((_, Moment::Before | Moment::Halfway))) {
            self.store.insert(hash.to_owned());
        }
        strike(fault).await
    }

    async fn perform(&mut self, action: &Action) -> Result<(), Failure> {
        let fault = self.next_fault(action.to_string());
        match fault {
            None | Some((_, Moment::After)) => self.act(action)?,
            Some((_, Moment::Halfway)) => {
                if let Some(half) = half(action) {
                    self.act(&half)?;
                }
            }
            Some((_, Moment::Before)) => {}
        }
        strike(fault).await
    }
}

async fn strike(fault: Option<(Kind, Moment)>) -> Result<(), Failure> {
    match fault {
        None => Ok(()),
        Some((Kind::Fail, moment)) => Err(Failure::new(format!("failed on request, {moment:?} acting"))),
        Some((Kind::Hang, _)) => pending().await,
    }
}

/// The same action on the first half of its things; `None` when it has only one. What is replaced is gone by then.
fn half(action: &Action) -> Option<Action> {
    if let Action::ReplaceServices { compose, services, .. } = action {
        let services = services.keys().cloned().collect();
        return Some(Action::RemoveServices { project: compose.project.clone(), services });
    }
    if let Action::UnthrottleServices { project, ceilings } = action {
        let half = ceilings.clone().into_iter().take(ceilings.len() / 2).collect();
        return (ceilings.len() > 1)
            .then(|| Action::UnthrottleServices { project: project.clone(), ceilings: half });
    }
    let mut action = action.clone();
    let things = match &mut action {
        Action::PullImages { services, .. }
        | Action::BuildImages { services, .. }
        | Action::StartServices { services, .. }
        | Action::RecreateServices { services, .. }
        | Action::StopServices { services, .. }
        | Action::FreezeServices { services, .. }
        | Action::ThawServices { services, .. }
        | Action::ThrottleServices { services, .. }
        | Action::RemoveServices { services, .. } => services,
        Action::RemoveNetworks { names, .. }
        | Action::RemoveVolumes { names, .. }
        | Action::RemoveDatabases { names, .. } => names,
        _ => return None,
    };
    let kept = things.len() / 2;
    things.truncate(kept);
    (kept > 0).then_some(action)
}
