//! POST over HTTP or HTTPS.

use std::sync::Arc;

use pw_plan::alert::shape::Post;
use pw_run::Failure;
use rustls::crypto::ring;
use ureq::Agent;
use ureq::tls::{Certificate, RootCerts, TlsConfig};

use super::PATIENCE;

/// How much of an answer is told, in characters.
const TOLD: usize = 200;
/// How much of an answer is read, in bytes.
const READ: u64 = 16 << 10;

pub(super) fn post(address: &str, post: &Post) -> Result<String, Failure> {
    let to = place(address);
    let failed = || Failure::new(format!("could not tell `{to}`"));
    let url = format!("{}{}", address.trim_end_matches('/'), post.path);
    let mut request = agent(address).post(&url).header("user-agent", "partywall");
    for (name, value) in &post.headers {
        request = request.header(*name, value);
    }
    let mut answer = request.send(&post.body).map_err(|error| failed().because(plain(&error)))?;
    let status = answer.status();
    let body = answer.body_mut().with_config().limit(READ).read_to_string().unwrap_or_default();
    let said: String = body.split_whitespace().collect::<Vec<_>>().join(" ").chars().take(TOLD).collect();
    let said = format!("{status} {said}").trim_end().to_owned();
    match status.is_success() {
        true => Ok(said),
        false => Err(failed().because(format!("it answered {said}"))),
    }
}

/// Redirects are not followed: what is posted goes to who was named.
fn agent(address: &str) -> Agent {
    let mut config = Agent::config_builder()
        .timeout_global(Some(PATIENCE))
        .max_redirects(0)
        .max_redirects_will_error(false)
        .http_status_as_error(false);
    if address.starts_with("https:") {
        let certificates = rustls_native_certs::load_native_certs().certs;
        let roots: Vec<_> = certificates.iter().map(|one| Certificate::from_der(one).to_owned()).collect();
        let tls = TlsConfig::builder()
            .root_certs(RootCerts::Specific(Arc::new(roots)))
            .unversioned_rustls_crypto_provider(Arc::new(ring::default_provider()));
        config = config.tls_config(tls.build());
    }
    config.build().new_agent()
}

/// Scheme and host of an address. What follows often is a secret.
fn place(address: &str) -> String {
    let (scheme, rest) = address.split_once("://").unwrap_or(("http", address));
    let host = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let host = host.rsplit('@').next().unwrap_or_default();
    format!("{scheme}://{host}")
}

/// Without the address, which some errors repeat.
fn plain(error: &ureq::Error) -> String {
    match error {
        ureq::Error::BadUri(_) | ureq::Error::Http(_) => "the address cannot be understood".into(),
        ureq::Error::HostNotFound => "there is no such host".into(),
        ureq::Error::Timeout(_) => "it did not answer in time".into(),
        ureq::Error::Io(error) => error.to_string(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_scheme_and_host_of_an_address_are_told() {
        for address in ["https://hooks.example/T0/secret", "https://user:secret@hooks.example?token=secret"] {
            assert_eq!(place(address), "https://hooks.example");
            let failed =
                post("http://127.0.0.1:1/secret", &Post { path: "", headers: vec![], body: String::new() });
            let failed = format!("{:?}", failed.expect_err("nobody listens"));
            assert!(!failed.contains("secret") && failed.contains("http://127.0.0.1:1"), "{failed}");
        }
    }
}
