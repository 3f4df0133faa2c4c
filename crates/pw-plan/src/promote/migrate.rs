//! The schema under a promotion: jobs and the migration command, and the way back of a rollback.

use pw_model::config::Migrate;

use super::step::CommandRun;
use crate::parts::Draft;
use crate::step::{Action, ComposeRun, Undo};

impl Draft<'_> {
    /// Jobs first, for what follows needs them; then the migration command.
    pub(super) fn migrate(&mut self, jobs: &[String], migrates: bool) {
        if !jobs.is_empty() {
            let (project, services) = (self.desired.compose_project.clone(), jobs.to_vec());
            let undo = Undo::by(Action::StopServices { project, services });
            let because = "the new release needs them; a schema stays as they leave it";
            self.replaced(jobs, Vec::new(), undo, because);
        }
        let Some(run) = self.command(&self.compose(), |migrate| &migrate.command).filter(|_| migrates) else {
            return;
        };
        let run = Box::new(run);
        let undo = Undo::by(Action::EndCommand { run: run.clone() });
        let because = "before the new release is asked; the schema stays as it leaves it";
        self.step(Action::RunCommand { run }, undo, because);
    }

    /// A command of `promote.migrate`, where there is one.
    fn command(&self, compose: &ComposeRun, which: fn(&Migrate) -> &Vec<String>) -> Option<CommandRun> {
        let migrate = self.desired.promote.migrate.as_ref().filter(|one| !which(one).is_empty())?;
        let service = migrate.service.to_string();
        let described = self.desired.services.get(&service)?;
        let command = which(migrate).clone();
        let milliseconds = |span: pw_model::unit::Span| u64::try_from(span.0.as_millis()).unwrap_or(u64::MAX);
        let name = crate::hash(&format!("{} {}", described.config_hash, command.join(" ")));
        Some(CommandRun {
            compose: compose.clone(),
            container: format!("{}-migrate-{}", self.desired.compose_project, &name[..8]),
            service,
            command,
            lock_milliseconds: milliseconds(self.desired.promote.limits.lock),
            total_milliseconds: milliseconds(self.desired.promote.limits.total),
            retries: migrate.retries,
            once: false,
        })
    }

    /// Keeps what the release that serves is described by: only it knows the way back of its own migration.
    pub(super) fn way_back_of_schema(&mut self) -> Option<(String, String)> {
        let path = self.desired.compose_file.path.clone();
        let hash = self.observed.files.get(&path)?.clone();
        let kept = Action::KeepFile { path: path.clone(), hash: hash.clone() };
        self.step(kept, Undo::Nothing, "the way back is run from it");
        Some((format!("{path}.back"), hash))
    }

    /// The release that serves meets the older schema until visitors are led away from it.
    pub(super) fn migrate_back(&mut self, (path, hash): (String, String)) {
        let compose = ComposeRun { project: self.desired.compose_project.clone(), file: path.clone() };
        let Some(run) = self.command(&compose, |migrate| &migrate.down) else { return };
        let install = || Action::InstallFile { path: path.clone(), hash: hash.clone() };
        let remove = || Action::RemoveFile { path: path.clone() };
        self.step(install(), Undo::by(remove()), "the release that serves, whose migration it is");
        // Twice, it would take two migrations back: its container stays until it is noted that it has run.
        let run = Box::new(CommandRun { once: true, ..run });
        let end = Action::EndCommand { run: run.clone() };
        // Whole in itself: a way back that is gone twice finds the file removed.
        let mut actions = vec![end.clone()];
        if let Some(forward) = self.command(&compose, |migrate| &migrate.command) {
            actions.extend([install(), Action::RunCommand { run: Box::new(forward) }, remove()]);
        }
        let because = "the code before does not run with the schema of today";
        self.step(Action::RunCommand { run }, Undo::By { actions }, because);
        self.step(end, Undo::Nothing, "it has run");
        self.step(remove(), Undo::Nothing, "it has run");
    }
}
