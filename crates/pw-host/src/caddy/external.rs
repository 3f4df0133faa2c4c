//! The user's own Caddy: our routes go before theirs, and nothing else of theirs is touched.

use std::path::Path;

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
    let sites = sites(folder)?;
    let wanted = wanted(folder, &sites, admin);
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
async fn try_load(folder: &Path, admin: &Admin, wanted: &[Value]) -> Result<bool, Failure> {
    let (servers, etag) = admin.get(SERVERS).await?;
    let (name, present) = server(&servers, admin)?;
    let routes = merged(folder, present.as_deref().unwrap_or_default(), wanted);
    if present.as_ref() == Some(&routes) {
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

/// Routes of the projects that use this Caddy.
fn wanted(folder: &Path, sites: &[Site], admin: &str) -> Vec<Value> {
    let switches = folder.join("switch").display().to_string();
    let here = sites.iter().filter(|site| site.proxy.admin.as_deref() == Some(admin));
    here.flat_map(|site| external_routes(site, &switches)).collect()
}

/// The server that serves the public: the one on port 443, else on 80. With its routes, `None` when it has none.
fn server(servers: &Value, admin: &Admin) -> Result<(String, Option<Vec<Value>>), Failure> {
    let on = |port: &str| {
        servers.as_object()?.iter().find(|(_, server)| {
            let listen = server.get("listen").and_then(Value::as_array);
            listen.into_iter().flatten().filter_map(Value::as_str).any(|address| address.ends_with(port))
        })
    };
    let (name, server) = on(":443").or_else(|| on(":80")).ok_or_else(|| {
        Failure::new(format!("the Caddy at `{}` listens on neither port 443 nor 80", admin.shown()))
            .hint("give it one site of its own, or leave `proxy.admin` out of partywall.yaml")
    })?;
    Ok((name.clone(), server.get("routes").and_then(Value::as_array).cloned()))
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
    let Ok((servers, _)) = admin.get(SERVERS).await else { return false };
    let Ok((_, Some(present))) = server(&servers, &admin) else { return false };
    let present: Vec<Value> = present.iter().map(canonical).collect();
    present == merged(folder, &present, &wanted(folder, sites, admin_text))
}
