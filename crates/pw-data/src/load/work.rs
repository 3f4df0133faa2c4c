//! What is left to do to fill a database, shared by as many workers as there are connections.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;

use tokio::sync::Notify;

/// One thing to do, for a table of the catalogue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Job {
    /// Its rows.
    Fill(usize),
    /// The keys that lock it for everybody.
    Key(usize),
    /// One index; others may be built on the same table at the same time.
    Build(usize, usize),
    /// Its statistics, which cannot be made while an index is.
    Measure(usize),
}

/// A table is filled, then gets its keys and its indexes, then is measured; what a table needs next goes before other tables,
/// while its rows are still in the server's memory.
pub(super) struct Work {
    queue: RefCell<VecDeque<Job>>,
    busy: Cell<usize>,
    /// Indexes that are not built yet, of each table.
    unbuilt: RefCell<Vec<usize>>,
    /// Tables whose rows are held while they come, and whether one of them is being filled: there is room for one.
    held: Vec<bool>,
    holding: Cell<bool>,
    changed: Notify,
}

impl Work {
    /// Tables in the order in which they are filled, how many indexes each has, and which of them are held.
    pub(super) fn new(order: &[usize], indexes: Vec<usize>, held: Vec<bool>) -> Self {
        Self {
            queue: RefCell::new(order.iter().map(|table| Job::Fill(*table)).collect()),
            busy: Cell::new(0),
            unbuilt: RefCell::new(indexes),
            held,
            holding: Cell::new(false),
            changed: Notify::new(),
        }
    }

    /// Waits while others may still bring something to do; `None` when all is done. Who reads nothing cannot fill.
    pub(super) async fn next(&self, fills: bool) -> Option<Job> {
        loop {
            let changed = self.changed.notified();
            if let Some(job) = self.take(fills) {
                self.busy.set(self.busy.get() + 1);
                return Some(job);
            }
            if self.busy.get() == 0 && self.queue.borrow().is_empty() {
                return None;
            }
            changed.await;
        }
    }

    /// The first that there is room for: while one table is held, others go before the next such.
    fn take(&self, fills: bool) -> Option<Job> {
        let holds = |job: &Job| matches!(job, Job::Fill(table) if self.held[*table]);
        let can = |job: &Job| fills || !matches!(job, Job::Fill(_));
        let mut queue = self.queue.borrow_mut();
        let at = queue.iter().position(|job| can(job) && !(self.holding.get() && holds(job)))?;
        let job = queue.remove(at)?;
        self.holding.set(self.holding.get() || holds(&job));
        Some(job)
    }

    pub(super) fn done(&self, job: Job) {
        let (mut queue, mut unbuilt) = (self.queue.borrow_mut(), self.unbuilt.borrow_mut());
        if matches!(job, Job::Fill(table) if self.held[table]) {
            self.holding.set(false);
        }
        match job {
            Job::Fill(table) => queue.push_front(Job::Key(table)),
            Job::Key(table) => match unbuilt[table] {
                0 => queue.push_front(Job::Measure(table)),
                count => (0..count).rev().for_each(|index| queue.push_front(Job::Build(table, index))),
            },
            Job::Build(table, _) => {
                unbuilt[table] = unbuilt[table].saturating_sub(1);
                if unbuilt[table] == 0 {
                    queue.push_front(Job::Measure(table));
                }
            }
            Job::Measure(_) => {}
        }
        self.busy.set(self.busy.get().saturating_sub(1));
        self.changed.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_table_is_measured_when_its_last_index_stands() {
        let work = Work::new(&[1, 0], vec![0, 2], vec![false; 2]);
        let first = work.next(true).await.unwrap();
        assert_eq!(first, Job::Fill(1));
        let other = work.next(true).await.unwrap();
        assert_eq!(other, Job::Fill(0));
        work.done(first);
        assert_eq!(work.next(true).await, Some(Job::Key(1)));
        work.done(Job::Key(1));
        let (one, two) = (work.next(true).await.unwrap(), work.next(true).await.unwrap());
        assert_eq!([one, two], [Job::Build(1, 0), Job::Build(1, 1)]);
        work.done(two);
        work.done(other);
        assert_eq!(work.next(true).await, Some(Job::Key(0)));
        work.done(Job::Key(0));
        assert_eq!(work.next(true).await, Some(Job::Measure(0)));
        work.done(one);
        assert_eq!(work.next(true).await, Some(Job::Measure(1)));
        work.done(Job::Measure(0));
        work.done(Job::Measure(1));
        assert_eq!(work.next(true).await, None);
    }

    #[tokio::test]
    async fn one_table_is_held_at_a_time_and_others_go_before_the_next() {
        let work = Work::new(&[0, 1, 2], vec![0; 3], vec![true, true, false]);
        let first = work.next(true).await.unwrap();
        let other = work.next(true).await.unwrap();
        assert_eq!([first, other], [Job::Fill(0), Job::Fill(2)]);
        work.done(other);
        assert_eq!(work.next(true).await, Some(Job::Key(2)));
        work.done(Job::Key(2));
        assert_eq!(work.next(true).await, Some(Job::Measure(2)));
        work.done(Job::Measure(2));
        let (next, ()) = tokio::join!(work.next(true), async { work.done(first) });
        assert_eq!(next, Some(Job::Key(0)));
        assert_eq!(work.next(true).await, Some(Job::Fill(1)));
    }

    #[tokio::test]
    async fn who_has_nothing_to_do_waits_for_what_others_bring() {
        let work = Work::new(&[0], vec![1], vec![false]);
        let fill = work.next(true).await.unwrap();
        let (next, ()) = tokio::join!(work.next(true), async { work.done(fill) });
        assert_eq!(next, Some(Job::Key(0)));
    }

    #[tokio::test]
    async fn who_reads_nothing_waits_for_what_is_to_be_built() {
        let work = Work::new(&[0, 1], vec![0; 2], vec![false; 2]);
        let (built, fill) = tokio::join!(work.next(false), async {
            let fill = work.next(true).await.unwrap();
            work.done(fill);
            fill
        });
        assert_eq!((built, fill), (Some(Job::Key(0)), Job::Fill(0)));
        assert_eq!(work.next(true).await, Some(Job::Fill(1)));
    }
}
