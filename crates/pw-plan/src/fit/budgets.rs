//! Budgets against the host, limits of services against budgets and the host.

use pw_model::compose::{ComposeModel, Service};
use pw_model::config::{Class, Environment};
use pw_model::diagnostic::Diagnostic;
use pw_model::name::EnvironmentName;
use pw_model::unit::{Bytes, Cpus};

use super::{Ground, model, written};
use crate::wall::Rendered;

pub(super) fn check(ground: Ground<'_>) -> Vec<Diagnostic> {
    let mut found: Vec<Diagnostic> =
        [cpus(ground), memory(ground), disk(ground)].into_iter().flatten().collect();
    found.extend(free_disk(ground));
    found.extend(ground.rendered.iter().flat_map(|rendered| limits(ground, rendered)));
    found.extend(together(ground));
    found
}

/// One kind of budget, added up against the host.
struct Account<'a> {
    key: &'static str,
    /// How an amount is written, and what it is of.
    show: fn(u64) -> String,
    unit: &'static str,
    there: u64,
    asked: Vec<(&'a EnvironmentName, u64)>,
}

impl<'a> Account<'a> {
    fn new(ground: Ground<'a>, key: &'static str, amount: fn(&Environment) -> Option<u64>) -> Self {
        let all = ground.config.environments_in_order().into_iter();
        let asked = all.filter_map(|(name, environment)| Some((name, amount(environment)?))).collect();
        Self { key, show: |bytes| Bytes(bytes).to_string(), unit: "", there: 0, asked }
    }

    /// Whose line is to be changed: the last that can make up for the excess alone, as production comes first; else
    /// the one that asks for most.
    fn to_lower(&self, excess: u64) -> Option<&'a EnvironmentName> {
        let able = self.asked.iter().rev().find(|(_, amount)| *amount > excess);
        able.or_else(|| self.asked.iter().max_by_key(|(_, amount)| *amount)).map(|(name, _)| *name)
    }

    fn over(&self, ground: Ground<'_>) -> Option<Diagnostic> {
        let asked: u64 = self.asked.iter().map(|(_, amount)| *amount).fold(0, u64::saturating_add);
        let excess = asked.checked_sub(self.there).filter(|excess| *excess > 0)?;
        let (show, key, unit) = (self.show, self.key, self.unit);
        let name = self.to_lower(excess)?;
        let each: Vec<String> =
            self.asked.iter().map(|(name, amount)| format!("`{name}` asks for {}", show(*amount))).collect();
        let (asked, there, excess) = (show(asked), show(self.there), show(excess));
        Some(
            Diagnostic::error(format!(
                "budgets ask for {asked}{unit}, the host has {there}: {excess} too many"
            ))
            .at(ground.place(name.as_str(), &["budget", key]))
            .because(each.join(", "))
            .hint(format!("lower `{key}` in the `budget` of environment `{name}`")),
        )
    }
}

fn cpus(ground: Ground<'_>) -> Option<Diagnostic> {
    let there = ground.facts.cpus.thousandths();
    let show = |thousandths: u64| format!("{}", thousandths as f64 / 1000.0);
    let account = Account::new(ground, "cpus", |environment| environment.budget.cpus.map(Cpus::thousandths));
    Account { show, unit: " CPUs", there, ..account }.over(ground)
}

fn memory(ground: Ground<'_>) -> Option<Diagnostic> {
    let account =
        Account::new(ground, "memory", |environment| environment.budget.memory.map(|bytes| bytes.0));
    Account { unit: " of memory", there: ground.facts.memory.0, ..account }.over(ground)
}

fn disk(ground: Ground<'_>) -> Option<Diagnostic> {
    let account = Account::new(ground, "disk", |environment| environment.budget.disk.map(|bytes| bytes.0));
    Account { unit: " of disk", there: ground.facts.disk_total.0, ..account }.over(ground)
}

/// Part of a disk budget may be in use already, so that this only warns.
fn free_disk(ground: Ground<'_>) -> Vec<Diagnostic> {
    let free = ground.facts.disk_free;
    let asks = |environment: &Environment| {
        environment.budget.disk.filter(|disk| *disk > free && *disk <= ground.facts.disk_total)
    };
    let over = ground
        .config
        .environments_in_order()
        .into_iter()
        .filter_map(|(name, environment)| Some((name, asks(environment)?)));
    over.map(|(name, disk)| {
        Diagnostic::warning(format!("less disk is free than the budget of environment `{name}`"))
            .at(ground.place(name.as_str(), &["budget", "disk"]))
            .because(format!(
                "the budget is {disk}, {free} are free: {} are missing, less what it uses already",
                disk.saturating_sub(free)
            ))
            .hint("free some with `docker system df` and `docker image prune`, or lower `disk`")
    })
    .collect()
}

/// Limits that services ask for themselves, against their environment's budget and the host.
fn limits(ground: Ground<'_>, rendered: &Rendered) -> Vec<Diagnostic> {
    let Some(environment) = ground.config.environments.get(&rendered.name) else { return Vec::new() };
    let model = model(rendered);
    let name = rendered.name.as_str();
    let mut found = Vec::new();
    for service in model.services() {
        if let Some(limit) = written_memory(rendered, &service) {
            found.extend(too_much_memory(ground, name, environment, (service.name(), limit)));
        }
        if let Some(limit) = written_cpus(rendered, &service) {
            found.extend(too_many_cpus(ground, name, environment, (service.name(), limit)));
        }
    }
    found
}

fn too_much_memory(
    ground: Ground<'_>,
    name: &str,
    environment: &Environment,
    of: (&str, Bytes),
) -> Option<Diagnostic> {
    let (service, limit) = of;
    let (there, whose) = least(environment.budget.memory, ground.facts.memory, name);
    (limit > there).then(|| {
        Diagnostic::error(format!(
            "`{service}` of environment `{name}` may use {limit} of memory, {whose} {there}"
        ))
        .at(ground.place(name, &["budget", "memory"]))
        .because(format!(
            "{} too many: it would be killed before it reaches its limit",
            limit.saturating_sub(there)
        ))
        .hint(format!("lower `mem_limit` of `{service}` in an overlay of `{name}`, or raise the budget"))
    })
}

/// More than the host has, the engine refuses; more than the budget, the budget holds and nothing breaks.
fn too_many_cpus(
    ground: Ground<'_>,
    name: &str,
    environment: &Environment,
    of: (&str, Cpus),
) -> Option<Diagnostic> {
    let (service, limit) = of;
    let (there, whose) = least(environment.budget.cpus, ground.facts.cpus, name);
    let text = format!("`{service}` of environment `{name}` may use {limit} CPUs, {whose} {there}");
    let excess = limit.thousandths().saturating_sub(there.thousandths()) as f64 / 1000.0;
    let (diagnostic, because) = if limit > ground.facts.cpus {
        (Diagnostic::error(text), format!("{excess} too many: the engine refuses such a container"))
    } else {
        (Diagnostic::warning(text), format!("{excess} too many: the budget holds"))
    };
    (limit > there).then(|| {
        diagnostic
            .at(ground.place(name, &["budget", "cpus"]))
            .because(because)
            .hint(format!("lower `cpus` of `{service}` in an overlay of `{name}`, or raise the budget"))
    })
}

/// The budget where it is the smaller one, else the host.
fn least<T: PartialOrd>(budget: Option<T>, host: T, name: &str) -> (T, String) {
    match budget {
        Some(budget) if budget <= host => (budget, format!("the budget of `{name}` is")),
        _ => (host, "the host has".to_owned()),
    }
}

/// The service's own limit; `None` where the budget put it there.
fn written_memory(rendered: &Rendered, service: &Service<'_>) -> Option<Bytes> {
    written::memory(service).filter(|_| !is_ours(rendered, service.name(), &["mem_limit", "memory"]))
}

fn written_cpus(rendered: &Rendered, service: &Service<'_>) -> Option<Cpus> {
    written::cpus(service).filter(|_| !is_ours(rendered, service.name(), &["cpus"]))
}

/// True when a rule of ours set one of the keys, in whichever place Compose knows for it.
fn is_ours(rendered: &Rendered, service: &str, keys: &[&str]) -> bool {
    let of_service = |path: &[String]| path.get(1).is_some_and(|name| name == service);
    let sets = |path: &[String]| path.last().is_some_and(|key| keys.contains(&key.as_str()));
    rendered.rules.iter().any(|rule| of_service(&rule.path) && sets(&rule.path))
}

/// Production's limits and the others' budgets, when all of it is used at once.
fn together(ground: Ground<'_>) -> Option<Diagnostic> {
    let production = ground.rendered.iter().find(|rendered| rendered.class == Class::Production)?;
    let budget = ground.config.environments.get(&production.name)?.budget.memory;
    let asked = sum(production, &model(production));
    let asked = budget.map_or(asked, |budget| budget.min(asked));
    let beside = ground.config.environments.iter().filter(|(name, _)| **name != production.name);
    let beside =
        Bytes(beside.filter_map(|(_, environment)| environment.budget.memory).map(|bytes| bytes.0).sum());
    let all = Bytes(asked.0.saturating_add(beside.0));
    let all_environments = ground.config.environments_in_order();
    let (name, _) = all_environments.into_iter().rfind(|(_, one)| one.budget.memory.is_some())?;
    (asked.0 > 0 && beside.0 > 0 && beside <= ground.facts.memory && all > ground.facts.memory).then(|| {
        Diagnostic::warning(format!(
            "limits of production and budgets beside it are {all} of memory, the host has {}",
            ground.facts.memory
        ))
        .at(ground.place(name.as_str(), &["budget", "memory"]))
        .because(format!(
            "production's services may use {asked}, the other environments {beside}: {} too many",
            all.saturating_sub(ground.facts.memory)
        ))
        .hint(format!(
            "lower `memory` in the `budget` of environment `{name}`; when memory ends, it goes first"
        ))
    })
}

fn sum(rendered: &Rendered, model: &ComposeModel) -> Bytes {
    let each = model
        .services()
        .filter_map(|service| Some(written_memory(rendered, &service)?.0.saturating_mul(service.scale())));
    Bytes(each.fold(0, u64::saturating_add))
}
