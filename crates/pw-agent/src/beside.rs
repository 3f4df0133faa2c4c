//! Limits of memory, written beside the loop: for a smaller one the kernel makes room before it answers, which takes long where
//! what is in the way has to go to a slow disk first. Nothing else may wait for that.

use std::collections::BTreeMap;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use pw_host::group::Place;
use pw_model::name::EnvironmentName;
use pw_plan::govern::Amount;
use pw_run::Failure;

/// A thread that holds environments to amounts, the newest of each.
pub(crate) struct Beside {
    shared: Arc<(Mutex<Work>, Condvar)>,
}

#[derive(Default)]
struct Work {
    wanted: BTreeMap<EnvironmentName, (Place, Amount)>,
    is_writing: bool,
    failures: Vec<Failure>,
}

impl Beside {
    /// The thread ends with the process: nothing that it does needs an end.
    pub(crate) fn start(
        mut hold: impl FnMut(&Place, Amount) -> Result<(), Failure> + Send + 'static,
    ) -> Self {
        let shared = Arc::<(Mutex<Work>, Condvar)>::default();
        let own = Arc::clone(&shared);
        std::thread::spawn(move || {
            let (work, changed) = &*own;
            loop {
                let mut waiting = locked(work);
                let (place, amount) = loop {
                    match waiting.wanted.pop_first() {
                        Some((_, next)) => break next,
                        None => waiting = changed.wait(waiting).unwrap_or_else(PoisonError::into_inner),
                    }
                };
                waiting.is_writing = true;
                drop(waiting);
                let failed = hold(&place, amount).err();
                let mut done = locked(work);
                done.is_writing = false;
                done.failures.extend(failed);
                changed.notify_all();
            }
        });
        Self { shared }
    }

    /// Takes the place of what is still wanted of this environment, and waits for nothing.
    pub(crate) fn hold(&self, name: &EnvironmentName, place: &Place, amount: Amount) {
        let (work, changed) = &*self.shared;
        locked(work).wanted.insert(name.clone(), (place.clone(), amount));
        changed.notify_all();
    }

    /// What failed since it was last asked.
    pub(crate) fn failures(&self) -> Vec<Failure> {
        std::mem::take(&mut locked(&self.shared.0).failures)
    }

    /// Waits until everything is written.
    pub(crate) fn finish(&self) {
        let (work, changed) = &*self.shared;
        let is_busy = |work: &mut Work| work.is_writing || !work.wanted.is_empty();
        drop(changed.wait_while(locked(work), is_busy).unwrap_or_else(PoisonError::into_inner));
    }
}

fn locked(work: &Mutex<Work>) -> MutexGuard<'_, Work> {
    // One who panicked left at worst one amount unwritten, and it is held again within a second.
    work.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;

    use pw_model::unit::Bytes;

    use super::*;

    #[test]
    fn the_newest_amount_of_each_is_written_and_nobody_waits() {
        let (began, begins) = channel();
        let (go, goes) = channel::<()>();
        let written = Arc::<Mutex<Vec<(String, Amount)>>>::default();
        let seen = Arc::clone(&written);
        let beside = Beside::start(move |place, amount| {
            began.send(()).expect("somebody looks");
            goes.recv().expect("it goes on");
            seen.lock().expect("whole").push((place.path.clone(), amount));
            if place.path == "two" { Err(Failure::new("no such group")) } else { Ok(()) }
        });
        let hold = |name: &str, amount| {
            let name = EnvironmentName::parse(name).expect("a name");
            beside.hold(&name, &Place { path: name.to_string(), ..Place::default() }, amount);
        };
        let memory = |bytes: Option<u64>| Amount::Memory(bytes.map(Bytes));
        hold("one", memory(Some(1)));
        begins.recv().expect("it began");
        // While that is written, three more are wanted, and two of them of the same.
        hold("one", memory(Some(2)));
        hold("two", memory(Some(3)));
        hold("one", memory(None));
        (0..3).for_each(|_| go.send(()).expect("it waits"));
        beside.finish();
        let written = written.lock().expect("whole").clone();
        let wanted = [("one", memory(Some(1))), ("one", memory(None)), ("two", memory(Some(3)))];
        assert_eq!(written, wanted.map(|(path, amount)| (path.to_owned(), amount)));
        let told: Vec<String> = beside.failures().iter().map(ToString::to_string).collect();
        assert_eq!((told, beside.failures().len()), (vec!["no such group".to_owned()], 0));
    }
}
