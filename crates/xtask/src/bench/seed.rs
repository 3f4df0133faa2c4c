//! `./x bench seed`: a masked, proved sample beside what people do today, on one server, in one run.

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use super::median;
use crate::run::{Result, output, partywall, root, say};

const ROUNDS: usize = 3;
const DATABASE: &str = "production";
/// The full binary COPY to nothing may be exceeded by this factor, at 100,000 users and more.
const LIMIT: f64 = 2.5;

/// Measured earlier, on other runs of this machine; not run here. Seconds at 10,000 and 100,000 users.
const QUOTED: [(&str, f64, f64); 3] =
    [("slice-db, 2 jobs", 10.6, 77.0), ("Jailer 17.2", 19.0, 85.0), ("pg_sample", 13.8, 204.0)];

/// Every table to nothing, two at a time.
const FLOOR: &str = "psql -U owner -Atc \"select oid::regclass from pg_class where relkind = 'r' and relnamespace = 'public'::regnamespace order by relpages desc\" production \
    | tr '\\n' '\\0' | xargs -0 -P 2 -I{} psql -U owner -qc 'copy {} to stdout (format binary)' production >/dev/null";
const FULL: &str = "dropdb -U owner --if-exists full && createdb -U owner full && pg_dump -U owner production | psql -U owner -q full >/dev/null";

/// A server of the benchmark's own, gone at its end.
struct Server {
    name: String,
    port: String,
    image: String,
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(Command::new("docker").args(["rm", "-f", "-v", &self.name]).output());
    }
}

impl Server {
    fn start() -> Result<Self> {
        let image = std::env::var("POSTGRES_IMAGE").unwrap_or_else(|_| "postgres:17".into());
        let name = format!("partywall-bench-seed-{}", std::process::id());
        let mut server = Self { name, port: String::new(), image };
        output(
            Command::new("docker")
                .args(["run", "-d", "--name", &server.name, "-p", "127.0.0.1::5432", "--shm-size", "1g"])
                .args([
                    "-e",
                    "POSTGRES_PASSWORD=bench",
                    "-e",
                    "POSTGRES_USER=owner",
                    "-e",
                    "POSTGRES_DB=production",
                ])
                .arg(&server.image),
        )?;
        let told = output(Command::new("docker").args(["port", &server.name, "5432/tcp"]))?;
        server.port =
            told.lines().next().and_then(|line| line.rsplit(':').next()).unwrap_or_default().to_owned();
        for _ in 0..240 {
            let ready = ["exec", &server.name, "pg_isready", "-q", "-h", "127.0.0.1", "-d", DATABASE];
            if Command::new("docker").args(ready).status()?.success() {
                return Ok(server);
            }
            std::thread::sleep(Duration::from_millis(250));
        }
        Err("the server of the benchmark did not start".into())
    }

    fn shell(&self, text: &str) -> Command {
        let mut command = Command::new("docker");
        command.args(["exec", &self.name, "bash", "-o", "pipefail", "-c", text]);
        command
    }

    fn fill(&self, data: &std::path::Path, users: u64) -> Result<()> {
        output(
            Command::new("docker")
                .arg("cp")
                .arg(data.join("makapix_like.sql"))
                .arg(format!("{}:/tmp/data.sql", self.name)),
        )?;
        let text = format!("psql -U owner -q -v users={users} -f /tmp/data.sql production >/dev/null");
        output(&mut self.shell(&text)).map(drop)
    }

    fn sample(&self, binary: &std::path::Path, data: &std::path::Path) -> Command {
        let address = |database: &str| format!("postgres://owner:bench@127.0.0.1:{}/{database}", self.port);
        let mut command = Command::new(binary);
        command
            .args(["--quiet", "sample", "--from", "env:BENCH_FROM", "--to", "env:BENCH_TO", "--rules"])
            .arg(data.join("makapix.yaml"))
            .env("BENCH_FROM", address(DATABASE))
            .env("BENCH_TO", address("development"))
            .env("PARTYWALL_SECRET", "a secret of the benchmark")
            .env(
                "PARTYWALL_PG_DUMP",
                format!("docker run --rm --network host -e PGPASSWORD {} pg_dump", self.image),
            );
        command
    }
}

pub(super) fn run() -> Result<()> {
    let users = std::env::var("PARTYWALL_BENCH_USERS").map_or(Ok(10_000), |text| text.parse::<u64>())?;
    let data: PathBuf = root().join("crates/pw-data/tests/data");
    let binary = partywall()?;
    let server = Server::start()?;
    say(&format!("filling a database of {users} users"));
    server.fill(&data, users)?;
    let mut times = [Vec::new(), Vec::new(), Vec::new()];
    for round in 0..=ROUNDS {
        let commands = [server.sample(&binary, &data), server.shell(FULL), server.shell(FLOOR)];
        for (mut command, times) in commands.into_iter().zip(&mut times) {
            let taken = timed(&mut command)?;
            // The first round warms the caches and is not counted.
            if round > 0 {
                times.push(taken);
            }
        }
    }
    let [ours, full, floor] = times.map(|times| median(times).as_secs_f64());
    table(users, [ours, full, floor]);
    judge(users, [ours, full, floor])
}

fn timed(command: &mut Command) -> Result<Duration> {
    let begun = Instant::now();
    let output = command.stdin(Stdio::null()).output()?;
    if !output.status.success() {
        return Err(format!("a contender failed: {}", String::from_utf8_lossy(&output.stderr)).into());
    }
    Ok(begun.elapsed())
}

fn table(users: u64, [ours, full, floor]: [f64; 3]) {
    say(&format!("{:<44} {:>9} {:>7}", "10 % of the users, masked and proved", "median", "ratio"));
    for (name, seconds) in [
        ("partywall sample", ours),
        ("pg_dump | psql: everything, unmasked", full),
        ("COPY BINARY of everything to nothing, 2 jobs", floor),
    ] {
        say(&format!("{name:<44} {seconds:>7.2} s {:>7.2}", seconds / ours));
    }
    let large = users >= 100_000;
    for (name, small, medium) in QUOTED.iter().filter(|_| users == 10_000 || users == 100_000) {
        let seconds = if large { medium } else { small };
        say(&format!(
            "{:<44} {seconds:>7.2} s {:>7.2}",
            format!("{name} (quoted, unmasked, larger row set)"),
            seconds / ours
        ));
    }
}

fn judge(users: u64, [ours, full, floor]: [f64; 3]) -> Result<()> {
    let ratio = ours / floor;
    say(&format!(
        "seed: users={users} ours_s={ours:.2} full_s={full:.2} floor_s={floor:.2} of_floor={ratio:.2} rounds={ROUNDS}"
    ));
    if users < 100_000 {
        say(&format!(
            "not judged: the goal, at most {LIMIT} x the full COPY, is for 100000 users (PARTYWALL_BENCH_USERS)"
        ));
        return Ok(());
    }
    if ratio <= LIMIT {
        Ok(())
    } else {
        Err(format!("{ratio:.2} x the full COPY; the goal is {LIMIT}").into())
    }
}
