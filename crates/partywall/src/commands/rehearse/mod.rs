//! `rehearse`: the project's migration on a full-size copy of an environment's database, measured.

mod page;

use pw_data::rehearse::Report;
use pw_journal::{Proof, SqliteJournal};
use pw_model::config::{Class, Database, Limits, Migrate};
use pw_model::diagnostic::Diagnostic;
use pw_model::name::EnvironmentName;
use pw_model::observed::State;
use pw_plan::Plan;
use pw_plan::rehearse::{PURPOSE, Wanted};
use pw_plan::scratch::{Ground, Source};
use pw_plan::wall::{Rendered, group_limits};
use serde_json::json;

use crate::apply;
use crate::cli;
use crate::hands::{Hands, Reports};
use crate::prepare::{self, Walls};
use crate::printer::{Printer, count};
use crate::session::Session;
use crate::stop::Stop;

/// What is asked for, with the names looked up.
struct Asked<'s> {
    session: &'s Session,
    name: &'s EnvironmentName,
    code: &'s EnvironmentName,
    database: &'s Database,
    migrate: &'s Migrate,
    limits: Limits,
}

pub(crate) async fn run(session: &Session, asked: &cli::Rehearse, printer: &mut Printer) -> Result<(), Stop> {
    let wanted = Asked::understand(session, asked)?;
    if asked.plan {
        let (plan, _) = wanted.plan().await?;
        return show(&plan, printer);
    }
    let (_lock, mut journal) = session.begin_after_trials(printer).await?;
    let (plan, source) = wanted.plan().await?;
    if let Some(why) = &source.only_logical {
        printer.note(format!("the copy is a logical one, with the same rows but packed afresh: {why}"));
    }
    let reports = Reports::default();
    let hands = Hands::with_reports(session.host(), reports.clone());
    apply::run(&plan, hands, &mut journal, printer).await?;
    let reports = std::mem::take(&mut *reports.lock().unwrap_or_else(std::sync::PoisonError::into_inner));
    wanted.answer(&source, &reports, &mut journal, printer)
}

fn show(plan: &Plan, printer: &mut Printer) -> Result<(), Stop> {
    if printer.is_json() {
        return printer.json(
            &json!({"operation": plan.operation, "environment": plan.environment, "steps": plan.steps}),
        );
    }
    let steps = count(plan.steps.len(), "step");
    printer.note(format!("{steps}; `partywall rehearse {}` does it", plan.environment));
    printer.answer(plan.to_string())
}

impl<'s> Asked<'s> {
    fn understand(session: &'s Session, asked: &cli::Rehearse) -> Result<Self, Stop> {
        let config = &session.config;
        let (name, _) = session.environment(&asked.environment)?;
        let promote = config.promote.as_ref();
        let Some(migrate) = promote.and_then(|promote| promote.migrate.as_ref()) else {
            return Err(Diagnostic::error("no migration is described")
                .at(session.source.find(&["promote"]))
                .hint(
                    "add `promote: { migrate: { service: web, command: [./migrate] } }` to `partywall.yaml`",
                )
                .into());
        };
        let code = match &asked.code {
            Some(code) => session.environment(code)?.0,
            None => development(session).unwrap_or(name),
        };
        let limits = promote.map(|promote| promote.limits.clone()).unwrap_or_default();
        let database = database(session, asked.database.as_deref())?;
        Ok(Self { session, name, code, database, migrate, limits })
    }

    /// Looks at the database that is to be copied, and plans.
    async fn plan(&self) -> Result<(Plan, Source), Stop> {
        let session = self.session;
        let host = session.host();
        let walls = prepare::walls(session, &host, None).await?;
        let container = self.container().await?;
        let (user, database) = (self.database.user.as_deref(), self.database.name.as_deref());
        let engine = host.engine();
        let source = engine
            .look_at_database(&container, user.unwrap_or_default(), database.unwrap_or_default())
            .await?;
        let of = rendered(&walls, self.name)?;
        let beside = rendered(&walls, development(session).unwrap_or(self.code))?;
        let folder = session.layout.scratch(&session.config.project, self.name, PURPOSE);
        let limits = group_limits(&session.config, &beside.name, beside.group.clone(), walls.facts.memory);
        let desired = prepare::desired(session, &walls, self.name).await?;
        let ground = Ground {
            purpose: PURPOSE,
            project: session.config.project.as_str(),
            of,
            beside,
            service: self.database.service.as_str(),
            source: &source,
            folder: &folder,
            state: session.layout.identity(),
            group: walls.facts.writes_cgroups.then_some(&limits),
            disk_free: walls.facts.disk_free,
        };
        let wanted = Wanted {
            migrate: self.migrate,
            code: rendered(&walls, self.code)?,
            limits: &self.limits,
            variables: desired.variable_file.as_ref().map(|file| file.text.as_str()),
        };
        let plan = pw_plan::rehearse::plan(ground, &wanted)?;
        self.has_image(&wanted).await?;
        plan.lint()
            .map_err(|error| pw_run::Failure::new("the plan is not safe to carry out").because(error))?;
        Ok((plan, source))
    }

    /// The name of the container that runs the database; labels must say that it is this environment's.
    async fn container(&self) -> Result<String, Stop> {
        let (session, service) = (self.session, self.database.service.as_str());
        let project = session.config.compose_project(self.name);
        let containers = session.host().engine().containers(&project).await?;
        session.runs_from_here(self.name, &containers)?;
        let ours = (session.config.project.to_string(), self.name.to_string());
        let mut all = containers.into_iter();
        let found = all.find(|one| {
            one.service == service && one.state == State::Running && one.owner.as_ref() == Some(&ours)
        });
        found.map(|one| one.name).ok_or_else(|| {
            Stop::because(
                format!("`{service}` of environment `{}` does not run", self.name),
                "its database is what would be copied",
                format!("start it with `partywall up {}`", self.name),
            )
        })
    }

    /// The migration's image must be there: a rehearsal neither builds nor pulls.
    async fn has_image(&self, wanted: &Wanted<'_>) -> Result<(), Stop> {
        let service = self.migrate.service.as_str();
        let image = wanted.code.model["services"][service]["image"].as_str().unwrap_or_default();
        if !self.session.host().engine().images([image]).await?.is_empty() {
            return Ok(());
        }
        Err(Stop::because(
            format!("the image `{image}` of `{service}` is not here"),
            format!("the migration of environment `{}` is rehearsed with it", self.code),
            format!(
                "build or pull it with `partywall up {}`, or name another environment with `--code`",
                self.code
            ),
        ))
    }

    fn answer(
        &self,
        source: &Source,
        reports: &[Report],
        journal: &mut SqliteJournal,
        printer: &mut Printer,
    ) -> Result<(), Stop> {
        let passed = !reports.is_empty() && reports.iter().all(Report::passed);
        let worst =
            reports.iter().filter_map(Report::worst_lock).max_by(|a, b| a.seconds.total_cmp(&b.seconds));
        let summary = json!({
            "worst_lock": worst,
            "seconds": reports.iter().map(|report| report.seconds).sum::<f64>(),
            "findings": reports.iter().map(|report| report.findings.len()).sum::<usize>(),
        });
        journal.prove(&Proof {
            kind: PURPOSE.to_owned(),
            environment: self.name.to_string(),
            passed,
            summary: summary.to_string(),
        })?;
        if printer.is_json() {
            printer.json(&json!({
                "ok": passed, "operation": "rehearse", "environment": self.name, "code": self.code,
                "copy": {"bytes": source.bytes.0, "logical_because": source.only_logical},
                "commands": reports,
            }))?;
        } else {
            printer.answer(page::page(self.name.as_str(), source, reports))?;
        }
        if passed { Ok(()) } else { Err(Stop::Code(1)) }
    }
}

fn development(session: &Session) -> Option<&EnvironmentName> {
    let mut all = session.config.environments_in_order().into_iter();
    all.find(|(name, environment)| environment.class(name) == Class::Development).map(|(name, _)| name)
}

fn rendered<'w>(walls: &'w Walls, name: &EnvironmentName) -> Result<&'w Rendered, Stop> {
    walls.rendered.iter().find(|one| one.name == *name).ok_or_else(|| {
        Stop::because(
            format!("environment `{name}` could not be read"),
            "it was left out",
            "see `partywall check`",
        )
    })
}

fn database<'s>(session: &'s Session, wanted: Option<&str>) -> Result<&'s Database, Stop> {
    let all = &session.config.databases;
    let known = || all.keys().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
    match (wanted, all.len()) {
        (Some(wanted), _) => all.get(wanted).ok_or_else(|| {
            Stop::because(
                format!("there is no database `{wanted}`"),
                format!("`databases` in `partywall.yaml` describes {}", known()),
                "name one of them",
            )
        }),
        (None, 0) => Err(Diagnostic::error("no database is described")
            .at(session.source.find(&["databases"]))
            .hint("add `databases: { main: { service: db } }` to `partywall.yaml`")
            .into()),
        (None, 1) => all.values().next().ok_or(Stop::Code(1)),
        (None, _) => Err(Stop::because(
            "several databases are described",
            format!("they are {}", known()),
            "name one with `--database`",
        )),
    }
}
