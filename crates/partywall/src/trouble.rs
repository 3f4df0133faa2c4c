//! What is wrong with an environment that its containers alone do not show: a service that is gone, a route that is closed.

use std::path::Path;

use pw_host::Host;
use pw_model::compose::ComposeModel;
use pw_model::name::EnvironmentName;
use pw_model::observed::Container;

use crate::fallen;
use crate::session::Session;

/// One line each, empty when the environment is as it was brought up, or does not run at all.
pub(crate) async fn troubles(
    session: &Session,
    host: &Host,
    name: &EnvironmentName,
    containers: &[&Container],
) -> Vec<String> {
    if containers.is_empty() {
        return Vec::new();
    }
    let mut found = services(session, name, containers);
    found.extend(routes(session, host, name).await);
    found.extend(
        fallen::gone(session, name).await.map(|what| {
            format!("{what} of this environment are gone; `partywall wall {name}` sets them again")
        }),
    );
    found.extend(containers.iter().filter_map(|container| uncovered(name, container)));
    found
}

/// Said loudly: development may read production's passwords.
fn uncovered(name: &EnvironmentName, container: &Container) -> Option<String> {
    let lost: Vec<&str> = container.lost_mounts.iter().map(String::as_str).collect();
    (!lost.is_empty()).then(|| {
        format!(
            "`{}` sees what was covered at {}; `partywall up {name}` covers it again",
            container.service,
            lost.join(", ")
        )
    })
}

/// The rendered file says what should be there; its labels say what may end.
fn services(session: &Session, name: &EnvironmentName, containers: &[&Container]) -> Vec<String> {
    let path = session.layout.compose_file(&session.config.project, name);
    let text = std::fs::read_to_string(path).unwrap_or_default();
    let Ok(serde_json::Value::Object(model)) = serde_saphyr::from_str(&text) else { return Vec::new() };
    let model = ComposeModel(model);
    let judged = model.services().filter(|service| service.scale() > 0).filter_map(|service| {
        let is_job = service.get("labels")?.get("partywall.role")?.as_str() == Some("job");
        let own: Vec<_> = containers.iter().filter(|container| container.service == service.name()).collect();
        if own.is_empty() {
            return Some(format!("`{}` is missing", service.name()));
        }
        let stopped = !is_job && own.iter().any(|container| container.ended_well());
        stopped.then(|| format!("`{}` has stopped", service.name()))
    });
    judged.collect()
}

/// A name answers when its switch is open and the proxy is on the edge.
async fn routes(session: &Session, host: &Host, name: &EnvironmentName) -> Vec<String> {
    let config = &session.config;
    let Some(environment) = config.environments.get(name) else { return Vec::new() };
    let project = config.compose_project(name);
    let closed = environment.routes.keys().filter(|service| {
        !Path::new(&session.layout.switch(&config.proxy.name, &project, service.as_str())).is_file()
    });
    let mut found: Vec<String> =
        closed.map(|service| format!("the route to `{service}` is closed")).collect();
    if environment.routes.is_empty() || config.proxy.admin.is_some() {
        return found;
    }
    match host.engine().networks_of(&config.proxy.name).await {
        Ok(None) => found.push(format!("the proxy `{}` does not run", config.proxy.name)),
        Ok(Some(networks)) if !networks.contains(&pw_plan::wall::edge_network(&project)) => {
            found.push(format!("the proxy `{}` is not on this environment's network", config.proxy.name));
        }
        // An engine that does not answer is told by what asked it first.
        _ => {}
    }
    found
}
