//! The hands of the whole program: the host's, and those that reach into databases.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use pw_data::mask::Secret;
use pw_data::rehearse::judge::Limits;
use pw_data::rehearse::{Report, Watch, Watched};
use pw_data::rules::Size;
use pw_data::sample::{Opening, Order, Reading, Standing};
use pw_data::server::Address;
use pw_host::{Host, OnLine, vault};
use pw_model::config::FILE_NAME;
use pw_model::source::SourceFile;
use pw_plan::Action;
use pw_plan::step::{DatabasePlace, ProbeRun, Rehearsal, SampleRun, SourcePlace, TakeRun, VaultRun};
use pw_run::{Failure, Perform};

use crate::backing::{self, drill::Drilled};
use crate::look::{self, Asked};
use crate::moving;
use crate::proved;
use crate::reach::{self, Reached, reach};
use crate::seeded;
use crate::stop::of_halt;

/// Carries out every action.
pub(crate) struct Hands {
    host: Host,
    on_line: Option<OnLine>,
    /// What `seed` has read already of the source.
    reading: Option<Reading>,
    /// Held while files are copied, which goes on for a moment after it was called off.
    copying: Arc<Mutex<()>>,
    /// What `rehearse` has measured.
    reports: Reports,
    /// What `drill` has found out.
    drilled: Arc<Mutex<Drilled>>,
    /// What is asked of a sample that is not made.
    asked: Asked,
    /// What `prove` has found.
    proved: proved::Shared,
}

/// One for each command that was rehearsed.
pub(crate) type Reports = Arc<Mutex<Vec<Report>>>;

impl From<Host> for Hands {
    fn from(host: Host) -> Self {
        Self {
            host,
            on_line: None,
            reading: None,
            copying: Arc::default(),
            reports: Arc::default(),
            drilled: Arc::default(),
            asked: Asked::default(),
            proved: proved::Shared::default(),
        }
    }
}

impl Hands {
    pub(crate) fn with_reading(host: Host, reading: Reading) -> Self {
        Self { reading: Some(reading), ..Self::from(host) }
    }

    pub(crate) fn with_drilled(host: Host, drilled: Arc<Mutex<Drilled>>) -> Self {
        Self { drilled, ..Self::from(host) }
    }

    pub(crate) fn with_proved(host: Host, proved: proved::Shared) -> Self {
        Self { proved, ..Self::from(host) }
    }

    pub(crate) fn with_question(host: Host, asked: Asked) -> Self {
        Self { asked, ..Self::from(host) }
    }

    pub(crate) fn with_reports(host: Host, reports: Reports) -> Self {
        Self { reports, ..Self::from(host) }
    }

    pub(crate) fn storing_for(self, environment: &str) -> Self {
        Self { host: self.host.storing_for(environment), ..self }
    }

    pub(crate) fn on_line(self, on_line: OnLine) -> Self {
        Self { host: self.host.on_line(Arc::clone(&on_line)), on_line: Some(on_line), ..self }
    }

    fn tell(&self, line: &str) {
        if let Some(on_line) = &self.on_line {
            on_line(line);
        }
    }

    async fn server(&self, place: &DatabasePlace) -> Result<Reached, Failure> {
        reach(self.host.engine(), place).await
    }

    async fn sample(&mut self, run: &SampleRun) -> Result<(), Failure> {
        let begun = Instant::now();
        let to = self.server(&run.to).await?;
        let (from, pg_dump) = self.source(run, &to).await?;
        let reading = match self.reading.take() {
            Some(reading) => reading,
            None => self.read(&from, (&run.rules, run.size.as_deref())).await?,
        };
        let key = std::fs::read_to_string(&run.key)
            .map_err(|error| Failure::new(format!("could not read `{}`", run.key)).because(error))?;
        let secret = Secret::new(&key);
        let order = Order {
            to: &to.address,
            secret: &secret,
            keep_failed: run.keep_failed,
            pg_dump: pg_dump.as_deref(),
        };
        let tell = |stage: &str| self.tell(stage);
        let show = |standing: &Standing| self.tell(&moving::line(standing));
        let work = reading.fill(&order, Some(&run.scratch), &tell);
        let filled = moving::watched(&reading, work, moving::interval(), &show).await;
        let (done, scratch) = filled.map_err(of_halt)?;
        let foreign_keys = pw_data::seed::foreign_keys(&scratch.address).await?;
        scratch.finish().await?;
        let size = run.size.clone().or_else(|| seeded::cohort_size(&self.host.text(&run.rules).ok()?));
        seeded::write(run, &seeded::Proved { size, done, foreign_keys, took: begun.elapsed() })
    }

    /// What is sampled, and the words that start a `pg_dump` for it.
    async fn source(&self, run: &SampleRun, to: &Reached) -> Result<(Address, Option<Vec<String>>), Failure> {
        let (address, pg_dump) = match &run.from {
            SourcePlace::Database(place) => {
                let reached = self.server(place).await?;
                (reached.address, Some(reached.pg_dump))
            }
            SourcePlace::Server { dsn, .. } => {
                let address = reach::server(dsn)?;
                let pg_dump = reach::pg_dump_for(&address, &to.image);
                (address, pg_dump)
            }
        };
        Ok((address.limited(run.rate), pg_dump))
    }

    /// Where nobody could read before: the server is younger than the plan, or the run was cut off.
    async fn read(&self, from: &Address, (rules, size): (&str, Option<&str>)) -> Result<Reading, Failure> {
        let rules = SourceFile::new(FILE_NAME, self.host.text(rules)?);
        let (size, ways) = (size.and_then(Size::parse), self.asked.wants_ways());
        let tell = |stage: &str| self.tell(stage);
        let opening = Opening { size, why: ways, ..Opening::default() };
        let reading = Reading::open_as(from, &rules, &opening, &tell).await.map_err(of_halt)?;
        look::readable(&reading, &rules).map_err(of_halt)?;
        Ok(reading)
    }

    /// Answers what is asked of a sample, and makes none.
    async fn look(&self, from: &DatabasePlace, rules: (&str, Option<&str>)) -> Result<(), Failure> {
        let reading = self.read(&self.server(from).await?.address, rules).await?;
        self.asked.put_to(&reading).await.map_err(of_halt)
    }

    async fn rewrite(&self, place: &DatabasePlace, hash: &str) -> Result<(), Failure> {
        let text = self.host.text(hash)?;
        let rewrites: Vec<pw_data::seed::Rewrite> = serde_json::from_str(&text)
            .map_err(|error| Failure::new("could not understand the kept rewrites").because(error))?;
        let counts = pw_data::seed::rewrite(&self.server(place).await?.address, &rewrites).await?;
        match rewrites.iter().zip(counts).find(|(_, count)| *count == 0) {
            Some((rewrite, _)) => {
                Err(Failure::new(format!("the rewrite of `{}` meets no row of the sample", rewrite.table))
                    .hint(format!(
                        "correct its `where`, or keep the table whole: `tables: {{ {}: whole }}`",
                        rewrite.table
                    )))
            }
            None => Ok(()),
        }
    }

    async fn copy_files(&self, place: &DatabasePlace, run: &VaultRun) -> Result<(), Failure> {
        let keys = pw_data::seed::texts(&self.server(place).await?.address, &run.column).await?;
        let (run, on_line) = (run.clone(), self.on_line.clone());
        self.copying(move |stop| {
            let tell = |line: &str| on_line.iter().for_each(|on_line| on_line(line));
            vault::stage(&run, &keys, stop, &tell)
        })
        .await
    }

    async fn take_files(&self, run: &TakeRun) -> Result<(), Failure> {
        let keys =
            pw_data::seed::texts(&self.server(&run.database).await?.address, &run.vault.column).await?;
        let run = run.clone();
        self.copying(move |stop| backing::load::take(&run, &keys, stop)).await
    }

    /// Long work with files, which ends soon when nobody waits for it any more.
    async fn copying(
        &self,
        work: impl FnOnce(&AtomicBool) -> Result<(), Failure> + Send + 'static,
    ) -> Result<(), Failure> {
        let (copying, called_off) = (Arc::clone(&self.copying), CalledOff::default());
        let stop = called_off.flag();
        let work = move || {
            let _held = copying.lock().unwrap_or_else(PoisonError::into_inner);
            work(&stop)
        };
        let ended = tokio::task::spawn_blocking(work).await;
        ended.map_err(|error| Failure::new("copying files ended early").because(error))?
    }

    /// Each command in turn, measured; the next one only after one that ended well.
    async fn rehearse(&self, run: &Rehearsal) -> Result<(), Failure> {
        self.tell("waiting for the copy to be prepared");
        let mut watch = Watch::open(Path::new(&run.folder), &run.log, &run.user, &run.database).await?;
        let limits = Limits {
            lock: Duration::from_millis(run.lock_milliseconds),
            total: Duration::from_millis(run.total_milliseconds),
        };
        for service in &run.services {
            watch.begin().await?;
            self.tell(&format!("waiting for `{service}` to end"));
            let begun = Instant::now();
            self.host.start_job(&run.compose, service).await?;
            let ended = self.host.engine().await_job(&run.compose.project, service, limits.total).await?;
            let watched = Watched {
                service: service.clone(),
                seconds: begun.elapsed().as_secs_f64(),
                exit_code: ended.code,
                words: ended.words,
            };
            let report = watch.end(watched, limits).await?;
            let goes_on = report.exit_code == Some(0);
            self.reports.lock().unwrap_or_else(PoisonError::into_inner).push(report);
            if !goes_on {
                break;
            }
        }
        Ok(())
    }

    async fn probe_wall(&self, run: &ProbeRun) -> Result<(), Failure> {
        let found = pw_host::prove::probe(self.host.engine(), run, &|line| self.tell(line)).await;
        pw_host::prove::end(&run.group).await?;
        self.proved.lock().unwrap_or_else(PoisonError::into_inner).tried = found?;
        Ok(())
    }

    async fn perform_on_data(&mut self, action: &Action) -> Result<(), Failure> {
        match action {
            Action::SampleDatabase { sample } => self.sample(sample).await,
            Action::RewriteRows { database, hash } => self.rewrite(database, hash).await,
            Action::RenameDatabases { server, renames } => {
                pw_data::seed::rename(&self.server(server).await?.address, renames).await
            }
            Action::RemoveDatabases { server, names } => {
                let address = self.server(server).await?.address;
                for name in names {
                    pw_data::seed::remove(&address, name).await?;
                }
                Ok(())
            }
            Action::LoadDump { stored, server } => {
                backing::load::load_counted(&self.host, self.on_line.clone(), (stored, server)).await
            }
            Action::LookAtSample { from, rules, size } => self.look(from, (rules, size.as_deref())).await,
            Action::TakeFiles { take } => self.take_files(take).await,
            Action::StageFiles { database, vault } => self.copy_files(database, vault).await,
            Action::Rehearse { rehearsal } => self.rehearse(rehearsal).await,
            Action::Drill { drill } => {
                let found = backing::drill::drill(&self.host, self.on_line.clone(), drill).await;
                *self.drilled.lock().unwrap_or_else(PoisonError::into_inner) = found;
                Ok(())
            }
            Action::ProbeWall { run } => self.probe_wall(run).await,
            Action::Blast { run } => {
                let found = proved::blast(&self.host, run, &|line| self.tell(line)).await?;
                self.proved.lock().unwrap_or_else(PoisonError::into_inner).blasted.push(found);
                Ok(())
            }
            Action::MakeRepository { .. }
            | Action::MakeBackup { .. }
            | Action::RemoveBackup { .. }
            | Action::ForgetBackups { .. }
            | Action::RestoreDatabase { .. }
            | Action::MakeRoles { .. }
            | Action::RemoveRoles { .. }
            | Action::RestoreFolder { .. }
            | Action::RestoreFiles { .. }
            | Action::HoldLog { .. }
            | Action::ReleaseLog { .. }
            | Action::TakeLog { .. }
            | Action::RestoreBase { .. }
            | Action::CopyRestored { .. }
            | Action::CopyKey { .. }
            | Action::CopyRepository { .. }
            | Action::RestorePath { .. }
            | Action::RestoreTable { .. }
            | Action::PlaceTable { .. }
            | Action::RemovePlaced { .. }
            | Action::RemoveRestored { .. }
            | Action::SwapFolders { .. } => {
                backing::perform::perform(&self.host, self.on_line.clone(), action).await
            }
            other => self.host.perform(other).await,
        }
    }
}

impl Perform for Hands {
    async fn stage(&mut self, hash: &str, text: &str) -> Result<(), Failure> {
        self.host.stage(hash, text).await
    }

    async fn perform(&mut self, action: &Action) -> Result<(), Failure> {
        if matches!(action, Action::RemoveStaged { .. } | Action::RemoveTree { .. }) {
            drop(self.copying.lock().unwrap_or_else(PoisonError::into_inner));
        }
        self.perform_on_data(action).await
    }
}

/// Set when who waits for the copying is gone.
#[derive(Default)]
pub(crate) struct CalledOff(Arc<AtomicBool>);

impl CalledOff {
    pub(crate) fn flag(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.0)
    }
}

impl Drop for CalledOff {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}
