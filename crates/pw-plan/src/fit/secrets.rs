//! The same secret in production and beside it. Names are told, values never.

use std::collections::BTreeSet;

use pw_model::compose::Service;
use pw_model::config::Class;
use pw_model::diagnostic::Diagnostic;
use pw_model::source::Place;

use super::{Ground, model};
use crate::wall::{Origin, Rendered, variable_origin};

const SECRET: &[&str] = &["PASSWORD", "PASSWD", "PASSPHRASE", "SECRET", "TOKEN", "APIKEY", "CREDENTIAL"];
/// Endings of a name's word that say the same: `DBPASS`, `SECRETKEY`.
const ENDINGS: &[&str] = &["PASS", "KEY", "PWD"];
/// Words of variables about a secret that are none.
const ABOUT: &[&str] = &[
    "FILE",
    "PATH",
    "PUBLIC",
    "ID",
    "NAME",
    "TTL",
    "EXPIRE",
    "EXPIRES",
    "EXPIRY",
    "EXPIRATION",
    "LIFETIME",
    "LENGTH",
    "MINUTES",
    "SECONDS",
    "DAYS",
    "ALGORITHM",
    "HEADER",
    "URL",
    "ENABLED",
    "ALLOW",
    "LIMIT",
    "LIMITS",
    "TYPE",
    "VERIFY",
    "MONKEY",
];
/// Shorter values are no secrets.
const SHORTEST: usize = 4;

/// A variable of a service that looks like a secret.
struct Secret {
    service: String,
    name: String,
    value: String,
}

pub(super) fn check(ground: Ground<'_>) -> Vec<Diagnostic> {
    let Some(production) = ground.rendered.iter().find(|rendered| rendered.class == Class::Production) else {
        return Vec::new();
    };
    let theirs = secrets(production);
    let values: BTreeSet<&str> = theirs.iter().map(|one| one.value.as_str()).collect();
    let beside = ground.rendered.iter().filter(|rendered| rendered.class != Class::Production);
    beside
        .filter_map(|rendered| {
            let mut own = secrets(rendered);
            own.retain(|one| values.contains(one.value.as_str()));
            (!own.is_empty()).then(|| shared(ground, production, rendered, &own))
        })
        .collect()
}

fn shared(ground: Ground<'_>, production: &Rendered, rendered: &Rendered, same: &[Secret]) -> Diagnostic {
    let name = rendered.name.as_str();
    let names: BTreeSet<&str> = same.iter().map(|one| one.name.as_str()).collect();
    let list = names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
    let (place, hint) = remedy(ground, rendered, same);
    Diagnostic::warning(format!("environment `{name}` has the same secrets as `{}`", production.name))
        .at(place)
        .because(format!("equal in both: {list}"))
        .hint(hint)
}

/// Where the first of them comes from, and what gives the environment values of its own.
fn remedy(ground: Ground<'_>, rendered: &Rendered, same: &[Secret]) -> (Option<Place>, String) {
    let name = rendered.name.as_str();
    let own_file = || {
        let hint = format!(
            "give `{name}` an env file of its own, such as `env_file: .env.{name}`, with other values"
        );
        (ground.place(name, &["env_file"]), hint)
    };
    let Some((first, loaded)) = same.first().zip(ground.loaded(rendered)) else { return own_file() };
    let service = &first.service;
    match variable_origin(rendered, loaded, service, &first.name) {
        Origin::Variable { place } => {
            let named = loaded
                .service_files
                .iter()
                .find(|one| one.service == *service && one.file.name == place.file);
            let hint = format!(
                "in an overlay of `{name}` write `env_file: !override [.env.{service}.{name}]` under `{service}`, with other values"
            );
            (named.map(|one| one.place.clone()), hint)
        }
        Origin::Written { place } if place.text.contains(&first.value) => {
            let variable = &first.name;
            let hint = format!(
                "write `${{{variable}}}` here, and give each environment a value in its own env file"
            );
            (Some(place.without_text()), hint)
        }
        _ => own_file(),
    }
}

/// Every variable that looks like a secret.
fn secrets(rendered: &Rendered) -> Vec<Secret> {
    let model = model(rendered);
    let of_service = |service: Service<'_>| -> Vec<Secret> {
        let secret = service.environment().filter(|(name, value)| is_secret(name) && is_value(value));
        let owned = |(name, value): (&str, &str)| Secret {
            service: service.name().into(),
            name: name.into(),
            value: value.into(),
        };
        secret.map(owned).collect()
    };
    model.services().flat_map(of_service).collect()
}

fn is_secret(name: &str) -> bool {
    let upper = name.to_uppercase();
    let words: Vec<&str> = upper.split(['_', '-', '.']).collect();
    let says = SECRET.iter().any(|part| upper.contains(part))
        || words.iter().any(|word| ENDINGS.iter().any(|end| word.ends_with(end)));
    says && !words.iter().any(|word| ABOUT.contains(word))
}

/// A real value: not empty, a switch, a number of days, a path or an address.
fn is_value(value: &str) -> bool {
    let word = value.to_lowercase();
    let switch = matches!(word.as_str(), "true" | "false" | "none" | "null" | "disabled" | "enabled");
    let place = value.starts_with('/') || value.starts_with("./") || value.starts_with("http");
    value.chars().count() >= SHORTEST && !switch && !place
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_known_by_their_names() {
        for name in
            ["DB_PASSWORD", "JWT_SECRET", "API_KEY", "SECRET_KEY_BASE", "DBPASS", "github_token", "MYSQL_PWD"]
        {
            assert!(is_secret(name), "{name}");
        }
        for name in [
            "DB_PASSWORD_FILE",
            "KEYBOARD",
            "TOKEN_TTL",
            "VAPID_PUBLIC_KEY",
            "AWS_ACCESS_KEY_ID",
            "BYPASSED",
            "HOST",
        ] {
            assert!(!is_secret(name), "{name}");
        }
    }

    #[test]
    fn trivial_values_are_no_secrets() {
        assert!(is_value("hunter2") && is_value("shop"));
        for value in ["", "1", "true", "/run/secrets/x", "http://x"] {
            assert!(!is_value(value), "{value}");
        }
    }
}
