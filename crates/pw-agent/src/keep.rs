//! Pictures become history, in a thread of its own: a disk that is slow keeps neither the governor nor the collector.

use std::path::Path;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use pw_journal::metrics::{Metrics, Sample};
use pw_run::JournalFailure;

use crate::collect::Picture;
use crate::past;

/// Pictures that may wait for the disk; those beyond are not kept.
const WAITING: usize = 300;
/// Seconds that are written in one go.
const BATCH: i64 = 60;
/// Minutes that wait for a full disk to have room; then they are given up.
const MOST_BATCHES: i64 = 10;

pub(crate) struct Keeper {
    pictures: Option<SyncSender<Arc<Picture>>>,
    thread: Option<JoinHandle<()>>,
    /// Why nothing is kept at the moment.
    pub(crate) trouble: Arc<Mutex<Option<String>>>,
}

impl Keeper {
    pub(crate) fn none() -> Self {
        Self { pictures: None, thread: None, trouble: Arc::default() }
    }

    pub(crate) fn start(path: String) -> Self {
        let trouble = Arc::default();
        let (pictures, received) = sync_channel(WAITING);
        let mut batches = Batches { path, trouble: Arc::clone(&trouble), ..Batches::default() };
        let thread = std::thread::spawn(move || batches.keep(&received));
        Self { pictures: Some(pictures), thread: Some(thread), trouble }
    }

    /// For the collector: takes a picture, waits for nothing.
    pub(crate) fn sink(&self) -> impl FnMut(&Arc<Picture>) + Send + 'static {
        let pictures = self.pictures.clone();
        move |picture| {
            if let Some(pictures) = &pictures {
                // One that the disk has no time for is missed by nobody but the past.
                drop(pictures.try_send(Arc::clone(picture)));
            }
        }
    }

    /// Waits until everything is written; the collector has ended before.
    pub(crate) fn finish(&mut self) {
        self.pictures = None;
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

#[derive(Default)]
struct Batches {
    path: String,
    metrics: Option<Metrics>,
    before: Option<Arc<Picture>>,
    samples: Vec<Sample>,
    trouble: Arc<Mutex<Option<String>>>,
}

impl Batches {
    fn keep(&mut self, received: &Receiver<Arc<Picture>>) {
        loop {
            match received.recv_timeout(Duration::from_secs(BATCH.unsigned_abs())) {
                Ok(picture) => self.take(picture),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return self.write(),
            }
        }
    }

    fn take(&mut self, picture: Arc<Picture>) {
        let now = picture.at.as_second();
        // Whole minutes of the clock: each is then written once.
        if self.samples.last().is_some_and(|last| last.at.div_euclid(BATCH) != now.div_euclid(BATCH)) {
            self.write();
        }
        if let Some(before) = self.before.replace(Arc::clone(&picture)) {
            self.samples.extend(past::samples(&picture.since(&before)));
        }
    }

    fn write(&mut self) {
        let written = self.try_write();
        let trouble = written.as_ref().err().map(|failure| format!("keeps no figures: {failure}"));
        *self.trouble.lock().unwrap_or_else(PoisonError::into_inner) = trouble;
        let oldest = self.samples.last().map_or(0, |last| last.at - BATCH * MOST_BATCHES);
        match written {
            Ok(()) => self.samples.clear(),
            // The file may be gone, or another's.
            Err(_) => {
                self.metrics = None;
                self.samples.retain(|sample| sample.at > oldest);
            }
        }
    }

    fn try_write(&mut self) -> Result<(), JournalFailure> {
        let metrics = match &mut self.metrics {
            Some(metrics) => metrics,
            None => self.metrics.insert(Metrics::open(Path::new(&self.path))?),
        };
        metrics.write(&self.samples)
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use pw_journal::metrics::Tier;

    use super::*;

    fn picture(second: i64) -> Arc<Picture> {
        let at = Timestamp::from_second(1_700_006_400 + second).expect("a time");
        Arc::new(Picture { at, seconds: second as f64, ..Picture::default() })
    }

    #[test]
    fn what_could_not_be_written_waits_until_it_can_and_not_for_ever() {
        let folder = tempfile::tempdir().expect("a folder");
        let blocked = folder.path().join("state");
        std::fs::write(&blocked, "no folder").expect("a file");
        let path = blocked.join("metrics.db");
        let mut batches = Batches { path: path.display().to_string(), ..Batches::default() };
        let trouble = Arc::clone(&batches.trouble);
        let trouble = || trouble.lock().expect("not poisoned").clone();
        (0..1200).for_each(|second| batches.take(picture(second)));
        assert!(
            trouble().is_some_and(|words| words.starts_with("keeps no figures: could not open")),
            "{:?}",
            trouble()
        );
        std::fs::remove_file(&blocked).expect("removes");
        (1200..1260).for_each(|second| batches.take(picture(second)));
        batches.write();
        assert_eq!(trouble(), None);
        let reader = Metrics::open_read_only(&path).expect("opens").expect("is there");
        let minutes = reader.read(Tier::Minute, "machine", (0, i64::MAX)).expect("reads");
        // At the last failure ten minutes waited, the eighteenth the newest.
        let begins: Vec<i64> = minutes.iter().map(|(at, _)| (at - 1_700_006_400) / 60).collect();
        assert_eq!(begins, (9..=20).collect::<Vec<i64>>());
    }
}
