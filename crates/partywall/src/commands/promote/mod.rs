//! `promote`, `rollback`, `retire`: a release comes to the visitors of an environment, or goes.

mod back;
mod preflight;
mod push;
mod show;
mod source;

use pw_model::config::Class;
use pw_model::desired::Desired;
use pw_model::diagnostic::Diagnostic;
use pw_model::name::EnvironmentName;
use pw_model::release::Release;
use pw_model::role::Role;
use pw_plan::promote::{self, Schema, Wanted};
use pw_plan::{Action, Plan};
use pw_run::Observe as _;

pub(super) use self::back::{retire, rollback};
pub(super) use self::push::run as push;
pub(super) use self::show::releases;
use super::{backup, rehearse};
use crate::apply;
use crate::backing;
use crate::cli;
use crate::prepare::{self, Prepared};
use crate::printer::{GREEN, Printer, count};
use crate::reach;
use crate::releases as list;
use crate::session::Session;
use crate::stop::Stop;

/// A release on its way into an environment.
struct Promotion<'s> {
    session: &'s Session,
    name: &'s EnvironmentName,
    release: Release,
    operation: &'static str,
    schema: Schema,
}

/// A plan, with both sides that it was made from.
struct Planned {
    prepared: Prepared,
    plan: Plan,
    release: Release,
}

pub(super) async fn run(session: &Session, asked: &cli::Promote, printer: &mut Printer) -> Result<(), Stop> {
    let name = target(session, asked.to.as_deref())?;
    let from = origin(session, name, asked.from.as_deref())?;
    if !asked.plan {
        preflight::check(session, name, asked.accept_drift, printer).await?;
    }
    let commit = source::commit(session, asked.reference.as_deref(), from).await?;
    let tree = source::check_out(session, name, &commit, printer).await?;
    let (release, builds) = source::release(session, name, &commit, tree).await?;
    let promotion = |mut release: Release| {
        release.why = asked.why.clone().unwrap_or_default();
        Promotion { session, name, release, operation: promote::OPERATION, schema: Schema::Forward }
    };
    if asked.plan {
        return show::plan(&promotion(release).planned().await?.plan, printer);
    }
    let release = {
        let (_lock, mut journal) = session.begin()?;
        source::built(session, name, (release, builds), &mut journal, printer).await?
    };
    let mut promotion = promotion(release);
    let mut planned = promotion.planned().await?;
    if planned.plan.is_empty() {
        return show::nothing(name, &promotion.release, printer);
    }
    if changes_schema(&planned.plan, &planned.prepared.desired) {
        promotion.release.migrations = promotion.migrations().await;
        promotion.release.restore_point = promotion.restore_point(asked, printer).await?;
        promotion.rehearse(asked, printer).await?;
        planned = promotion.planned().await?;
    }
    promotion.carry_out(planned, printer).await
}

/// The environment named, else the first of class production. A development is pushed to.
fn target<'s>(session: &'s Session, wanted: Option<&str>) -> Result<&'s EnvironmentName, Stop> {
    let config = &session.config;
    let first = || {
        let mut all = config.environments_in_order().into_iter();
        all.find(|(name, environment)| environment.class(name) == Class::Production).map(|(name, _)| name)
    };
    let name = match wanted {
        Some(wanted) => session.environment(wanted)?.0,
        None => first().ok_or_else(|| {
            Stop::because(
                "there is no production",
                "no environment is of class production",
                "name one with `--to`",
            )
        })?,
    };
    if session.class(name.as_str())? == Class::Development {
        return Err(Stop::because(
            format!("`{name}` is a development environment"),
            "nobody waits for its answers, so nothing is flipped there",
            format!("`partywall push {name}`"),
        ));
    }
    Ok(name)
}

/// The release of the environment that it comes from: the one named, else the first development that runs one.
fn origin<'s>(
    session: &'s Session,
    to: &EnvironmentName,
    wanted: Option<&str>,
) -> Result<Option<&'s Release>, Stop> {
    let Some(wanted) = wanted else {
        let all = session.config.environments_in_order().into_iter();
        let mut others = all.filter(|(name, one)| *name != to && one.class(name) == Class::Development);
        return Ok(others.find_map(|(name, _)| session.releases.get(name)));
    };
    let (name, _) = session.environment(wanted)?;
    match session.releases.get(name) {
        Some(release) => Ok(Some(release)),
        None => Err(Stop::because(
            format!("`{name}` runs no release"),
            "it runs from the project's folder, which no commit says",
            format!("`partywall push {name}` first, or name the commit with `--ref`"),
        )),
    }
}

impl Promotion<'_> {
    /// Looks at the host as it is, and plans.
    async fn planned(&self) -> Result<Planned, Stop> {
        let session = self.session.with_release(self.name, self.release.clone());
        let mut prepared = prepare::prepare(&session, &session.host(), self.name, "up").await?;
        let plan = self.plan_of(&prepared, &self.release)?;
        if plan.is_empty() {
            return Ok(Planned { prepared, plan, release: self.release.clone() });
        }
        // What the plan does is part of what the release remembers.
        let mut release = self.release.clone();
        release.compose = pw_plan::hash(&prepared.desired.compose_file.text);
        release.compatible = !changes_schema(&plan, &prepared.desired) || self.is_compatible();
        release.at = jiff::Timestamp::now().as_second();
        prepared.desired.release =
            list::marker(&self.session.with_release(self.name, release.clone()), self.name);
        let plan = self.plan_of(&prepared, &release)?;
        Ok(Planned { prepared, plan, release })
    }

    fn is_compatible(&self) -> bool {
        let promote = self.session.config.promote.as_ref();
        promote.and_then(|promote| promote.migrate.as_ref()).is_some_and(|migrate| migrate.compatible)
    }

    fn plan_of(&self, prepared: &Prepared, release: &Release) -> Result<Plan, Stop> {
        let entry = list::entry(self.session, self.name, release);
        let commit = release.commit.as_str();
        let wanted = Wanted { operation: self.operation, entry: &entry, commit, schema: self.schema };
        let plan = promote::plan(&prepared.desired, &prepared.observed, wanted)?;
        plan.lint()
            .map_err(|error| pw_run::Failure::new("the plan is not safe to carry out").because(error))?;
        Ok(plan)
    }

    /// What was applied to the databases before this release; one that cannot be asked is left out.
    async fn migrations(&self) -> Vec<String> {
        let (config, host) = (&self.session.config, self.session.host());
        let project = config.compose_project(self.name);
        let mut all = Vec::new();
        for (key, database) in &config.databases {
            let Ok(place) = reach::place(host.engine(), &project, database).await else { continue };
            let Ok(reached) = reach::reach(host.engine(), &place).await else { continue };
            let applied = pw_data::migrations::of(&reached.address).await.unwrap_or_default();
            all.extend(applied.into_iter().map(|name| format!("{key}: {name}")));
        }
        all
    }

    /// A backup of what the migration will meet, where backups are kept at all.
    async fn restore_point(
        &self,
        asked: &cli::Promote,
        printer: &mut Printer,
    ) -> Result<Option<String>, Stop> {
        if asked.skip_backup || self.session.config.backup.is_none() {
            return Ok(None);
        }
        printer.note("a restore point first");
        backup::restore_point(self.session, self.name, printer).await?;
        backing::newest(self.session, self.name).map(Some)
    }

    /// The migration on a full-size copy, before production meets it.
    async fn rehearse(&self, asked: &cli::Promote, printer: &mut Printer) -> Result<(), Stop> {
        let config = &self.session.config;
        let described = config.promote.as_ref().is_some_and(|promote| promote.migrate.is_some());
        if asked.skip_rehearsal || !described || config.databases.is_empty() {
            return Ok(());
        }
        let session = self.session.with_release(self.name, self.release.clone());
        let rehearsal = cli::Rehearse {
            environment: self.name.to_string(),
            code: Some(self.name.to_string()),
            from: None,
            database: None,
            no_sample: true,
            plan: false,
        };
        printer.note("rehearsing the migration on a copy");
        rehearse::run(&session, &rehearsal, printer).await
    }

    async fn carry_out(&self, planned: Planned, printer: &mut Printer) -> Result<(), Stop> {
        let host = self.session.host();
        let desired = &planned.prepared.desired;
        {
            let (_lock, mut journal) = self.session.begin()?;
            let observed = host.observe(desired).await?;
            if pw_plan::basis(desired, &observed) != planned.plan.basis {
                return Err(Stop::because(
                    format!("`{}` changed since the plan was made", self.name),
                    "somebody else, or a container by itself, was faster",
                    format!("run `partywall {} {}` again", self.operation, self.name),
                ));
            }
            apply::run(&planned.plan, host, &mut journal, printer).await?;
        }
        self.end(&planned, printer).await
    }

    /// The containers before go at once where nothing is to stay warm; else they wait for `rollback`.
    async fn end(&self, planned: &Planned, printer: &mut Printer) -> Result<(), Stop> {
        let warm = planned.prepared.desired.promote.warm;
        if warm.0.is_zero() {
            let retired = back::retire_all(self.session, &planned.prepared.desired, printer).await;
            let hint = format!("`partywall retire {}` ends the containers before", self.name);
            left_over(retired.map(drop), hint, printer);
        }
        let pruned = self.prune(&planned.release, printer).await;
        left_over(pruned, "the next promotion forgets releases that are not kept".to_owned(), printer);
        show::done(self.name, self.operation, planned, warm, printer)
    }
}

impl Promotion<'_> {
    /// Forgets the releases that `promote.keep` does not keep.
    async fn prune(&self, current: &Release, printer: &mut Printer) -> Result<(), Stop> {
        let session = self.session;
        let (all, mut elsewhere) = (list::all(session, self.name)?, Vec::new());
        for name in session.config.environments.keys().filter(|name| *name != self.name) {
            elsewhere.extend(list::all(session, name)?);
        }
        let folder = session.layout.releases(&session.config.project, self.name);
        let plan = promote::prune::plan(promote::prune::Wanted {
            project: session.config.project.as_str(),
            environment: self.name.as_str(),
            all: &all,
            current: current.number,
            keep: session.config.promote.as_ref().map_or(10, |promote| promote.keep),
            folder: &folder,
            elsewhere: &elsewhere,
        });
        if plan.is_empty() {
            return Ok(());
        }
        let (_lock, mut journal) = session.begin()?;
        apply::run(&plan, session.host(), &mut journal, printer).await
    }
}

/// Visitors have the new release: what cannot be tidied up, or not now, makes that no failure.
fn left_over(ended: Result<(), Stop>, hint: String, printer: &mut Printer) {
    let Err(stop) = ended else { return };
    let because =
        stop.diagnostics().into_iter().next().map_or_else(|| "the step says why".into(), |one| one.message);
    let told = Diagnostic::warning("the release is there, and something of those before is left over");
    printer.diagnostics(&[told.because(because).hint(hint)]);
}

/// True for a plan that runs a job or the migration command.
fn changes_schema(plan: &Plan, desired: &Desired) -> bool {
    let is_job = |name: &String| desired.services.get(name).is_some_and(|one| one.role == Role::Job);
    plan.steps.iter().any(|step| match &step.does {
        Action::RunCommand { .. } => true,
        Action::ReplaceServices { services, .. } => services.keys().any(is_job),
        _ => false,
    })
}

/// What is told of a plan that does something.
fn steps(plan: &Plan) -> String {
    count(plan.steps.len(), "step")
}
