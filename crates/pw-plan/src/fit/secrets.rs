//! The same secret in production and beside it. Names are told, values never.

use std::collections::BTreeSet;

use pw_model::config::Class;
use pw_model::diagnostic::Diagnostic;

use super::{Ground, model};
use crate::wall::Rendered;

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

pub(super) fn check(ground: Ground<'_>) -> Vec<Diagnostic> {
    let Some(production) = ground.rendered.iter().find(|rendered| rendered.class == Class::Production) else {
        return Vec::new();
    };
    let theirs: BTreeSet<(String, String)> = secrets(production);
    let values: BTreeSet<&str> = theirs.iter().map(|(_, value)| value.as_str()).collect();
    let beside = ground.rendered.iter().filter(|rendered| rendered.class != Class::Production);
    beside
        .filter_map(|rendered| {
            let own = secrets(rendered);
            let same: BTreeSet<&str> = own
                .iter()
                .filter(|(_, value)| values.contains(value.as_str()))
                .map(|(name, _)| name.as_str())
                .collect();
            (!same.is_empty()).then(|| shared(ground, production, rendered, &same))
        })
        .collect()
}

fn shared(
    ground: Ground<'_>,
    production: &Rendered,
    rendered: &Rendered,
    names: &BTreeSet<&str>,
) -> Diagnostic {
    let name = rendered.name.as_str();
    let list = names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
    Diagnostic::warning(format!("environment `{name}` has the same secrets as `{}`", production.name))
        .at(ground.place(name, &["env_file"]))
        .because(format!("equal in both: {list}"))
        .hint(format!(
            "give `{name}` an env file of its own, such as `env_file: .env.{name}`, with other values"
        ))
}

/// Name and value of every variable that looks like a secret.
fn secrets(rendered: &Rendered) -> BTreeSet<(String, String)> {
    let model = model(rendered);
    let variables = model.services().flat_map(|service| service.environment().collect::<Vec<_>>());
    let secret = variables.filter(|(name, value)| is_secret(name) && is_value(value));
    secret.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
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
