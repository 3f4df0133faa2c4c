//! Visitors of production who never stop asking, and count every failure.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use super::Link;

/// How long a visitor keeps one connection.
const REQUESTS_PER_LINK: u32 = 50;

pub(crate) struct Traffic {
    stop: Arc<AtomicBool>,
    failures: Arc<Mutex<Vec<String>>>,
    visitors: Vec<JoinHandle<u64>>,
}

impl Traffic {
    /// Two visitors: one keeps its connection for a while, one opens a new one each time.
    pub(crate) fn to(port: u16, host: &str, wanted: &str) -> Self {
        Self::at(&format!("127.0.0.1:{port}"), host, wanted)
    }

    /// The same, where the proxy is found at another address.
    pub(crate) fn at(address: &str, host: &str, wanted: &str) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let failures = Arc::new(Mutex::new(Vec::new()));
        let visitors = [REQUESTS_PER_LINK, 1].map(|requests| {
            let (stop, failures) = (Arc::clone(&stop), Arc::clone(&failures));
            let (address, host, wanted) = (address.to_owned(), host.to_owned(), wanted.to_owned());
            std::thread::spawn(move || {
                let mut asked = 0;
                while !stop.load(Ordering::Relaxed) {
                    if let Err(failure) = visit(&address, &host, &wanted, (requests, &mut asked)) {
                        failures.lock().expect("a lock").push(format!("request {asked}: {failure}"));
                    }
                }
                asked
            })
        });
        Self { stop, failures, visitors: visitors.into() }
    }

    /// Ends the visits and answers what failed.
    pub(crate) fn failures(self) -> Vec<String> {
        self.stop.store(true, Ordering::Relaxed);
        for visitor in self.visitors {
            visitor.join().expect("a visitor");
        }
        self.failures.lock().expect("a lock").clone()
    }

    /// Ends the visits and fails when one of them was not answered as wanted.
    #[track_caller]
    pub(crate) fn all_answered(self) {
        self.stop.store(true, Ordering::Relaxed);
        let asked: u64 = self.visitors.into_iter().map(|visitor| visitor.join().expect("a visitor")).sum();
        let failures = self.failures.lock().expect("a lock");
        assert!(asked > 20, "only {asked} requests were made, which proves nothing: {failures:?}");
        assert!(failures.is_empty(), "{} of {asked} requests failed: {failures:#?}", failures.len());
    }
}

fn visit(address: &str, host: &str, wanted: &str, (requests, asked): (u32, &mut u64)) -> Result<(), String> {
    let mut link = Link::open_at(address).map_err(|error| error.to_string())?;
    for _ in 0..requests {
        *asked += 1;
        std::thread::sleep(Duration::from_millis(20));
        let answer = link.get(host, "/whoami").map_err(|error| error.to_string())?;
        if answer.status != 200 || !answer.body.contains(wanted) {
            return Err(format!("{} {}", answer.status, answer.body));
        }
    }
    Ok(())
}
