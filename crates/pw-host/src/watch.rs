//! Watching a new release under real requests.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use pw_plan::promote::judge::{Answers, judge};
use pw_plan::step::{Watch, WatchedRoute};
use pw_run::Failure;

use crate::caddy::Traffic;
use crate::docker::Engine;

const POLL: Duration = Duration::from_millis(100);
/// Containers are looked at this often, and once more at the end; answers at every poll, and they tell sooner of what ended.
const LOOK: Duration = Duration::from_secs(1);
/// Not in the first moment: the engine that answers is also the name server from which the proxy learns where the new
/// generation is, and the first visitors wait for that. Soon after: what ends later is held against this look.
const FIRST_LOOK: Duration = Duration::from_millis(300);

/// What was answered before is read anew when it is older.
const YOUNG: Duration = Duration::from_secs(60);

/// What the watch found.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Found(String);

/// What was answered before the new release, read before any visitor meets it: then nobody waits for a processor
/// that is busy with a log.
#[derive(Debug)]
pub(crate) struct Before {
    folder: String,
    at: Instant,
    written: Traffic,
}

impl Before {
    /// `folder` is the proxy's.
    pub(crate) async fn read(folder: &str) -> Self {
        let written = Traffic::before(&log(folder)).await;
        Self { folder: folder.to_owned(), at: Instant::now(), written }
    }

    fn is_for(&self, watch: &Watch) -> bool {
        self.folder == watch.folder && self.at.elapsed() < YOUNG
    }
}

fn log(folder: &str) -> PathBuf {
    Path::new(folder).join("log/traffic.log")
}

/// Holds until the time is over. What was answered before is read now where nobody did before, as when a promotion goes
/// on after it was cut off.
///
/// # Errors
/// As soon as the new release is worse: its containers end, or its answers fail or are slow.
pub(crate) async fn watch(
    engine: &Engine,
    watch: &Watch,
    before: Option<Before>,
    tell: &(dyn Fn(&str) + Sync),
) -> Result<(), Failure> {
    let path = log(&watch.folder);
    let (begun, mut restarts) = (Instant::now(), HashMap::new());
    let mut traffic = Traffic::following(&path, Timestamp::now().as_millisecond() as f64 / 1000.0);
    let before: Vec<Answers> = {
        let written = match before.filter(|before| before.is_for(watch)) {
            Some(before) => before.written,
            None => Traffic::before(&path).await,
        };
        watch.routes.iter().map(|route| written.of(&route.route, &route.before).clone()).collect()
    };
    let mut look_at = FIRST_LOOK;
    while begun.elapsed() < Duration::from_millis(watch.milliseconds) {
        traffic.read();
        for (route, old) in watch.routes.iter().zip(&before) {
            // Beside a canary the release before goes on to answer: the same minute is the better measure.
            let beside = traffic.of(&route.route, &route.before);
            let old = if beside.seconds.len() >= old.seconds.len() { beside } else { old };
            if let Some(worse) = judge(old, traffic.of(&route.route, &route.after), watch) {
                return Err(gone_back(route, &worse.to_string()));
            }
        }
        if begun.elapsed() >= look_at {
            look_at = begun.elapsed() + LOOK;
            still_run(engine, watch, &mut restarts).await?;
            tell(&line(watch, &traffic, begun.elapsed()));
        }
        tokio::time::sleep(POLL).await;
    }
    still_run(engine, watch, &mut restarts).await
}

async fn still_run(
    engine: &Engine,
    watch: &Watch,
    restarts: &mut HashMap<String, i64>,
) -> Result<(), Failure> {
    for route in &watch.routes {
        if let Some(why) = engine.broken(&route.containers, restarts).await? {
            return Err(gone_back(route, &why));
        }
    }
    Ok(())
}

fn gone_back(route: &WatchedRoute, why: &str) -> Failure {
    let service = &route.containers.service;
    Failure::new(format!("the new `{service}` is worse than the one before"))
        .because(Found(why.to_owned()))
        .hint("visitors meet the release before again; mend the new one, then promote it")
}

fn line(watch: &Watch, traffic: &Traffic, elapsed: Duration) -> String {
    let all = || watch.routes.iter().map(|route| traffic.of(&route.route, &route.after));
    let (count, failures): (usize, u64) =
        (all().map(|one| one.seconds.len()).sum(), all().map(|one| one.failures).sum());
    let left = Duration::from_millis(watch.milliseconds).saturating_sub(elapsed).as_secs();
    format!("{count} answers, {failures} failed, {left} s left")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_was_read_before_is_of_the_same_proxy_and_of_now() {
        let folder = tempfile::tempdir().expect("a folder").path().display().to_string();
        let watch = |folder: &str| Watch {
            folder: folder.to_owned(),
            milliseconds: 0,
            routes: Vec::new(),
            p99_milliseconds: None,
            errors_per_million: None,
        };
        let before = Before::read(&folder).await;
        assert!(before.is_for(&watch(&folder)));
        assert!(!before.is_for(&watch("elsewhere")));
        let at = before.at.checked_sub(YOUNG).expect("a machine that is up for a minute");
        assert!(!Before { at, ..before }.is_for(&watch(&folder)), "too old");
    }
}
