//! `./x bench agent`: what the agent itself takes with twenty containers, each looked at once a second, beside what is run
//! for this otherwise: Debian's Prometheus, and its node exporter scraped once a second. These two see the machine only, and
//! govern nothing; what would see containers comes on top of them.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use super::process::{Process, TICKS, proportional, resident, start, ticks};
use crate::run::{Result, output, partywall, say};

const PROJECT: &str = "benchagent";
const ENVIRONMENTS: [&str; 2] = ["production", "development"];
/// In each environment.
const SERVICES: usize = 10;
/// Of one processor.
const CPU_GOAL: f64 = 0.01;
const MEMORY_GOAL_MB: f64 = 40.0;
/// Both have seen everything once, and have the memory that they need.
const WARM_UP: Duration = Duration::from_secs(10);
const PATIENCE: Duration = Duration::from_secs(20);

/// What processes together took in one round.
#[derive(Debug, Clone, Copy)]
struct Taken {
    cpu: f64,
    resident: f64,
    proportional: f64,
}

pub(super) fn run() -> Result<()> {
    let of = |name: &str, usual: u64| std::env::var(name).map_or(Ok(usual), |text| text.parse::<u64>());
    let (rounds, seconds) = (of("PARTYWALL_BENCH_ROUNDS", 3)?, of("PARTYWALL_BENCH_SECONDS", 30)?);
    let time = Duration::from_secs(seconds);
    let scene = Scene::open()?;
    let mut results: [Vec<Taken>; 3] = Default::default();
    for round in 1..=rounds {
        say(&format!("round {round} of {rounds}"));
        let agent = scene.agent()?;
        results[0].push(measured(&agent, time));
        drop(agent);
        let (exporter, prometheus) = scene.prometheus()?;
        // At the same time, as they run.
        let (one, other) = (Before::of(&exporter), Before::of(&prometheus));
        std::thread::sleep(time);
        results[1].push(one.taken());
        results[2].push(other.taken());
    }
    report(&results)
}

fn report(results: &[Vec<Taken>; 3]) -> Result<()> {
    say(&format!("\n{:<28} {:>12} {:>9} {:>9}", "20 containers, once a second", "of one CPU", "RSS", "PSS"));
    let names = ["partywall agent", "node exporter", "Prometheus"];
    let middles = results.each_ref().map(|all| middle(all));
    for (name, one) in names.iter().zip(&middles) {
        say(&format!(
            "{name:<28} {:>10.2} % {:>6.1} MB {:>6.1} MB",
            one.cpu * 100.0,
            one.resident,
            one.proportional
        ));
    }
    let [ours, exporter, prometheus] = middles;
    let cpu = (exporter.cpu + prometheus.cpu) / ours.cpu.max(1e-6);
    let memory = (exporter.proportional + prometheus.proportional) / ours.proportional.max(1e-6);
    say(&format!(
        "\nagent: {:.2} % of a CPU, {:.1} MB RSS; the others together take {cpu:.1} times the CPU and {memory:.1} times the memory",
        ours.cpu * 100.0,
        ours.resident
    ));
    match ours.cpu < CPU_GOAL && ours.resident < MEMORY_GOAL_MB {
        true => Ok(()),
        false => Err(format!(
            "missed: the goal is less than {:.0} % of a CPU and {MEMORY_GOAL_MB:.0} MB",
            CPU_GOAL * 100.0
        )
        .into()),
    }
}

/// Of each figure by itself.
fn middle(all: &[Taken]) -> Taken {
    let of = |figure: fn(&Taken) -> f64| {
        let mut values: Vec<f64> = all.iter().map(figure).collect();
        values.sort_by(f64::total_cmp);
        values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
    };
    Taken {
        cpu: of(|one| one.cpu),
        resident: of(|one| one.resident),
        proportional: of(|one| one.proportional),
    }
}

struct Before {
    process: u32,
    begun: Instant,
    ticks: f64,
}

fn measured(process: &Process, time: Duration) -> Taken {
    let before = Before::of(process);
    std::thread::sleep(time);
    before.taken()
}

impl Before {
    fn of(process: &Process) -> Self {
        let process = process.id();
        Self { process, begun: Instant::now(), ticks: ticks(process) }
    }

    fn taken(self) -> Taken {
        let seconds = (ticks(self.process) - self.ticks) / TICKS;
        Taken {
            cpu: seconds / self.begun.elapsed().as_secs_f64(),
            resident: resident(self.process),
            proportional: proportional(self.process),
        }
    }
}

/// Gone at its end, with everything in it.
struct Scene {
    folder: PathBuf,
    binary: PathBuf,
    port: u16,
}

impl Drop for Scene {
    fn drop(&mut self) {
        for environment in ENVIRONMENTS.iter().rev() {
            drop(self.partywall(&["destroy", environment, "--yes", "--confirm", environment]).output());
        }
        drop(fs::remove_dir_all(&self.folder));
    }
}

impl Scene {
    fn open() -> Result<Self> {
        let folder = PathBuf::from(format!("/var/tmp/partywall-bench-agent-{}", std::process::id()));
        fs::create_dir_all(folder.join("project"))?;
        let port = free_port()?;
        let image = std::env::var("DEBIAN_IMAGE").unwrap_or_else(|_| "debian:trixie-slim".into());
        // A little work, so that there is something to see.
        let service = |number: usize| {
            format!(
                "  s{number}:\n    image: {image}\n    init: true\n    stop_grace_period: 0s\n    \
                 command: [sh, -c, 'while :; do sleep 2; done']\n"
            )
        };
        let services: String = (1..=SERVICES).map(service).collect();
        let scene = Self { binary: partywall()?, port, folder };
        scene.write("compose.yaml", &format!("services:\n{services}"))?;
        scene.write(
            "partywall.yaml",
            &format!(
                "project: {PROJECT}\ncompose: [compose.yaml]\nenvironments:\n  production: {{}}\n  development: {{}}\n\
                 agent: {{ metrics: \"127.0.0.1:{port}\" }}\n"
            ),
        )?;
        for environment in ENVIRONMENTS {
            output(&mut scene.partywall(&["up", environment, "--confirm", environment]))?;
        }
        Ok(scene)
    }

    fn write(&self, name: &str, text: &str) -> Result<()> {
        Ok(fs::write(self.folder.join("project").join(name), text)?)
    }

    fn partywall(&self, words: &[&str]) -> Command {
        let mut command = Command::new(&self.binary);
        command.args(words).current_dir(self.folder.join("project"));
        command.env("PARTYWALL_STATE", self.folder.join("state"));
        command
    }

    /// Once it has seen all containers, and is warm. It shows its figures, and nobody but us asks for them.
    fn agent(&self) -> Result<Process> {
        let agent = start(&mut self.partywall(&["agent", "run"]))?;
        let seen = |text: &str| {
            let counted = text.matches("\npartywall_container_cpu_seconds_total{").count();
            counted == SERVICES * ENVIRONMENTS.len()
        };
        await_page(self.port, "/metrics", seen)?;
        std::thread::sleep(WARM_UP);
        Ok(agent)
    }

    /// The exporter, and who asks it once a second; warm.
    fn prometheus(&self) -> Result<(Process, Process)> {
        let (from, own) = (free_port()?, free_port()?);
        let listen = |port: u16| format!("--web.listen-address=127.0.0.1:{port}");
        let exporter = start(Command::new("prometheus-node-exporter").arg(listen(from)))?;
        await_page(from, "/metrics", |text| text.contains("\nnode_cpu_seconds_total"))?;
        let file = self.folder.join("prometheus.yml");
        fs::write(
            &file,
            format!(
                "global: {{ scrape_interval: 1s }}\nscrape_configs:\n  - job_name: node\n    \
                 static_configs: [ {{ targets: [\"127.0.0.1:{from}\"] }} ]\n"
            ),
        )?;
        let mut command = Command::new("prometheus");
        command.arg(format!("--config.file={}", file.display())).arg(listen(own));
        command.arg(format!("--storage.tsdb.path={}", self.folder.join("prometheus").display()));
        let prometheus = start(&mut command)?;
        await_page(own, "/api/v1/query?query=node_load1", |text| text.contains("\"value\":["))?;
        std::thread::sleep(WARM_UP);
        Ok((exporter, prometheus))
    }
}

/// Free now; who takes it in the meantime ends the run.
fn free_port() -> Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

fn await_page(port: u16, path: &str, is_right: impl Fn(&str) -> bool) -> Result<()> {
    let begun = Instant::now();
    while begun.elapsed() < PATIENCE {
        if page(port, path).is_ok_and(|text| is_right(&text)) {
            return Ok(());
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    Err(format!("nothing right is answered at 127.0.0.1:{port}{path}").into())
}

fn page(port: u16, path: &str) -> Result<String> {
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
    let mut text = String::new();
    stream.read_to_string(&mut text)?;
    Ok(text)
}
