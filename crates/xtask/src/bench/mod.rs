//! `./x bench NAME`: ours and the alternatives in one run, on the same work; medians and ratios.

mod agent;
mod govern;
mod keep;
mod process;
mod promote;
mod seed;
mod wake;

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::demo;
use crate::run::{Result, partywall, root, say, show};

const ROUNDS: usize = 15;

/// One contender: what it is called and what it runs.
struct Contender {
    name: &'static str,
    command: Vec<String>,
}

/// One line of the goals: `ours` must take less than `limit`, after `minus` is taken off.
struct Goal {
    ours: &'static str,
    minus: Option<&'static str>,
    limit: Duration,
}

pub(crate) fn run(name: &str) -> Result<()> {
    match name {
        "speed" => speed(),
        "agent" => agent::run(),
        "govern" => govern::run(),
        "keep" => keep::run(),
        "promote" => promote::run(),
        "seed" => seed::run(),
        "rehearse" => rehearse(),
        "wake" => wake::run(),
        other => {
            let known = "`agent`, `govern`, `keep`, `promote`, `rehearse`, `seed`, `speed` and `wake`";
            Err(format!("there is no benchmark `{other}`; there are {known}").into())
        }
    }
}

/// What measuring adds to a migration: needs the library, so the crate itself holds it.
fn rehearse() -> Result<()> {
    show(
        Command::new("cargo")
            .args(["bench", "--package", "pw-data", "--bench", "rehearse"])
            .current_dir(root()),
    )
}

/// The commands that people type most, beside what they would type without Partywall.
fn speed() -> Result<()> {
    let folder = root().join("demo");
    demo::images(&folder)?;
    let binary = partywall()?;
    for environment in ["production", "development"] {
        show(
            Command::new(&binary)
                .args(["--quiet", "--moved", "up", environment, "--confirm", environment])
                .current_dir(&folder),
        )?;
    }
    let contenders = contenders(&binary)?;
    let medians = measure(&contenders, &folder)?;
    table(&contenders, &medians);
    judge(&contenders, &medians)
}

fn contenders(binary: &Path) -> Result<Vec<Contender>> {
    let ours = binary.display().to_string();
    let words = |name, command: &[&str]| Contender {
        name,
        command: command.iter().map(|word| (*word).to_owned()).collect(),
    };
    let files = [
        "-f",
        "docker-compose.yml",
        "-f",
        "compose.override.yml",
        "--env-file",
        ".env.dev",
        "--env-file",
        ".env.images",
        "-p",
        "atelier-development",
    ];
    let config: Vec<&str> =
        ["docker", "compose"].into_iter().chain(files).chain(["config", "--format", "json"]).collect();
    let rendered = rendered_file()?;
    Ok(vec![
        words("partywall --help", &[&ours, "--help"]),
        words("partywall status", &[&ours, "status"]),
        words("docker compose ps", &["docker", "compose", "-p", "atelier-development", "ps"]),
        words("partywall up (unchanged)", &[&ours, "up", "development"]),
        words("docker compose config", &config),
        words("docker compose up (unchanged)", &["docker", "compose", "-f", &rendered, "up", "-d"]),
    ])
}

fn rendered_file() -> Result<String> {
    let state = std::env::var("PARTYWALL_STATE").unwrap_or_else(|_| "/var/lib/partywall".into());
    let file = PathBuf::from(state).join("projects/atelier/development/compose.yaml");
    file.to_str().map(str::to_owned).ok_or_else(|| "the state folder is not UTF-8".into())
}

/// Rounds are interleaved, so that a slow moment of the machine hits all alike.
fn measure(contenders: &[Contender], folder: &Path) -> Result<Vec<Duration>> {
    let mut times = vec![Vec::new(); contenders.len()];
    for round in 0..=ROUNDS {
        for (contender, times) in contenders.iter().zip(&mut times) {
            let mut command = Command::new(&contender.command[0]);
            command
                .args(&contender.command[1..])
                .current_dir(folder)
                .stdout(Stdio::null())
                .stderr(Stdio::null());
            let begun = Instant::now();
            let status = command.status()?;
            // The first round warms the caches and is not counted.
            if round > 0 {
                times.push(begun.elapsed());
            }
            if !status.success() {
                return Err(format!("`{}` failed: {status}", contender.name).into());
            }
        }
    }
    Ok(times.into_iter().map(median).collect())
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[times.len() / 2]
}

fn table(contenders: &[Contender], medians: &[Duration]) {
    let fastest = medians.iter().min().copied().unwrap_or_default().as_secs_f64();
    say(&format!("{:<32} {:>10} {:>8}", "command", "median", "ratio"));
    for (contender, median) in contenders.iter().zip(medians) {
        let ratio = median.as_secs_f64() / fastest;
        say(&format!("{:<32} {:>7.1} ms {ratio:>8.1}", contender.name, median.as_secs_f64() * 1000.0));
    }
}

fn judge(contenders: &[Contender], medians: &[Duration]) -> Result<()> {
    let of = |name: &str| {
        contenders.iter().position(|contender| contender.name == name).map_or(Duration::MAX, |at| medians[at])
    };
    let goals = [
        Goal { ours: "partywall --help", minus: None, limit: Duration::from_millis(20) },
        Goal { ours: "partywall status", minus: None, limit: Duration::from_millis(150) },
        Goal {
            ours: "partywall up (unchanged)",
            minus: Some("docker compose config"),
            limit: Duration::from_secs(1),
        },
    ];
    let missed: Vec<String> = goals
        .iter()
        .filter(|goal| of(goal.ours).saturating_sub(goal.minus.map_or(Duration::ZERO, of)) >= goal.limit)
        .map(|goal| format!("{} is not under {:?}", goal.ours, goal.limit))
        .collect();
    let milliseconds = |name| of(name).as_secs_f64() * 1000.0;
    say(&format!(
        "speed: help_ms={:.1} status_ms={:.1} up_unchanged_ms={:.1} compose_config_ms={:.1} rounds={ROUNDS}",
        milliseconds("partywall --help"),
        milliseconds("partywall status"),
        milliseconds("partywall up (unchanged)"),
        milliseconds("docker compose config"),
    ));
    if missed.is_empty() { Ok(()) } else { Err(missed.join("; ").into()) }
}
