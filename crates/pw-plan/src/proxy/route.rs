//! One route of Caddy's configuration: which file decides where a request goes.

use pw_model::config::{Class, TlsMode};
use serde_json::{Value, json};

use super::SiteRoute;

/// Websockets outlive a configuration change by this long.
const STREAM_CLOSE_DELAY: &str = "1h";
/// Remembers in a browser which release it met, for an hour; it names no visitor.
const COOKIE: &str = "partywall-canary";
/// Where the request goes.
const TO: &str = "partywall_to";
/// Bears the word of a file that leads past the generation that serves; the application never sees it.
pub const WARMING: &str = "Partywall-Warm-Up";

pub(super) fn route_json(route: &SiteRoute, switches: &str, tls: TlsMode) -> Value {
    let mut handlers = headers(route, tls);
    let mut routes = Vec::new();
    if route.canary {
        routes.push(canary(route, switches));
    }
    let live = [
        json!({"handler": "vars", TO: format!("{{file.{switches}/{}}}", route.switch)}),
        json!({"handler": "subroute", "routes": [warming(route, switches)]}),
        json!({"handler": "headers", "request": {"delete": [WARMING]}}),
        to_live(route, switches),
    ];
    routes.push(json!({"match": [is_there(switches, &route.switch)], "handle": live, "terminal": true}));
    routes.push(json!({"handle": [unavailable_page()]}));
    handlers.push(json!({"handler": "subroute", "routes": routes}));
    json!({"match": [{"host": route.hosts}], "handle": handlers, "terminal": true})
}

/// Hands a request to an address.
pub(super) fn to(address: &str) -> Value {
    json!({
        "handler": "reverse_proxy",
        "upstreams": [{"dial": address}],
        "stream_close_delay": STREAM_CLOSE_DELAY,
        // Applications commonly close idle connections after 5 s; the proxy must be first, or requests die on a closed one.
        "transport": {"protocol": "http", "keep_alive": {"idle_timeout": "4s"}},
    })
}

fn is_there(switches: &str, file: &str) -> Value {
    json!({"file": {"root": switches, "try_files": [format!("/{file}")]}})
}

/// To the generation that serves; assets that it does not have come from the one before, where that is still there.
fn to_live(route: &SiteRoute, switches: &str) -> Value {
    let mut live = to(&format!("{{http.vars.{TO}}}"));
    if !route.assets.is_empty() {
        let before = format!(".before/{}", route.switch);
        let mut found = is_there(switches, &before);
        found["path"] = json!(route.assets);
        found["method"] = json!(["GET", "HEAD"]);
        live["handle_response"] = json!([{
            "match": {"status_code": [404]},
            "routes": [
                {"match": [found], "handle": [to(&format!("{{file.{switches}/{before}}}"))], "terminal": true},
                {"handle": [{"handler": "copy_response"}]},
            ],
        }]);
    }
    live
}

/// Leads whoever knows the word elsewhere while a file says so: `WORD ADDRESS`.
///
/// By the same handler as all others, for the connections that it has made then are those that it keeps for visitors. What is
/// asked so is no visitor's and stays out of the log of answers.
fn warming(route: &SiteRoute, switches: &str) -> Value {
    let file = format!(".warming/{}", route.switch);
    let split = split(switches, &file, ["{partywall_word}", "{partywall_next}"]);
    let knows = json!({"vars": {format!("{{http.request.header.{WARMING}}}"): ["{partywall_word}"]}});
    let lead = json!({"handler": "vars", TO: "{partywall_next}", "log_skip": true, "skip_log": true});
    let told = json!([{"handle": [split]}, {"match": [knows], "handle": [lead]}]);
    let asked =
        json!([{"match": [is_there(switches, &file)], "handle": [{"handler": "subroute", "routes": told}]}]);
    // In this order: visitors bear no word, and no file is looked for on their behalf.
    json!({"match": [{"header": {WARMING: ["*"]}}], "handle": [{"handler": "subroute", "routes": asked}]})
}

/// The two words of a file.
fn split(switches: &str, file: &str, into: [&str; 2]) -> Value {
    json!({
        "handler": "map",
        "source": format!("{{file.{switches}/{file}}}"),
        "destinations": into,
        "mappings": [{"input_regexp": "^([0-9a-f]+) (.+)$", "outputs": ["$1", "$2"]}],
    })
}

/// Leads a part of the visitors elsewhere while a file says so: `THRESHOLD ADDRESS`, see [`crate::promote::step::Canary`].
///
/// A browser that got a page goes on with the release that it came from, by a cookie; whoever keeps none is
/// drawn anew with each request. Only pages carry the cookie, so that what a cache may keep stays as it is.
fn canary(route: &SiteRoute, switches: &str) -> Value {
    let file = format!(".canary/{}", route.switch);
    let split = split(switches, &file, ["{partywall_threshold}", "{partywall_address}"]);
    let was = |value: &str| json!({"vars": {format!("{{http.request.cookie.{COOKIE}}}"): [value]}});
    let drawn = json!({"expression": "{http.request.uuid} < {partywall_threshold}"});
    let first = json!({"not": [was("in"), was("out")]});
    let page = json!({"header": {"Accept": ["*text/html*"]}});
    let both = |mut one: Value, other: &Value| {
        if let (Some(all), Some(more)) = (one.as_object_mut(), other.as_object()) {
            all.extend(more.clone());
        }
        one
    };
    let keep = |value: &str| {
        let cookie = format!("{COOKIE}={value}; Path=/; Max-Age=3600; HttpOnly; SameSite=Lax");
        json!({"handler": "headers", "response": {"deferred": true, "add": {"Set-Cookie": [cookie]}}})
    };
    let new = || to("{partywall_address}");
    let routes = json!([
        {"match": [was("in")], "handle": [new()], "terminal": true},
        {"match": [both(both(first.clone(), &drawn), &page)], "handle": [keep("in"), new()], "terminal": true},
        {"match": [both(first.clone(), &drawn)], "handle": [new()], "terminal": true},
        {"match": [both(first, &page)], "handle": [keep("out")]},
    ]);
    json!({
        "match": [is_there(switches, &file)],
        "handle": [split, {"handler": "subroute", "routes": routes}],
    })
}

/// Security headers that the application did not set itself, and no indexing beside production.
fn headers(route: &SiteRoute, tls: TlsMode) -> Vec<Value> {
    let mut defaults = vec![
        ("X-Content-Type-Options", "nosniff"),
        ("X-Frame-Options", "SAMEORIGIN"),
        ("Referrer-Policy", "strict-origin-when-cross-origin"),
    ];
    if route.class == Class::Production && tls != TlsMode::Off {
        // Without includeSubDomains: development may live on a subdomain.
        defaults.push(("Strict-Transport-Security", "max-age=31536000"));
    }
    let mut handlers: Vec<Value> = defaults
        .into_iter()
        .map(|(name, value)| json!({"handler": "headers", "response": {"deferred": true, "require": {"headers": {name: null}}, "set": {name: [value]}}}))
        .collect();
    if route.class != Class::Production {
        handlers.push(json!({"handler": "headers", "response": {"deferred": true, "set": {"X-Robots-Tag": ["noindex, nofollow"]}}}));
    }
    handlers.push(json!({"handler": "headers", "response": {"deferred": true, "delete": ["Server"]}}));
    handlers
}

pub(super) fn unavailable_page() -> Value {
    json!({
        "handler": "static_response",
        "status_code": 503,
        "headers": {"Retry-After": ["5"], "Content-Type": ["text/html; charset=utf-8"], "Cache-Control": ["no-store"]},
        "body": "<!doctype html><meta name=viewport content=\"width=device-width\"><title>Not running</title><style>body{font:16px/1.5 system-ui;max-width:32rem;margin:20vh auto;padding:0 1rem;color-scheme:light dark}</style><h1>Not running</h1><p>This environment is stopped or starting. Try again in a moment.</p>\n",
    })
}
