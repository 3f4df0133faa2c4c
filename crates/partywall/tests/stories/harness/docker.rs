//! Docker's own command line, as the witness that Partywall cannot talk out of it.

use std::process::{Command, Output};

use serde_json::Value;

const HINT: &str = "this test needs Docker and the demo images: run ./x setup";

/// What `docker` prints; fails when docker fails.
pub(crate) fn docker(words: &[&str]) -> String {
    let output = run(words);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "docker {}: {said}", words.join(" "));
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

/// What `docker` prints, or nothing where it fails.
pub(crate) fn docker_answers(words: &[&str]) -> Option<String> {
    let output = run(words);
    if !output.status.success() {
        #[expect(
            clippy::print_stderr,
            reason = "shown when the test fails: nobody else says what the engine had against it"
        )]
        {
            eprintln!("docker {}: {}", words.join(" "), String::from_utf8_lossy(&output.stderr).trim());
        }
    }
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

fn run(words: &[&str]) -> Output {
    Command::new("docker").args(words).output().expect(HINT)
}

/// The lines that `docker` prints, without empty ones, sorted.
pub(crate) fn lines(words: &[&str]) -> Vec<String> {
    let mut lines: Vec<String> =
        docker(words).lines().filter(|line| !line.is_empty()).map(str::to_owned).collect();
    lines.sort();
    lines
}

/// The image of a role: what `./x env` says, else what `./x setup` built, else the official one.
pub(crate) fn image(name: &str) -> String {
    let variable = format!("{}_IMAGE", name.to_uppercase());
    let built = format!("partywall-demo/{name}");
    let official = match name {
        "caddy" => "caddy:2",
        "redis" => "redis:8",
        "postgres" => "postgres:17",
        "mosquitto" => "eclipse-mosquitto:2",
        "rust" => "rust:1.85-slim-trixie",
        _ => "debian:trixie-slim",
    };
    std::env::var(variable).ok().filter(|set| !set.is_empty()).unwrap_or_else(|| {
        let has_built = docker_answers(&["image", "inspect", "-f", "{{.Id}}", &built]).is_some();
        if has_built { built } else { official.to_owned() }
    })
}

/// One container, as `docker inspect` tells.
#[derive(Debug)]
pub(crate) struct Container(Value);

impl Container {
    pub(crate) fn of_project(compose_project: &str) -> Vec<Self> {
        let filter = format!("label=com.docker.compose.project={compose_project}");
        let ids = lines(&["ps", "-aq", "--no-trunc", "--filter", &filter]);
        if ids.is_empty() {
            return Vec::new();
        }
        // One may go between the two calls.
        let inspected = ids.iter().filter_map(|id| docker_answers(&["inspect", "-f", "{{json .}}", id]));
        let mut all: Vec<Self> = inspected
            .map(|text| Self(serde_json::from_str(&text).expect("docker inspect prints JSON")))
            .collect();
        all.sort_by_key(Self::service);
        all
    }

    pub(crate) fn named(name: &str) -> Self {
        Self(serde_json::from_str(&docker(&["inspect", "-f", "{{json .}}", name])).expect("JSON"))
    }

    pub(crate) fn id(&self) -> String {
        text(&self.0["Id"])
    }

    pub(crate) fn name(&self) -> String {
        text(&self.0["Name"]).trim_start_matches('/').to_owned()
    }

    pub(crate) fn label(&self, key: &str) -> String {
        text(&self.0["Config"]["Labels"][key])
    }

    pub(crate) fn service(&self) -> String {
        self.label("com.docker.compose.service")
    }

    pub(crate) fn is_running(&self) -> bool {
        self.0["State"]["Running"] == true
    }

    /// It stands still, by the engine's own pause.
    pub(crate) fn is_frozen(&self) -> bool {
        self.0["State"]["Paused"] == true
    }

    pub(crate) fn started(&self) -> String {
        text(&self.0["State"]["StartedAt"])
    }

    /// Its address in each network, with the network's gateway.
    pub(crate) fn addresses(&self) -> Vec<(String, String)> {
        let networks = self.0["NetworkSettings"]["Networks"].as_object().into_iter().flatten();
        networks
            .map(|(_, network)| (text(&network["IPAddress"]), text(&network["Gateway"])))
            .filter(|(address, _)| !address.is_empty())
            .collect()
    }

    /// Host address and port of everything that it publishes.
    pub(crate) fn published(&self) -> Vec<(String, String)> {
        let ports = self.0["NetworkSettings"]["Ports"].as_object().into_iter().flatten();
        ports
            .flat_map(|(_, bindings)| bindings.as_array().cloned().unwrap_or_default())
            .map(|binding| (text(&binding["HostIp"]), text(&binding["HostPort"])))
            .collect()
    }

    /// Names of volumes and paths of the host that are mounted.
    pub(crate) fn mounts(&self) -> Vec<String> {
        let mounts = self.0["Mounts"].as_array().cloned().unwrap_or_default();
        mounts.iter().flat_map(|mount| [text(&mount["Name"]), text(&mount["Source"])]).collect()
    }

    /// What a command in it prints; `None` when it fails.
    pub(crate) fn exec(&self, words: &[&str]) -> Option<String> {
        let id = self.id();
        let command: Vec<&str> = ["exec", id.as_str()].into_iter().chain(words.iter().copied()).collect();
        docker_answers(&command)
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}
