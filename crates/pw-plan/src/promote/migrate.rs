//! The schema under a promotion: jobs and the migration command, and the way back of a rollback.

use pw_model::config::Migrate;
use pw_model::desired::Desired;
use pw_model::diagnostic::Diagnostic;

use super::step::CommandRun;
use crate::parts::Draft;
use crate::step::{Action, ComposeRun, Undo};

/// Services that `promote` names, and that the release does not have: nobody would migrate, nobody would be asked, and nobody
/// would tell.
///
/// # Errors
/// The first of them.
pub(super) fn check_names(desired: &Desired) -> Result<(), Box<Diagnostic>> {
    let promote = &desired.promote;
    let verified = promote.verify.iter().filter_map(|one| one.service.as_ref());
    let named = (promote.migrate.iter().map(|one| ("migrate", &one.service)))
        .chain(verified.map(|name| ("verify", name)))
        .chain(promote.overlap.iter().map(|name| ("overlap", name)));
    for (key, name) in named {
        let routed = || desired.routes.iter().any(|route| route.service == name.as_str());
        if !desired.services.contains_key(name.as_str()) {
            return Err(Box::new(no_service(desired, key, name.as_str())));
        }
        if key == "verify" && !routed() {
            let what = format!("`promote.verify` asks `{name}`, which has no route");
            let because = "the new release is asked over the proxy, as its visitors ask";
            let hint = format!("add a route to `{name}`, or leave `service` away: every routed one is asked");
            return Err(Box::new(Diagnostic::error(what).because(because).hint(hint)));
        }
    }
    Ok(())
}

fn no_service(desired: &Desired, key: &str, name: &str) -> Diagnostic {
    let environment = &desired.environment;
    let known: Vec<&str> = desired.services.keys().map(String::as_str).collect();
    Diagnostic::error(format!("`promote.{key}` names `{name}`, and `{environment}` has no such service"))
        .because(format!("its Compose files describe {}", known.join(", ")))
        .hint(format!("correct `promote.{key}` in `partywall.yaml`"))
}

impl Draft<'_> {
    /// Jobs first, for what follows needs them; then the migration command.
    pub(super) fn migrate(&mut self, jobs: &[String], migrates: bool) {
        if !jobs.is_empty() {
            let (project, services) = (self.desired.compose_project.clone(), jobs.to_vec());
            let undo = Undo::by(Action::StopServices { project, services });
            let because = "the new release needs them; a schema stays as they leave it";
            self.replaced_alone(jobs, Vec::new(), undo, because);
            let (project, services) = (self.desired.compose_project.clone(), jobs.to_vec());
            let wait = Action::AwaitJobs { project, services, timeout_seconds: self.most_seconds() };
            self.step(wait, Undo::Nothing, "a job that runs is not over");
        }
        let Some(run) = self.command(&self.compose(), |migrate| &migrate.command).filter(|_| migrates) else {
            return;
        };
        let run = Box::new(run);
        let undo = Undo::by(Action::EndCommand { run: run.clone() });
        let because = "before the new release is asked; the schema stays as it leaves it";
        self.step(Action::RunCommand { run }, undo, because);
    }

    /// For everything that a migration does; without a limit, for ever.
    fn most_seconds(&self) -> u64 {
        match self.desired.promote.limits.total.0.as_secs() {
            0 => u64::MAX,
            seconds => seconds,
        }
    }

    /// A command of `promote.migrate`, where there is one.
    fn command(&self, compose: &ComposeRun, which: fn(&Migrate) -> &Vec<String>) -> Option<CommandRun> {
        let migrate = self.desired.promote.migrate.as_ref().filter(|one| !which(one).is_empty())?;
        let service = migrate.service.to_string();
        let command = which(migrate).clone();
        let milliseconds = |span: pw_model::unit::Span| u64::try_from(span.0.as_millis()).unwrap_or(u64::MAX);
        // Of a release that introduced the service, the one before knows nothing: its way back runs from its own file.
        let hash = self.desired.services.get(&service).map_or("", |described| &described.config_hash);
        let name = crate::hash(&format!("{hash} {}", command.join(" ")));
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
