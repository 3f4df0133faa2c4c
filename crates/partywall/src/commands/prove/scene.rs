//! Both sides of the wall, as they run.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::Path;

use pw_host::Host;
use pw_host::prove::{self, Side};
use pw_model::config::Class;
use pw_model::desired::{Desired, DesiredRoute};
use pw_model::name::EnvironmentName;
use pw_plan::prove::scene::{Room, Scene};
use pw_plan::prove::step::{Bounds, Site};
use pw_plan::wall::Rendered;
use pw_run::Observe as _;

use crate::prepare::{self, Walls};
use crate::proved::{Facts, Wall};
use crate::session::Session;
use crate::stop::Stop;

/// What is attacked, and what the certificate says of it.
pub(super) struct Ground {
    pub(super) scene: Scene,
    pub(super) facts: Facts,
    pub(super) walls: Vec<Wall>,
    pub(super) bounds: Bounds,
}

pub(super) async fn look(session: &Session, name: &EnvironmentName) -> Result<Ground, Stop> {
    let host = session.host();
    let walls = prepare::walls(session, &host, None).await?;
    let (mut scene, mut shown) = (Scene::default(), Vec::new());
    let mut desired = BTreeMap::new();
    for rendered in &walls.rendered {
        let (wall, rooms, wanted) = side(session, &host, &walls, rendered).await?;
        desired.insert(rendered.name.clone(), wanted);
        let production = rendered.class == Class::Production;
        if production { &mut scene.production } else { &mut scene.beside }.extend(rooms);
        shown.extend((!wall.containers.is_empty()).then_some(wall));
    }
    runs(session, name, &scene)?;
    let of_production = &desired[name];
    for rendered in walls.rendered.iter().filter(|one| one.class == Class::Production) {
        scene.secrets.extend(secrets(session, rendered));
        scene.configuration.extend(configuration(rendered, &desired[&rendered.name]));
    }
    scene.docker_sockets = prove::docker_sockets();
    proxy(session, &host, of_production, &mut scene).await?;
    scene.site = site(session, of_production, &scene);
    for (other, wanted) in desired.iter().filter(|(_, one)| one.class != Class::Production) {
        if scene.own_site.is_none() && scene.beside.iter().any(|room| room.environment == other.as_str()) {
            let edge = walls.rendered.iter().find(|one| one.name == *other).map(|one| one.edge.as_str());
            scene.own_site = own_site(session, &host, wanted, edge).await?;
        }
    }
    let bounds = prove::bounds(walls.facts.disk_free);
    let facts = Facts {
        partywall: env!("CARGO_PKG_VERSION"),
        kernel: prove::kernel(),
        asked: scene.site.as_ref().map(asked),
        host: walls.facts,
    };
    Ok(Ground { scene, facts, walls: shown, bounds })
}

async fn side(
    session: &Session,
    host: &Host,
    walls: &Walls,
    rendered: &Rendered,
) -> Result<(Wall, Vec<Room>, Desired), Stop> {
    let desired = prepare::desired(session, walls, &rendered.name).await?;
    let observed = host.observe(&desired).await?;
    let side =
        Side { environment: rendered.name.to_string(), compose_project: rendered.compose_project.clone() };
    let rooms = prove::rooms(host.engine(), &side).await?;
    let mut rules = BTreeMap::new();
    for rule in &rendered.rules {
        *rules.entry(rule.name.to_owned()).or_default() += 1;
    }
    let firewall = observed.firewall.map(|chain| format!("{}: {} rules", chain.name, chain.rules.len()));
    let group = observed.group.map(|limits| pw_plan::Action::LimitGroup { limits }.to_string());
    let wall = Wall {
        environment: rendered.name.to_string(),
        containers: rooms.iter().map(|room| room.name.clone()).collect(),
        group: group.map(|text| text.trim_start_matches("limit control group ").to_owned()),
        firewall,
        rules,
    };
    Ok((wall, rooms, desired))
}

/// An attack needs both sides.
fn runs(session: &Session, name: &EnvironmentName, scene: &Scene) -> Result<(), Stop> {
    if scene.production.is_empty() {
        return Err(Stop::because(
            format!("`{name}` does not run"),
            "without it, no probe could tell a wall from nothing",
            format!("run `partywall up {name}`"),
        ));
    }
    if !scene.beside.is_empty() {
        return Ok(());
    }
    let beside = session
        .config
        .environments_in_order()
        .into_iter()
        .find(|(name, one)| one.class(name) != Class::Production);
    Err(Stop::because(
        "nothing runs beside production",
        "the attack comes from inside its containers",
        match beside {
            Some((beside, _)) => format!("run `partywall up {beside}`"),
            None => "describe an environment `development` under `environments:`".to_owned(),
        },
    ))
}

/// What Compose takes secrets from, the variables, and what Partywall keeps of the environment.
fn secrets(session: &Session, rendered: &Rendered) -> BTreeSet<String> {
    let (layout, project, name) = (&session.layout, &session.config.project, &rendered.name);
    let files = rendered.model["secrets"].as_object().into_iter().flatten();
    let mut found: BTreeSet<String> =
        files.filter_map(|(_, one)| one["file"].as_str()).map(str::to_owned).collect();
    let variables = session.config.environments.get(name).map(|one| &one.env_file);
    let variables = variables.into_iter().flat_map(|files| files.iter());
    found.extend(variables.map(|file| session.directory.join(file).display().to_string()));
    found.extend([
        layout.environment(project, name),
        layout.store(project),
        layout.journal(project),
        layout.masks_key(project),
        layout.backup_key(project),
    ]);
    found.retain(|path| Path::new(path).exists());
    found
}

/// Paths of the host that its services mount and keep no data in.
fn configuration(rendered: &Rendered, desired: &Desired) -> BTreeSet<String> {
    let services = rendered.model["services"].as_object().into_iter().flatten();
    let mounts = services.flat_map(|(_, service)| service["volumes"].as_array().into_iter().flatten());
    let binds = mounts.filter(|mount| mount["type"] == "bind").filter_map(|mount| mount["source"].as_str());
    let configs = rendered.model["configs"].as_object().into_iter().flatten();
    let configs = configs.filter_map(|(_, one)| one["file"].as_str());
    let keeps = |path: &str| desired.kept_data.iter().any(|kept| kept == path);
    binds.filter(|path| !keeps(path)).chain(configs).map(str::to_owned).collect()
}

async fn proxy(session: &Session, host: &Host, desired: &Desired, scene: &mut Scene) -> Result<(), Stop> {
    let Some(proxy) = desired.proxy.as_ref().filter(|proxy| proxy.external_admin.is_none()) else {
        return Ok(());
    };
    let folder = session.layout.proxy(&session.config.proxy.name);
    let socket = format!("{folder}/run/admin.sock");
    scene.proxy_sockets.extend(Path::new(&socket).exists().then_some(socket));
    if let Some(room) = prove::container(host.engine(), &proxy.container).await? {
        let all = room.addresses.iter().flat_map(|at| room.listening.iter().map(move |port| (*at, *port)));
        scene.proxy = all.filter(|(_, port)| *port != prove::CADDY_ADMIN).collect();
    }
    Ok(())
}

fn path(session: &Session, service: &str) -> String {
    let verify = session.config.promote.as_ref().map(|promote| promote.verify.as_slice()).unwrap_or_default();
    let of =
        |one: &&pw_model::config::Verify| one.service.as_ref().is_none_or(|name| name.as_str() == service);
    verify.iter().find(of).map_or_else(|| "/".to_owned(), |one| one.get.clone())
}

/// As visitors ask; past the proxy where it speaks TLS only, or is not ours.
fn site(session: &Session, desired: &Desired, scene: &Scene) -> Option<Site> {
    let route = desired.routes.first()?;
    let path = path(session, &route.service);
    let service = route.service.clone();
    let host = route.hosts.first()?.clone();
    let ours = desired.proxy.as_ref().is_some_and(|proxy| proxy.external_admin.is_none());
    if ours && !route.entrance.tls {
        let proxy: SocketAddr = route.entrance.address.parse().ok()?;
        return Some(Site { service, address: proxy.ip(), port: proxy.port(), host, path, proxied: true });
    }
    let room = scene.production.iter().find(|room| room.service == service)?;
    let address = *room.addresses.iter().find(|address| address.is_ipv4())?;
    Some(Site { service, address, port: port(route)?, host, path, proxied: false })
}

fn port(route: &DesiredRoute) -> Option<u16> {
    route.address.rsplit_once(':')?.1.parse().ok()
}

/// A page of its own, where it meets the proxy.
async fn own_site(
    session: &Session,
    host: &Host,
    desired: &Desired,
    edge: Option<&str>,
) -> Result<Option<Site>, Stop> {
    let (Some(proxy), Some(route)) = (&desired.proxy, desired.routes.first()) else { return Ok(None) };
    let Some(edge) = edge.filter(|_| proxy.external_admin.is_none()) else { return Ok(None) };
    let address = prove::address_on(host.engine(), &proxy.container, edge).await?;
    let named = route.hosts.first();
    Ok(address.zip(named).map(|(address, name)| Site {
        service: route.service.clone(),
        address,
        port: session.config.proxy.http_port,
        host: name.clone(),
        path: path(session, &route.service),
        proxied: true,
    }))
}

fn asked(site: &Site) -> String {
    let how = if site.proxied { "through the proxy, as visitors do" } else { "directly, past the proxy" };
    format!("http://{}{} of service {}, {how}", site.host, site.path, site.service)
}
