//! Looking on while a migration runs: preparing the copy, reading its locks, queueing like a visitor.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use pw_run::Failure;
use tokio::task::JoinHandle;
use tokio_postgres::Client;

use super::judge::{self, Limits};
use super::lock::Mode;
use super::log::sessions;
use super::report::{Report, Waited};
use super::statement::Kind;
use super::timeline::{Known, Sample, Tables, timeline};
use super::visit::{Visitor, Visits, prepare};
use crate::server::Address;

/// Between two looks at the locks. Event triggers see what is shorter.
const LOOK: Duration = Duration::from_millis(50);
/// The longest that the server takes to write its log.
const WRITTEN: Duration = Duration::from_secs(20);
const LOCKS: &str = "SELECT l.pid, l.relation, l.mode, extract(epoch FROM clock_timestamp())::float8, l.granted \
    FROM pg_locks l JOIN pg_stat_activity a USING (pid) \
    WHERE l.locktype = 'relation' AND a.datname = current_database() \
        AND a.backend_type = 'client backend' AND a.application_name <> 'partywall' \
        AND l.mode IN ('RowExclusiveLock', 'ShareLock', 'ShareRowExclusiveLock', 'ExclusiveLock', 'AccessExclusiveLock')";
const TABLES: &str = "SELECT c.oid, CASE n.nspname WHEN 'public' THEN c.relname::text ELSE n.nspname || '.' || c.relname END \
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
    WHERE c.relkind IN ('r', 'p', 'm') AND n.nspname NOT IN ('pg_catalog', 'information_schema') AND n.nspname !~ '^pg_'";
const FIGURES: &str = "SELECT (pg_current_wal_insert_lsn() - '0/0')::bigint, \
    (SELECT sum(pg_database_size(oid)) FROM pg_database)::bigint";

/// A copy that is looked at.
pub struct Watch {
    address: Address,
    client: Client,
    log: File,
    /// The folder is reached through its descriptor: a socket's path may be no longer than 107 bytes.
    _folder: File,
    version: i32,
    tables: Tables,
    before: Figures,
    from: u64,
    seen: Arc<Mutex<Seen>>,
    looking: JoinHandle<()>,
    marks: u32,
}

/// How the command ended that was looked at.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Watched {
    pub service: String,
    pub seconds: f64,
    pub exit_code: Option<i64>,
    pub words: String,
}

#[derive(Clone, Copy)]
struct Figures {
    wal: i64,
    bytes: i64,
}

#[derive(Default)]
pub(super) struct Seen {
    samples: Vec<Sample>,
    pub(super) waited: BTreeMap<u32, Waited>,
    /// Who queues at this moment: table, and whether to write.
    pub(super) queued: BTreeSet<(u32, bool)>,
    /// Connections of visitors who were let in, for the next ones.
    pub(super) resting: Vec<Client>,
}

pub(super) fn not(what: &str) -> impl FnOnce(tokio_postgres::Error) -> Failure {
    let what = format!("could not {what}");
    move |error| Failure::new(what).because(error)
}

pub(super) fn locked(seen: &Mutex<Seen>) -> MutexGuard<'_, Seen> {
    // One who panicked left at worst one sample too few.
    seen.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Watch {
    /// Prepares the copy whose socket and log are in `folder`, and begins to look.
    ///
    /// # Errors
    /// The copy does not answer, or refuses.
    pub async fn open(folder: &Path, log: &str, user: &str, database: &str) -> Result<Self, Failure> {
        let open = |path: &Path| {
            File::open(path)
                .map_err(|error| Failure::new(format!("could not open `{}`", path.display())).because(error))
        };
        let (directory, log) = (open(folder)?, open(&folder.join(log))?);
        let address = Address::local(directory.as_raw_fd(), user, database);
        let client = address.connect().await?;
        client.batch_execute(include_str!("notes.sql")).await.map_err(not("prepare the copy"))?;
        let version = client.query_one("SELECT current_setting('server_version_num')::int", &[]).await;
        let rows = client.query(TABLES, &[]).await.map_err(not("list the copy's tables"))?;
        let mut watch = Self {
            version: version.map_err(not("ask the copy's version"))?.get(0),
            tables: rows.iter().map(|row| (row.get(0), Known { name: row.get(1) })).collect(),
            before: Figures { wal: 0, bytes: 0 },
            seen: Arc::default(),
            looking: tokio::spawn(async {}),
            marks: 0,
            from: 0,
            _folder: directory,
            address,
            client,
            log,
        };
        watch.begin().await?;
        Ok(watch)
    }

    /// Begins anew: what was before counts no more.
    ///
    /// # Errors
    /// The copy does not answer.
    pub async fn begin(&mut self) -> Result<(), Failure> {
        let visits = prepare(&self.client).await?;
        self.from = self.written().await?;
        self.before = self.figures().await?;
        self.seen = Arc::default();
        let looker = Looker {
            client: self.address.connect().await?,
            address: self.address.clone(),
            names: self.tables.iter().map(|(table, known)| (*table, known.name.clone())).collect(),
            visits,
            seen: Arc::clone(&self.seen),
        };
        self.looking = tokio::spawn(looker.run());
        Ok(())
    }

    /// What the command did, once it has ended.
    ///
    /// # Errors
    /// The copy does not answer any more, or its log cannot be read.
    pub async fn end(&mut self, watched: Watched, limits: Limits) -> Result<Report, Failure> {
        self.looking.abort();
        self.await_visitors().await;
        let after = self.figures().await?;
        let until = self.written().await?;
        let text = self.read(until)?;
        let seen = std::mem::take(&mut *locked(&self.seen));
        let timed = timeline(&sessions(&text)?, &self.tables, &seen.samples);
        let mut findings = judge::findings(&timed, self.version);
        let works = |kind: Kind| !matches!(kind, Kind::Begin | Kind::End | Kind::Setting);
        // Findings count statements that are shown.
        let numbers: Vec<usize> = timed
            .iter()
            .scan(0, |next, one| {
                let number = *next;
                *next += usize::from(works(one.kind));
                Some(number)
            })
            .collect();
        findings.iter_mut().for_each(|finding| finding.statement = numbers[finding.statement]);
        let mut report = Report {
            service: watched.service,
            seconds: watched.seconds,
            exit_code: watched.exit_code,
            words: if watched.exit_code == Some(0) { String::new() } else { watched.words },
            statements: timed.into_iter().filter(|one| works(one.kind)).map(|one| one.statement).collect(),
            waited: seen.waited.into_values().collect(),
            wal_bytes: u64::try_from(after.wal - self.before.wal).unwrap_or(0),
            grown_bytes: after.bytes - self.before.bytes,
            findings,
            exceeded: Vec::new(),
        };
        report.exceeded = judge::exceeded(&report, limits);
        Ok(report)
    }

    /// Who still queues is let in now; one who is not, after a command that was killed, has waited long enough.
    async fn await_visitors(&self) {
        let until = Instant::now() + WRITTEN;
        while !locked(&self.seen).queued.is_empty() && Instant::now() < until {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    async fn figures(&self) -> Result<Figures, Failure> {
        let row = self.client.query_one(FIGURES, &[]).await.map_err(not("measure the copy"))?;
        Ok(Figures { wal: row.get(0), bytes: row.get(1) })
    }

    /// Waits until the server has written everything down, and answers how long its log is.
    async fn written(&mut self) -> Result<u64, Failure> {
        self.marks += 1;
        let mark = format!("partywall mark {}", self.marks);
        let note = format!("DO $$ BEGIN RAISE LOG '{mark}'; END $$");
        self.client.batch_execute(&note).await.map_err(not("mark the copy's log"))?;
        let until = Instant::now() + WRITTEN;
        loop {
            let length = self.log.metadata().map_err(unreadable)?.len();
            let mut tail = vec![0; usize::try_from(length.min(4096)).unwrap_or(0)];
            let at = length - tail.len() as u64;
            self.log.read_exact_at(&mut tail, at).map_err(unreadable)?;
            let tail = String::from_utf8_lossy(&tail);
            if tail.contains(&format!("\"{mark}\"")) {
                return Ok(length);
            }
            if Instant::now() > until {
                return Err(Failure::new("the copy's server did not write its log in time"));
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    fn read(&self, until: u64) -> Result<Vec<u8>, Failure> {
        let mut text = vec![0; usize::try_from(until.saturating_sub(self.from)).unwrap_or(0)];
        self.log.read_exact_at(&mut text, self.from).map_err(unreadable)?;
        Ok(text)
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.looking.abort();
    }
}

fn unreadable(error: std::io::Error) -> Failure {
    Failure::new("could not read the copy's log").because(error)
}

/// Reads the locks over and over, and sends visitors where they might have to wait.
struct Looker {
    client: Client,
    address: Address,
    names: BTreeMap<u32, String>,
    visits: BTreeMap<u32, Visits>,
    seen: Arc<Mutex<Seen>>,
}

impl Looker {
    async fn run(self) {
        // The copy went away: its end is told where its command is waited for.
        while let Ok(rows) = self.client.query(LOCKS, &[]).await {
            for row in rows {
                let (table, mode): (u32, &str) = (row.get(1), row.get(2));
                let Some(mode) = Mode::parse(mode).filter(|_| self.names.contains_key(&table)) else {
                    continue;
                };
                // One that is still waited for keeps visitors waiting too, but is not held yet.
                if mode.blocks_writes() && row.get(4) {
                    let sample = Sample { pid: row.get(0), time: row.get(3), table, mode };
                    locked(&self.seen).samples.push(sample);
                }
                // Who changes rows keeps away those that write them too; nobody else, as long as that is all.
                if mode.blocks_writes() {
                    self.visit(table, false);
                }
                self.visit(table, true);
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    /// One reader and one writer at a table at a time.
    fn visit(&self, table: u32, writes: bool) {
        let known = self.names.get(&table).zip(self.visits.get(&table));
        let Some((name, visits)) = known.filter(|_| locked(&self.seen).queued.insert((table, writes))) else {
            return;
        };
        let visitor = Visitor {
            address: self.address.clone(),
            table,
            name: name.clone(),
            writes,
            seen: Arc::downgrade(&self.seen),
        };
        tokio::spawn(visitor.go(visits.clone()));
    }
}
