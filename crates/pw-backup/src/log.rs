//! The log of servers between backups: segments are kept in snapshots of their own, and found again without a gap.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use jiff::Timestamp;
use pw_plan::step::{BackupRun, LogRun};
use pw_run::Failure;
use rustic_core::repofile::SnapshotFile;
use serde::{Deserialize, Serialize};

use crate::former::Former;
use crate::make::{archive, join, snapshot, sweep};
use crate::manifest::{Base, Measure};
use crate::repository::{Indexed, LOG, Repository, UNFINISHED, json_of};
use crate::source::{Ledger, Part, Program};
use crate::take::same_stream;

/// Name of the file at the top of the snapshot.
const FILE: &str = "log.json";

/// What was taken of the logs of an environment's servers at one time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Log {
    pub name: String,
    /// Everything that was committed before it is in it.
    pub at: Timestamp,
    pub servers: BTreeMap<String, Server>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Server {
    pub system: String,
    pub segment_bytes: u64,
    pub segments: BTreeMap<String, Measure>,
}

/// Service and segment → the program that prints it.
pub type Programs = BTreeMap<(String, String), Program>;

/// The log from a base on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chain {
    /// Name of what was taken together → segments in it, in order.
    pub parts: Vec<(String, Vec<String>)>,
    /// Up to here it goes.
    pub until: Timestamp,
}

impl Chain {
    pub fn segments(&self) -> usize {
        self.parts.iter().map(|(_, segments)| segments.len()).sum()
    }
}

fn path(service: &str, segment: &str) -> PathBuf {
    Path::new("log").join(service).join(segment)
}

/// Keeps segments; answers false where what is named so is kept already, whatever segments that were.
///
/// # Errors
/// One could not be read to its end, or the repository could not be written; then nothing is kept.
pub fn keep(run: &LogRun, mut log: Log, programs: Programs) -> Result<bool, Failure> {
    let repository = Repository::new(run.repository.clone());
    let writing = repository.writing()?;
    if logs(&repository, &repository.indexed()?, &run.environment)?
        .iter()
        .any(|(_, one)| one.name == run.name)
    {
        return Ok(false);
    }
    sweep(&repository, &writing)?;
    let ledger = Arc::new(Ledger::default());
    let streams = programs
        .into_iter()
        .map(|((service, segment), program)| Part::Stream { path: path(&service, &segment), program });
    let named = as_backup(run);
    let data = archive(&repository, (&named, &Former::default()), streams.collect(), &ledger)?;
    let read = ledger.read();
    for (service, server) in &mut log.servers {
        for (segment, measure) in &mut server.segments {
            let found = read.get(&path(service, segment)).cloned();
            *measure = found.ok_or_else(|| Failure::new(format!("segment {segment} was not read")))?;
        }
    }
    let text = serde_json::to_vec_pretty(&log)
        .map_err(|error| Failure::new(format!("could not write {FILE}")).because(error))?;
    let told = vec![Part::Text { path: PathBuf::from(FILE), text }];
    let written = archive(&repository, (&named, &Former::default()), told, &ledger)?;
    join(&repository, snapshot(&named, &[LOG])?, [data, written])?;
    Ok(true)
}

/// A snapshot of the log has the names of a backup, and its own mark.
fn as_backup(run: &LogRun) -> BackupRun {
    BackupRun {
        repository: run.repository.clone(),
        name: run.name.clone(),
        project: run.project.clone(),
        environment: run.environment.clone(),
        databases: BTreeMap::new(),
        folders: BTreeMap::new(),
        files: BTreeMap::new(),
        release: BTreeMap::new(),
        bases: BTreeMap::new(),
    }
}

/// What was taken of an environment, the oldest first.
fn logs(
    repository: &Repository,
    open: &Indexed,
    environment: &str,
) -> Result<Vec<(SnapshotFile, Log)>, Failure> {
    let mut found = Vec::new();
    for one in of_environment(repository.snapshots(open)?, environment) {
        let log: Log = json_of(open, &one, FILE)?;
        found.push((one, log));
    }
    found.sort_by(|(_, one), (_, other)| one.name.cmp(&other.name));
    Ok(found)
}

pub(crate) fn of_environment(mut all: Vec<SnapshotFile>, environment: &str) -> Vec<SnapshotFile> {
    let tag = format!("environment:{environment}");
    let whole = |one: &SnapshotFile| one.tags.contains(LOG) && !one.tags.contains(UNFINISHED);
    all.retain(|one| whole(one) && one.tags.contains(&tag));
    all
}

/// The log of a server from a base on, up to a moment or as far as it goes.
///
/// # Errors
/// A segment is missing, which is named, or the log ends before the moment.
pub fn chain(
    repository: &Repository,
    environment: &str,
    (service, base): (&str, &Base),
    until: Option<Timestamp>,
) -> Result<Chain, Failure> {
    let open = repository.indexed()?;
    let mut all = logs(repository, &open, environment)?;
    let fits = |one: &Server| {
        one.system == base.system && one.segments.keys().next_back().is_some_and(|last| *last >= base.first)
    };
    all.retain(|(_, log)| log.servers.get(service).is_some_and(fits));
    if let Some(until) = until {
        let last = all.iter().position(|(_, log)| log.at >= until);
        let Some(last) = last else { return Err(too_short(&all, base, until)) };
        all.truncate(last + 1);
    }
    let mut chain = Chain { parts: Vec::new(), until: base.ended };
    let mut seen = BTreeSet::new();
    for (_, log) in &all {
        let names = log.servers[service].segments.keys().filter(|name| **name >= base.first);
        let names: Vec<String> = names.filter(|name| seen.insert((*name).clone())).cloned().collect();
        chain.parts.push((log.name.clone(), names));
        chain.until = log.at;
    }
    match gap(&base.first, &seen, base.segment_bytes) {
        Some(missing) => Err(Failure::new(format!("segment {missing} of the log of `{service}` is missing"))
            .because(std::io::Error::other(format!(
                "the repository holds {} segments from {} on, up to {}",
                seen.len(),
                base.first,
                seen.last().map_or("none", String::as_str)
            )))),
        None => Ok(chain),
    }
}

fn too_short(all: &[(SnapshotFile, Log)], base: &Base, until: Timestamp) -> Failure {
    let end = all.last().map_or(base.ended, |(_, log)| log.at);
    Failure::new(format!("the log does not reach {until}"))
        .because(std::io::Error::other(format!("what the repository holds of it ends at {end}")))
        .hint("name an earlier time; or take the rest of the log with `partywall backup ENV --log`")
}

/// The first segment that is not there, between the first and the last.
fn gap(first: &str, names: &BTreeSet<String>, segment_bytes: u64) -> Option<String> {
    let mut expected = first.to_owned();
    for name in names {
        // A server that was restored goes on in another line of time, whose first segment is a copy.
        if *name != expected && name.get(..8) == expected.get(..8) {
            return Some(expected);
        }
        expected = next(name, segment_bytes)?;
    }
    names.is_empty().then_some(expected)
}

/// Timeline, four gigabytes, segment in them: eight digits each.
fn next(name: &str, segment_bytes: u64) -> Option<String> {
    let number = |range| u64::from_str_radix(name.get(range)?, 16).ok();
    let (high, low) = (number(8..16)?, number(16..24)? + 1);
    let in_one = (1_u64 << 32) / segment_bytes.max(1);
    let (high, low) = if low >= in_one { (high + 1, 0) } else { (high, low) };
    Some(format!("{}{high:08X}{low:08X}", name.get(..8)?))
}

/// What was taken at one time, opened to be read.
pub struct Reading {
    open: Indexed,
    all: Vec<(SnapshotFile, Log)>,
}

impl Reading {
    /// # Errors
    /// The repository cannot be read.
    pub fn open(repository: &Repository, environment: &str) -> Result<Self, Failure> {
        let open = repository.indexed()?;
        let all = logs(repository, &open, environment)?;
        Ok(Self { open, all })
    }

    /// Writes a segment to `out`, and compares it with what was read then.
    ///
    /// # Errors
    /// It is missing or damaged, or `out` takes no more.
    pub fn segment(
        &self,
        log: &str,
        (service, segment): (&str, &str),
        out: impl Write,
    ) -> Result<(), Failure> {
        let missing = || Failure::new(format!("segment {segment} of the log of `{service}` is missing"));
        let (snapshot, log) = self.all.iter().find(|(_, one)| one.name == log).ok_or_else(missing)?;
        let known = log.servers.get(service).and_then(|server| server.segments.get(segment));
        let known = known.ok_or_else(missing)?;
        same_stream(&self.open, (snapshot, &path(service, segment)), known, out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_segment_is_named() {
        let names = |all: &[&str]| all.iter().map(|name| format!("00000001{name}")).collect::<BTreeSet<_>>();
        let all = names(&["000000010000003E", "000000010000003F", "0000000200000000", "0000000200000001"]);
        let (first, big) = ("00000001000000010000003E", 64 << 20);
        assert_eq!(gap(first, &all, big), None);
        let mut less = all.clone();
        less.remove("000000010000000200000000");
        assert_eq!(gap(first, &less, big).as_deref(), Some("000000010000000200000000"));
        assert_eq!(gap("00000001000000010000003D", &all, big).as_deref(), Some("00000001000000010000003D"));
        assert_eq!(gap(first, &BTreeSet::new(), big).as_deref(), Some(first));
    }
}
