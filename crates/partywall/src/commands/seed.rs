//! `seed`: a development environment gets a masked sample of another environment's data.

mod order;

use std::io::Write;

use pw_data::rules::Size;
use pw_data::sample::Reading;
use pw_model::config::{Class, Seed};
use pw_model::diagnostic::{Diagnostic, nearest};
use pw_model::name::EnvironmentName;
use pw_model::source::SourceFile;
use pw_plan::Plan;
use pw_plan::seed::Order;
use pw_plan::step::DatabasePlace;
use serde_json::json;

use super::sample;
use crate::apply;
use crate::cli;
use crate::hands::Hands;
use crate::printer::{GREEN, Printer, count};
use crate::reach::{self, reach};
use crate::seeded;
use crate::session::Session;
use crate::stop::Stop;

pub(crate) async fn run(session: &Session, asked: &cli::Seed, printer: &mut Printer) -> Result<(), Stop> {
    let name = target(session, &asked.environment)?;
    let seed = section(session)?;
    let from = source(session, name, asked.from.as_deref())?;
    let size = size(asked)?;
    if asked.plan || asked.suggest || asked.why.is_some() {
        return look(session, asked, (from, name), (seed, size), printer).await;
    }
    let (_lock, mut journal) = session.begin()?;
    let reading = read(session, from, asked, (seed, size), printer).await?;
    reading.covered().await?;
    let (plan, order) = order::plan(session, asked, (from, name), seed).await?;
    readable(session, &reading, seed)?;
    let hands = Hands::with_reading(session.host(), reading);
    let ended = apply::run(&plan, hands, &mut journal, printer).await;
    if ended.is_err() && order.keep_failed {
        tell_left(session, name, &order, printer).await?;
    }
    ended?;
    done(session, name, &order, printer)
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
    (from, name): (&EnvironmentName, &EnvironmentName),
    (seed, size): (&Seed, Option<Size>),
    printer: &mut Printer,
) -> Result<(), Stop> {
    let reading = read(session, from, asked, (seed, size), printer).await?;
    if asked.suggest {
        let suspects = reading.suspects().await?;
        return printer.answer(reading.snippet(&suspects));
    }
    if let Some(words) = &asked.why {
        return sample::why(&reading, words, printer).await;
    }
    let (plan, _) = order::plan(session, asked, (from, name), seed).await?;
    readable(session, &reading, seed)?;
    show(&reading, &plan, printer)
}

fn show(reading: &Reading, plan: &Plan, printer: &mut Printer) -> Result<(), Stop> {
    let tables = reading.plan();
    if printer.is_json() {
        return printer.json(&json!({
            "operation": plan.operation, "environment": plan.environment, "tables": tables, "steps": plan.steps,
        }));
    }
    printer.answer(format!("{}\n{plan}", sample::tables(&tables)))?;
    let steps = count(plan.steps.len(), "step");
    printer.note(format!("{steps}; `partywall seed {}` does it", plan.environment));
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

/// Where the data comes from: the only production environment, or the one that is named.
fn source<'s>(
    session: &'s Session,
    target: &EnvironmentName,
    named: Option<&str>,
) -> Result<&'s EnvironmentName, Stop> {
    let production = || {
        let mut all = session.config.environments_in_order().into_iter();
        all.find(|(name, environment)| environment.class(name) == Class::Production).map(|(name, _)| name)
    };
    let found = match named {
        Some(named) => session.config.environments.keys().find(|known| known.as_str() == named),
        None => production(),
    };
    let Some(found) = found else { return Err(no_source(session, named)) };
    if found == target {
        let told = format!("`{found}` cannot be filled from itself");
        return Err(Stop::because(
            told,
            "source and target are one environment",
            "name another with `--from`",
        ));
    }
    Ok(found)
}

fn no_source(session: &Session, named: Option<&str>) -> Stop {
    let known: Vec<&str> = session.config.environments.keys().map(EnvironmentName::as_str).collect();
    let Some(named) = named else {
        let told = Diagnostic::error("there is no production environment to take data from");
        return told.hint("name the environment with `--from`").into();
    };
    let told = Diagnostic::error(format!("there is no environment `{named}` to take data from"))
        .because(format!("environments are {}; from a backup nothing can be taken yet", known.join(", ")));
    match nearest(named, known) {
        Some(near) => told.hint(format!("did you mean `{near}`?")).into(),
        None => told.hint("leave `--from` out for production").into(),
    }
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

/// Reads catalogue, rules and keys of the source.
async fn read(
    session: &Session,
    from: &EnvironmentName,
    asked: &cli::Seed,
    (seed, size): (&Seed, Option<Size>),
    printer: &Printer,
) -> Result<Reading, Stop> {
    let host = session.host();
    let containers = host.engine().containers(&session.config.compose_project(from)).await?;
    session.runs_from_here(from, &containers)?;
    let place = place(session, from, seed).await?;
    let reached = reach(host.engine(), &place).await?;
    let talks = printer.draws();
    let tell = |stage: &str| {
        if talks {
            drop(writeln!(anstream::stderr(), "  {stage}"));
        }
    };
    let rules = SourceFile::clone(&session.source);
    Ok(Reading::open_sized(&reached.address, &rules, size, asked.why.is_some(), &tell).await?)
}

/// The seed's database in an environment.
async fn place(session: &Session, name: &EnvironmentName, seed: &Seed) -> Result<DatabasePlace, Stop> {
    let Some((_, database)) = seed.database(&session.config) else {
        return Err(Diagnostic::error("`seed` has no database to fill").hint("add `databases:`").into());
    };
    let host = session.host();
    Ok(reach::place(host.engine(), &session.config.compose_project(name), database).await?)
}

/// Columns that name files must say the same on both sides.
fn readable(session: &Session, reading: &Reading, seed: &Seed) -> Result<(), Stop> {
    let complaint = |(index, vault): (usize, &pw_model::config::Vault)| {
        let place = session.source.find_nearest(&["seed", "vault", &index.to_string(), "key"]);
        Some(reading.bars_reading(&vault.key)?.at(place))
    };
    let found: Vec<Diagnostic> = seed.vault.iter().enumerate().filter_map(complaint).collect();
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
