//! The `alerts:` section: who is told when something is wrong, and how.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::file::Config;
use super::governor::Hours;
use crate::diagnostic::Diagnostic;
use crate::source::{Place, SourceFile};
use crate::unit::Span;

/// Somebody who is told; exactly one of `webhook`, `email` and `alertmanager` says how.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Receiver {
    /// What it is called here. Left out: `webhook`, `email` or `alertmanager`, with a number where there are several.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Address that gets a POST. One that holds a secret belongs into a file of its own: `file:/etc/partywall/hook`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub webhook: Option<String>,
    /// What the address understands.
    #[serde(default, skip_serializing_if = "Shape::is_json")]
    pub shape: Shape,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub email: Option<Email>,
    /// Address of a Prometheus Alertmanager, e.g. `http://127.0.0.1:9093`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alertmanager: Option<String>,
    /// When only what is critical is told, in the server's own time, e.g. `Mon-Sun 22:00-07:00`; the rest is told afterwards.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quiet: Option<Hours>,
    /// After how long what still stands is told again, e.g. `4h`.
    #[serde(default = "repeat")]
    pub repeat: Span,
}

/// What a webhook understands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Shape {
    /// All that is known, as one JSON object; docs/alerts.md shows it.
    #[default]
    Json,
    Slack,
    Discord,
    Ntfy,
}

/// A mail server, and who gets mail over it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Email {
    pub to: Vec<String>,
    /// Left out: the first of `to`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// Name of the mail server.
    pub server: String,
    /// Left out: 587, and 465 with `tls: on-connect`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
    #[serde(default)]
    pub tls: MailTls,
    /// Who signs in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// Absolute path of the file that holds the password, and nothing else.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password_file: Option<String>,
}

/// How mail is encrypted on its way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum MailTls {
    /// From the first command on; a server that cannot is refused.
    #[default]
    Starttls,
    /// From the first byte on.
    OnConnect,
    /// Not at all: for a server on this machine.
    Off,
}

fn repeat() -> Span {
    Span(Duration::from_secs(4 * 3600))
}

impl Shape {
    fn is_json(&self) -> bool {
        *self == Self::Json
    }
}

impl Receiver {
    /// How it is told.
    pub fn way(&self) -> &'static str {
        match self {
            Self { webhook: Some(_), .. } => "webhook",
            Self { email: Some(_), .. } => "email",
            _ => "alertmanager",
        }
    }
}

impl Config {
    /// All receivers under the names by which they are called.
    pub fn receivers(&self) -> Vec<(String, &Receiver)> {
        let mut named: Vec<(String, &Receiver)> = Vec::new();
        for receiver in &self.alerts {
            let wanted = receiver.name.clone().unwrap_or_else(|| receiver.way().to_owned());
            let taken = |name: &str| named.iter().any(|(known, _)| known == name);
            let numbered = (2..).map(|number| format!("{wanted}-{number}"));
            let name = std::iter::once(wanted.clone()).chain(numbered).find(|name| !taken(name));
            named.push((name.unwrap_or(wanted), receiver));
        }
        named
    }
}

/// What is wrong with the section by itself.
pub(super) fn check(config: &Config, source: &SourceFile) -> Vec<Diagnostic> {
    let mut found = Vec::new();
    for (number, receiver) in config.alerts.iter().enumerate() {
        let number = number.to_string();
        let at = |key: &str| source.find_nearest(&["alerts", &number, key]);
        let ways = [receiver.webhook.is_some(), receiver.email.is_some(), receiver.alertmanager.is_some()];
        if ways.iter().filter(|way| **way).count() != 1 {
            found.push(
                Diagnostic::error("a receiver has exactly one way to be told")
                    .at(at("").map(Place::without_text))
                    .because("it is one of `webhook`, `email` and `alertmanager`")
                    .hint("write for example `alerts: [{ webhook: \"https://alerts.example/hook\" }]`"),
            );
        }
        let addresses = [("webhook", &receiver.webhook), ("alertmanager", &receiver.alertmanager)];
        for (key, address) in addresses {
            if address.as_ref().is_some_and(|address| !is_address(address, key == "webhook")) {
                // Not repeated: it may hold a secret.
                found.push(
                    Diagnostic::error(format!("`{key}` is no address"))
                        .at(at(key).map(Place::without_text))
                        .hint(format!("write for example `{key}: \"https://alerts.example/hook\"`")),
                );
            }
        }
        found.extend(receiver.email.iter().flat_map(wrong_mail).map(|wrong| wrong.at(at("email"))));
    }
    found
}

fn is_address(text: &str, file: bool) -> bool {
    let web = ["http://", "https://"].iter().find_map(|scheme| text.strip_prefix(scheme));
    web.is_some_and(|rest| !rest.is_empty() && !rest.starts_with('/'))
        || file && text.strip_prefix("file:").is_some_and(|path| path.starts_with('/'))
}

fn wrong_mail(email: &Email) -> Vec<Diagnostic> {
    let mut found = Vec::new();
    let addresses = email.to.iter().chain(&email.from);
    found.extend(addresses.filter(|address| !address.contains('@')).map(|address| {
        Diagnostic::error(format!("`{address}` is no mail address"))
            .hint("write for example `operator@shop.example`")
    }));
    if email.to.is_empty() {
        found.push(
            Diagnostic::error("mail to nobody").hint("write for example `to: [operator@shop.example]`"),
        );
    }
    if email.user.is_some() != email.password_file.is_some() {
        found.push(
            Diagnostic::error("who signs in has a name and a password")
                .because("only one of `user` and `password_file` is set")
                .hint("set both, or none"),
        );
    }
    if email.password_file.as_ref().is_some_and(|path| !path.starts_with('/')) {
        found.push(
            Diagnostic::error("`password_file` is no absolute path")
                .hint("write for example `password_file: /etc/partywall/mail-password`"),
        );
    }
    let local = ["localhost", "127.0.0.1", "::1"].contains(&email.server.as_str());
    if email.tls == MailTls::Off && email.user.is_some() && !local {
        found.push(
            Diagnostic::error("a password is not sent without encryption")
                .because(format!("`tls: off`, and `{}` is another machine", email.server))
                .hint("remove `tls: off`"),
        );
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::parse;

    fn said(section: &str) -> Vec<String> {
        let text = format!(
            "project: shop\ncompose: [c.yml]\nenvironments: {{ production: {{}} }}\nalerts:\n{section}"
        );
        let source = SourceFile::new("partywall.yaml", &text);
        let config = parse(&source).unwrap_or_else(|e| panic!("{e}"));
        check(&config, &source).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn what_is_wrong_is_shown_where_it_stands_and_no_secret_with_it() {
        assert_eq!(
            said("  - { webhook: \"https://a.example/x\" }\n  - { alertmanager: \"http://a:9093\" }\n"),
            Vec::<String>::new()
        );
        let found = said(
            "  - { webhook: \"https://a.example\", alertmanager: \"http://b\" }\n  - webhook: hooks.example/secret\n",
        );
        assert!(
            found[0].starts_with("error: a receiver has exactly one way to be told\n  --> partywall.yaml:5:"),
            "{found:?}"
        );
        assert!(found[1].starts_with("error: `webhook` is no address\n  --> partywall.yaml:6:"), "{found:?}");
        assert!(!found[1].contains("secret"), "{found:?}");
        let mail =
            |more: &str| said(&format!("  - email: {{ to: [a@b.example], server: mail.example{more} }}\n"));
        assert_eq!(mail(""), Vec::<String>::new());
        for (more, wrong) in [
            (", user: a", "only one of `user` and `password_file`"),
            (", user: a, password_file: secrets/mail", "no absolute path"),
            (", user: a, password_file: /p, tls: off", "not sent without encryption"),
            (", from: nobody", "`nobody` is no mail address"),
        ] {
            let found = mail(more).join("\n");
            assert!(found.contains(wrong) && found.contains("partywall.yaml:5:"), "{more}: {found}");
        }
    }

    #[test]
    fn receivers_have_names_of_their_own() {
        let text = "project: shop\nenvironments: {}\nalerts: [{ webhook: \"http://a\" }, { name: x, webhook: \"http://b\" }, { webhook: \"http://c\" }]\n";
        let config = parse(&SourceFile::new("partywall.yaml", text)).unwrap_or_else(|e| panic!("{e}"));
        let names: Vec<String> = config.receivers().into_iter().map(|(name, _)| name).collect();
        assert_eq!(names, ["webhook", "x", "webhook-2"]);
    }
}
