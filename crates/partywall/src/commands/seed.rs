//! `seed`: a development environment gets a masked sample of another environment's data.

mod order;
mod source;
mod stand_in;

use std::io::Write;

use pw_backup::Manifest;
use pw_data::rules::Size;
use pw_data::sample::{Opening, Reading};
use pw_data::server::Address;
use pw_model::config::{Class, Seed};
use pw_model::diagnostic::Diagnostic;
use pw_model::name::EnvironmentName;
use pw_model::source::SourceFile;
use pw_plan::Plan;
use pw_plan::seed::Order;
use pw_plan::step::DatabasePlace;
use serde_json::json;

use self::source::Source;
use super::sample;
use crate::apply;
use crate::cli;
use crate::hands::Hands;
use crate::look::{self, Asked, Question};
use crate::printer::{GREEN, Printer, count};
use crate::priority::step_back;
use crate::reach::{self, reach};
use crate::seeded;
use crate::session::Session;
use crate::stop::Stop;

pub(crate) async fn run(session: &Session, asked: &cli::Seed, printer: &mut Printer) -> Result<(), Stop> {
    let name = target(session, &asked.environment)?;
    let seed = section(session)?;
    let source = source::find(session, name, asked.from.as_deref())?;
    let size = size(asked)?;
    if asked.plan || question(asked).is_some() {
        return look(session, asked, (&source, name), (seed, size), printer).await;
    }
    let (_lock, mut journal) = session.begin_after_trials(printer).await?;
    // Masking and searching are beside production on one machine.
    step_back();
    let reading = read(session, &source, asked, (seed, size), printer).await?;
    if let Some(reading) = &reading {
        reading.covered().await?;
    }
    let (plan, order) = order::plan(session, asked, (&source, name), seed).await?;
    let hands = match reading {
        Some(reading) => {
            readable(session, &reading, seed)?;
            Hands::with_reading(session.host(), reading)
        }
        None => Hands::from(session.host()),
    };
    let ended = apply::run(&plan, hands, &mut journal, printer).await;
    if ended.is_err() && order.keep_failed {
        tell_left(session, name, &order, printer).await?;
    }
    ended?;
    done(session, name, &order, printer)
}

fn question(asked: &cli::Seed) -> Option<Question> {
    let why = asked.why.clone().map(Question::Why);
    asked.suggest.then_some(Question::Suggest).or(why)
}

/// Names what stays of a failed seed, and how to be rid of it.
async fn tell_left(
    session: &Session,
    name: &EnvironmentName,
    order: &Order,
    printer: &mut Printer,
) -> Result<(), Stop> {
    let to = &order.to;
    let reached = reach(session.host().engine(), to).await?;
    let ours = format!("{}__partywall_", to.name);
    let there = pw_data::seed::databases(&reached.address).await?;
    for left in there.iter().filter(|one| one.starts_with(&ours) && !one.contains("_before_")) {
        let (service, user) = (&to.service, &to.user);
        printer.note(format!(
            "the failed sample stays in `{left}`; remove it with `partywall exec {name} {service} -- dropdb --username {user} {left}`"
        ));
    }
    Ok(())
}

/// What would be done, or why; changes nothing.
async fn look(
    session: &Session,
    asked: &cli::Seed,
    (source, name): (&Source<'_>, &EnvironmentName),
    (seed, size): (&Seed, Option<Size>),
    printer: &mut Printer,
) -> Result<(), Stop> {
    if let Source::Backup(manifest) = source {
        return look_at_backup(session, asked, (source, manifest, name), seed, printer).await;
    }
    let Some(reading) = read(session, source, asked, (seed, size), printer).await? else { return Ok(()) };
    if let Some(question) = question(asked) {
        return sample::answered(look::answer(&reading, &question).await?, printer);
    }
    let (plan, _) = order::plan(session, asked, (source, name), seed).await?;
    readable(session, &reading, seed)?;
    show(Some(&reading), &plan, printer)
}

/// What a backup's rows are asked is answered by a server that is made for it, and goes again.
async fn look_at_backup(
    session: &Session,
    asked: &cli::Seed,
    (source, manifest, name): (&Source<'_>, &Manifest, &EnvironmentName),
    seed: &Seed,
    printer: &mut Printer,
) -> Result<(), Stop> {
    let Some(question) = question(asked) else {
        let (plan, _) = order::plan(session, asked, (source, name), seed).await?;
        return show(None, &plan, printer);
    };
    let (_lock, mut journal) = session.begin_after_trials(printer).await?;
    let backup = stand_in::prepared(session, manifest, name, seed).await?;
    let places = (session.config.project.as_str(), name.as_str());
    let rules = (session.source.text.as_str(), asked.sample.as_deref());
    let plan = pw_plan::seed::backup::look(places, &backup, rules);
    let put = Asked::new(question);
    apply::run(&plan, Hands::with_question(session.host(), put.clone()), &mut journal, printer).await?;
    put.answered().map_or(Ok(()), |answer| sample::answered(answer, printer))
}

fn show(reading: Option<&Reading>, plan: &Plan, printer: &mut Printer) -> Result<(), Stop> {
    let tables = reading.map(Reading::plan);
    if printer.is_json() {
        return printer.json(&json!({
            "operation": plan.operation, "environment": plan.environment, "tables": tables, "steps": plan.steps,
        }));
    }
    let rows = tables.map(|tables| format!("{}\n", sample::tables(&tables))).unwrap_or_default();
    printer.answer(format!("{rows}{plan}"))?;
    let steps = count(plan.steps.len(), "step");
    printer.note(format!("{steps}; `partywall seed {}` does it", plan.environment));
    if reading.is_none() {
        printer.note("which rows come along is known when the backup is loaded; `--why` and `--suggest` load it and remove it again");
    }
    Ok(())
}

/// The environment that is filled. Production never is.
fn target<'s>(session: &'s Session, name: &str) -> Result<&'s EnvironmentName, Stop> {
    let (name, environment) = session.environment(name)?;
    if environment.class(name) != Class::Production {
        return Ok(name);
    }
    Err(Stop::because(
        format!("`{name}` is a production environment"),
        "a seed replaces all data of the environment that it fills",
        "name a development environment: `partywall seed development`",
    ))
}

fn section(session: &Session) -> Result<&Seed, Stop> {
    session.config.seed.as_ref().ok_or_else(|| {
        Diagnostic::error("partywall.yaml has no `seed` section")
            .because("it says which rows come along and which values are masked")
            .hint("start with `seed: { cohort: { table: users, sample: 10% } }`, then `partywall seed DEV --suggest`; see docs/seed.md")
            .into()
    })
}

fn size(asked: &cli::Seed) -> Result<Option<Size>, Stop> {
    let Some(text) = &asked.sample else { return Ok(None) };
    Size::parse(text).map(Some).ok_or_else(|| {
        Stop::because(
            format!("`{text}` is no size"),
            "a sample is a share or a count",
            "write `--sample 10%` or `--sample 500`",
        )
    })
}

/// `--rate`, else that of the section.
fn rate(asked: &cli::Seed, seed: &Seed) -> Result<Option<u64>, Stop> {
    Ok(sample::rate(asked.rate.as_deref())?.or(seed.rate.map(|rate| rate.0)))
}

/// Reads catalogue, rules and keys of the source; `None` for one that does not stand yet.
async fn read(
    session: &Session,
    source: &Source<'_>,
    asked: &cli::Seed,
    (seed, size): (&Seed, Option<Size>),
    printer: &Printer,
) -> Result<Option<Reading>, Stop> {
    let address = match source {
        Source::Backup(_) => return Ok(None),
        Source::Server { dsn, .. } => reach::server(dsn)?,
        Source::Environment(from) => address(session, from, seed).await?,
    };
    let address = address.limited(rate(asked, seed)?);
    let talks = printer.draws();
    let tell = |stage: &str| {
        if talks {
            drop(writeln!(anstream::stderr(), "  {stage}"));
        }
    };
    let rules = SourceFile::clone(&session.source);
    let opening = Opening { size, why: asked.why.is_some(), ..Opening::default() };
    Ok(Some(Reading::open_as(&address, &rules, &opening, &tell).await?))
}

async fn address(session: &Session, from: &EnvironmentName, seed: &Seed) -> Result<Address, Stop> {
    let host = session.host();
    let containers = host.engine().containers(&session.config.compose_project(from)).await?;
    session.runs_from_here(from, &containers)?;
    Ok(reach(host.engine(), &place(session, from, seed).await?).await?.address)
}

/// The seed's database in an environment.
async fn place(session: &Session, name: &EnvironmentName, seed: &Seed) -> Result<DatabasePlace, Stop> {
    let Some((_, database)) = seed.database(&session.config) else {
        return Err(Diagnostic::error("`seed` has no database to fill").hint("add `databases:`").into());
    };
    let host = session.host();
    Ok(reach::place(host.engine(), &session.config.compose_project(name), database).await?)
}

fn readable(session: &Session, reading: &Reading, seed: &Seed) -> Result<(), Stop> {
    let found = look::unreadable(reading, &session.source, seed);
    if found.is_empty() { Ok(()) } else { Err(Stop::Complaints(found)) }
}

fn done(session: &Session, name: &EnvironmentName, order: &Order, printer: &mut Printer) -> Result<(), Stop> {
    let record = seeded::read(session, name).unwrap_or_default();
    if printer.is_json() {
        let value =
            json!({"ok": true, "operation": "seed", "environment": name, "changed": true, "seed": record});
        return printer.json(&value);
    }
    for list in record["vault"].as_array().into_iter().flatten() {
        for (key, told) in [
            ("missing", "named by a row and not there"),
            ("refused", "refused, for its path leads outside or to no file"),
        ] {
            let names: Vec<&str> =
                list[key].as_array().into_iter().flatten().filter_map(|name| name.as_str()).collect();
            if let Some(first) = names.first() {
                printer.note(format!("{}: {told}, such as `{first}`", count(names.len(), "file")));
            }
        }
    }
    for told in record["sample"]["told"].as_array().into_iter().flatten().filter_map(|told| told.as_str()) {
        printer.note(told);
    }
    if order.keep {
        printer.note(format!("the database of before stays beside `{}` until the next seed", order.to.name));
    }
    printer.note(format!("{GREEN}`{name}` is seeded{GREEN:#}  {}", seeded::summary(&record)));
    Ok(())
}
