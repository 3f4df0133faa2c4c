//! `drill`: a backup is brought back in a scratch place, tried, and removed again.

use std::sync::{Arc, Mutex, PoisonError};

use pw_backup::log::chain;
use pw_backup::{Manifest, Repository};
use pw_host::Host;
use pw_journal::{Proof, SqliteJournal};
use pw_model::config::{Class, Environment};
use pw_model::diagnostic::Diagnostic;
use pw_model::name::EnvironmentName;
use pw_model::unit::Bytes;
use pw_plan::Plan;
use pw_plan::backup::drill::{PURPOSE, Place, Wanted, folders_only};
use pw_plan::scratch::{Ground, Source};
use pw_plan::step::{PlayedLog, RepositoryPlace, Stored};
use pw_plan::wall::{Rendered, group_limits};
use pw_run::Failure;
use serde_json::json;

use super::moment::{Scratched, scratched};
use crate::apply;
use crate::backing::dumped::UNPACKED;
use crate::backing::{self, drill::Drilled, seconds_since, shown};
use crate::cli;
use crate::hands::Hands;
use crate::prepare::{self, Walls};
use crate::printer::{BOLD, GREEN, Printer, RED};
use crate::seeded::age;
use crate::session::Session;
use crate::stop::Stop;

/// Nobody waits longer for a drill.
const LIMIT_SECONDS: u64 = 6 * 3600;

pub(crate) async fn run(session: &Session, asked: &cli::Drill, printer: &mut Printer) -> Result<(), Stop> {
    let place = backing::place(session)?;
    // Before anything is read: whoever is at work, or was cut off, makes no drill fail.
    let (_lock, mut journal) = session.begin_after_trials(printer).await?;
    let (environment, manifest) = match opened(session, asked, &place) {
        Ok(found) => found,
        Err(stop) => {
            if let Some((environment, backup)) = expected(session, asked) {
                note_failure(session, (environment, &backup), &stop, &mut journal);
            }
            return Err(stop);
        }
    };
    let mut all = Drilled::default();
    let of = (environment, &manifest);
    if let Err(stop) = tried(session, of, place, &mut all, (&mut journal, printer)).await {
        note_failure(session, (environment, &manifest.name), &stop, &mut journal);
        return Err(stop);
    }
    answer(environment, &manifest, &all, (&mut journal, printer))
}

fn opened<'s>(
    session: &'s Session,
    asked: &cli::Drill,
    place: &RepositoryPlace,
) -> Result<(&'s EnvironmentName, Manifest), Stop> {
    let name = match &asked.backup {
        Some(name) if name != "latest" => name.clone(),
        _ => newest(session)?,
    };
    let manifest = Repository::new(place.clone()).manifest(&name)?;
    Ok((session.environment(&manifest.environment)?.0, manifest))
}

/// What would have been drilled, as far as the journal knows: the repository says nothing. A name that nobody gave to a newest
/// backup is one that was mistyped.
fn expected<'s>(session: &'s Session, asked: &cli::Drill) -> Option<(&'s EnvironmentName, String)> {
    let newest = |(name, environment): (&'s EnvironmentName, &Environment)| {
        let record = shown::read(session, name)?;
        let backup = record["backup"]["name"].as_str()?.to_owned();
        Some((environment.class(name), name, backup))
    };
    let mut all = session.config.environments_in_order().into_iter().filter_map(newest);
    let found = match asked.backup.as_deref() {
        None | Some("latest") => all.find(|(class, ..)| *class == Class::Production),
        Some(asked) => all.find(|(.., backup)| backup == asked),
    };
    found.map(|(_, name, backup)| (name, backup))
}

/// Whoever only looks at `status` learns of it, too.
fn note_failure(
    session: &Session,
    (environment, backup): (&EnvironmentName, &str),
    stop: &Stop,
    journal: &mut SqliteJournal,
) {
    // A step that could not be taken back is what is told.
    if !matches!(session.unfinished(), Ok(None)) {
        return;
    }
    drop(journal.prove(&Proof {
        kind: PURPOSE.to_owned(),
        environment: environment.to_string(),
        passed: false,
        summary: json!({"backup": backup, "cause": shown::cause(stop)}).to_string(),
    }));
}

/// One part after the other, each with a plan of its own.
async fn tried(
    session: &Session,
    (environment, manifest): (&EnvironmentName, &Manifest),
    place: RepositoryPlace,
    all: &mut Drilled,
    (journal, printer): (&mut SqliteJournal, &mut Printer),
) -> Result<(), Stop> {
    let stored = |part: &str| Stored {
        repository: place.clone(),
        backup: manifest.name.clone(),
        part: part.to_owned(),
    };
    for (index, database) in manifest.databases.keys().enumerate() {
        let plan = plan(session, environment, manifest, (&stored(database), index == 0)).await?;
        carry_out(session, &plan, all, (journal, printer)).await?;
    }
    for plan in logs(session, environment, manifest, &place).await? {
        carry_out(session, &plan, all, (journal, printer)).await?;
    }
    if manifest.databases.is_empty() {
        let plan = without_database(session, environment, &stored("folders"));
        carry_out(session, &plan, all, (journal, printer)).await?;
    }
    Ok(())
}

async fn carry_out(
    session: &Session,
    plan: &Plan,
    all: &mut Drilled,
    (journal, printer): (&mut SqliteJournal, &mut Printer),
) -> Result<(), Stop> {
    let drilled = Arc::new(Mutex::new(Drilled::default()));
    let hands = Hands::with_drilled(session.host(), Arc::clone(&drilled));
    apply::run(plan, hands, journal, printer).await?;
    let one = std::mem::take(&mut *drilled.lock().unwrap_or_else(PoisonError::into_inner));
    all.tried.extend(one.tried);
    all.restore_seconds += one.restore_seconds;
    all.until = [all.until, one.until].into_iter().flatten().min();
    Ok(())
}

/// One for each server whose log goes on without a gap; where it does not, that is told already.
async fn logs(
    session: &Session,
    name: &EnvironmentName,
    manifest: &Manifest,
    repository: &RepositoryPlace,
) -> Result<Vec<Plan>, Stop> {
    let (mut plans, folder) = (Vec::new(), session.layout.scratch(&session.config.project, name, PURPOSE));
    let place =
        Place { project: session.config.project.as_str(), environment: name.as_str(), folder: &folder };
    for (service, base) in &manifest.bases {
        let repository = Repository::new(repository.clone());
        let Ok(chain) = chain(&repository, name.as_str(), (service, base), None) else { continue };
        let database = manifest.databases.values().find(|one| one.service == *service);
        let stored = Stored {
            repository: repository.place().clone(),
            backup: manifest.name.clone(),
            part: service.clone(),
        };
        let wanted = Scratched {
            purpose: PURPOSE,
            stored: &stored,
            base,
            chain: &chain,
            database: database.map_or("postgres", |one| &one.name),
            bytes: Bytes(0),
            at: chain.until,
        };
        let moment = scratched(session, name, &wanted).await?;
        let played = PlayedLog { segments: chain.segments(), until: format!("{:.0}", chain.until) };
        let plan = pw_plan::backup::drill::log(moment, &stored, &place, (played, LIMIT_SECONDS));
        plan.lint().map_err(|error| Failure::new("the plan is not safe to carry out").because(error))?;
        plans.push(plan);
    }
    Ok(plans)
}

fn without_database(session: &Session, name: &EnvironmentName, stored: &Stored) -> Plan {
    let folder = session.layout.scratch(&session.config.project, name, PURPOSE);
    let place =
        Place { project: session.config.project.as_str(), environment: name.as_str(), folder: &folder };
    folders_only(stored, &place, LIMIT_SECONDS)
}

fn newest(session: &Session) -> Result<String, Stop> {
    let production = |name: &str| {
        let known = session.config.environments.iter().find(|(known, _)| known.as_str() == name);
        known.is_some_and(|(name, environment)| environment.class(name) == Class::Production)
    };
    let all = backing::list(session, None)?;
    let found = all.iter().find(|one| production(&one.environment)).or(all.first());
    found.map(|one| one.name.clone()).ok_or_else(|| {
        Stop::because(
            "there is no backup to drill",
            "the repository holds none",
            "`partywall backup production` makes one",
        )
    })
}

async fn plan(
    session: &Session,
    name: &EnvironmentName,
    manifest: &Manifest,
    (stored, with_folders): (&Stored, bool),
) -> Result<Plan, Stop> {
    let host = session.host();
    let walls = walls(session, &host, name).await?;
    let known = &manifest.databases[&stored.part];
    let of = rendered(&walls, name)?;
    let beside = match budget(session).map(|budget| rendered(&walls, budget)) {
        Some(Ok(beside)) => beside,
        _ => of,
    };
    let image = of.model["services"][&known.service]["image"].as_str().unwrap_or(&known.image).to_owned();
    let data = host.engine().image_variable(&image, "PGDATA").await?;
    let files: u64 = manifest.folders.values().map(|folder| folder.bytes).sum();
    let source = Source {
        container: String::new(),
        image,
        database: known.name.clone(),
        user: known.user.clone(),
        data: data.unwrap_or_else(|| "/var/lib/postgresql/data".to_owned()),
        bytes: Bytes(known.dump.bytes * UNPACKED + if with_folders { files } else { 0 }),
        only_logical: Some("it comes from a backup".to_owned()),
    };
    let folder = session.layout.scratch(&session.config.project, name, PURPOSE);
    let limits = group_limits(&session.config, &beside.name, beside.group.clone(), walls.facts.memory);
    let desired = prepare::desired(session, &walls, name).await?;
    let ground = Ground {
        purpose: PURPOSE,
        project: session.config.project.as_str(),
        of,
        beside,
        service: &known.service,
        source: &source,
        folder: &folder,
        state: session.layout.identity(),
        group: walls.facts.writes_cgroups.then_some(&limits),
        disk_free: walls.facts.disk_free,
    };
    let wanted = Wanted {
        stored,
        check: backing::section(session)?.check.as_ref(),
        folders: with_folders,
        timeout_seconds: LIMIT_SECONDS,
        variables: desired.variable_file.as_ref().map(|file| file.text.as_str()),
    };
    let plan = pw_plan::backup::drill::plan(ground, &wanted)?;
    plan.lint().map_err(|error| Failure::new("the plan is not safe to carry out").because(error))?;
    Ok(plan)
}

/// All of them; after a disaster the files of other environments may not be back yet.
pub(super) async fn walls(session: &Session, host: &Host, name: &EnvironmentName) -> Result<Walls, Stop> {
    match prepare::walls(session, host, None).await {
        Err(_) => prepare::walls(session, host, Some(name)).await,
        all => all,
    }
}

/// The environment in whose budget the drill runs.
pub(super) fn budget(session: &Session) -> Option<&EnvironmentName> {
    let mut all = session.config.environments_in_order().into_iter();
    all.find(|(name, environment)| environment.class(name) == Class::Development).map(|(name, _)| name)
}

pub(super) fn rendered<'w>(walls: &'w Walls, name: &EnvironmentName) -> Result<&'w Rendered, Stop> {
    let found = walls.rendered.iter().find(|one| one.name == *name);
    found.ok_or_else(|| Diagnostic::error(format!("environment `{name}` could not be read")).into())
}

fn answer(
    name: &EnvironmentName,
    manifest: &Manifest,
    all: &Drilled,
    (journal, printer): (&mut SqliteJournal, &mut Printer),
) -> Result<(), Stop> {
    let (passed, lost) = (all.passed(), seconds_since(all.until.unwrap_or(manifest.at)));
    let summary = json!({
        "backup": manifest.name, "restore_seconds": all.restore_seconds, "lost_seconds": lost, "tried": all.tried,
    });
    journal.prove(&Proof {
        kind: PURPOSE.to_owned(),
        environment: name.to_string(),
        passed,
        summary: summary.to_string(),
    })?;
    if printer.is_json() {
        printer.json(&json!({"ok": passed, "operation": "drill", "environment": name, "drill": summary}))?;
        return if passed { Ok(()) } else { Err(Stop::Code(1)) };
    }
    printer.answer(page(manifest, all, lost))?;
    match all.tried.iter().find(|one| !one.ok) {
        None => Ok(()),
        Some(one) => Err(Diagnostic::error(format!("backup `{}` does not restore", manifest.name))
            .because(format!("{}: {}", one.what, one.told))
            .hint(format!(
                "`partywall backup {name}` makes another; drill that, and keep this one to be looked at"
            ))
            .into()),
    }
}

fn page(manifest: &Manifest, all: &Drilled, lost: i64) -> String {
    let mut text = format!("{BOLD}drill of {}{BOLD:#}, {}\n", manifest.name, manifest.environment);
    for one in &all.tried {
        let (word, style) = if one.ok { ("ok    ", GREEN) } else { ("FAILED", RED) };
        text += &format!("  {style}{word}{style:#} {}: {}\n", one.what, one.told);
    }
    let files = match (all.until, manifest.folders.is_empty()) {
        (Some(_), false) => {
            format!(" of the databases, in the last {} of the files,", age(seconds_since(manifest.at)))
        }
        _ => String::new(),
    };
    text + &format!(
        "  restored in {} (RTO so far); all that came in the last {}{files} would be lost (RPO now)\n",
        age(all.restore_seconds.ceil() as i64),
        age(lost)
    )
}
