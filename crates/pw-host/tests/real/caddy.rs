//! Caddy itself: what it is given, what it does with it, and what survives.

use std::fs;
use std::path::{Path, PathBuf};

use pw_host::caddy;
use pw_model::config::{Class, Proxy, TlsMode};
use pw_plan::Action;
use pw_plan::proxy::{Site, SiteRoute};
use pw_plan::step::Canary;

use crate::common::{Project, chain, docker, image_of};
use crate::upstream::{self, Websocket, get};

const PORT: &str = "8080";
const HOST: &str = "shop.example.test";

/// A proxy's folder, and the site of one service in it.
struct Fixture {
    project: Project,
    folder: PathBuf,
    site: Site,
}

impl Fixture {
    fn new(admin: Option<String>) -> Self {
        let project = Project::new();
        let folder = PathBuf::from(project.path(&format!("state/proxy/{}", project.name)));
        for part in ["sites", "config", "run", "switch"] {
            fs::create_dir_all(folder.join(part)).expect("a folder");
        }
        let route = SiteRoute {
            environment: "production".into(),
            class: Class::Production,
            service: "web".into(),
            hosts: vec![HOST.into()],
            switch: "shop-production/web".into(),
            assets: Vec::new(),
            canary: false,
        };
        let proxy = Proxy { tls: TlsMode::Off, http_port: 8080, admin, ..Proxy::default() };
        Self { project, folder, site: Site { project: "shop".into(), proxy, routes: vec![route] } }
    }

    fn text(&self) -> String {
        serde_json::to_string(&self.site).expect("JSON")
    }

    fn write_site(&self) {
        fs::write(self.folder.join("sites/shop.json"), self.text()).expect("a file");
    }

    /// Runs Caddy; the port it is reached at.
    fn run(&self, mounts: &[String], config: &str) -> u16 {
        let image = image_of("CADDY_IMAGE", "partywall-demo/caddy");
        let label = format!("com.docker.compose.project={}", self.project.name);
        let publish = format!("127.0.0.1:0:{PORT}");
        let mut arguments =
            vec!["run", "-d", "--name", &self.project.name, "--label", &label, "-p", &publish];
        mounts.iter().for_each(|mount| arguments.extend(["-v", mount]));
        arguments.extend([&image, "caddy", "run", "--config", config]);
        docker(&arguments);
        self.port()
    }

    fn port(&self) -> u16 {
        let address = docker(&["port", &self.project.name, PORT]);
        address.rsplit(':').next().expect("a port").parse().expect("a number")
    }

    fn ours(&self) -> u16 {
        let mount = |part: &str| format!("{}:/etc/partywall/{part}", self.folder.join(part).display());
        self.run(&["config", "switch", "run"].map(mount), "/etc/partywall/config/caddy.json")
    }

    async fn load(&mut self) -> Result<(), pw_run::Failure> {
        let folder = self.folder.to_string_lossy().into_owned();
        self.project.perform(Action::LoadProxy { folder, admin: self.site.proxy.admin.clone() }).await
    }

    async fn switch_to(&mut self, port: u16) {
        let path = self.switch("shop-production/web");
        let address = self.address(port);
        told(self.project.perform(Action::OpenSwitch { path, service: "web".into(), address }).await);
    }

    fn switch(&self, file: &str) -> String {
        self.folder.join("switch").join(file).to_string_lossy().into_owned()
    }

    fn address(&self, port: u16) -> String {
        let gateway = docker(&["network", "inspect", "bridge", "-f", "{{(index .IPAM.Config 0).Gateway}}"]);
        format!("{gateway}:{port}")
    }

    async fn close(&mut self, file: &str) {
        let path = self.switch(file);
        told(self.project.perform(Action::CloseSwitch { path, service: "web".into() }).await);
    }

    async fn is_current(&self) -> bool {
        caddy::is_current(&self.folder, &self.text(), self.site.proxy.admin.as_deref()).await
    }
}

fn told<T>(result: Result<T, pw_run::Failure>) -> T {
    result.unwrap_or_else(|failure| panic!("{}", chain(&failure)))
}

#[tokio::test]
async fn the_switch_file_decides_and_no_connection_is_cut() {
    let (blue, green) = (upstream::start("blue"), upstream::start("green"));
    let mut fixture = Fixture::new(None);
    fixture.write_site();
    told(fixture.load().await);
    assert!(!fixture.is_current().await, "it does not run yet");
    let port = fixture.ours();
    // At once, while Caddy is still starting.
    told(fixture.load().await);
    assert!(fixture.is_current().await);

    let closed = get(port, HOST);
    assert!(closed.starts_with("503 ") && closed.contains("<title>Not running</title>"), "{closed}");
    fixture.switch_to(blue).await;
    assert_eq!(get(port, HOST), "200 blue");
    let mut websocket = Websocket::open(port, HOST);
    assert!(websocket.echoes());
    fixture.switch_to(green).await;
    assert_eq!(get(port, HOST), "200 green");
    assert!(websocket.echoes(), "a switch cut an open websocket");
    told(fixture.load().await);
    assert!(websocket.echoes(), "loading the same again cut an open websocket");
    fixture.close("shop-production/web").await;
    assert!(get(port, HOST).starts_with("503 "));
    assert!(websocket.echoes(), "closing a switch cut an open websocket");
}

/// Promise: who knows the word meets the next generation before any visitor does, and visitors get the connections that were made so.
/// Given: the file with the word, and requests without it, with a wrong one and with the right one; then the switch.
/// Then: only the right one leads to the next generation, which does not see it; the first visitor after the switch comes over the same
/// connection; no answer but those to visitors is in the log.
#[tokio::test]
async fn the_connections_that_were_warmed_up_are_those_of_visitors() {
    let (blue, green) = (upstream::start("blue"), upstream::start("green"));
    let mut fixture = Fixture::new(None);
    fixture.write_site();
    told(fixture.load().await);
    let port = fixture.ours();
    told(fixture.load().await);
    fixture.switch_to(blue).await;
    assert!(upstream::knowing(port, HOST, "abc").ends_with("blue"), "there is no file");
    let (path, next) = (fixture.switch(".warming/shop-production/web"), fixture.address(green));
    let file = Action::OpenSwitch { path, service: "web".into(), address: format!("abc {next}") };
    told(fixture.project.perform(file).await);
    assert_eq!(get(port, HOST), "200 blue");
    for wrong in ["abd", "", "{partywall_word}"] {
        let answer = upstream::knowing(port, HOST, wrong);
        assert!(answer.ends_with("blue"), "{wrong}: {answer}");
    }
    let warm = upstream::knowing(port, HOST, "abc");
    assert!(warm.ends_with("green"), "{warm}");
    assert_eq!(upstream::header(&warm, "X-Knows"), Some("false"));
    let log = || docker(&["exec", &fixture.project.name, "cat", "/etc/partywall/log/traffic.log"]);
    assert!(!log().contains(&next) && log().contains(&fixture.address(blue)), "{}", log());

    fixture.switch_to(green).await;
    fixture.close(".warming/shop-production/web").await;
    let first = upstream::answer(port, HOST);
    assert!(first.ends_with("green"), "{first}");
    assert_eq!(upstream::header(&first, "X-Connection"), upstream::header(&warm, "X-Connection"));
    assert!(upstream::knowing(port, HOST, "abc").ends_with("green"), "as everybody");
}

/// Promise: a part of the visitors meets the canary, a browser stays with the release that it met, and only pages carry the cookie.
#[tokio::test]
async fn a_canary_meets_its_share_of_visitors_and_browsers_stay_where_they_were() {
    const ASKED: usize = 400;
    let (blue, green) = (upstream::start("blue"), upstream::start("green"));
    let mut fixture = Fixture::new(None);
    fixture.site.routes[0].canary = true;
    fixture.write_site();
    told(fixture.load().await);
    let port = fixture.ours();
    told(fixture.load().await);
    fixture.switch_to(blue).await;
    let share = |share: u32, fixture: &Fixture| {
        let (path, address) = (fixture.switch(".canary/shop-production/web"), fixture.address(green));
        let canary = Box::new(Canary { path, service: "web".into(), address, share });
        Action::OpenCanary { canary }
    };
    let act = share(250_000, &fixture);
    told(fixture.project.perform(act).await);
    let mut websocket = Websocket::open(port, HOST);
    let answers: Vec<String> = (0..ASKED).map(|_| upstream::answer(port, HOST)).collect();
    assert!(answers.iter().all(|one| !one.contains("Set-Cookie")), "not a page");
    let met = answers.iter().filter(|one| one.ends_with("green")).count();
    // Six standard deviations of a binomial distribution round its mean: one run of 500 million is outside.
    assert!((48..=152).contains(&met), "{met} of {ASKED} met a canary of 25 %");

    for _ in 0..20 {
        let first = upstream::page(port, HOST, None);
        let line = first.lines().find_map(|line| line.strip_prefix("Set-Cookie: ")).expect("a cookie");
        let cookie = line.split(';').next();
        let again = upstream::page(port, HOST, cookie);
        assert_eq!(upstream::status_and_body(&first), upstream::status_and_body(&again));
        assert!(!again.contains("Set-Cookie"), "{again}");
        let wanted = if first.ends_with("green") { "in" } else { "out" };
        assert_eq!(cookie, Some(format!("partywall-canary={wanted}").as_str()));
    }

    fixture.close(".canary/shop-production/web").await;
    let page = upstream::page(port, HOST, Some("partywall-canary=in"));
    assert!(page.ends_with("blue") && !page.contains("Set-Cookie"), "{page}");
    assert!(websocket.echoes());
}

/// Promise: a page of the release before gets its assets also after the flip, and nothing else comes from there.
#[tokio::test]
async fn assets_that_the_release_lacks_come_from_the_one_before() {
    let (blue, green) = (upstream::start("blue"), upstream::start("green"));
    let mut fixture = Fixture::new(None);
    fixture.site.routes[0].assets = vec!["/static/*".into()];
    fixture.write_site();
    told(fixture.load().await);
    let port = fixture.ours();
    told(fixture.load().await);
    fixture.switch_to(green).await;
    let asset = |name: &str| upstream::asset(port, HOST, name);
    assert_eq!([asset("green"), asset("blue")], ["200 green", "404 green"]);
    let (path, address) = (fixture.switch(".before/shop-production/web"), fixture.address(blue));
    told(fixture.project.perform(Action::OpenSwitch { path, service: "web".into(), address }).await);
    assert_eq!([asset("green"), asset("blue"), asset("red")], ["200 green", "200 blue", "404 blue"]);
    assert_eq!(get(port, HOST), "200 green");
    fixture.close(".before/shop-production/web").await;
    assert_eq!([asset("green"), asset("blue")], ["200 green", "404 green"]);
}

#[tokio::test]
async fn a_refused_configuration_changes_nothing_and_a_restart_neither() {
    let blue = upstream::start("blue");
    let mut fixture = Fixture::new(None);
    fixture.write_site();
    told(fixture.load().await);
    fixture.ours();
    told(fixture.load().await);
    fixture.switch_to(blue).await;
    let good =
        (fixture.site.clone(), fs::read_to_string(fixture.folder.join("config/caddy.json")).expect("a file"));

    fixture.site.routes[0].hosts.push(HOST.into());
    fixture.write_site();
    assert!(!fixture.is_current().await);
    let failure = fixture.load().await.expect_err("a name twice");
    let text = chain(&failure);
    assert!(
        text.starts_with("Caddy refuses the configuration and goes on with the one it had\nbecause: "),
        "{text}"
    );
    assert!(text.contains("repeated"), "{text}");
    assert_eq!(fs::read_to_string(fixture.folder.join("config/caddy.json")).expect("a file"), good.1);

    fixture.site = good.0;
    assert!(fixture.is_current().await, "`own` stands in for the file that is wrong");
    fixture.write_site();
    docker(&["restart", "-t", "1", &fixture.project.name]);
    told(fixture.load().await);
    assert_eq!(get(fixture.port(), HOST), "200 blue");
    assert!(fixture.is_current().await);

    // A new name is loaded into the running Caddy, and who is connected stays so.
    let mut websocket = Websocket::open(fixture.port(), HOST);
    assert!(websocket.echoes());
    fixture.site.routes[0].hosts.push("second.example.test".into());
    fixture.write_site();
    told(fixture.load().await);
    assert_eq!(get(fixture.port(), "second.example.test"), "200 blue");
    assert!(websocket.echoes(), "loading a new name cut an open websocket");
}

#[tokio::test]
async fn headers_that_the_application_lacks_are_added_and_every_way_of_certificates_is_accepted() {
    let blue = upstream::start("blue");
    let mut fixture = Fixture::new(None);
    fixture.site.routes[0].class = Class::Development;
    fixture.write_site();
    told(fixture.load().await);
    let port = fixture.ours();
    told(fixture.load().await);
    fixture.switch_to(blue).await;
    let answer = upstream::answer(port, HOST);
    assert_eq!(answer.matches("X-Frame-Options").count(), 1, "{answer}");
    for wanted in
        ["X-Frame-Options: DENY", "X-Content-Type-Options: nosniff", "X-Robots-Tag: noindex, nofollow"]
    {
        assert!(answer.contains(wanted), "{wanted} in {answer}");
    }
    assert!(!answer.contains("Server:"), "{answer}");
    for tls in [TlsMode::Internal, TlsMode::AcmeStaging, TlsMode::Automatic] {
        fixture.site.proxy.tls = tls;
        fixture.write_site();
        told(fixture.load().await);
        assert!(fixture.is_current().await, "{tls:?}");
    }
}

#[tokio::test]
async fn in_the_users_own_caddy_only_our_routes_change() {
    let blue = upstream::start("blue");
    let mut fixture = Fixture::new(None);
    let folder = fixture.folder.clone();
    let admin = format!("unix/{}", folder.join("run/user.sock").display());
    fixture.site.proxy.admin = Some(admin.clone());
    fixture.write_site();
    let theirs = serde_json::json!([{"handle": [{"handler": "static_response", "body": "theirs"}]}]);
    let config = serde_json::json!({
        "admin": {"listen": admin},
        "apps": {"http": {"servers": {
            "web": {"listen": [format!(":{PORT}"), ":80"], "routes": theirs, "automatic_https": {"disable": true}}
        }}},
    });
    let file = folder.join("user.json");
    fs::write(&file, config.to_string()).expect("a file");
    let port = fixture.run(&[same_place(&folder)], &file.to_string_lossy());
    wait_for(&folder.join("run/user.sock"));
    assert!(!fixture.is_current().await);
    for _ in 0..2 {
        told(fixture.load().await);
        assert!(fixture.is_current().await);
    }
    fixture.switch_to(blue).await;
    assert_eq!(get(port, HOST), "200 blue");
    assert_eq!(get(port, "their.example.test"), "200 theirs");
    fixture.site.routes.clear();
    fixture.write_site();
    told(fixture.load().await);
    assert_eq!(get(port, HOST), "200 theirs");
}

fn same_place(folder: &Path) -> String {
    format!("{0}:{0}", folder.display())
}

fn wait_for(path: &Path) {
    let there = (0..100).any(|_| {
        std::thread::sleep(std::time::Duration::from_millis(100));
        path.exists()
    });
    assert!(there, "Caddy did not start");
}
