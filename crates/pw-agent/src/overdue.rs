//! Backups and drills that are overdue or failed, and what was cut off, from the journal.

use std::path::PathBuf;

use jiff::Timestamp;
use pw_host::lock;
use pw_journal::{Proof, SqliteJournal};
use pw_model::config::{Backup, Class};
use pw_plan::Plan;
use pw_plan::alert::{Alert, Kind};
use pw_run::{Journal as _, Unfinished};
use serde_json::Value;

use crate::Settings;

/// The journal is read again after so many seconds.
const AGAIN: i64 = 60;
/// The time that a backup takes and that its timer waits, beyond `every`: a quarter of it, and at least this, in seconds.
const GRACE: u64 = 900;

/// What is looked at, and what was found.
pub(crate) struct Overdue {
    journal: PathBuf,
    lock: PathBuf,
    section: Option<Backup>,
    production: Vec<String>,
    looked: Option<i64>,
    found: Vec<Alert>,
}

impl Overdue {
    pub(crate) fn new(settings: &Settings) -> Self {
        let config = &settings.config;
        let production =
            config.environments.iter().filter(|(name, one)| one.class(name) == Class::Production);
        Self {
            journal: PathBuf::from(settings.layout.journal(&config.project)),
            lock: PathBuf::from(settings.layout.lock(&config.project)),
            section: config.backup.clone(),
            production: production.map(|(name, _)| name.to_string()).collect(),
            looked: None,
            found: Vec::new(),
        }
    }

    pub(crate) fn alerts(&mut self) -> Vec<Alert> {
        let now = Timestamp::now().as_second();
        if self.looked.is_none_or(|looked| !(0..AGAIN).contains(&(now - looked))) {
            self.looked = Some(now);
            if let Some(found) = self.look(now) {
                self.found = found;
            }
        }
        self.found.clone()
    }

    /// What nobody works on any more.
    fn interrupted(&self, journal: &SqliteJournal) -> Option<Option<Alert>> {
        let left = journal.unfinished().ok()?;
        Some(left.filter(|_| !lock::is_held(&self.lock)).map(|left| cut_off(&left)))
    }

    /// `None` where the journal cannot be read: what was found before stays.
    fn look(&self, now: i64) -> Option<Vec<Alert>> {
        let Some(journal) = SqliteJournal::open_read_only(&self.journal).ok()? else {
            return Some(Vec::new());
        };
        let mut found: Vec<Alert> = self.interrupted(&journal)?.into_iter().collect();
        let Some(section) = &self.section else { return Some(found) };
        for name in &self.production {
            let made = journal.newest_passed("backup", name).ok()?;
            let tried = journal.newest_proof("backup", name).ok()?;
            let drilled = journal.newest_proof("drill", name).ok()?;
            let alert = |kind, words| Alert { kind, subject: name.clone(), words };
            if let Some(words) = section.every_seconds().and_then(|every| late(made.as_ref(), every, now)) {
                found.push(alert(Kind::BackupOverdue, format!("the newest backup {words}")));
            }
            if let Some((_, proof)) = tried.filter(|(_, proof)| !proof.passed) {
                found.push(alert(
                    Kind::BackupFailed,
                    format!("the newest backup failed: {}", told(&proof, "cause")),
                ));
            }
            let due = section.drill_seconds().filter(|_| made.is_some());
            if let Some(words) = due.and_then(|every| late(drilled.as_ref(), every, now)) {
                found.push(alert(Kind::DrillOverdue, format!("the newest drill {words}")));
            }
            if let Some((_, proof)) = drilled.filter(|(_, proof)| !proof.passed) {
                found.push(alert(Kind::DrillFailed, failed_drill(&proof)));
            }
        }
        Some(found)
    }
}

fn cut_off(left: &Unfinished) -> Alert {
    let Plan { operation, environment, .. } = &left.plan;
    let at = Timestamp::from_second(left.begun)
        .map_or_else(|_| "?".into(), |at| at.strftime("%Y-%m-%d %H:%M:%S UTC").to_string());
    let words = format!(
        "`{operation} {environment}`, begun by {} at {at}, was cut off: until `partywall resume` or `partywall abandon`, nothing else is done, no backup either",
        left.by
    );
    Alert { kind: Kind::Interrupted, subject: environment.to_string(), words }
}

fn late(newest: Option<&(i64, Proof)>, every: u64, now: i64) -> Option<String> {
    let allowed = every + (every / 4).max(GRACE);
    match newest {
        None => Some("is none yet".into()),
        Some((at, _)) => {
            let age = u64::try_from(now - at).unwrap_or(0);
            (age > allowed)
                .then(|| format!("is {} h old, with one wanted every {} h", age / 3600, every.div_ceil(3600)))
        }
    }
}

/// One that could not be carried out says nothing of the backup.
fn failed_drill(proof: &Proof) -> String {
    let backup = told(proof, "backup");
    match told(proof, "cause") {
        cause if cause == "?" => format!("backup {backup} did not restore"),
        cause => format!("backup {backup} could not be drilled: {cause}"),
    }
}

fn told(proof: &Proof, key: &str) -> String {
    let summary: Value = serde_json::from_str(&proof.summary).unwrap_or_default();
    summary[key].as_str().unwrap_or("?").to_owned()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use pw_host::lock::ProjectLock;

    use super::*;

    #[test]
    fn what_is_a_little_late_is_not_overdue() {
        let made = |at| {
            Some((
                at,
                Proof {
                    kind: "backup".into(),
                    environment: "production".into(),
                    passed: true,
                    summary: "{}".into(),
                },
            ))
        };
        assert_eq!(late(None, 3600, 0).as_deref(), Some("is none yet"));
        assert_eq!(late(made(0).as_ref(), 3600, 4500), None);
        assert_eq!(
            late(made(0).as_ref(), 3600, 4501).as_deref(),
            Some("is 1 h old, with one wanted every 1 h")
        );
        assert_eq!(late(made(0).as_ref(), 86_400, 108_000), None);
        assert_eq!(late(made(100).as_ref(), 60, 0), None, "a clock that was set back");
    }

    #[test]
    fn a_drill_that_broke_says_nothing_of_the_backup() {
        let words = |summary: &str| {
            let (kind, environment) = ("drill".into(), "production".into());
            failed_drill(&Proof { kind, environment, passed: false, summary: summary.into() })
        };
        assert_eq!(words(r#"{"backup":"b1"}"#), "backup b1 did not restore");
        assert_eq!(words(r#"{"backup":"b1","cause":"no room"}"#), "backup b1 could not be drilled: no room");
    }

    #[test]
    fn what_nobody_works_on_any_more_was_cut_off() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = |name: &str| folder.path().join(name);
        let overdue = Overdue {
            journal: path("journal.db"),
            lock: path("lock"),
            section: None,
            production: Vec::new(),
            looked: None,
            found: Vec::new(),
        };
        let told = || overdue.look(0).expect("it can be read").pop().map(|alert| alert.to_string());
        assert_eq!(told(), None, "there is no journal yet");
        let mut journal = SqliteJournal::open(&path("journal.db")).expect("a journal");
        let plan = Plan {
            operation: "backup".into(),
            project: "shop".into(),
            environment: "production".into(),
            basis: String::new(),
            steps: Vec::new(),
            texts: BTreeMap::new(),
        };
        journal.begin(&plan).expect("begun");
        let alert = told().expect("it is cut off");
        assert!(alert.starts_with("interrupted production: `backup production`, begun by "), "{alert}");
        let held = ProjectLock::acquire(&path("lock"), "partywall resume").expect("the lock");
        assert_eq!(told(), None, "somebody works on it");
        drop(held);
        assert!(told().is_some());
    }
}
