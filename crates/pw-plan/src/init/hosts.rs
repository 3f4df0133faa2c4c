//! The public host name that a project already has, and the names made from it.

use pw_model::compose::{ComposeModel, Service};
use pw_model::config::Class;

/// Variables that hold a host name or an address, the surest first.
const VARIABLES: &[&str] = &[
    "VIRTUAL_HOST",
    "LETSENCRYPT_HOST",
    "DOMAIN",
    "DOMAINS",
    "DOMAIN_NAME",
    "APP_DOMAIN",
    "SITE_DOMAIN",
    "WEB_DOMAIN",
    "LOCAL_DOMAIN",
    "PUBLIC_DOMAIN",
    "SERVER_NAME",
    "SITE_ADDRESS",
    "PUBLIC_HOST",
    "APP_HOST",
    "APP_URL",
    "BASE_URL",
    "SITE_URL",
    "PUBLIC_URL",
    "ROOT_URL",
    "EXTERNAL_URL",
    "WEB_URL",
    "FRONTEND_URL",
    "URL",
];
/// Endings of further names, such as `MM_SERVICESETTINGS_SITEURL` or `VAULT_DOMAIN`.
const ENDINGS: &[&str] = &[
    "_DOMAIN",
    "SITEURL",
    "_SITE_URL",
    "_ROOT_URL",
    "_BASE_URL",
    "_EXTERNAL_URL",
    "_PUBLIC_URL",
    "_HOSTNAME",
];
/// Endings that no public authority knows.
const PRIVATE: &[&str] =
    &["localhost", "local", "internal", "test", "lan", "home", "localdomain", "invalid", "example"];

/// A host name and where it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) host: String,
    pub(super) from: String,
}

/// The name in production's model: the front door's own labels and variables before other services'.
pub(super) fn find(model: &ComposeModel, front: Option<&str>) -> Option<Found> {
    let door = front.and_then(|name| model.service(name));
    let found = door.as_ref().and_then(|service| in_labels(service).or_else(|| in_variables(service)));
    found
        .or_else(|| model.services().find_map(|service| in_labels(&service)))
        .or_else(|| model.services().find_map(|service| in_variables(&service)))
}

/// True when a traefik rule sends a whole host to the service, not only a path.
pub(super) fn has_host_of_its_own(service: &Service<'_>) -> bool {
    let whole = |value: &str| value.contains("Host(") && !value.contains("Path");
    labels(service).any(|(key, value)| key.ends_with(".rule") && whole(value))
        || service.environment().any(|(key, _)| key == "VIRTUAL_HOST")
        || labels(service).any(|(key, _)| is_caddy(key))
}

fn in_labels(service: &Service<'_>) -> Option<Found> {
    let mut rules = labels(service).filter_map(|(key, value)| {
        let text = if key.ends_with(".rule") {
            value
                .split_once("Host(")?
                .1
                .trim_start_matches(['`', '"', '\''])
                .split(['`', '"', '\''])
                .next()?
        } else if is_caddy(key) {
            value.split([' ', ',']).next()?
        } else {
            return None;
        };
        Some(Found { host: host_in(text)?, from: format!("the label `{key}` of `{}`", service.name()) })
    });
    rules.next()
}

/// `caddy` and `caddy_1` of caddy-docker-proxy.
fn is_caddy(key: &str) -> bool {
    key.strip_prefix("caddy").is_some_and(|rest| {
        rest.is_empty() || rest.strip_prefix('_').is_some_and(|n| n.parse::<u8>().is_ok())
    })
}

fn labels<'a>(service: &Service<'a>) -> impl Iterator<Item = (&'a str, &'a str)> + use<'a> {
    let labels = service.get("labels").and_then(|labels| labels.as_object());
    labels.into_iter().flatten().filter_map(|(key, value)| Some((key.as_str(), value.as_str()?)))
}

fn in_variables(service: &Service<'_>) -> Option<Found> {
    let rank = |key: &str| {
        let known = VARIABLES.iter().position(|name| *name == key);
        known.or_else(|| ENDINGS.iter().position(|end| key.ends_with(end)).map(|at| VARIABLES.len() + at))
    };
    let found = service.environment().filter_map(|(key, value)| Some((rank(key)?, key, host_in(value)?)));
    let (_, key, host) = found.min()?;
    Some(Found { host, from: format!("`{key}` of `{}`", service.name()) })
}

/// The host name of `https://shop.example.org:8443/x` or `a.org -> http://…`; `None` for addresses and inner names.
fn host_in(text: &str) -> Option<String> {
    let first = text.trim().split([' ', ',', ';']).next()?;
    let host = first.split("://").last()?.split(['/', ':', '?']).next()?.to_lowercase();
    let host = host.strip_prefix("www.").unwrap_or(&host);
    let labels: Vec<&str> = host.split('.').collect();
    let last = labels.last().copied().unwrap_or_default();
    let sound = |label: &&str| {
        !label.is_empty()
            && label.len() <= 63
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
    };
    let public = labels.len() > 1
        && last.len() > 1
        && last.bytes().all(|b| b.is_ascii_alphabetic())
        && last != "localhost";
    (public && labels.iter().all(sound)).then(|| host.to_owned())
}

/// `shop.localhost`: reaches this machine in every browser, with nothing to set up.
pub(super) fn local(project: &str) -> String {
    format!("{}.localhost", project.replace('_', "-").trim_matches('-'))
}

pub(super) fn beside(class: Class, production: &str) -> String {
    format!("{}.{production}", class.as_str())
}

/// True when no public authority can vouch for the name.
pub(super) fn is_private(host: &str) -> bool {
    let last = host.rsplit('.').next().unwrap_or(host);
    let reserved = ["example.com", "example.org", "example.net"];
    PRIVATE.contains(&last)
        || reserved.iter().any(|name| host == *name || host.ends_with(&format!(".{name}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(service: &str) -> Option<String> {
        let model =
            ComposeModel::from_json(&format!(r#"{{"services":{{"web":{service}}}}}"#)).expect("a model");
        find(&model, Some("web")).map(|found| found.host)
    }

    #[test]
    fn names_are_read_from_labels_and_variables() {
        for (service, host) in [
            (
                r#"{"labels":{"traefik.http.routers.a.rule":"Host(`shop.acme.io`) && PathPrefix(`/`)"}}"#,
                "shop.acme.io",
            ),
            (r#"{"labels":{"caddy":"shop.acme.io www.acme.io"}}"#, "shop.acme.io"),
            (r#"{"environment":{"VIRTUAL_HOST":"a.org,b.org","APP_URL":"https://c.org"}}"#, "a.org"),
            (r#"{"environment":{"DOMAINS":"wiki.acme.io -> http://wiki:3000"}}"#, "wiki.acme.io"),
            (r#"{"environment":{"SITE_URL":"https://www.acme.io:8443/x"}}"#, "acme.io"),
        ] {
            assert_eq!(found(service).as_deref(), Some(host), "{service}");
        }
        for service in [
            r#"{"environment":{"SITE_URL":"http://localhost:3000","BASE_URL":"http://10.0.0.1","APP_URL":"http://api"}}"#,
            r#"{"environment":{"DOMAIN":"app.localhost","URL":""}}"#,
        ] {
            assert_eq!(found(service), None, "{service}");
        }
    }

    #[test]
    fn private_names_are_known() {
        assert!(is_private("shop.localhost") && is_private("a.example.org"));
        assert!(!is_private("shop.acme.io"));
    }
}
