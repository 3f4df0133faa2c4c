//! Parts of the file that stand beside the environments: head, proxy, databases, roles, what was left out.

use std::collections::{BTreeMap, BTreeSet};

use pw_model::compose::{ComposeModel, Service};
use pw_model::config::Class;
use pw_model::role::{self, Role};

use super::hosts;
use super::ports::{self, ProxyPort};
use super::propose::Proposal;
use super::reasons::reason;
use super::write::{line, list, scalar, wrapped};

/// Above this many services the roles are listed by role, without reasons.
const TABLE: usize = 16;
const POSTGRES: &[&str] = &["postgres", "postgis", "pgvector", "timescale", "vectorchord"];

pub(super) fn head(proposal: &Proposal<'_>) -> String {
    let project = proposal.project;
    let mut text = format!(
        "# yaml-language-server: $schema={}\n\
         # Environments of `{project}` on this host, proposed by `partywall init`: change what you like, then run\n\
         # `partywall check`. Every key with an example: `partywall init --example`.\n\n",
        proposal.schema
    );
    text += &line(
        &format!("project: {}", scalar(project.as_str())),
        "first part of every container, network and volume name",
    );
    if !proposal.files.compose.is_empty() {
        text += &line(
            &format!("compose: {}", list(&proposal.files.compose)),
            "shared by all environments, base first",
        );
    }
    text + "\n"
}

pub(super) fn proxy(proposal: &Proposal<'_>, hosts: &[String]) -> String {
    let (http, https) = ports::proxy(proposal.facts);
    let moved = http.taken.or(https.taken).is_some();
    let private: Vec<&String> = hosts.iter().filter(|host| hosts::is_private(host)).collect();
    let (tls, why) = match (private.len() == hosts.len(), moved) {
        (true, _) => ("internal", "Caddy's own authority: no public one knows these names"),
        (false, true) => ("internal", "a public authority asks on ports 80 and 443, which are taken"),
        (false, false) => ("automatic", "certificates come by themselves; the names must lead to this host"),
    };
    let port = |key: &str, port: ProxyPort| {
        let why = port.taken.map_or(String::new(), |taken| format!("something listens on {taken} already"));
        line(&format!("  {key}: {}", port.port), &why)
    };
    let mut text = String::from(
        "# One Caddy before all environments; to use one of your own instead: `admin: http://127.0.0.1:2019`.\nproxy:\n",
    );
    text += &port("http_port", http);
    text += &port("https_port", https);
    text + &line(&format!("  tls: {tls}"), why) + "\n"
}

/// PostgreSQL services of production.
pub(super) fn databases(proposal: &Proposal<'_>) -> String {
    let Some(model) = proposal.models.get(&Class::Production) else { return String::new() };
    let found: Vec<Service<'_>> = model.services().filter(|service| is_postgres(service, proposal)).collect();
    if found.is_empty() {
        return String::new();
    }
    let mut text = String::from("# PostgreSQL databases, for `partywall seed`.\ndatabases:\n");
    for service in &found {
        let key = if found.len() == 1 { "main" } else { service.name() };
        let entry = format!("  {}: {{ service: {} }}", scalar(key), scalar(service.name()));
        text += &line(&entry, "name, user and password are each environment's own POSTGRES_…");
    }
    text + "\n"
}

fn is_postgres(service: &Service<'_>, proposal: &Proposal<'_>) -> bool {
    let database = proposal.roles.get(service.name()) == Some(&Role::Database);
    let image = service.image().unwrap_or_default().to_lowercase();
    let variables = || service.environment().any(|(key, _)| key == "POSTGRES_DB");
    database && (POSTGRES.iter().any(|name| image.contains(name)) || variables())
}

/// Every service with its role and the reason, as comments.
pub(super) fn roles(proposal: &Proposal<'_>) -> String {
    let rows: BTreeMap<&str, (Role, String)> =
        proposal.roles.iter().filter_map(|(name, role)| row(proposal, name, *role)).collect();
    if rows.is_empty() {
        return String::new();
    }
    let head = "# Roles decide what is never run twice, restarted or routed. Guessed; correct a wrong one with `roles: { web: worker }`.\n";
    let body = if rows.len() <= TABLE { table(&rows) } else { by_role(&rows) };
    format!("{head}{body}")
}

fn row<'a>(proposal: &Proposal<'_>, name: &'a str, role: Role) -> Option<(&'a str, (Role, String))> {
    let with = |model: &&ComposeModel| model.service(name).is_some();
    let agrees = |model: &&ComposeModel| {
        model.service(name).is_some_and(|service| role::guess_in(&service, model) == role)
    };
    let model = proposal.models.values().find(agrees).or_else(|| proposal.models.values().find(with))?;
    let mut why = reason(model, &model.service(name)?, role);
    let only: Vec<&str> =
        proposal.models.iter().filter(|(_, model)| with(model)).map(|(class, _)| class.as_str()).collect();
    if only.len() < proposal.models.len() {
        why += &format!("; only in {}", only.join(" and "));
    }
    Some((name, (role, why)))
}

fn table(rows: &BTreeMap<&str, (Role, String)>) -> String {
    let width = rows.keys().map(|name| name.len()).max().unwrap_or(0);
    rows.iter()
        .map(|(name, (role, why))| format!("#   {name:<width$}  {:<8}  {why}\n", role.as_str()))
        .collect()
}

fn by_role(rows: &BTreeMap<&str, (Role, String)>) -> String {
    let roles: BTreeSet<Role> = rows.values().map(|(role, _)| *role).collect();
    let names = |role: Role| -> Vec<String> {
        rows.iter().filter(|(_, (of, _))| *of == role).map(|(name, _)| (*name).to_owned()).collect()
    };
    roles.into_iter().map(|role| wrapped(&format!("  {}:", role.as_str()), &names(role))).collect()
}

/// Files that are not used, samples to copy, profiles that are off.
pub(super) fn left_out(proposal: &Proposal<'_>) -> String {
    let files = proposal.files;
    let mut text = String::new();
    for left in &files.left_out {
        text += &format!("# Not used: `{}`: {}.\n", left.path, left.because);
    }
    for sample in &files.samples {
        text += &format!(
            "# `{}` is a sample: copy it to `{}`, fill it in, then name it as `env_file`.\n",
            sample.path, sample.real
        );
    }
    let on: BTreeSet<&String> =
        files.environments.values().flat_map(|environment| &environment.profiles).collect();
    let off: Vec<String> =
        files.known_profiles.iter().filter(|profile| !on.contains(profile)).map(|p| scalar(p)).collect();
    if !off.is_empty() {
        text += &wrapped("Profiles that no environment switches on:", &off);
    }
    if text.is_empty() { text } else { text + "\n" }
}
