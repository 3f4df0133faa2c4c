//! Rendered files and host facts → [`Desired`], ready to compare.

use std::collections::{BTreeMap, BTreeSet};

use pw_model::config::{Objective, TlsMode};
use pw_model::desired::{Desired, DesiredRoute, DesiredService, Entrance, FileText};
use pw_model::host::HostFacts;
use serde_json::Value;

use crate::aspects::aspects;
use crate::wall::{Ground, Loaded, Rendered, build_limits, firewall_chain, group_limits};

/// One environment as it should be.
///
/// `file` is the rendered text and what `docker compose config --hash` says of it. What the host cannot set is `None`.
pub fn desired(
    ground: Ground<'_>,
    loaded: &Loaded,
    rendered: &Rendered,
    file: (String, BTreeMap<String, String>),
    facts: &HostFacts,
) -> Option<Desired> {
    let (config, layout) = (ground.config, ground.layout);
    let environment = config.environments.get(&rendered.name)?;
    let (text, hashes) = file;
    let proxy = crate::proxy::desired(config, environment, &rendered.edge, (layout, ground.cgroup_driver));
    let routes = environment.routes.iter().filter_map(|(service, route)| {
        Some(DesiredRoute {
            service: service.to_string(),
            hosts: route.hosts().into_iter().map(str::to_owned).collect(),
            switch: layout.switch(&config.proxy.name, &rendered.compose_project, service.as_str()),
            address: rendered.route_address(config, environment, service.as_str(), &loaded.model)?,
            edge: rendered.flips_on(service.as_str()),
            candidate: layout.candidate(&config.proxy.name, &rendered.compose_project, service.as_str()),
            entrance: Entrance {
                address: crate::proxy::local_address(&config.proxy),
                tls: config.proxy.tls != TlsMode::Off,
                warming: layout.warming(&config.proxy.name, &rendered.compose_project, service.as_str()),
            },
            canary: layout.canary(&config.proxy.name, &rendered.compose_project, service.as_str()),
            before: layout.before(&config.proxy.name, &rendered.compose_project, service.as_str()),
            calls: rendered.calls(service.as_str()),
        })
    });
    Some(Desired {
        project: config.project.clone(),
        environment: rendered.name.clone(),
        class: rendered.class,
        compose_project: rendered.compose_project.clone(),
        compose_file: FileText { path: layout.compose_file(&config.project, &rendered.name), text },
        variable_file: variable_file(loaded, layout.variable_file(&config.project, &rendered.name)),
        state_folder: layout.environment(&config.project, &rendered.name),
        folder_file: FileText {
            path: layout.folder_file(&config.project, &rendered.name),
            text: format!("{}\n", ground.directory),
        },
        state: layout.identity().to_owned(),
        moved: false,
        store_folder: layout.store_of(&config.project, &rendered.name),
        kept_data: crate::wall::kept_data(loaded, rendered, layout.root()),
        services: services(rendered, &hashes),
        networks: own(rendered, "networks"),
        volumes: own(rendered, "volumes"),
        folders: rendered.folders.iter().cloned().collect(),
        generated_secrets: rendered.generated_secrets.iter().cloned().collect(),
        group: facts
            .writes_cgroups
            .then(|| group_limits(config, &rendered.name, rendered.group.clone(), facts.memory)),
        build_group: facts.writes_cgroups.then(|| build_limits(config, facts)),
        firewall: facts
            .writes_firewall
            .then(|| firewall_chain(rendered, environment.budget.bandwidth))
            .flatten(),
        routes: routes.collect(),
        proxy,
        release_path: layout.release_file(&config.project, &rendered.name),
        release: None,
        promote: config.promote.clone().unwrap_or_default(),
        goals: config.objective.as_ref().map(Objective::goals).unwrap_or_default(),
    })
}

fn variable_file(loaded: &Loaded, path: String) -> Option<FileText> {
    if loaded.variables.is_empty() {
        return None;
    }
    let lines = loaded.variables.iter().map(|(name, value)| format!("{name}={}\n", quoted(value)));
    Some(FileText { path, text: lines.collect() })
}

/// A value as an env file holds it: literal in single quotes, escaped in double ones where it has such a quote.
fn quoted(value: &str) -> String {
    if !value.contains('\'') {
        return format!("'{value}'");
    }
    let escaped = value.replace('\\', "\\\\").replace('"', "\\\"").replace('$', "\\$").replace('\n', "\\n");
    format!("\"{escaped}\"")
}

fn services(rendered: &Rendered, hashes: &BTreeMap<String, String>) -> BTreeMap<String, DesiredService> {
    let services = rendered.model.get("services").and_then(Value::as_object);
    services
        .into_iter()
        .flatten()
        .filter_map(|(name, value)| {
            let service = pw_model::compose::Service::new(name, value);
            let image = service
                .image()
                .map_or_else(|| format!("{}-{}", rendered.compose_project, name), str::to_owned);
            let desired = DesiredService {
                role: *rendered.roles.get(name)?,
                config_hash: hashes.get(name).cloned().unwrap_or_default(),
                scale: service.scale(),
                image,
                built: service.is_built(),
                needs: needs(&service),
                has_healthcheck: service.has_healthcheck(),
                cpus: service.cpus(),
                networks: networks(rendered, &service),
                mounts: mounts(rendered, &service),
                aspects: aspects(value),
            };
            Some((name.clone(), desired))
        })
        .collect()
}

/// What must be there first: `depends_on`, and the service whose network, processes or volumes are shared.
fn needs(service: &pw_model::compose::Service<'_>) -> Vec<String> {
    let mut needs: Vec<String> = service.dependencies().map(|(name, _)| name.to_owned()).collect();
    let shared = ["network_mode", "pid", "ipc"]
        .into_iter()
        .filter_map(|key| service.get(key)?.as_str()?.strip_prefix("service:"));
    needs.extend(shared.map(str::to_owned));
    let from =
        service.get("volumes_from").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str);
    needs.extend(
        from.filter(|name| !name.starts_with("container:"))
            .map(|name| name.split(':').next().unwrap_or(name).to_owned()),
    );
    needs.sort();
    needs.dedup();
    needs
}

/// Engine names of the networks of a service that has networks of its own.
fn networks(rendered: &Rendered, service: &pw_model::compose::Service<'_>) -> BTreeSet<String> {
    if service.network_mode().is_some() {
        return BTreeSet::new();
    }
    let keys = service.get("networks").and_then(Value::as_object);
    let keys: Vec<&str> =
        keys.map_or_else(|| vec!["default"], |keys| keys.keys().map(String::as_str).collect());
    keys.into_iter().filter_map(|key| engine_name(rendered, "networks", key)).collect()
}

fn mounts(rendered: &Rendered, service: &pw_model::compose::Service<'_>) -> BTreeMap<String, String> {
    let volumes = service.get("volumes").and_then(Value::as_array).into_iter().flatten();
    let mount = |entry: &Value| {
        let source = entry.get("source")?.as_str()?;
        let from = match entry.get("type")?.as_str()? {
            "bind" => source.to_owned(),
            "volume" => engine_name(rendered, "volumes", source)?,
            _ => return None,
        };
        Some((entry.get("target")?.as_str()?.trim_end_matches('/').to_owned(), from))
    };
    volumes.filter_map(mount).collect()
}

fn engine_name(rendered: &Rendered, section: &str, key: &str) -> Option<String> {
    let name = rendered.model.get(section)?.get(key)?.get("name")?;
    name.as_str().map(str::to_owned)
}

/// Engine names of what the environment creates itself; external ones belong to somebody else.
fn own(rendered: &Rendered, section: &str) -> Vec<String> {
    let entries = rendered.model.get(section).and_then(Value::as_object);
    let own =
        entries.into_iter().flatten().filter(|(_, entry)| entry.get("external") != Some(&Value::Bool(true)));
    own.filter_map(|(_, entry)| entry.get("name")?.as_str().map(str::to_owned)).collect()
}
