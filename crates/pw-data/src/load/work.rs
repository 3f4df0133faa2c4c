//! What is left to do to fill a database, shared by as many workers as there are connections.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;

use tokio::sync::Notify;

/// One thing to do, for a table of the catalogue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Job {
    /// Its rows, then the keys that lock it for everybody.
    Fill(usize),
    /// One index; others may be built on the same table at the same time.
    Build(usize, usize),
    /// Its statistics, which cannot be made while an index is.
    Measure(usize),
}

/// A table is filled, then has its indexes built, then is measured; what a table needs next goes before other tables,
/// while its rows are still in the server's memory.
pub(super) struct Work {
    queue: RefCell<VecDeque<Job>>,
    busy: Cell<usize>,
    /// Indexes that are not built yet, of each table.
    unbuilt: RefCell<Vec<usize>>,
    changed: Notify,
}

impl Work {
    /// Tables in the order in which they are filled, and how many indexes each has.
    pub(super) fn new(order: &[usize], indexes: Vec<usize>) -> Self {
        Self {
            queue: RefCell::new(order.iter().map(|table| Job::Fill(*table)).collect()),
            busy: Cell::new(0),
            unbuilt: RefCell::new(indexes),
            changed: Notify::new(),
        }
    }

    /// Waits while others may still bring something to do; `None` when all is done.
    pub(super) async fn next(&self) -> Option<Job> {
        loop {
            let changed = self.changed.notified();
            if let Some(job) = self.queue.borrow_mut().pop_front() {
                self.busy.set(self.busy.get() + 1);
                return Some(job);
            }
            if self.busy.get() == 0 {
                return None;
            }
            changed.await;
        }
    }

    pub(super) fn done(&self, job: Job) {
        let (mut queue, mut unbuilt) = (self.queue.borrow_mut(), self.unbuilt.borrow_mut());
        match job {
            Job::Fill(table) => match unbuilt[table] {
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
        let work = Work::new(&[1, 0], vec![0, 2]);
        let first = work.next().await.unwrap();
        assert_eq!(first, Job::Fill(1));
        let other = work.next().await.unwrap();
        assert_eq!(other, Job::Fill(0));
        work.done(first);
        let (one, two) = (work.next().await.unwrap(), work.next().await.unwrap());
        assert_eq!([one, two], [Job::Build(1, 0), Job::Build(1, 1)]);
        work.done(two);
        work.done(other);
        assert_eq!(work.next().await, Some(Job::Measure(0)));
        work.done(one);
        assert_eq!(work.next().await, Some(Job::Measure(1)));
        work.done(Job::Measure(0));
        work.done(Job::Measure(1));
        assert_eq!(work.next().await, None);
    }

    #[tokio::test]
    async fn who_has_nothing_to_do_waits_for_what_others_bring() {
        let work = Work::new(&[0], vec![1]);
        let fill = work.next().await.unwrap();
        let (next, ()) = tokio::join!(work.next(), async { work.done(fill) });
        assert_eq!(next, Some(Job::Build(0, 0)));
    }
}
