//! Caddy's configuration: one server for all environments of all projects of the host.
//!
//! A configuration change of Caddy cuts keep-alive connections and websockets of every site, so
//! what changes often is not in it: each route reads a switch file with every request. Present, it
//! holds the address to dial; absent, the visitor gets a page that says the environment is down.

mod route;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use pw_model::config::{Class, Config, Environment, Proxy, TlsMode};
use pw_model::desired::{DesiredProxy, FileText};
use pw_model::host::CgroupDriver;
use pw_model::layout::Layout;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

pub use self::route::WARMING;
use self::route::{route_json, to, unavailable_page};

/// Requests in flight when Caddy stops or reloads get this long.
const GRACE_PERIOD: &str = "30s";
/// Name of the log of answers.
const TRAFFIC: &str = "traffic";
/// Where the proxy's folder is mounted in its container; only the parts that it reads.
const MOUNTED: &str = "/etc/partywall";

/// The routes of one project, as kept in its site file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Site {
    pub project: String,
    pub proxy: Proxy,
    pub routes: Vec<SiteRoute>,
}

/// One service under its public names.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SiteRoute {
    pub environment: String,
    pub class: Class,
    pub service: String,
    pub hosts: Vec<String>,
    /// `compose-project/service`, below the switch folder.
    pub switch: String,
    /// Paths of files that only one release has.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub assets: Vec<String>,
    /// True where a part of the visitors may be led elsewhere.
    #[serde(default, skip_serializing_if = "is_false")]
    pub canary: bool,
}

fn is_false(value: &bool) -> bool {
    !value
}

/// The routes of all environments, running or not, so that starting one changes no configuration.
pub fn site(config: &Config) -> Site {
    // Behind a Caddy of the user's own nothing is flipped.
    let promote = config.promote.as_ref().filter(|_| config.proxy.admin.is_none());
    let routes = config.environments_in_order().into_iter().flat_map(|(name, environment)| {
        let compose_project = config.compose_project(name);
        environment.routes.iter().map(move |(service, route)| SiteRoute {
            environment: name.to_string(),
            class: environment.class(name),
            service: service.to_string(),
            hosts: route.hosts().into_iter().map(str::to_lowercase).collect(),
            switch: format!("{compose_project}/{service}"),
            assets: promote.map(|promote| promote.assets.clone()).unwrap_or_default(),
            canary: promote.is_some_and(|promote| promote.canary.is_some()),
        })
    });
    Site { project: config.project.to_string(), proxy: config.proxy.clone(), routes: routes.collect() }
}

/// How the proxy dials the front of a project, which answers for environments that sleep.
pub fn front(config: &Config, layout: &Layout) -> String {
    let file = layout.front(&config.proxy.name, &config.project);
    // The user's own Caddy runs on the host; ours sees its folder elsewhere.
    match &config.proxy.admin {
        Some(_) => format!("unix/{file}"),
        None => format!("unix/{MOUNTED}/run/front-{}.sock", config.project),
    }
}

/// Where a program of this host meets the proxy, as visitors do.
pub fn local_address(proxy: &Proxy) -> String {
    let port = if proxy.tls == TlsMode::Off { proxy.http_port } else { proxy.https_port };
    match proxy.address.parse::<IpAddr>() {
        Ok(IpAddr::V4(all)) if all.is_unspecified() => format!("{}:{port}", Ipv4Addr::LOCALHOST),
        Ok(IpAddr::V6(all)) if all.is_unspecified() => format!("[{}]:{port}", Ipv6Addr::LOCALHOST),
        Ok(IpAddr::V6(one)) => format!("[{one}]:{port}"),
        _ => format!("{}:{port}", proxy.address),
    }
}

/// True for an address that is not a container's but the front's.
pub fn is_front(address: &str) -> bool {
    address.starts_with("unix/")
}

/// The proxy as one environment needs it.
pub fn desired(
    config: &Config,
    environment: &Environment,
    edge: &str,
    (layout, driver): (&Layout, CgroupDriver),
) -> Option<DesiredProxy> {
    if environment.routes.is_empty() {
        return None;
    }
    let name = &config.proxy.name;
    let site_text = serde_json::to_string_pretty(&site(config)).unwrap_or_default() + "\n";
    Some(DesiredProxy {
        name: name.clone(),
        container: name.clone(),
        folder: layout.proxy(name),
        folders: if config.proxy.admin.is_none() { layout.proxy_folders(name) } else { Vec::new() },
        compose_file: FileText {
            path: layout.proxy_compose_file(name),
            text: compose_text(&config.proxy, layout, driver),
        },
        site_file: FileText { path: layout.site_file(name, &config.project), text: site_text },
        networks: if config.proxy.admin.is_none() { vec![edge.to_owned()] } else { Vec::new() },
        external_admin: config.proxy.admin.clone(),
    })
}

fn compose_text(proxy: &Proxy, layout: &Layout, driver: CgroupDriver) -> String {
    let folder = layout.proxy(&proxy.name);
    let port = |number: u16| json!(format!("{}:{number}:{number}", proxy.address));
    let mut ports = vec![port(proxy.http_port)];
    if proxy.tls != TlsMode::Off {
        ports.push(port(proxy.https_port));
        ports.push(json!(format!("{}:{}:{}/udp", proxy.address, proxy.https_port, proxy.https_port)));
    }
    let bind = |part: &str, read_only: bool| json!({"type": "bind", "source": format!("{folder}/{part}"), "target": format!("{MOUNTED}/{part}"), "read_only": read_only});
    let model = json!({
        "name": proxy.name,
        "services": { "caddy": {
            "image": proxy.image,
            "container_name": proxy.name,
            "cgroup_parent": crate::wall::proxy_group(driver),
            "command": ["caddy", "run", "--config", format!("{MOUNTED}/config/caddy.json")],
            "restart": "unless-stopped",
            "stop_grace_period": "40s",
            "ports": ports,
            "labels": {"partywall.proxy": proxy.name, "partywall.state": layout.identity()},
            "volumes": [
                // Folders, not files: a mounted file would pin the inode and miss what a rename puts in its place.
                bind("config", true), bind("switch", true), bind("run", false), bind("log", false),
                {"type": "volume", "source": "data", "target": "/data"},
                {"type": "volume", "source": "state", "target": "/config"},
            ],
            "logging": {"driver": "json-file", "options": {"max-size": "10m", "max-file": "3"}},
        }},
        "volumes": {"data": {}, "state": {}},
    });
    crate::wall::yaml(&model)
}

/// The whole configuration of our Caddy, from the site files of all projects.
pub fn configuration(sites: &[Site]) -> Value {
    let Some(proxy) = sites.first().map(|site| &site.proxy) else { return ground() };
    let switches = format!("{MOUNTED}/switch");
    let routes: Vec<Value> =
        all_routes(sites).map(|route| told(route_json(route, &switches, proxy.tls), route)).collect();
    let listen = if proxy.tls == TlsMode::Off { proxy.http_port } else { proxy.https_port };
    let mut server = json!({
        "listen": [format!(":{listen}")],
        "routes": routes,
        "logs": {"default_logger_name": TRAFFIC},
        "errors": {"routes": [{"handle": [unavailable_page()]}]},
    });
    if proxy.tls == TlsMode::Off {
        server["automatic_https"] = json!({"disable": true});
    }
    // `https_port` stays Caddy's default: told another one, it would leave the port out of its redirects.
    let mut apps = json!({
        "http": {"http_port": proxy.http_port, "grace_period": GRACE_PERIOD, "servers": {"partywall": server, "candidates": candidates(sites)}},
        "pki": {"certificate_authorities": {"local": {"install_trust": false}}},
    });
    if proxy.tls != TlsMode::Off {
        apps["tls"] = json!({"automation": {"policies": policies(sites, proxy)}});
    }
    let mut configuration = ground();
    configuration["apps"] = apps;
    configuration
}

/// What holds without any site: above all the socket, over which the next one comes.
fn ground() -> Value {
    json!({
        // Caddy is root in its container and whoever asks may not be: the folder around the socket is the owner's alone.
        "admin": {"listen": format!("unix/{MOUNTED}/run/admin.sock|0666"), "config": {"persist": false}},
        "logging": {"logs": {"default": {"level": "WARN", "exclude": [format!("http.log.access.{TRAFFIC}")]}, TRAFFIC: traffic_log()}},
        "storage": {"module": "file_system", "root": "/data/caddy"},
    })
}

/// The route with what the log of answers says of it.
fn told(mut json: Value, route: &SiteRoute) -> Value {
    let says = [("route", route.switch.as_str()), ("to", "{http.reverse_proxy.upstream.hostport}")];
    if let Some(handlers) = json.get_mut("handle").and_then(Value::as_array_mut) {
        let says = says.map(|(key, value)| json!({"handler": "log_append", "key": key, "value": value}));
        handlers.splice(0..0, says);
    }
    json
}

/// What is written of each answer: when, how long, which status, which route, which container. Nothing of the visitor.
fn traffic_log() -> Value {
    let dropped = ["request", "resp_headers", "user_id", "level", "logger", "msg", "bytes_read"];
    let fields: serde_json::Map<String, Value> =
        dropped.iter().map(|name| ((*name).to_owned(), json!({"filter": "delete"}))).collect();
    json!({
        "include": [format!("http.log.access.{TRAFFIC}")],
        "writer": {"output": "file", "filename": format!("{MOUNTED}/log/traffic.log"), "roll_size_mb": 20, "roll_keep": 1},
        "encoder": {"format": "filter", "wrap": {"format": "json"}, "fields": fields},
    })
}

/// The same routes on a socket that only the owner reaches, to containers that no visitor meets yet.
fn candidates(sites: &[Site]) -> Value {
    let root = format!("{MOUNTED}/switch/.candidate");
    let route = |route: &SiteRoute| {
        let file = format!("{root}/{}", route.switch);
        json!({"match": [{"host": route.hosts}], "terminal": true, "handle": [to(&format!("{{file.{file}}}"))]})
    };
    json!({
        "listen": [format!("unix/{MOUNTED}/run/candidate.sock|0666")],
        "routes": all_routes(sites).map(route).collect::<Vec<_>>(),
        "automatic_https": {"disable": true},
    })
}

fn all_routes(sites: &[Site]) -> impl Iterator<Item = &SiteRoute> {
    sites.iter().flat_map(|site| &site.routes)
}

/// The routes of one project for a Caddy that the user runs on the host, each with an `@id` of ours.
pub fn external_routes(site: &Site, switches: &str) -> Vec<Value> {
    let routes = site.routes.iter();
    routes
        .map(|route| {
            let mut json = route_json(route, switches, site.proxy.tls);
            json["@id"] = json!(external_id(&site.project, &route.switch));
            json
        })
        .collect()
}

/// The `@id` of a route in the user's Caddy.
pub fn external_id(project: &str, switch: &str) -> String {
    format!("partywall-{project}-{}", switch.replace('/', "-"))
}

/// Certificate policies: who signs which names. What no policy names is signed by the public authority.
fn policies(sites: &[Site], proxy: &Proxy) -> Vec<Value> {
    let hosts = |wanted: &dyn Fn(&SiteRoute, &str) -> bool| -> Vec<String> {
        all_routes(sites)
            .flat_map(|route| {
                route.hosts.iter().filter(|host| wanted(route, host)).cloned().collect::<Vec<_>>()
            })
            .collect()
    };
    let internal = hosts(&|_, host| proxy.tls == TlsMode::Internal || is_local(host));
    let staging = hosts(&|route, host| {
        proxy.tls == TlsMode::AcmeStaging && route.class != Class::Production && !is_local(host)
    });
    let mut policies = Vec::new();
    if !internal.is_empty() {
        policies.push(json!({"subjects": internal, "issuers": [{"module": "internal"}]}));
    }
    if !staging.is_empty() {
        let issuer = acme(proxy, Some("https://acme-staging-v02.api.letsencrypt.org/directory"));
        policies.push(json!({"subjects": staging, "issuers": [issuer]}));
    }
    policies.push(json!({"issuers": [acme(proxy, None)]}));
    policies
}

fn acme(proxy: &Proxy, authority: Option<&str>) -> Value {
    let mut issuer = json!({"module": "acme"});
    if let Some(email) = &proxy.email {
        issuer["email"] = json!(email);
    }
    if let Some(authority) = authority {
        issuer["ca"] = json!(authority);
    }
    issuer
}

/// Names that no public authority signs (RFC 2606, RFC 6761, RFC 8375).
fn is_local(host: &str) -> bool {
    let last = host.rsplit('.').next().unwrap_or(host);
    matches!(last, "localhost" | "local" | "internal" | "test" | "example" | "invalid")
        || host.ends_with(".home.arpa")
}

/// The same value with the keys of every object sorted, so that what Caddy answers compares with what it was given.
pub fn canonical(value: &Value) -> Value {
    match value {
        Value::Object(map) => {
            let mut keys: Vec<&String> = map.keys().collect();
            keys.sort();
            Value::Object(keys.into_iter().map(|key| (key.clone(), canonical(&map[key]))).collect())
        }
        Value::Array(items) => Value::Array(items.iter().map(canonical).collect()),
        other => other.clone(),
    }
}
