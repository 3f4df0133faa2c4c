//! A journal in memory, which can lose its disk.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use pw_plan::Plan;
use pw_run::{Event, Journal, JournalFailure, Unfinished};

/// Which writes fail, counted from 0 with `begin`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Fails {
    #[default]
    Never,
    Once(usize),
    /// The disk is full from then on.
    From(usize),
}

/// Clones share what is written, as two handles on one file do.
#[derive(Debug, Clone, Default)]
pub struct MemoryJournal(Rc<RefCell<Pages>>);

#[derive(Debug, Clone, Default)]
struct Pages {
    plans: Vec<Page>,
    fails: Fails,
    writes: usize,
}

#[derive(Debug, Clone)]
struct Page {
    plan: Plan,
    events: Vec<Event>,
    gap: bool,
}

impl MemoryJournal {
    pub fn failing(fails: Fails) -> Self {
        let journal = Self::default();
        journal.fail(fails);
        journal
    }

    /// What is kept of a plan: its texts are staged, not written into the journal.
    pub(crate) fn kept(plan: &Plan) -> Plan {
        Plan {
            operation: plan.operation.clone(),
            project: plan.project.clone(),
            environment: plan.environment.clone(),
            basis: plan.basis.clone(),
            steps: plan.steps.clone(),
            texts: BTreeMap::new(),
        }
    }

    /// Another journal with what is written until now.
    #[must_use]
    pub fn copied(&self) -> Self {
        Self(Rc::new(RefCell::new(self.0.borrow().clone())))
    }

    /// From now on these writes fail, counted from 0 again.
    pub fn fail(&self, fails: Fails) {
        let mut pages = self.0.borrow_mut();
        (pages.fails, pages.writes) = (fails, 0);
    }

    /// True while nothing can be written.
    pub fn is_full(&self) -> bool {
        matches!(self.0.borrow().fails, Fails::From(_))
    }

    /// How many writes were tried.
    pub fn writes(&self) -> usize {
        self.0.borrow().writes
    }

    /// The events of the newest plan.
    pub fn events(&self) -> Vec<Event> {
        self.0.borrow().plans.last().map(|page| page.events.clone()).unwrap_or_default()
    }

    /// Forgets the newest event: the process was cut off before it could be written.
    pub fn forget_last(&self) -> Option<Event> {
        self.0.borrow_mut().plans.last_mut()?.events.pop()
    }
}

impl Pages {
    fn write(&mut self) -> Result<(), JournalFailure> {
        let number = self.writes;
        self.writes += 1;
        match self.fails {
            Fails::Once(at) if at == number => Err(full()),
            Fails::From(at) if at <= number => Err(full()),
            Fails::Never | Fails::Once(_) | Fails::From(_) => Ok(()),
        }
    }
}

impl Page {
    fn has_ended(&self) -> bool {
        matches!(self.events.last(), Some(Event::Applied | Event::TakenBack))
    }
}

impl Journal for MemoryJournal {
    fn begin(&mut self, plan: &Plan) -> Result<i64, JournalFailure> {
        let mut pages = self.0.borrow_mut();
        if pages.plans.last().is_some_and(|page| !page.has_ended()) {
            return Err(failure("begin a plan in", "another plan is unfinished"));
        }
        pages.write()?;
        pages.plans.push(Page { plan: Self::kept(plan), events: Vec::new(), gap: false });
        Ok(pages.plans.len() as i64 - 1)
    }

    fn record(&mut self, plan: i64, event: &Event, _detail: Option<&str>) -> Result<(), JournalFailure> {
        let mut pages = self.0.borrow_mut();
        let written = pages.write();
        let page = usize::try_from(plan).ok().and_then(|plan| pages.plans.get_mut(plan));
        let page = page.ok_or_else(|| failure("write", "there is no such plan"))?;
        match written {
            Ok(()) => page.events.push(event.clone()),
            Err(_) => page.gap = true,
        }
        written
    }

    fn unfinished(&self) -> Result<Option<Unfinished>, JournalFailure> {
        let pages = self.0.borrow();
        let Some(page) = pages.plans.last().filter(|page| !page.has_ended()) else { return Ok(None) };
        let (id, plan, events) = (pages.plans.len() as i64 - 1, page.plan.clone(), page.events.clone());
        Ok(Some(Unfinished { id, plan, events, gap: page.gap, begun: 0, by: "a test".into() }))
    }
}

fn full() -> JournalFailure {
    failure("write", "no space left on device")
}

fn failure(
    what: &'static str,
    source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
) -> JournalFailure {
    JournalFailure { what, hint: None, source: source.into() }
}
