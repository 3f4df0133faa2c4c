//! `./x bench wake`: how long a visitor waits for the demo's development that sleeps, from the request to the first byte of
//! the right answer over the proxy; stopped, frozen, and throttled.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use super::process::{Process, start};
use super::{demo, median};
use crate::run::{Result, output, partywall, root, say, show};

const ENVIRONMENT: &str = "development";
const GOAL: Duration = Duration::from_secs(10);
const PATIENCE: Duration = Duration::from_secs(120);
const POLL: Duration = Duration::from_millis(20);

/// Each with what it adds to the demo's development.
const WAYS: [(&str, &str); 3] =
    [("stopped", ""), ("frozen", ", how: freeze"), ("throttled", ", how: throttle")];

pub(super) fn run() -> Result<()> {
    let rounds: usize = std::env::var("PARTYWALL_BENCH_ROUNDS").map_or(Ok(5), |text| text.parse())?;
    let scene = Scene::open()?;
    let mut results = Vec::new();
    for (name, how) in WAYS {
        scene.sleeps(how)?;
        let front = scene.front()?;
        let mut times = Vec::new();
        for _ in 0..rounds {
            scene.change("sleep")?;
            times.push(scene.wake()?);
        }
        drop(front);
        say(&format!("{name:<10} {}", times.iter().map(|time| shown(*time)).collect::<Vec<_>>().join(", ")));
        results.push((name, median(times)));
    }
    say(&format!("\n{:<10} {:>12}", ENVIRONMENT, "first byte"));
    results.iter().for_each(|(name, time)| say(&format!("{name:<10} {:>12}", shown(*time))));
    let figures: Vec<String> =
        results.iter().map(|(name, time)| format!("{name}_s={:.2}", time.as_secs_f64())).collect();
    say(&format!("wake: {} rounds={rounds}", figures.join(" ")));
    let missed: Vec<String> = results
        .iter()
        .filter(|(_, time)| *time >= GOAL)
        .map(|(name, _)| format!("{name}, it does not wake within {} s", GOAL.as_secs()))
        .collect();
    if missed.is_empty() { Ok(()) } else { Err(missed.join("; ").into()) }
}

fn shown(time: Duration) -> String {
    format!("{:.2} s", time.as_secs_f64())
}

/// The demo, and its configuration as it was.
struct Scene {
    folder: PathBuf,
    binary: PathBuf,
    written: String,
}

impl Drop for Scene {
    fn drop(&mut self) {
        drop(std::fs::write(self.configuration(), &self.written));
        drop(self.partywall(&["up", ENVIRONMENT]).output());
    }
}

impl Scene {
    fn open() -> Result<Self> {
        let folder = root().join("demo");
        demo::images(&folder)?;
        let written = std::fs::read_to_string(folder.join("partywall.yaml"))?;
        let scene = Self { binary: partywall()?, folder, written };
        for environment in ["production", ENVIRONMENT] {
            show(&mut scene.partywall(&["--quiet", "--moved", "up", environment, "--confirm", environment]))?;
        }
        Ok(scene)
    }

    fn configuration(&self) -> PathBuf {
        self.folder.join("partywall.yaml")
    }

    fn partywall(&self, words: &[&str]) -> Command {
        let mut command = Command::new(&self.binary);
        command.args(words).current_dir(&self.folder);
        command
    }

    /// Only when it is told to, for nobody is away for a day.
    fn sleeps(&self, how: &str) -> Result<()> {
        let before = "budget: { cpus: 1, memory: 2GB, disk: 5GB }";
        if !self.written.contains(before) {
            return Err(format!("{} has no `{before}`", self.configuration().display()).into());
        }
        let sleep = format!("{before}\n    sleep: {{ idle: 1d{how} }}");
        Ok(std::fs::write(self.configuration(), self.written.replacen(before, &sleep, 1))?)
    }

    /// Once it listens.
    fn front(&self) -> Result<Process> {
        let front = start(&mut self.partywall(&["agent", "front"]))?;
        // It has no other sign of life than that `sleep` does not miss it.
        let begun = Instant::now();
        while begun.elapsed() < PATIENCE {
            self.change("up")?;
            let slept = self.partywall(&["sleep", ENVIRONMENT]).output()?;
            let is_there = !String::from_utf8_lossy(&slept.stderr).contains("nobody wakes it");
            self.change("up")?;
            if slept.status.success() && is_there {
                return Ok(front);
            }
        }
        Err("the front does not listen".into())
    }

    /// The first byte may come before what woke it has ended; nobody else changes it meanwhile.
    fn change(&self, operation: &str) -> Result<()> {
        let begun = Instant::now();
        loop {
            let done = output(&mut self.partywall(&[operation, ENVIRONMENT]));
            let is_busy = done.as_ref().is_err_and(|error| error.to_string().contains("is at work"));
            if !is_busy || begun.elapsed() >= PATIENCE {
                return done.map(drop);
            }
            std::thread::sleep(POLL);
        }
    }

    /// As a program asks: it is told to wait, then where to ask again.
    fn wake(&self) -> Result<Duration> {
        let begun = Instant::now();
        while begun.elapsed() < PATIENCE {
            if ask(&self.folder)?.contains(&format!("\"environment\":\"{ENVIRONMENT}\"")) {
                return Ok(begun.elapsed());
            }
            std::thread::sleep(POLL);
        }
        Err(format!("{ENVIRONMENT} does not wake").into())
    }
}

fn ask(folder: &Path) -> Result<String> {
    let (host, port) = ("development.atelier.localhost", demo::PORT);
    let (resolve, address) = (format!("{host}:{port}:127.0.0.1"), format!("https://{host}:{port}/whoami"));
    let patience = PATIENCE.as_secs().to_string();
    let words = ["-skL", "--max-time", &patience, "--resolve", &resolve, &address];
    output(Command::new("curl").args(words).current_dir(folder))
}
