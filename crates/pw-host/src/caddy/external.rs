//! The user's own Caddy: our routes go before theirs, and nothing else of theirs is touched.

use std::path::Path;

use pw_model::config::TlsMode;
use pw_plan::proxy::{Site, canonical, external_routes};
use pw_run::Failure;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use super::admin::{Admin, accepted};
use super::sites;

/// How often a change starts anew because somebody else changed the configuration meanwhile.
const TRIES: u32 = 5;
const SERVERS: &str = "/config/apps/http/servers";

/// Puts our routes into the user's Caddy and takes out those that are no longer wanted.
pub async fn load_external(folder: &Path, admin: &str) -> Result<(), Failure> {
    let wanted = Wanted::of(folder, &sites(folder)?, admin);
    let admin = Admin::parse(admin);
    for _ in 0..TRIES {
        if try_load(folder, &admin, &wanted).await? {
            return Ok(());
        }
    }
    Err(Failure::new(format!("the configuration of Caddy at `{}` changes all the time", admin.shown()))
        .hint("find out what else writes it, and run the command again"))
}

/// One try; false when somebody else was faster.
async fn try_load(folder: &Path, admin: &Admin, wanted: &Wanted) -> Result<bool, Failure> {
    let (servers, etag) = admin.get(SERVERS).await?;
    let Some((name, present)) = server(&servers, &wanted.ports) else {
        // On the way back from a first load that found no server, there is nothing of ours to take out.
        return if wanted.routes.is_empty() { Ok(true) } else { Err(wanted.no_server(admin)) };
    };
    let routes = merged(folder, present.as_deref().unwrap_or_default(), &wanted.routes);
    if present.as_ref() == Some(&routes) || present.is_none() && routes.is_empty() {
        return Ok(true);
    }
    let method = if present.is_some() { Method::PATCH } else { Method::PUT };
    let path = format!("{SERVERS}/{name}/routes");
    let answer = admin.call(method, &path, Some(&json!(routes)), etag.as_deref()).await;
    let answer = answer.map_err(|error| admin.silent(error))?;
    if answer.status() == StatusCode::PRECONDITION_FAILED {
        return Ok(false);
    }
    accepted(answer, "Caddy refuses our routes and goes on with those it had").await.map(|()| true)
}

/// Routes of the projects that use this Caddy, and the ports on which its public server may listen, likeliest first.
struct Wanted {
    routes: Vec<Value>,
    ports: Vec<u16>,
}

impl Wanted {
    fn of(folder: &Path, sites: &[Site], admin: &str) -> Self {
        let switches = folder.join("switch").display().to_string();
        let here: Vec<&Site> =
            sites.iter().filter(|site| site.proxy.admin.as_deref() == Some(admin)).collect();
        let written = here.iter().flat_map(|site| match site.proxy.tls {
            TlsMode::Off => vec![site.proxy.http_port],
            _ => vec![site.proxy.https_port, site.proxy.http_port],
        });
        Self {
            ports: written.chain([443, 80]).collect(),
            routes: here.iter().flat_map(|site| external_routes(site, &switches)).collect(),
        }
    }

    fn no_server(&self, admin: &Admin) -> Failure {
        let mut ports: Vec<String> = self.ports.iter().map(u16::to_string).collect();
        ports.dedup();
        Failure::new(format!(
            "the Caddy at `{}` listens on none of the ports {}",
            admin.shown(),
            ports.join(", ")
        ))
        .hint("name its port with `proxy: { http_port: … }`, or leave `proxy.admin` out of partywall.yaml")
    }
}

/// The server that serves the public, with its routes; `None` for the routes when it has none.
fn server(servers: &Value, ports: &[u16]) -> Option<(String, Option<Vec<Value>>)> {
    let listens = |server: &Value, port: u16| {
        let listen = server.get("listen").and_then(Value::as_array);
        listen
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .any(|address| address.ends_with(&format!(":{port}")))
    };
    let all = servers.as_object()?;
    let (name, server) =
        ports.iter().find_map(|port| all.iter().find(|(_, server)| listens(server, *port)))?;
    Some((name.clone(), server.get("routes").and_then(Value::as_array).cloned()))
}

/// Ours first, then theirs as they were.
fn merged(folder: &Path, present: &[Value], wanted: &[Value]) -> Vec<Value> {
    let theirs = present.iter().filter(|route| !is_ours(folder, route));
    wanted.iter().chain(theirs).map(canonical).collect()
}

/// A route with an `@id` of ours that reads our switch folder; another Partywall's routes are not ours.
fn is_ours(folder: &Path, route: &Value) -> bool {
    let id = route.get("@id").and_then(Value::as_str).unwrap_or_default();
    let switches = folder.join("switch").display().to_string();
    id.starts_with("partywall-") && route.to_string().contains(&switches)
}

pub(super) async fn is_current(folder: &Path, sites: &[Site], admin_text: &str) -> bool {
    let admin = Admin::parse(admin_text);
    let wanted = Wanted::of(folder, sites, admin_text);
    let Ok((servers, _)) = admin.get(SERVERS).await else { return false };
    let Some((_, Some(present))) = server(&servers, &wanted.ports) else { return false };
    let present: Vec<Value> = present.iter().map(canonical).collect();
    present == merged(folder, &present, &wanted.routes)
}
