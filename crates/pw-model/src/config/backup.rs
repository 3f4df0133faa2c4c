//! The `backup:` section: where backups are kept, how many, and what a restored one must withstand.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::file::{Class, Config};
use crate::diagnostic::Diagnostic;
use crate::name::ServiceName;
use crate::source::SourceFile;
use crate::unit::Bytes;

/// Where and when backups are made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Backup {
    /// Absolute path of the folder that holds the repository; restic reads it too.
    pub repository: String,
    /// How old the newest backup may be, e.g. `6h` or `daily`; `status` says when it is older, and `agent chores` makes one then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub every: Option<String>,
    /// How many backups stay. Left out: all of 24 hours, 7 days, 4 weeks and 12 months.
    #[serde(default)]
    pub keep: Keep,
    /// Where a copy of the repository goes after each backup, as rclone names it: `offsite:backups/shop`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub copies: Vec<String>,
    /// How old the newest drill may be, e.g. `weekly`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub drill: Option<String>,
    /// Also keep the servers' log, so that a database comes back as it was at any second.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub log: Option<BackupLog>,
    /// The application's own check of a restored database.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub check: Option<BackupCheck>,
}

/// How many backups stay; the newest always does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Keep {
    /// The newest ones.
    pub last: u32,
    pub hourly: u32,
    pub daily: u32,
    pub weekly: u32,
    pub monthly: u32,
    pub yearly: u32,
}

/// A server keeps its log (WAL) until a backup has taken it: a replication slot holds it back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct BackupLog {
    /// The most that the server may hold back when no backup comes; then the log breaks off, and production goes on.
    /// Becomes `max_slot_wal_keep_size` by `ALTER SYSTEM`, except where the server's own configuration has a limit.
    pub hold: Bytes,
}

/// A command that runs in a drill, in the image of a service, beside the restored database and nothing else.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct BackupCheck {
    /// Whose image and variables it has.
    pub service: ServiceName,
    pub command: Vec<String>,
}

impl Default for Keep {
    fn default() -> Self {
        Self { last: 1, hourly: 24, daily: 7, weekly: 4, monthly: 12, yearly: 0 }
    }
}

impl Backup {
    /// Seconds after which the newest backup is overdue.
    pub fn every_seconds(&self) -> Option<u64> {
        self.every.as_deref().and_then(seconds)
    }

    /// Seconds after which the newest drill is overdue.
    pub fn drill_seconds(&self) -> Option<u64> {
        self.drill.as_deref().and_then(seconds)
    }
}

/// `90s`, `30m`, `6h`, `7d`, `2w`, `hourly`, `daily`, `weekly`, `monthly`.
fn seconds(text: &str) -> Option<u64> {
    let text = match text.trim() {
        "hourly" => "1h",
        "daily" => "1d",
        "weekly" => "1w",
        "monthly" => "31d",
        other => other,
    };
    let (number, unit) = text.split_at(text.find(|c: char| !c.is_ascii_digit())?);
    let factor = match unit.trim() {
        "s" => 1,
        "m" => 60,
        "h" => 3600,
        "d" => 86_400,
        "w" => 604_800,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(factor).filter(|seconds| *seconds > 0)
}

/// What is wrong with the section by itself.
pub(super) fn check(config: &Config, source: &SourceFile) -> Vec<Diagnostic> {
    let Some(backup) = &config.backup else { return Vec::new() };
    let at = |key: &str| source.find_nearest(&["backup", key]);
    let mut found = Vec::new();
    if !backup.repository.starts_with('/') {
        found.push(
            Diagnostic::error(format!("`{}` is not an absolute path", backup.repository))
                .at(at("repository"))
                .because("a repository is a folder of this host; another machine's is mounted here, for example with sshfs or NFS")
                .hint(format!("write for example `repository: /var/backups/{}`", config.project)),
        );
    }
    for (key, written) in [("every", &backup.every), ("drill", &backup.drill)] {
        if let Some(text) = written.as_ref().filter(|text| seconds(text).is_none()) {
            found.push(
                Diagnostic::error(format!("`{text}` is not a length of time"))
                    .at(at(key))
                    .hint("write for example `6h`, `7d`, `daily` or `weekly`"),
            );
        }
    }
    found.extend(backup.copies.iter().filter(|copy| !is_remote(copy)).map(|copy| {
        Diagnostic::error(format!("`{copy}` is no place of rclone's"))
            .at(at("copies"))
            .because("it is the name of a remote that `rclone config` made, a colon, and a path")
            .hint("write for example `copies: [\"offsite:backups/shop\"]`")
    }));
    if backup.check.as_ref().is_some_and(|check| check.command.is_empty()) {
        found.push(
            Diagnostic::error("the check has no command")
                .at(at("check"))
                .hint("write for example `check: { service: web, command: [./check] }`"),
        );
    }
    found.extend(unguarded(config, source));
    found
}

/// Secrets belong into rclone's own file, so only names are taken.
fn is_remote(text: &str) -> bool {
    let name = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    text.split_once(':').is_some_and(|(remote, path)| {
        !remote.starts_with('-')
            && !remote.is_empty()
            && remote.chars().all(name)
            && !path.trim_matches('/').is_empty()
    })
}

/// A backup beside what it is to save goes down with it.
fn unguarded(config: &Config, source: &SourceFile) -> Option<Diagnostic> {
    let production = config
        .environments_in_order()
        .into_iter()
        .next()
        .filter(|(name, environment)| environment.class(name) == Class::Production);
    let backup = config.backup.as_ref().filter(|backup| backup.copies.is_empty())?;
    let path = &backup.repository;
    production.map(|(name, _)| {
        Diagnostic::warning(format!("the backups of `{name}` are kept on this machine only"))
            .at(source.find_nearest(&["backup", "repository"]))
            .because("what takes the machine takes them too")
            .hint(format!(
                "let each backup copy `{path}` elsewhere, `copies: [\"offsite:{}\"]`: docs/backup.md says how",
                config.project
            ))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::parse;

    fn said(section: &str) -> Vec<String> {
        let text = format!(
            "project: shop\ncompose: [c.yml]\nenvironments: {{ production: {{}} }}\nbackup:\n{section}"
        );
        let source = SourceFile::new("partywall.yaml", &text);
        let config = parse(&source).unwrap_or_else(|e| panic!("{e}"));
        check(&config, &source).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn times_are_read() {
        for (text, count) in [("6h", 21_600), ("weekly", 604_800), ("90s", 90)] {
            assert_eq!(seconds(text), Some(count), "{text}");
        }
        for bad in ["", "6", "h", "0h", "6 parsecs", "99999999999999999999d"] {
            assert_eq!(seconds(bad), None, "{bad}");
        }
    }

    #[test]
    fn what_is_wrong_is_shown_where_it_stands() {
        let found = said("  repository: backups\n  every: sometimes\n");
        assert!(
            found[0].contains("`backups` is not an absolute path\n  --> partywall.yaml:5:3"),
            "{found:?}"
        );
        assert!(
            found[1].contains("`sometimes` is not a length of time\n  --> partywall.yaml:6:3"),
            "{found:?}"
        );
        assert!(found[2].contains("kept on this machine only"), "{found:?}");
        let found = said("  repository: /b\n  copies: [\"away:shop\", \":sftp,pass=x:shop\", \"/disk\"]\n");
        assert!(
            found[0].contains("`:sftp,pass=x:shop` is no place of rclone's\n  --> partywall.yaml:6:3"),
            "{found:?}"
        );
        assert!(found[1].contains("`/disk` is no place"), "{found:?}");
        assert_eq!(found.len(), 2, "{found:?}");
    }
}
