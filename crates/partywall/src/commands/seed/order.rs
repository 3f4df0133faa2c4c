//! From configuration and host to the plan of a seed.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use pw_host::Host;
use pw_model::compose::ComposeModel;
use pw_model::config::{CacheRule, Seed, Vault};
use pw_model::desired::Desired;
use pw_model::diagnostic::{Diagnostic, nearest};
use pw_model::name::EnvironmentName;
use pw_model::observed::Observed;
use pw_model::role::{Role, speaks_of};
use pw_plan::Plan;
use pw_plan::seed::{Found, Order, VaultOrder, VaultSource, current_file};
use pw_plan::step::{CachePlace, DatabasePlace, SourcePlace, VaultPlace};
use pw_run::{Failure, Observe};
use serde_json::Value;

use super::source::Source;
use super::stand_in;
use crate::cli;
use crate::prepare;
use crate::reach::reach;
use crate::session::Session;
use crate::stop::Stop;

/// Caches that can be emptied, by a word of their image.
const REDIS: [&str; 4] = ["redis", "valkey", "keydb", "dragonfly"];

/// The environment that is filled, as it should be and as it is.
struct Target<'a> {
    name: &'a EnvironmentName,
    project: String,
    desired: Desired,
    observed: Observed,
    model: ComposeModel,
}

/// The plan, and what it was made from.
pub(super) async fn plan(
    session: &Session,
    asked: &cli::Seed,
    (source, name): (&Source<'_>, &EnvironmentName),
    seed: &Seed,
) -> Result<(Plan, Order), Stop> {
    let host = session.host();
    let target = target(session, &host, name).await?;
    known_services(session, seed, &target)?;
    known_volumes(session, seed, &target)?;
    let order = order(session, asked, (source, &target), seed).await?;
    let found = found(session, &host, &order).await?;
    let plan = pw_plan::seed::plan(&target.desired, &target.observed, &order, &found)?;
    plan.lint()
        .map_err(|unsafe_order| Failure::new("the plan is not safe to carry out").because(unsafe_order))?;
    Ok((plan, order))
}

async fn target<'a>(session: &Session, host: &Host, name: &'a EnvironmentName) -> Result<Target<'a>, Stop> {
    let walls = prepare::walls(session, host, Some(name)).await?;
    let desired = prepare::desired(session, &walls, name).await?;
    let observed = host.observe(&desired).await?;
    let rendered = walls.rendered.into_iter().find(|one| one.name == *name);
    let model = ComposeModel(rendered.and_then(|one| one.model.as_object().cloned()).unwrap_or_default());
    Ok(Target { name, project: session.config.compose_project(name), desired, observed, model })
}

/// Services that the section names must exist.
fn known_services(session: &Session, seed: &Seed, target: &Target<'_>) -> Result<(), Stop> {
    let known = || target.desired.services.keys().map(String::as_str);
    let restart = seed.restart.iter().map(|name| ("restart", name.as_str()));
    let caches = seed.caches.keys().map(|name| ("caches", name.as_str()));
    let wrong = restart.chain(caches).filter(|(_, name)| !target.desired.services.contains_key(*name));
    let complaint = |(key, name): (&str, &str)| {
        let place = session.source.find_nearest(&["seed", key, name]);
        let told =
            Diagnostic::error(format!("environment `{}` has no service `{name}`", target.name)).at(place);
        match nearest(name, known()) {
            Some(near) => told.hint(format!("write `{near}`")),
            None => told.because(format!("services are {}", known().collect::<Vec<_>>().join(", "))),
        }
    };
    let found: Vec<Diagnostic> = wrong.map(complaint).collect();
    if found.is_empty() { Ok(()) } else { Err(Stop::Complaints(found)) }
}

/// Volumes that the section names must be Compose's.
fn known_volumes(session: &Session, seed: &Seed, target: &Target<'_>) -> Result<(), Stop> {
    let known: Vec<&str> = target.model.section("volumes").map(|(name, _)| name).collect();
    let named =
        seed.vault.iter().enumerate().filter_map(|(index, vault)| Some((index, vault.volume.as_deref()?)));
    let complaint = |(index, name): (usize, &str)| {
        let place = session.source.find_nearest(&["seed", "vault", &index.to_string(), "volume"]);
        let told = Diagnostic::error(format!("the Compose files have no volume `{name}`")).at(place);
        match nearest(name, known.iter().copied()) {
            Some(near) => told.hint(format!("write `{near}`")),
            None => told.because(format!("volumes are {}", known.join(", "))),
        }
    };
    let found: Vec<Diagnostic> = named.filter(|(_, name)| !known.contains(name)).map(complaint).collect();
    if found.is_empty() { Ok(()) } else { Err(Stop::Complaints(found)) }
}

async fn order(
    session: &Session,
    asked: &cli::Seed,
    (source, target): (&Source<'_>, &Target<'_>),
    seed: &Seed,
) -> Result<Order, Stop> {
    let project = &session.config.project;
    let to = super::place(session, target.name, seed).await?;
    let (from, backup) = match source {
        Source::Environment(from) => (super::place(session, from, seed).await?.into(), None),
        Source::Server { dsn, of } => {
            let project = session.config.compose_project(of);
            (SourcePlace::Server { dsn: dsn.clone(), project }, None)
        }
        Source::Backup(manifest) => {
            let backup = stand_in::prepared(session, manifest, target.name, seed).await?;
            (backup.place.clone().into(), Some(backup))
        }
    };
    let mut vaults = Vec::new();
    for (index, vault) in seed.vault.iter().enumerate() {
        let from = match source {
            Source::Environment(of) | Source::Server { of, .. } => {
                let project = session.config.compose_project(of);
                VaultSource::Place(vault_place(session, vault, &project).await?)
            }
            Source::Backup(manifest) => stand_in::vault(session, manifest, index, vault)?,
        };
        let to = vault_place(session, vault, &target.project).await?;
        let VaultPlace::Folder { path } = &to;
        vaults.push(VaultOrder {
            from,
            is_new: !Path::new(path).exists(),
            to,
            column: vault.key.clone(),
            strip: vault.strip.clone(),
            files: vault.files.clone(),
        });
    }
    Ok(Order {
        users: users(target, &to.service),
        from,
        backup,
        to,
        rules: session.source.text.clone(),
        size: asked.sample.clone(),
        rate: super::rate(asked, seed)?,
        key: session.layout.masks_key(project),
        folder: session.layout.seeds(project, target.name),
        rewrites: rewrites(session, seed, target)?,
        vaults,
        caches: caches(seed, target),
        restart: seed.restart.iter().map(ToString::to_string).collect(),
        keep: asked.keep,
        keep_failed: asked.keep_failed,
    })
}

/// Services that need the database or speak of it.
fn users(target: &Target<'_>, database: &str) -> BTreeSet<String> {
    let names_it = |service: &pw_model::compose::Service<'_>| {
        speaks_of(service, database) || service.environment().any(|(_, value)| value == database)
    };
    let others = target.model.services().filter(|service| service.name() != database);
    others.filter(names_it).map(|service| service.name().to_owned()).collect()
}

/// Redis services that are to be emptied and have a container.
fn caches(seed: &Seed, target: &Target<'_>) -> Vec<CachePlace> {
    let rules: BTreeMap<&str, CacheRule> =
        seed.caches.iter().map(|(name, rule)| (name.as_str(), *rule)).collect();
    let is_redis = |name: &str| {
        let service = &target.desired.services[name];
        let image = service.image.to_lowercase();
        service.role == Role::Cache && REDIS.iter().any(|word| image.contains(word))
    };
    let flushed = target.desired.services.keys().filter(|name| match rules.get(name.as_str()) {
        Some(rule) => *rule == CacheRule::Flush,
        None => is_redis(name),
    });
    let there = |name: &&String| target.observed.containers.iter().any(|one| one.service == **name);
    let place = |name: &String| CachePlace { project: target.project.clone(), service: name.clone() };
    flushed.filter(there).map(place).collect()
}

/// The rewrites with what stands for the environment filled in, as the text that is stored.
fn rewrites(session: &Session, seed: &Seed, target: &Target<'_>) -> Result<Option<String>, Stop> {
    if seed.rewrite.is_empty() {
        return Ok(None);
    }
    let mut all = Vec::new();
    for (index, one) in seed.rewrite.iter().enumerate() {
        let mut set = one.set.clone();
        for (column, value) in &mut set {
            if let Value::String(text) = value {
                *text = filled(session, target, text).map_err(|name| {
                    let place = ["seed", "rewrite", &index.to_string(), "set", column];
                    Diagnostic::error(format!("`{{host:{name}}}` stands for nothing"))
                        .at(session.source.find_nearest(&place))
                        .because(format!("environment `{}` has no route to `{name}`", target.name))
                        .hint(format!("add it under `routes:` of `{}`, or write the name out", target.name))
                })?;
            }
        }
        all.push(pw_data::seed::Rewrite { table: one.table.clone(), set, filter: one.filter.clone() });
    }
    let text = serde_json::to_string(&all)
        .map_err(|error| Failure::new("could not keep the rewrites").because(error))?;
    Ok(Some(text))
}

/// Answers the service whose host name is asked for and that has none.
fn filled(session: &Session, target: &Target<'_>, text: &str) -> Result<String, String> {
    let mut text = text
        .replace("{project}", session.config.project.as_str())
        .replace("{environment}", target.name.as_str());
    while let Some((before, rest)) = text.split_once("{host:") {
        let Some((service, after)) = rest.split_once('}') else { break };
        let route = target.desired.routes.iter().find(|route| route.service == service);
        let host = route.and_then(|route| route.hosts.first()).ok_or_else(|| service.to_owned())?;
        text = format!("{before}{host}{after}");
    }
    Ok(text)
}

/// Where the engine keeps the volume, or what is mounted where a service has it.
async fn vault_place(session: &Session, vault: &Vault, compose_project: &str) -> Result<VaultPlace, Stop> {
    let host = session.host();
    if let Some(volume) = &vault.volume {
        return Ok(VaultPlace::Folder { path: host.engine().volume_folder(compose_project, volume).await? });
    }
    let (service, path) = vault.mount.as_deref().and_then(|mount| mount.split_once(':')).unwrap_or_default();
    let inside = host.engine().look_inside(compose_project, service).await?;
    match inside.on_host(path).and_then(|path| path.to_str().map(str::to_owned)) {
        Some(path) => Ok(VaultPlace::Folder { path }),
        None => Err(Stop::because(
            format!("`{service}` of `{compose_project}` mounts nothing at `{path}`"),
            "the files of a vault lie in a volume or in a folder of the host",
            "correct `mount` under `seed.vault`",
        )),
    }
}

async fn found(session: &Session, host: &Host, order: &Order) -> Result<Found, Stop> {
    let server: &DatabasePlace = &order.to;
    let reached = reach(host.engine(), server).await?;
    let mut caches = BTreeMap::new();
    for cache in &order.caches {
        caches.insert(cache.service.clone(), host.engine().keyspace(cache).await?);
    }
    let current = std::fs::read_to_string(current_file(&order.folder)).ok();
    Ok(Found {
        databases: pw_data::seed::databases(&reached.address).await?,
        caches,
        seeds: numbers(Path::new(&order.folder)),
        current: current.and_then(|text| text.trim().parse().ok()),
        has_key: Path::new(&session.layout.masks_key(&session.config.project)).is_file(),
    })
}

/// Numbers of seeds that left a folder.
fn numbers(folder: &Path) -> BTreeSet<u64> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect()
}
