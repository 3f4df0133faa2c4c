//! Backups and drills that are overdue or failed, from the journal.

use std::path::PathBuf;

use jiff::Timestamp;
use pw_journal::{Proof, SqliteJournal};
use pw_model::config::{Backup, Class};
use pw_plan::alert::{Alert, Kind};
use serde_json::Value;

use crate::Settings;

/// The journal is read again after so many seconds.
const AGAIN: i64 = 60;
/// The time that a backup takes and that its timer waits, beyond `every`: a quarter of it, and at least this, in seconds.
const GRACE: u64 = 900;

/// What is looked at, and what was found.
pub(crate) struct Overdue {
    journal: PathBuf,
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

    /// `None` where the journal cannot be read: what was found before stays.
    fn look(&self, now: i64) -> Option<Vec<Alert>> {
        let Some(section) = &self.section else { return Some(Vec::new()) };
        let Some(journal) = SqliteJournal::open_read_only(&self.journal).ok()? else {
            return Some(Vec::new());
        };
        let mut found = Vec::new();
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
                found.push(alert(
                    Kind::DrillFailed,
                    format!("backup {} did not restore", told(&proof, "backup")),
                ));
            }
        }
        Some(found)
    }
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

fn told(proof: &Proof, key: &str) -> String {
    let summary: Value = serde_json::from_str(&proof.summary).unwrap_or_default();
    summary[key].as_str().unwrap_or("?").to_owned()
}

#[cfg(test)]
mod tests {
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
}
