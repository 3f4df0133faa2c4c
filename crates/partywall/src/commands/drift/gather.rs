//! Reading both sides of every comparison.

use std::collections::BTreeSet;

use pw_data::definitions::definitions;
use pw_host::Host;
use pw_model::config::{Class, Database};
use pw_model::desired::Desired;
use pw_model::name::EnvironmentName;
use pw_model::observed::Observed;
use pw_plan::drift::Difference;
use pw_plan::drift::models::{self, models};
use pw_plan::drift::running::{Sides, running};
use pw_plan::drift::schema::{Repairs, Schema, schemas};
use pw_plan::wall::Loaded;
use pw_run::{Failure, Observe as _};

use super::Comparison;
use crate::prepare::{self, Walls};
use crate::reach;
use crate::session::Session;
use crate::stop::Stop;

/// Each environment against its files, and production against each other one; with `wanted`, that one only.
pub(super) async fn gather(
    session: &Session,
    wanted: Option<&EnvironmentName>,
) -> Result<Vec<Comparison>, Stop> {
    let host = session.host();
    let walls = prepare::walls(session, &host, None).await?;
    let names: Vec<&EnvironmentName> =
        session.config.environments_in_order().into_iter().map(|(name, _)| name).collect();
    let is_wanted = |name: &EnvironmentName| wanted.is_none_or(|wanted| wanted == name);
    let mut all = Vec::new();
    for name in names.iter().filter(|name| is_wanted(name)) {
        all.push(described(session, &host, &walls, name).await?);
    }
    let production = names.iter().find(|name| class(session, name) == Class::Production);
    let Some(production) = production else { return Ok(all) };
    for other in names.iter().filter(|name| *name != production) {
        if is_wanted(other) || is_wanted(production) {
            all.push(between(session, &host, &walls, (production, other)).await);
        }
    }
    all.sort_by_key(|comparison| names.iter().position(|name| name.as_str() == comparison.environment));
    Ok(all)
}

fn class(session: &Session, name: &EnvironmentName) -> Class {
    session.config.environments.get(name).map_or(Class::Development, |one| one.class(name))
}

async fn described(
    session: &Session,
    host: &Host,
    walls: &Walls,
    name: &EnvironmentName,
) -> Result<Comparison, Stop> {
    let desired = prepare::desired(session, walls, name).await?;
    let observed = host.observe(&desired).await?;
    compared(host, walls, (&desired, &observed)).await
}

async fn compared(
    host: &Host,
    walls: &Walls,
    (desired, observed): (&Desired, &Observed),
) -> Result<Comparison, Stop> {
    let name = &desired.environment;
    let mut comparison = Comparison::new(("described", "running"), name.as_str(), Vec::new());
    if observed.containers.is_empty() {
        comparison.not_compared.push("it is not up".to_owned());
        return Ok(comparison);
    }
    let rendered = walls.rendered.iter().find(|one| one.name == *name);
    let model = rendered.map(|one| one.model.clone()).unwrap_or_default();
    let inspected = host.engine().inspected(&observed.containers).await?;
    let strangers =
        host.engine().strangers(&own_networks(desired, observed), &desired.compose_project).await?;
    comparison.differences =
        running(Sides { desired, model: &model, observed, inspected: &inspected, strangers: &strangers });
    Ok(comparison)
}

/// What somebody changed by hand: what is different though its container is made as described.
pub(super) async fn by_hand(
    session: &Session,
    walls: &Walls,
    (desired, observed): (&Desired, &Observed),
) -> Result<Vec<Difference>, Stop> {
    let is_made_otherwise = |service: &str| {
        let hash = desired.services.get(service).map(|one| one.config_hash.as_str());
        observed.containers.iter().any(|one| one.service == service && Some(one.config_hash.as_str()) != hash)
    };
    let of_service = |one: &Difference| {
        let service = one.path.strip_prefix("services.")?.split('.').next()?;
        Some(!is_made_otherwise(service) && desired.services.contains_key(service))
    };
    let is_by_hand = |one: &Difference| of_service(one).unwrap_or_else(|| one.path.starts_with("networks."));
    let found = compared(&session.host(), walls, (desired, observed)).await?.differences;
    Ok(found.into_iter().filter(is_by_hand).collect())
}

fn own_networks(desired: &Desired, observed: &Observed) -> BTreeSet<String> {
    desired.networks.iter().filter(|name| observed.networks.contains(*name)).cloned().collect()
}

async fn between(
    session: &Session,
    host: &Host,
    walls: &Walls,
    names: (&EnvironmentName, &EnvironmentName),
) -> Comparison {
    let find = |name: &EnvironmentName| walls.loaded.iter().find(|one| one.name == *name);
    let mut comparison = Comparison::new((names.0.as_str(), names.1.as_str()), names.1.as_str(), Vec::new());
    if let (Some(left), Some(right)) = (find(names.0), find(names.1)) {
        let (of_left, of_right) = (own_files(left, right), own_files(right, left));
        let side = |loaded, own_files| models::Side { loaded, own_files };
        comparison.differences = models(side(left, &of_left), side(right, &of_right));
    }
    for (key, database) in &session.config.databases {
        match databases(session, host, (key, database), names).await {
            Ok(found) => comparison.differences.extend(found),
            Err(failure) => comparison.not_compared.push(format!("database `{key}`: {}", chain(&failure))),
        }
    }
    comparison
}

fn own_files(of: &Loaded, other: &Loaded) -> BTreeSet<String> {
    let others: BTreeSet<&String> = other.sources.iter().map(|source| &source.name).collect();
    of.sources.iter().map(|source| &source.name).filter(|name| !others.contains(name)).cloned().collect()
}

async fn databases(
    session: &Session,
    host: &Host,
    database: (&str, &Database),
    names: (&EnvironmentName, &EnvironmentName),
) -> Result<Vec<Difference>, Failure> {
    let read = async |name: &EnvironmentName| -> Result<Schema, Failure> {
        let project = session.config.compose_project(name);
        let place = reach::place(host.engine(), &project, database.1).await?;
        definitions(&reach::reach(host.engine(), &place).await?.address).await
    };
    let (left, right) = tokio::try_join!(read(names.0), read(names.1))?;
    let back = format!("partywall seed {}", names.1);
    let there = format!("bring it with a migration: partywall rehearse {}", names.0);
    let repairs = Repairs { left_only: &back, right_only: &there };
    Ok(schemas(database.0, &left, &right, repairs))
}

fn chain(failure: &Failure) -> String {
    match &failure.source {
        Some(source) => format!("{}: {source}", failure.what),
        None => failure.what.clone(),
    }
}
