//! What is wrong with a [`Config`] by itself, before any Compose file or host is looked at.

use std::collections::BTreeMap;

use super::file::{Class, Config, Environment};
use crate::diagnostic::Diagnostic;
use crate::name::EnvironmentName;
use crate::source::SourceFile;

/// Kinds of holes that `allow` may name, with what each lets through.
pub const HOLES: &[(&str, &str)] = &[
    ("bind-mount", "a folder of the host, mounted writable into production"),
    ("docker-socket", "the Docker socket: whoever holds it is root on the host"),
    ("host-network", "the host's network: every port of every environment"),
    ("host-pid", "the host's processes"),
    ("host-path", "a folder of the host outside the project"),
    ("privileged", "all rights of the host's root"),
];

/// Everything that can be said from the configuration alone.
pub fn check(config: &Config, source: &SourceFile) -> Vec<Diagnostic> {
    let mut found = Vec::new();
    if config.environments.is_empty() {
        found.push(
            Diagnostic::error("no environment is described")
                .at(source.find(&["environments"]))
                .hint("add `production:` under `environments:`"),
        );
    }
    found.extend(same_hosts(config, source));
    found.extend(prefixes(config, source));
    found.extend(super::seed::check(config, source));
    found.extend(super::alerts::check(config, source));
    found.extend(super::backup::check(config, source));
    found.extend(super::promote::check(config, source));
    found.extend(super::agent::check(config, source));
    for (name, environment) in &config.environments {
        found.extend(check_environment(config, name, environment, source));
    }
    found
}

fn check_environment(
    config: &Config,
    name: &EnvironmentName,
    environment: &Environment,
    source: &SourceFile,
) -> Vec<Diagnostic> {
    let at = |rest: &[&str]| source.find_nearest(&[&["environments", name.as_str()], rest].concat());
    let mut found = Vec::new();
    if config.compose_files(environment).is_empty() {
        found.push(
            Diagnostic::error(format!("environment `{name}` has no Compose file"))
                .at(at(&[]))
                .hint("add `compose: [docker-compose.yml]` at the top"),
        );
    }
    for (service, route) in &environment.routes {
        for host in route.hosts().into_iter().filter(|host| !is_host_name(host)) {
            let place = at(&["routes", service.as_str()]);
            found.push(
                Diagnostic::error(format!("`{host}` is not a host name"))
                    .at(place)
                    .hint("write only the name, without `https://`, port or path"),
            );
        }
    }
    for allowance in &environment.allow {
        if !is_known_hole(&allowance.0) {
            let kinds = HOLES.iter().map(|(kind, _)| *kind).collect::<Vec<_>>().join(", ");
            found.push(
                Diagnostic::error(format!("`{}` is not `service/kind`", allowance.0))
                    .at(at(&["allow"]))
                    .because(format!("kinds are {kinds}"))
                    .hint("write for example `ci/docker-socket`"),
            );
        }
    }
    if environment.class(name) != Class::Production
        && environment.budget.cpus.is_none()
        && environment.budget.memory.is_none()
    {
        found.push(
            Diagnostic::warning(format!("environment `{name}` has no budget"))
                .at(at(&[]))
                .because("without one it may use the whole machine, as long as production does not need it")
                .hint("add `budget: { cpus: 1, memory: 2GB }`"),
        );
    }
    found
}

/// `a` with a service `b-c` and `a-b` with a service `c` would name the same container.
fn prefixes(config: &Config, source: &SourceFile) -> Vec<Diagnostic> {
    let names: Vec<&EnvironmentName> = config.environments.keys().collect();
    let begins = |long: &EnvironmentName, short: &EnvironmentName| {
        long.as_str().strip_prefix(short.as_str()).is_some_and(|rest| rest.starts_with('-'))
    };
    let pairs = names.iter().flat_map(|long| names.iter().map(move |short| (*long, *short)));
    pairs
        .filter(|(long, short)| begins(long, short))
        .map(|(long, short)| {
            Diagnostic::error(format!("environment `{long}` begins with the name of environment `{short}`"))
                .at(source.find(&["environments", long.as_str()]))
                .because("their containers could have the same names")
                .hint(format!("rename it, for example to `{}`", long.as_str().replacen('-', "", 1)))
        })
        .collect()
}

fn same_hosts(config: &Config, source: &SourceFile) -> Vec<Diagnostic> {
    let mut owners: BTreeMap<String, (String, String)> = BTreeMap::new();
    let mut found = Vec::new();
    for (name, environment) in config.environments_in_order() {
        for (service, route) in &environment.routes {
            for host in route.hosts() {
                let owner = (name.to_string(), service.to_string());
                let Some(before) = owners.insert(host.to_lowercase(), owner) else { continue };
                let place = source.find(&["environments", name.as_str(), "routes", service.as_str()]);
                found.push(
                    Diagnostic::error(format!("the host name `{host}` is routed twice"))
                        .at(place)
                        .because(format!("`{}` of environment `{}` already has it", before.1, before.0))
                        .hint(format!(
                            "give environment `{name}` a name of its own, such as `{name}.{host}`"
                        )),
                );
            }
        }
    }
    found
}

fn is_known_hole(text: &str) -> bool {
    text.split_once('/')
        .is_some_and(|(service, kind)| !service.is_empty() && HOLES.iter().any(|(known, _)| *known == kind))
}

/// Letters, digits and dashes between dots; `*.` before them means all names below.
pub fn is_host_name(text: &str) -> bool {
    let labels = text.strip_prefix("*.").unwrap_or(text).split('.');
    !text.is_empty()
        && text.len() <= 253
        && labels.into_iter().all(|label| {
            !label.is_empty()
                && label.len() <= 63
                && !label.starts_with('-')
                && !label.ends_with('-')
                && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::parse;

    fn complaints(text: &str) -> Vec<String> {
        let source = SourceFile::new("partywall.yaml", text);
        let config = parse(&source).unwrap_or_else(|e| panic!("{e}"));
        check(&config, &source).iter().filter(|d| d.is_error()).map(|d| d.to_string()).collect()
    }

    #[test]
    fn two_environments_with_the_same_host_name_are_refused_at_the_second() {
        let text = "project: shop\ncompose: [c.yml]\nenvironments:\n  production:\n    routes: { web: shop.example }\n  development:\n    routes:\n      web: Shop.example\n";
        let found = complaints(text);
        assert_eq!(found.len(), 1);
        assert!(found[0].contains("partywall.yaml:8:7"), "{}", found[0]);
        assert!(found[0].contains("`web` of environment `production` already has it"), "{}", found[0]);
    }

    #[test]
    fn addresses_are_no_host_names() {
        let text = "project: shop\ncompose: [c.yml]\nenvironments:\n  production:\n    routes: { web: 'https://shop.example/' }\n    allow: [web/anything]\n";
        let found = complaints(text);
        assert!(found[0].contains("is not a host name"), "{found:?}");
        assert!(found[1].contains("is not `service/kind`"), "{found:?}");
    }

    #[test]
    fn the_example_in_the_manual_is_right() {
        assert_eq!(complaints(super::super::EXAMPLE), Vec::<String>::new());
    }
}
