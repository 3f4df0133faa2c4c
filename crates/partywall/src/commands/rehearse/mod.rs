//! `rehearse`: the project's migration on a full-size copy of an environment's database, measured.

mod beside;
mod compare;
mod page;
mod sample;

use std::sync::PoisonError;

use pw_backup::Manifest;
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
use serde_json::{Value, json};

use super::restore::of_this;
use crate::apply;
use crate::backing::{self, dumped};
use crate::cli;
use crate::hands::{Hands, Reports};
use crate::prepare::{self, Walls};
use crate::printer::{Printer, count};
use crate::session::Session;
use crate::stop::Stop;

use compare::Verdict;
use sample::Sample;

/// What is asked for, with the names looked up.
struct Asked<'s> {
    session: &'s Session,
    name: &'s EnvironmentName,
    code: &'s EnvironmentName,
    /// Its name under `databases:`.
    part: &'s str,
    database: &'s Database,
    /// What the copy is made from, in place of the database that runs.
    backup: Option<Manifest>,
    migrate: &'s Migrate,
    limits: Limits,
}

/// One run on one copy.
struct Tried {
    source: Source,
    /// The backup that the copy was made from.
    backup: Option<String>,
    reports: Vec<Report>,
}

pub(crate) async fn run(session: &Session, asked: &cli::Rehearse, printer: &mut Printer) -> Result<(), Stop> {
    let whole = Asked::understand(session, asked)?;
    let sample = if asked.no_sample { None } else { sample::of(session, whole.name) };
    if asked.plan {
        return whole.show(sample.as_ref(), printer).await;
    }
    let (_lock, mut journal) = session.begin_after_trials(printer).await?;
    let tried = whole.try_out(&mut journal, printer).await?;
    let beside = match &sample {
        Some(sample) => whole.on_sample(sample, &mut journal, printer).await,
        None => None,
    };
    whole.answer(&tried, sample.as_ref().zip(beside.as_ref()), &mut journal, printer)
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
        let wanted = asked.database.as_deref().or(migrate.database.as_deref());
        let (part, database) = database(session, wanted)?;
        let backup = asked.from.as_ref().map(|from| backup(session, name, from)).transpose()?;
        Ok(Self { session, name, code, part, database, backup, migrate, limits })
    }

    /// The same on another environment's database, which runs.
    fn on(&self, name: &'s EnvironmentName) -> Self {
        Self { name, backup: None, limits: self.limits.clone(), ..*self }
    }

    async fn show(&self, sample: Option<&Sample<'s>>, printer: &mut Printer) -> Result<(), Stop> {
        let mut plans = vec![self.plan().await?.0];
        if let Some(sample) = sample {
            plans.push(self.on(sample.name).plan().await?.0);
        }
        if printer.is_json() {
            let more = plans.get(1).map(|plan| json!({"environment": plan.environment, "steps": plan.steps}));
            return printer.json(&json!({
                "operation": plans[0].operation, "environment": self.name, "steps": plans[0].steps, "sample": more,
            }));
        }
        let steps = count(plans.iter().map(|plan| plan.steps.len()).sum(), "step");
        printer.note(format!("{steps}; `partywall rehearse {}` does it", self.name));
        printer.answer(plans.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))
    }

    async fn try_out(&self, journal: &mut SqliteJournal, printer: &mut Printer) -> Result<Tried, Stop> {
        let (plan, source) = self.plan().await?;
        if let Some(why) = &source.only_logical {
            printer.note(format!("the copy is a logical one, with the same rows but packed afresh: {why}"));
        }
        let reports = Reports::default();
        let hands = Hands::with_reports(self.session.host(), reports.clone());
        apply::run(&plan, hands, journal, printer).await?;
        let reports = std::mem::take(&mut *reports.lock().unwrap_or_else(PoisonError::into_inner));
        Ok(Tried { source, backup: self.backup.as_ref().map(|backup| backup.name.clone()), reports })
    }

    /// What cannot be tried on the sample is told, and stops nothing: the whole has answered.
    async fn on_sample(
        &self,
        sample: &Sample<'s>,
        journal: &mut SqliteJournal,
        printer: &mut Printer,
    ) -> Option<Tried> {
        printer.note(format!(
            "the same on a copy of {}'s sample, to compare; `--no-sample` leaves it out",
            sample.name
        ));
        let stop = match self.on(sample.name).try_out(journal, printer).await {
            Ok(tried) => return Some(tried),
            Err(stop) => stop,
        };
        let why = stop.diagnostics().first().map_or_else(String::new, |first| format!(": {}", first.message));
        printer.note(format!("it could not be tried on {}'s sample{why}", sample.name));
        None
    }

    /// Where the copy comes from.
    async fn source(&self, of: &Rendered) -> Result<Source, Stop> {
        let (session, database) = (self.session, self.database);
        if let Some(manifest) = &self.backup {
            return dumped::source(session, of, dumped::database(manifest, self.part)?).await;
        }
        let container = self.container().await?;
        let (user, name) = (database.user.as_deref(), database.name.as_deref());
        let host = session.host();
        let (user, name) = (user.unwrap_or_default(), name.unwrap_or_default());
        Ok(host.engine().look_at_database(&container, user, name).await?)
    }

    /// Looks at what is to be copied, and plans.
    async fn plan(&self) -> Result<(Plan, Source), Stop> {
        let session = self.session;
        let host = session.host();
        let walls = prepare::walls(session, &host, None).await?;
        let of = rendered(&walls, self.name)?;
        let source = self.source(of).await?;
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
        let dump =
            self.backup.as_ref().map(|backup| dumped::stored(session, backup, self.part)).transpose()?;
        let wanted = Wanted {
            migrate: self.migrate,
            code: rendered(&walls, self.code)?,
            limits: &self.limits,
            variables: desired.variable_file.as_ref().map(|file| file.text.as_str()),
            dump: dump.as_ref(),
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
                format!(
                    "start it with `partywall up {}`, or copy a backup of it with `--from latest`",
                    self.name
                ),
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
        tried: &Tried,
        beside: Option<(&Sample<'_>, &Tried)>,
        journal: &mut SqliteJournal,
        printer: &mut Printer,
    ) -> Result<(), Stop> {
        let reports = tried.reports.as_slice();
        let passed = !reports.is_empty() && reports.iter().all(Report::passed);
        let verdict = beside.map(|(_, beside)| compare::verdict(&beside.reports, reports));
        journal.prove(&Proof {
            kind: PURPOSE.to_owned(),
            environment: self.name.to_string(),
            passed,
            summary: summary(reports, verdict).to_string(),
        })?;
        if printer.is_json() {
            let sample = beside.map(|(sample, beside)| {
                json!({
                    "environment": sample.name, "size": sample.size, "copy": copy(beside),
                    "commands": beside.reports, "verdict": verdict,
                })
            });
            printer.json(&json!({
                "ok": passed, "operation": "rehearse", "environment": self.name, "code": self.code,
                "copy": copy(tried), "commands": reports, "sample": sample,
            }))?;
        } else {
            let mut text = page::page(self.name.as_str(), tried);
            if let Some((sample, beside)) = beside {
                text.push_str(&beside::page(sample, beside, reports));
            }
            printer.answer(text)?;
        }
        if passed { Ok(()) } else { Err(Stop::Code(1)) }
    }
}

fn copy(tried: &Tried) -> Value {
    let source = &tried.source;
    json!({"bytes": source.bytes.0, "logical_because": source.only_logical, "backup": tried.backup})
}

/// A backup of this environment: migration and variables are its own.
fn backup(session: &Session, name: &EnvironmentName, from: &str) -> Result<Manifest, Stop> {
    let newest = || backing::newest(session, name);
    let wanted = if from == dumped::LATEST { newest()? } else { from.to_owned() };
    let manifest = dumped::manifest(session, &wanted)?;
    of_this(name, &manifest)?;
    Ok(manifest)
}

/// What the record keeps.
fn summary(reports: &[Report], verdict: Option<Verdict>) -> Value {
    let locks = reports.iter().filter_map(Report::worst_lock);
    json!({
        "worst_lock": locks.max_by(|a, b| a.seconds.total_cmp(&b.seconds)),
        "seconds": reports.iter().map(|report| report.seconds).sum::<f64>(),
        "findings": reports.iter().map(|report| report.findings.len()).sum::<usize>(),
        "sample": verdict,
    })
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

fn database<'s>(session: &'s Session, wanted: Option<&str>) -> Result<(&'s str, &'s Database), Stop> {
    let all = &session.config.databases;
    let known = || all.keys().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
    let entry = |(part, database): (&'s String, &'s Database)| (part.as_str(), database);
    match (wanted, all.len()) {
        (Some(wanted), _) => all.get_key_value(wanted).map(entry).ok_or_else(|| {
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
        (None, 1) => all.iter().next().map(entry).ok_or(Stop::Code(1)),
        (None, _) => Err(Stop::because(
            "several databases are described",
            format!("they are {}", known()),
            "say in `partywall.yaml` which one it migrates, `promote: { migrate: { database: NAME } }`, or name it with `rehearse --database`",
        )),
    }
}
