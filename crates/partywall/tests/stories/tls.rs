//! HTTPS: certificates of Caddy's own authority for local names, redirects and headers.

use std::process::{Command, Output};

use crate::harness::{Container, DEVELOPMENT, PRODUCTION, Story};

/// Promise: with `tls: internal` every public name is served with a certificate that Caddy's own authority signed;
/// plain HTTP leads there; production asks browsers to stay with HTTPS, and not its subdomains.
/// Given: both environments up behind `tls: internal`.
/// Then: curl trusts both names with that authority and neither without; the headers differ as they should.
#[test]
fn local_names_are_served_with_certificates_of_an_own_authority() {
    let story = Story::light();
    let port = story.port + 3;
    story.edit("partywall.yaml", "tls: off", &format!("tls: internal\n  https_port: {port}"));
    story.up(PRODUCTION);
    story.up(DEVELOPMENT);
    let authority = authority(&story);

    let production = get(&story, PRODUCTION, port, Some(&authority));
    assert!(production.contains("production first"), "{production}");
    let hsts = header(&production, "strict-transport-security").expect("production is for HTTPS only");
    assert!(!hsts.contains("includeSubDomains"), "development may live on a subdomain: {hsts}");
    assert_eq!(header(&production, "x-robots-tag"), None);

    let development = get(&story, DEVELOPMENT, port, Some(&authority));
    assert!(development.contains("development first"), "{development}");
    assert_eq!(header(&development, "strict-transport-security"), None);
    assert_eq!(header(&development, "x-robots-tag").as_deref(), Some("noindex, nofollow"));

    let untrusted = curl(&story, PRODUCTION, port, None);
    assert_eq!(untrusted.status.code(), Some(60), "a certificate that nobody vouches for is refused");

    let redirect = story.ask(PRODUCTION, "/page?x=1");
    assert_eq!(redirect.status, 308, "{redirect:?}");
    let wanted = format!("https://{}:{port}/page?x=1", story.host(PRODUCTION));
    assert_eq!(redirect.header("location"), Some(wanted.as_str()));
}

/// Promise: a new release is warmed up where its visitors will ask, over HTTPS where they do.
/// Given: production behind `tls: internal`, and a release that writes down who asks it.
/// Then: promoted, it has been asked 40 times in that way, and does not know the word that led there.
#[test]
fn a_release_is_warmed_up_over_https() {
    let story = Story::released();
    let port = story.port + 3;
    story.edit("partywall.yaml", "tls: off", &format!("tls: internal\n  https_port: {port}"));
    story.up(PRODUCTION);
    story.answering("2", "log {\n\t\toutput file /tmp/asked\n\t}\n\trespond \"{$APP_ENV} release NAME\"");
    story.commit("2");
    story.promote();
    let answer = get(&story, PRODUCTION, port, Some(&authority(&story)));
    assert!(answer.contains("production release 2"), "{answer}");
    let web = Container::named(&format!("{}-web-blue-1", story.compose_project(PRODUCTION)));
    let asked = web.exec(&["cat", "/tmp/asked"]).expect("a log");
    let warming: Vec<&str> = asked.lines().filter(|line| line.contains("ureq/")).collect();
    assert_eq!(warming.len(), 40, "{asked}");
    assert!(warming.iter().all(|line| line.contains("/whoami") && !line.contains("Warm-Up")), "{asked}");
}

fn authority(story: &Story) -> String {
    let path = "/data/caddy/pki/authorities/local/root.crt";
    let text = Container::named(&story.proxy()).exec(&["cat", path]).expect("an authority");
    let file = story.state().join("authority.crt");
    std::fs::write(&file, text).expect("a file");
    file.to_string_lossy().into_owned()
}

fn get(story: &Story, environment: &str, port: u16, authority: Option<&str>) -> String {
    let output = curl(story, environment, port, authority);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn curl(story: &Story, environment: &str, port: u16, authority: Option<&str>) -> Output {
    let host = story.host(environment);
    let mut command = Command::new("curl");
    command.args(["-sSi", "--max-time", "20", "--resolve", &format!("{host}:{port}:127.0.0.1")]);
    command.args(authority.iter().flat_map(|file| ["--cacert", file]));
    command.arg(format!("https://{host}:{port}/")).output().expect("curl")
}

/// The value of a header, by its name in lower case.
fn header(answer: &str, name: &str) -> Option<String> {
    let lines = answer.lines().take_while(|line| !line.trim().is_empty());
    let mut fields = lines.filter_map(|line| line.split_once(": "));
    fields.find(|(key, _)| key.to_lowercase() == name).map(|(_, value)| value.trim().to_owned())
}
