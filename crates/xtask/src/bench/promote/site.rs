//! Where the benchmark takes place: production and development of the demo's application behind our Caddy, and the same
//! services as plain Compose runs them, behind a Caddy that dials the service's name.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use super::Who;
use crate::demo;
use crate::run::{Result, output, root, say};

const PROJECT: &str = "benchpromote";
pub(super) const PRODUCTION: &str = "promote.localhost";
pub(super) const DEVELOPMENT: &str = "development.promote.localhost";
const APPLICATION: &str = "partywall-bench/app";
const RELEASES: &str = "partywall-bench/promote";
const FILES: &str = include_str!("compose.yaml");
const PLAIN: &str = include_str!("plain.yaml");
const BROKER: &str = include_str!("../../../../../demo/mosquitto.conf");
/// A deployment that takes longer has failed, in seconds.
const PATIENCE: &str = "180";
const STARTING: Duration = Duration::from_secs(60);

/// Gone at its end, with everything in it.
pub(super) struct Site {
    folder: PathBuf,
    binary: PathBuf,
    images: [(&'static str, String); 4],
    ours: u16,
    plain: u16,
}

impl Drop for Site {
    fn drop(&mut self) {
        self.clear();
    }
}

impl Site {
    pub(super) fn open(binary: &Path) -> Result<Self> {
        let image = |variable: &str, name: &str| std::env::var(variable).unwrap_or_else(|_| name.into());
        let site = Self {
            folder: "/var/tmp/partywall-bench-promote".into(),
            binary: binary.into(),
            images: [
                ("POSTGRES_IMAGE", image("POSTGRES_IMAGE", "postgres:17")),
                ("REDIS_IMAGE", image("REDIS_IMAGE", "redis:8")),
                ("MOSQUITTO_IMAGE", image("MOSQUITTO_IMAGE", "eclipse-mosquitto:2")),
                ("CADDY_IMAGE", image("CADDY_IMAGE", "caddy:2")),
            ],
            ours: free_port()?,
            plain: free_port()?,
        };
        // What a killed run left.
        site.clear();
        site.build_application()?;
        site.write()?;
        for environment in ["production", "development"] {
            say(&format!("bringing {environment} up"));
            output(&mut site.partywall(&["up", environment]))?;
        }
        say("bringing plain Compose up");
        site.build(1)?;
        output(&mut site.compose(1, &["up", "-d"]))?;
        for (who, host) in [(Who::Ours, PRODUCTION), (Who::Ours, DEVELOPMENT), (Who::Recreate, PRODUCTION)] {
            site.await_answer(who, host)?;
        }
        Ok(site)
    }

    /// What every release is made from: the demo's application, built once.
    fn build_application(&self) -> Result<()> {
        let folder = root().join("demo");
        demo::images(&folder)?;
        let mut command = Command::new("docker");
        command.args(["build", "--quiet", "--target", "production", "--tag", APPLICATION]);
        for (argument, variable) in [("BUILDER_IMAGE", "RUST_IMAGE"), ("RUNTIME_IMAGE", "DEBIAN_IMAGE")] {
            if let Ok(image) = std::env::var(variable) {
                command.args(["--build-arg", &format!("{argument}={image}")]);
            }
        }
        for variable in ["HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY"] {
            command.args(["--build-arg", variable]);
        }
        say("building the demo's application");
        output(command.args(["--file", "app/Dockerfile", "."]).current_dir(folder)).map(drop)
    }

    fn write(&self) -> Result<()> {
        let project = self.project();
        std::fs::create_dir_all(project.join("web"))?;
        let caddy = &self.images[3].1;
        // Watched for as long as the time that is compared, and more: what ends a promotion comes after it, as it does with the
        // 30 seconds that are usual.
        let config = format!(
            "project: {PROJECT}\ncompose: [compose.yaml]\nenvironments:\n  \
             production: {{ env_file: [.env.images, .env.prod], routes: {{ web: {{ host: {PRODUCTION}, port: 8000 }} }} }}\n  \
             development: {{ env_file: [.env.images, .env.dev], routes: {{ web: {{ host: {DEVELOPMENT}, port: 8000 }} }} }}\n\
             proxy: {{ name: {PROJECT}-proxy, image: \"{caddy}\", address: 127.0.0.1, http_port: {}, tls: off }}\n\
             promote: {{ verify: [{{ get: /health }}, {{ get: /ready }}, {{ get: /posts }}], watch: 3s, warm: 0s, drain: {}s }}\n",
            self.ours,
            super::DRAIN.as_secs()
        );
        let images: String = self.images.iter().map(|(name, image)| format!("{name}={image}\n")).collect();
        for (name, text) in [
            ("compose.yaml", FILES),
            ("mosquitto.conf", BROKER),
            ("plain.yaml", PLAIN),
            ("partywall.yaml", &config),
            (".env.images", &images),
            (".env.prod", "APP_ENV=production\n"),
            (".env.dev", "APP_ENV=development\n"),
        ] {
            std::fs::write(project.join(name), text)?;
        }
        self.git(&["init", "--quiet"])?;
        self.commit(1)
    }

    fn git(&self, words: &[&str]) -> Result<()> {
        let mut command = Command::new("git");
        command.args(["-c", "user.name=bench", "-c", "user.email=bench@example.org"]);
        output(command.args(words).current_dir(self.project())).map(drop)
    }

    /// Makes the project's folder a release, as a commit.
    fn commit(&self, release: u32) -> Result<()> {
        let text = format!("FROM {APPLICATION}\nENV RELEASE={release}\n");
        std::fs::write(self.project().join("web/Dockerfile"), text)?;
        self.git(&["add", "--all"])?;
        self.git(&["commit", "--quiet", "--message", &format!("release {release}")])
    }

    /// The release as an image, for those who deploy without us.
    fn build(&self, release: u32) -> Result<()> {
        let tag = format!("{RELEASES}:{release}");
        let folder = self.project().join("web");
        output(Command::new("docker").args(["build", "--quiet", "--tag", &tag]).arg(folder)).map(drop)
    }

    /// Makes what is to be deployed; none of it counts.
    pub(super) fn prepare(&self, who: Who, release: u32) -> Result<()> {
        self.commit(release)?;
        if who == Who::Ours { Ok(()) } else { self.build(release) }
    }

    pub(super) fn deploy(&self, who: Who, release: u32) -> Result<()> {
        match who {
            Who::Ours => output(&mut self.partywall(&["promote", "--quiet"])).map(drop),
            Who::Recreate => output(&mut self.compose(release, &["up", "-d"])).map(drop),
            Who::Rollout => self.roll_out(release),
        }
    }

    /// As `docker-rollout` does: a second container, wait until it is healthy, remove the first.
    fn roll_out(&self, release: u32) -> Result<()> {
        let containers = |site: &Self| output(&mut site.compose(release, &["ps", "-q", "web"]));
        let before = containers(self)?;
        output(&mut self.compose(release, &["up", "-d", "--no-recreate", "--scale", "web=2", "web"]))?;
        let all = containers(self)?;
        let new = all.lines().find(|id| !before.contains(*id)).ok_or("no second container")?;
        let until = Instant::now() + STARTING;
        let words = ["inspect", "-f", "{{.State.Health.Status}}", new];
        while output(Command::new("docker").args(words))?.trim() != "healthy" {
            if Instant::now() >= until {
                return Err("the second container does not become healthy".into());
            }
            std::thread::sleep(Duration::from_secs(1));
        }
        for word in ["stop", "rm"] {
            output(Command::new("docker").arg(word).args(before.lines()))?;
        }
        Ok(())
    }

    fn partywall(&self, words: &[&str]) -> Command {
        let mut command = Command::new("timeout");
        command.args(["--kill-after", "10", PATIENCE]).arg(&self.binary).args(words);
        command.current_dir(self.project()).env("PARTYWALL_STATE", self.folder.join("state"));
        command
    }

    fn compose(&self, release: u32, words: &[&str]) -> Command {
        let mut command = Command::new("timeout");
        command.args(["--kill-after", "10", PATIENCE, "docker", "compose", "--project-name"]);
        command.arg(plain_project()).args(["-f", "compose.yaml", "-f", "plain.yaml"]);
        command.args(["--env-file", ".env.images", "--env-file", ".env.prod"]).args(words);
        command.current_dir(self.project()).env("PLAIN_PORT", self.plain.to_string());
        command.env("RELEASE_IMAGE", format!("{RELEASES}:{release}"));
        command
    }

    fn project(&self) -> PathBuf {
        self.folder.join("project")
    }

    pub(super) fn port(&self, who: Who) -> u16 {
        if who == Who::Ours { self.ours } else { self.plain }
    }

    /// The file by which Caddy finds production.
    pub(super) fn switch(&self) -> PathBuf {
        self.proxy().join(format!("switch/{PROJECT}-production/web"))
    }

    pub(super) fn log(&self) -> PathBuf {
        self.proxy().join("log/traffic.log")
    }

    /// Production's name in the log.
    pub(super) fn route() -> String {
        format!("{PROJECT}-production/web")
    }

    fn proxy(&self) -> PathBuf {
        self.folder.join(format!("state/proxy/{PROJECT}-proxy"))
    }

    fn curl(&self, who: Who, host: &str, words: &[&str], path: &str) -> Result<String> {
        let url = format!("http://127.0.0.1:{}{path}", self.port(who));
        let mut command = Command::new("curl");
        command.args(["-sS", "--fail", "--max-time", "10", "-H", &format!("Host: {host}")]);
        output(command.args(words).arg(url))
    }

    fn await_answer(&self, who: Who, host: &str) -> Result<()> {
        let until = Instant::now() + STARTING;
        loop {
            match self.curl(who, host, &[], "/health") {
                Ok(text) if text.contains("\"status\":\"ok\"") => return Ok(()),
                _ if Instant::now() < until => std::thread::sleep(Duration::from_millis(300)),
                other => return Err(format!("{host} does not answer well: {other:?}").into()),
            }
        }
    }

    /// The cookie of somebody who may post.
    pub(super) fn sign_in(&self, who: Who) -> Result<String> {
        let name = who.word();
        let user = format!(
            "{{\"email\":\"{name}@example.org\",\"handle\":\"{name}\",\"password\":\"paint and brush\"}}"
        );
        let json = ["-H", "Content-Type: application/json", "-d", user.as_str()];
        self.curl(who, PRODUCTION, &json, "/users")?;
        let words = [&["-D", "-", "-o", "/dev/null"], json.as_slice()].concat();
        let told = self.curl(who, PRODUCTION, &words, "/login")?;
        let cookie = told.lines().find_map(|line| {
            let (name, value) = line.split_once(':')?;
            name.eq_ignore_ascii_case("set-cookie").then(|| value.trim().split(';').next())?
        });
        Ok(cookie.ok_or("nobody could sign in")?.to_owned())
    }

    /// Every title in production's database, as often as it is there.
    pub(super) fn titles(&self, who: Who) -> Result<Vec<String>> {
        let project = if who == Who::Ours { format!("{PROJECT}-production") } else { plain_project() };
        let container = format!("{project}-db-1");
        let words = ["exec", &container, "psql", "-qAtX", "-U", "bench", "-c", "SELECT title FROM posts"];
        let told = output(Command::new("docker").args(words))?;
        Ok(told.lines().map(str::to_owned).collect())
    }

    fn clear(&self) {
        if self.project().exists() {
            for environment in ["development", "production"] {
                drop(self.partywall(&["destroy", environment, "--confirm", environment]).output());
            }
        }
        let projects = ["production", "development", "proxy"].map(|part| format!("{PROJECT}-{part}"));
        for project in projects.iter().rev().chain([&plain_project()]) {
            remove_project(project);
        }
        for reference in [format!("partywall/{PROJECT}"), RELEASES.to_owned(), format!("{PROJECT}-*")] {
            remove("image", &["rm", "-f"], &["ls", "-q", "--filter", &format!("reference={reference}")]);
        }
        drop(std::fs::remove_dir_all(&self.folder));
    }
}

fn plain_project() -> String {
    format!("{PROJECT}-plain")
}

fn remove_project(project: &str) {
    let filter = format!("label=com.docker.compose.project={project}");
    remove("container", &["rm", "-f", "-v"], &["ls", "-aq", "--filter", &filter]);
    remove("network", &["rm"], &["ls", "-q", "--filter", &filter]);
    remove("volume", &["rm"], &["ls", "-q", "--filter", &filter]);
}

/// Of what Docker lists, everything is removed.
fn remove(kind: &str, remove: &[&str], list: &[&str]) {
    let found = output(Command::new("docker").arg(kind).args(list)).unwrap_or_default();
    if !found.trim().is_empty() {
        drop(output(Command::new("docker").arg(kind).args(remove).args(found.split_whitespace())));
    }
}

fn free_port() -> Result<u16> {
    Ok(std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}
