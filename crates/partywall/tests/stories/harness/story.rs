//! One story's project: its folder, its names, its ports, and their end.

use std::collections::BTreeMap;
use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use pw_journal::SqliteJournal;
use serde_json::Value;
use tempfile::TempDir;

use super::clean::{files, hierarchies};
use super::program::{PROGRAM, Told, finished, start};
use super::{Answer, Container, application, ask, image, lines, random};

pub(crate) const PRODUCTION: &str = "production";
pub(crate) const DEVELOPMENT: &str = "development";

pub(crate) struct Story {
    /// Name of the project; unique on the host.
    pub(crate) name: String,
    folder: TempDir,
    /// Port of the proxy.
    pub(crate) http: u16,
    /// Port that the Compose files publish; development's is one more.
    pub(crate) port: u16,
}

impl Story {
    /// The light application.
    pub(crate) fn light() -> Self {
        let story = Self::empty();
        story.write("docker-compose.yml", &application::compose());
        story.write("compose.override.yml", &application::overlay(story.port));
        story.note(PRODUCTION, "first");
        story.note(DEVELOPMENT, "first");
        story.write("partywall.yaml", &story.config("docker-compose.yml", "compose.override.yml"));
        story
    }

    /// A copy of the demonstration application.
    pub(crate) fn demo() -> Self {
        let story = Self::empty();
        let demo = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../demo");
        let copied = Command::new("cp").arg("-rT").arg(&demo).arg(story.project()).status();
        assert!(copied.is_ok_and(|status| status.success()), "could not copy {}", demo.display());
        // Each start is waited for: it is looked at often, and a new server's first files need not be on the disk.
        story.edit("docker-compose.yml", "start_interval: 1s", "start_interval: 200ms");
        let database = "      POSTGRES_DB: ${POSTGRES_DB:?}\n";
        let unhurried = format!("{database}      POSTGRES_INITDB_ARGS: --no-sync\n");
        story.edit("docker-compose.yml", database, &unhurried);
        let names = ["postgres", "redis", "mosquitto", "rust", "debian"];
        let images: String =
            names.map(|name| format!("{}_IMAGE={}\n", name.to_uppercase(), image(name))).concat();
        story.write(".env.images", &images);
        let overlay = story.read("compose.override.yml");
        let ports = ["8000:8000", "5432:5432", "6379:6379", "1883:1883"];
        let moved = ports.iter().zip((story.port..).step_by(2)).fold(overlay, |text, (port, to)| {
            let target = port.split(':').next_back().unwrap_or_default();
            text.replace(&format!("\"{port}\""), &format!("\"{to}:{target}\""))
        });
        story.write("compose.override.yml", &moved);
        let mut config = story.config("docker-compose.yml", "compose.override.yml");
        config = config.replace(
            "env_file: .env.prod",
            "overlays: [compose.production.yml]\n    env_file: [.env.prod, .env.images]",
        );
        config = config.replace("env_file: .env.dev", "env_file: [.env.dev, .env.images]");
        config = config.replace("memory: 512MB", "memory: 2GB");
        config = config
            .replace(".localhost }", ".localhost, port: 8000 } }")
            .replace("{ web: ", "{ web: { host: ");
        story.write("partywall.yaml", &config);
        story
    }

    fn empty() -> Self {
        let name = format!("story{:08x}", random() as u32);
        let folder = TempDir::with_prefix(format!("{name}-")).expect("a temp dir");
        fs::create_dir(folder.path().join("project")).expect("a folder");
        let (http, port) = (free_ports(1), free_ports(8));
        Self { name, folder, http, port }
    }

    fn config(&self, base: &str, overlay: &str) -> String {
        format!(
            "project: {name}\ncompose: [{base}]\nenvironments:\n  production:\n    env_file: .env.prod\n    routes: {{ web: {prod} }}\n  development:\n    overlays: [{overlay}]\n    env_file: .env.dev\n    routes: {{ web: {dev} }}\n    budget: {{ cpus: 1, memory: 512MB }}\nproxy:\n  name: {proxy}\n  image: {caddy}\n  address: 127.0.0.1\n  http_port: {http}\n  tls: off\n",
            name = self.name,
            prod = self.host(PRODUCTION),
            dev = self.host(DEVELOPMENT),
            proxy = self.proxy(),
            caddy = image("caddy"),
            http = self.http,
        )
    }

    /// Everything of the story that lies on the disk.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn project(&self) -> PathBuf {
        self.folder.path().join("project")
    }

    pub(crate) fn state(&self) -> PathBuf {
        self.folder.path().join("state")
    }

    pub(crate) fn proxy(&self) -> String {
        format!("{}-proxy", self.name)
    }

    pub(crate) fn compose_project(&self, environment: &str) -> String {
        format!("{}-{environment}", self.name)
    }

    /// The rendered Compose file.
    pub(crate) fn rendered(&self, environment: &str) -> PathBuf {
        self.state().join("projects").join(&self.name).join(environment).join("compose.yaml")
    }

    pub(crate) fn host(&self, environment: &str) -> String {
        let below = if environment == PRODUCTION { String::new() } else { format!("{environment}.") };
        format!("{below}{}.localhost", self.name)
    }

    pub(crate) fn write(&self, file: &str, text: &str) {
        fs::write(self.project().join(file), text).unwrap_or_else(|error| panic!("{file}: {error}"));
    }

    pub(crate) fn read(&self, file: &str) -> String {
        fs::read_to_string(self.project().join(file)).unwrap_or_else(|error| panic!("{file}: {error}"))
    }

    /// Replaces a text that must be there.
    #[track_caller]
    pub(crate) fn edit(&self, file: &str, from: &str, to: &str) {
        let text = self.read(file);
        assert!(text.contains(from), "`{from}` is not in {file}:\n{text}");
        self.write(file, &text.replace(from, to));
    }

    /// Sets what the light application says after its environment's name, which makes `web` another container.
    pub(crate) fn note(&self, environment: &str, note: &str) {
        let file = if environment == PRODUCTION { ".env.prod" } else { ".env.dev" };
        self.write(file, &format!("APP_ENV={environment}\nNOTE={note}\n"));
    }

    /// The program on this project, not started yet.
    pub(crate) fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(PROGRAM);
        command.args(words).current_dir(self.project()).env("PARTYWALL_STATE", self.state());
        command.env_remove("COMPOSE_FILE").env_remove("COMPOSE_PROJECT_NAME").stdin(Stdio::null());
        command
    }

    pub(crate) fn start(&self, words: &[&str]) -> Child {
        start(self.command(words))
    }

    pub(crate) fn run(&self, words: &[&str]) -> Told {
        finished(self.start(words))
    }

    #[track_caller]
    pub(crate) fn up(&self, environment: &str) -> Told {
        self.run(&["up", environment]).ended(0)
    }

    /// What an environment answers on its own host name.
    pub(crate) fn ask(&self, environment: &str, path: &str) -> Answer {
        let host = self.host(environment);
        ask(self.http, &host, path).unwrap_or_else(|error| panic!("{host}{path}: {error}"))
    }

    pub(crate) fn containers(&self, environment: &str) -> Vec<Container> {
        Container::of_project(&self.compose_project(environment))
    }

    /// Service → id of its container.
    pub(crate) fn ids(&self, environment: &str) -> BTreeMap<String, String> {
        self.containers(environment).iter().map(|one| (one.service(), one.id())).collect()
    }

    #[track_caller]
    pub(crate) fn container(&self, environment: &str, service: &str) -> Container {
        let mut all = self.containers(environment).into_iter();
        all.find(|one| one.service() == service).unwrap_or_else(|| panic!("no {service} in {environment}"))
    }

    /// Everything that exists of an environment, so that two moments can be compared.
    pub(crate) fn everything(&self, environment: &str) -> Vec<String> {
        let project = self.compose_project(environment);
        let label = format!("label=com.docker.compose.project={project}");
        let mut all = lines(&["ps", "-aq", "--no-trunc", "--filter", &label]);
        all.extend(lines(&["network", "ls", "-q", "--no-trunc", "--filter", &label]));
        all.extend(lines(&["volume", "ls", "-q", "--filter", &label]));
        all.extend(self.groups(environment).iter().map(|path| path.display().to_string()));
        let rendered = self.rendered(environment);
        all.extend(
            [rendered.parent().unwrap_or(&rendered), &self.switches(environment)]
                .iter()
                .flat_map(|folder| files(folder)),
        );
        all
    }

    fn switches(&self, environment: &str) -> PathBuf {
        let proxy = self.state().join("proxy").join(self.proxy());
        proxy.join("switch").join(self.compose_project(environment))
    }

    /// Control groups of an environment, in every hierarchy.
    pub(crate) fn groups(&self, environment: &str) -> Vec<PathBuf> {
        let names = [
            format!("partywall/{}/{environment}", self.name),
            format!("partywall-idle/{}/{environment}", self.name),
            format!("partywall.slice/partywall-{0}.slice/partywall-{0}-{environment}.slice", self.name),
            format!(
                "partywall_idle.slice/partywall_idle-{0}.slice/partywall_idle-{0}-{environment}.slice",
                self.name
            ),
        ];
        hierarchies()
            .iter()
            .flat_map(|root| names.iter().map(|name| root.join(name)))
            .filter(|path| path.is_dir())
            .collect()
    }

    /// How many plans the journal knows.
    pub(crate) fn plans(&self) -> usize {
        let path = self.state().join("projects").join(&self.name).join("journal.db");
        let journal = SqliteJournal::open_read_only(&path).expect("a journal");
        journal.map_or(0, |journal| journal.plans(1000).expect("plans").len())
    }

    /// The steps that `partywall plan` would carry out.
    #[track_caller]
    pub(crate) fn plan(&self, environment: &str) -> Vec<Value> {
        let told = self.run(&["plan", environment, "--json"]).ended(0);
        told.json()["steps"].as_array().cloned().expect("steps")
    }
}

/// The first of so many ports in a row that nobody listens on, below those that the kernel hands out.
fn free_ports(count: u16) -> u16 {
    for _ in 0..100 {
        let first = 12_000 + (random() % 18_000) as u16;
        if (first..first + count).all(|port| TcpListener::bind(("0.0.0.0", port)).is_ok()) {
            return first;
        }
    }
    panic!("no free ports")
}
