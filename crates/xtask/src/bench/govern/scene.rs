//! A project of the benchmark's own: a web service that computes for each request, and three containers that blast.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use super::Protection;
use super::blast::{Blast, CRATES};
use super::commits::{Commits, prepare};
use crate::bench::process::{Process, start_heard};
use crate::run::{Result, output, partywall, say};
use pw_load::Load;

const PROJECT: &str = "benchgovern";
/// What every right page ends with.
pub(super) const CLIENT: &str = "the end\n";
/// Some two milliseconds of a processor.
const PAGE: &str = "{{range $i := until 400}}{{sha256sum (printf \"%d\" $i)}}\n{{end}}the end\n";
const CADDYFILE: &str = ":80 {\n\troot * /srv\n\ttemplates\n\tfile_server\n}\n";
/// The groups of the host that hold production and development.
const TOPS: [&str; 2] = ["partywall", "partywall-idle"];
const BLASTERS: [&str; 3] = ["blast1", "blast2", "blast3"];

/// Gone at its end, with everything in it.
pub(super) struct Scene {
    folder: PathBuf,
    binary: PathBuf,
    pub(super) address: SocketAddr,
}

impl Drop for Scene {
    fn drop(&mut self) {
        drop(self.protect(Protection::Wall));
        for environment in ["development", "production"] {
            drop(self.partywall(&["destroy", environment, "--yes", "--confirm", environment]).output());
        }
        drop(fs::remove_dir_all(&self.folder));
    }
}

impl Scene {
    pub(super) fn open() -> Result<Self> {
        let folder = PathBuf::from(format!("/var/tmp/partywall-bench-govern-{}", std::process::id()));
        let project = folder.join("project");
        fs::create_dir_all(project.join("srv"))?;
        let image = |name: &str, usual: &str| std::env::var(name).unwrap_or_else(|_| usual.into());
        let caddy = image("CADDY_IMAGE", "caddy:2");
        fs::write(project.join("srv/index.html"), PAGE)?;
        fs::File::create(project.join("srv/big"))?.set_len(200 << 20)?;
        fs::write(project.join("Caddyfile"), CADDYFILE)?;
        fs::write(project.join("compose.yaml"), compose(&caddy, &image("POSTGRES_IMAGE", "postgres:17")))?;
        fs::write(project.join("development.yaml"), blasters(&image("RUST_IMAGE", "rust:1-slim")))?;
        fs::write(
            project.join("partywall.yaml"),
            format!(
                "project: {PROJECT}\ncompose: [compose.yaml]\nenvironments:\n  production: {{}}\n  \
                 development: {{ overlays: [development.yaml], budget: {{ memory: 4GB, disk: 2GB }} }}\ngovernor: {{ mode: guarantee }}\n"
            ),
        )?;
        let mut scene =
            Self { folder, binary: partywall()?, address: SocketAddr::from(([127, 0, 0, 1], 80)) };
        for environment in ["production", "development"] {
            output(&mut scene.partywall(&["up", environment, "--confirm", environment]))?;
        }
        let words = [
            "inspect",
            "-f",
            "{{range .NetworkSettings.Networks}}{{.IPAddress}} {{end}}",
            &scene.container("production", "web"),
        ];
        let addresses = output(Command::new("docker").args(words))?;
        let address = addresses.split_whitespace().next().ok_or("production has no address")?;
        scene.address = SocketAddr::new(address.parse()?, 80);
        scene.write_crates()?;
        prepare(&scene.container("production", "db"))?;
        Ok(scene)
    }

    fn container(&self, environment: &str, service: &str) -> String {
        format!("{PROJECT}-{environment}-{service}-1")
    }

    pub(super) fn partywall(&self, words: &[&str]) -> Command {
        let mut command = Command::new(&self.binary);
        command.args(words).current_dir(self.folder.join("project"));
        command.env("PARTYWALL_STATE", self.folder.join("state"));
        command
    }

    pub(super) fn warm_up(&self) -> Result<()> {
        let load = Load::new(self.address, "production", "/", 50.0);
        let report = load.run(Duration::from_secs(2), |answer| answer.body.ends_with(CLIENT.as_bytes()));
        say(&format!("warmed up: p50 {:.2} ms", report.quantile(0.5).as_secs_f64() * 1000.0));
        match report.failures {
            0 => Ok(()),
            _ => Err(format!("production does not answer as it should: {:?}", report.reasons).into()),
        }
    }

    /// Paths of the two groups below a controller.
    pub(super) fn groups(&self) -> [String; 2] {
        [(TOPS[0], "production"), (TOPS[1], "development")]
            .map(|(top, environment)| format!("{top}/{PROJECT}/{environment}"))
    }

    /// Sets the groups and containers as the contender has them.
    pub(super) fn protect(&self, protection: Protection) -> Result<()> {
        let (production, development) = match protection {
            Protection::Nothing | Protection::Static => (Cpu::Weight(100), Cpu::Weight(100)),
            Protection::Weights => (Cpu::Weight(1000), Cpu::Weight(1)),
            _ => (Cpu::Weight(1000), Cpu::Idle),
        };
        let groups = self.groups();
        production.set(&groups[0])?;
        // A group is weighed against its neighbours only: those above, too.
        let top = if matches!(protection, Protection::Nothing | Protection::Static) { 100 } else { 1000 };
        Cpu::Weight(top).set(TOPS[0])?;
        [TOPS[1], &groups[1]].into_iter().try_for_each(|group| development.set(group))?;
        let fixed = protection == Protection::Static;
        // As `cpus: 1` has it; who has had `--cpus` cannot be without.
        let (quota, memory) = if fixed { ("100000", "1g") } else { ("-1", "4g") };
        let names = BLASTERS.map(|name| self.container("development", name));
        let words = ["update", "--cpu-quota", quota, "--memory", memory, "--memory-swap", memory];
        output(Command::new("docker").args(words).args(&names))?;
        Ok(())
    }

    /// The agent as it is run, once it watches.
    pub(super) fn agent(&self) -> Result<Process> {
        let agent = start_heard(&mut self.partywall(&["agent", "run"]))?;
        for _ in 0..100 {
            let told = output(&mut self.partywall(&["agent", "status", "--json"]))?;
            if told.contains("\"running\":true") {
                return Ok(agent);
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        Err("the agent does not answer".into())
    }

    /// When the agent first squeezed development after `began`, in milliseconds since 1970.
    pub(super) fn squeezed(&self, began: f64) -> Result<Option<f64>> {
        let told = output(&mut self.partywall(&["agent", "status", "-n", "1000", "--json"]))?;
        let told: serde_json::Value = serde_json::from_str(&told)?;
        let decisions = told["decisions"].as_array().ok_or("the agent tells no decisions")?;
        let squeezes = |what: &str| what.starts_with("at most") || what == "stands still";
        let times = decisions
            .iter()
            .filter(|one| one["what"].as_str().is_some_and(squeezes))
            .filter_map(|one| one["at"].as_f64());
        Ok(times.filter(|at| *at >= began).min_by(f64::total_cmp))
    }

    pub(super) fn commits(&self, time: Duration) -> Result<Commits> {
        Commits::start(&self.container("production", "db"), time)
    }

    /// What the compiler is given.
    fn write_crates(&self) -> Result<()> {
        for name in BLASTERS {
            let container = self.container("development", name);
            output(Command::new("docker").args(["exec", &container, "bash", "-c", CRATES]))?;
        }
        Ok(())
    }

    pub(super) fn blast(&self, blast: &Blast) -> Result<()> {
        for name in BLASTERS {
            let container = self.container("development", name);
            let exec = || {
                output(Command::new("docker").args(["exec", "-d", &container, "bash", "-c", &blast.text()]))
            };
            // A container that has just been restarted may not be entered yet.
            let again = |_| {
                std::thread::sleep(Duration::from_secs(1));
                exec()
            };
            exec().or_else(again).or_else(again)?;
        }
        Ok(())
    }

    /// Ends everything that blasts.
    pub(super) fn calm(&self) -> Result<()> {
        let names = BLASTERS.map(|name| self.container("development", name));
        output(Command::new("docker").args(["restart", "-t", "0"]).args(&names))?;
        Ok(())
    }
}

enum Cpu {
    /// 100 is the kernel's default.
    Weight(u64),
    Idle,
}

impl Cpu {
    /// On control groups of either version. The idle class is left first and entered last.
    fn set(&self, group: &str) -> Result<()> {
        let root = Path::new("/sys/fs/cgroup");
        let first = root.join("cpu").join(group);
        let (folder, file, default) =
            if first.is_dir() { (first, "cpu.shares", 1024) } else { (root.join(group), "cpu.weight", 100) };
        let idle = folder.join("cpu.idle");
        match self {
            Self::Idle => fs::write(idle, "1")?,
            Self::Weight(weight) => {
                if idle.exists() {
                    fs::write(idle, "0")?;
                }
                fs::write(folder.join(file), (weight * default / 100).max(2).to_string())?;
            }
        }
        Ok(())
    }
}

fn compose(caddy: &str, postgres: &str) -> String {
    format!(
        "services:\n  web:\n    image: {caddy}\n    command: [caddy, run, --config, /etc/caddy/Caddyfile]\n    \
         volumes: [\"./srv:/srv:ro\", \"./Caddyfile:/etc/caddy/Caddyfile:ro\"]\n    stop_grace_period: 1s\n  \
         db:\n    image: {postgres}\n    environment: {{ POSTGRES_PASSWORD: bench }}\n    \
         volumes: [\"data:/var/lib/postgresql/data\"]\n    stop_grace_period: 1s\nvolumes: {{ data: }}\n"
    )
}

fn blasters(rust: &str) -> String {
    let service = |name: &&str| {
        format!(
            "  {name}:\n    image: {rust}\n    init: true\n    command: [sleep, infinity]\n    stop_grace_period: 1s\n"
        )
    };
    format!("services:\n{}", BLASTERS.iter().map(service).collect::<String>())
}
