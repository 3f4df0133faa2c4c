//! `./x bench seed`: a masked, proved sample beside what others do, on one server, on the same rows, in one run.

mod neighbour;
mod peer;
mod processor;
mod server;

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::median;
use crate::run::{Result, output, partywall, root, say};
use neighbour::Queries;
use peer::SliceDb;
use server::{PASSWORD, SOURCE, Server};

/// The goals are for this many users.
const USERS: u64 = 100_000;
/// The full binary COPY to nothing may be exceeded by this factor.
const OF_FLOOR: f64 = 2.5;
const PEAK_MB: u64 = 150;

/// Measured on another run of this kind of machine, unmasked, on a larger row set: seconds at 100,000 users, and how
/// many times slower they may be at least.
const QUOTED: [(&str, f64, f64); 3] =
    [("slice-db, 2 jobs", 77.0, 5.0), ("Jailer 17.2", 85.0, 5.0), ("pg_sample", 204.0, 12.0)];

/// Every table to nothing, two at a time.
const FLOOR: &str = "psql -U owner -Atc \"select oid::regclass from pg_class where relkind = 'r' and relnamespace = 'public'::regnamespace order by relpages desc\" production \
    | tr '\\n' '\\0' | xargs -0 -P 2 -I{} psql -U owner -qc 'copy {} to stdout (format binary)' production >/dev/null";
const FULL: &str =
    "createdb -U owner full_copy && pg_dump -U owner production | psql -U owner -q full_copy >/dev/null";

/// What a contender took: time, and seconds of the processors.
type Taken = (Duration, f64);

/// What the rounds gave.
#[derive(Default)]
struct Times {
    ours: Vec<Taken>,
    floor: Vec<Taken>,
    peer: Vec<Taken>,
    full: Vec<Taken>,
    peak_kb: u64,
    done: Value,
}

pub(super) fn run() -> Result<()> {
    let of = |name: &str, default| std::env::var(name).map_or(Ok(default), |text| text.parse::<u64>());
    let (users, rounds) = (of("PARTYWALL_BENCH_USERS", USERS)?, of("PARTYWALL_BENCH_ROUNDS", 3)?);
    let data: PathBuf = root().join("crates/pw-data/tests/data");
    let binary = partywall()?;
    let server = Server::start(&data.join("makapix_like.sql"), users)?;
    let rules = rules(&data.join("makapix.yaml"))?;
    let peer = SliceDb::prepare(&server)?;
    let mut times = Times::default();
    for round in 0..=rounds {
        say(&format!(
            "round {round} of {rounds}{}",
            if round == 0 { ": warms the caches, is not counted" } else { "" }
        ));
        one_round(&server, (&binary, &rules), peer.as_ref(), &mut times)?;
        if round == 0 {
            times = Times::default();
        }
    }
    let waits = waits(&server, (&binary, &rules), users, &times)?;
    report(users, rounds, times, waits)
}

/// Milliseconds that 99 of 100 of production's queries take at most: alone, and while a sample is made.
fn waits(server: &Server, (binary, rules): (&Path, &Path), users: u64, times: &Times) -> Result<(f64, f64)> {
    let longest = times.ours.iter().map(|(time, _)| time.as_secs()).min().unwrap_or_default();
    let alone = Queries::start(server, users, 5)?.wait()?;
    let beside = Queries::start(server, users, longest.max(2))?;
    watched(&mut sample(server, binary, rules))?;
    let beside = beside.wait()?;
    server.sql("postgres", "DROP DATABASE sample")?;
    Ok((alone, beside))
}

/// Contenders take turns, so that a slow moment of the machine hits all alike.
fn one_round(
    server: &Server,
    (binary, rules): (&Path, &Path),
    peer: Option<&SliceDb>,
    times: &mut Times,
) -> Result<()> {
    times.floor.push(timed(server, || output(&mut server.shell(FLOOR)).map(drop))?);
    let mut answer = (String::new(), 0);
    times.ours.push(timed(server, || {
        answer = watched(&mut sample(server, binary, rules))?;
        Ok(())
    })?);
    // Lines of progress, then the answer.
    let last = answer.0.lines().last().unwrap_or_default();
    times.done = serde_json::from_str::<Value>(last)?["done"].take();
    times.peak_kb = times.peak_kb.max(answer.1);
    let ours = server.counts("sample")?;
    server.sql("postgres", "DROP DATABASE sample")?;
    if let Some(peer) = peer {
        times.peer.push(timed(server, || peer.run(server, "sample"))?);
        let theirs = server.counts("sample")?;
        server.sql("postgres", "DROP DATABASE sample")?;
        same_rows(&ours, &theirs)?;
    }
    times.full.push(timed(server, || output(&mut server.shell(FULL)).map(drop))?);
    server.sql("postgres", "DROP DATABASE full_copy").map(drop)
}

fn same_rows(ours: &str, theirs: &str) -> Result<()> {
    let differ: Vec<String> = ours
        .lines()
        .zip(theirs.lines())
        .filter(|(one, other)| one != other)
        .map(|(one, other)| format!("{one} and {other}"))
        .collect();
    if differ.is_empty() { Ok(()) } else { Err(format!("not the same rows: {}", differ.join("; ")).into()) }
}

/// The rules of the tests, with a cohort that any SQL can name and without what others cannot say.
fn rules(tests: &Path) -> Result<PathBuf> {
    let text = std::fs::read_to_string(tests)?;
    let cut = |line: &&str| {
        !["cohort:", "exclude:", "  - \"posts", "references:", "  - { from: notifications"]
            .iter()
            .any(|start| line.starts_with(start))
    };
    let kept = text.lines().filter(cut).collect::<Vec<_>>().join("\n");
    let kept = kept.replace("playerEvents.detail: { json: { ip: ip } }", "playerEvents: drop");
    let path = std::env::temp_dir().join(format!("partywall-bench-seed-{}.yaml", std::process::id()));
    std::fs::write(&path, format!("cohort: {{ table: users, where: \"id % 10 = 0\" }}\n{}\n", kept))?;
    Ok(path)
}

fn sample(server: &Server, binary: &Path, rules: &Path) -> Command {
    let address = |database: &str| format!("postgres://owner:{PASSWORD}@{}:5432/{database}", server.host);
    let mut command = Command::new(binary);
    command
        .args(["--json", "sample", "--from", "env:BENCH_FROM", "--to", "env:BENCH_TO", "--rules"])
        .arg(rules)
        .env("BENCH_FROM", address(SOURCE))
        .env("BENCH_TO", address("sample"))
        .env("PARTYWALL_SECRET", "a secret of the benchmark")
        .env("PARTYWALL_PG_DUMP", format!("docker exec -e PGPASSWORD {} pg_dump", server.name));
    command
}

fn middle(numbers: impl Iterator<Item = f64>) -> f64 {
    let mut numbers: Vec<f64> = numbers.collect();
    numbers.sort_by(f64::total_cmp);
    numbers.get(numbers.len() / 2).copied().unwrap_or_default()
}

fn timed(server: &Server, work: impl FnOnce() -> Result<()>) -> Result<Taken> {
    let (begun, spent) = (Instant::now(), processor::spent(server)?);
    work()?;
    let time = begun.elapsed();
    Ok((time, processor::spent(server)? - spent))
}

/// Runs to the end; answers its output and the most memory it had, in kB.
fn watched(command: &mut Command) -> Result<(String, u64)> {
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    let status = format!("/proc/{}/status", child.id());
    let mut peak = 0;
    while child.try_wait()?.is_none() {
        let text = std::fs::read_to_string(&status).unwrap_or_default();
        let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let now = line.and_then(|line| line.split_whitespace().next()?.parse().ok());
        peak = peak.max(now.unwrap_or_default());
        std::thread::sleep(Duration::from_millis(50));
    }
    let output = child.wait_with_output()?;
    if !output.status.success() {
        return Err(format!("partywall sample failed: {}", String::from_utf8_lossy(&output.stderr)).into());
    }
    Ok((String::from_utf8_lossy(&output.stdout).into_owned(), peak))
}

fn costs([ours, floor, peer]: [f64; 3], (alone, beside): (f64, f64)) {
    say(&format!(
        "seconds of the processors: ours {ours:.2}, floor {floor:.2} ({:.2} x), slice-db {peer:.2} ({:.2} x)",
        ours / floor,
        peer / ours
    ));
    say(&format!(
        "99 of 100 of production's queries by key: {alone:.2} ms alone, {beside:.2} ms while a sample is made"
    ));
}

fn report(users: u64, rounds: u64, times: Times, (alone, beside): (f64, f64)) -> Result<()> {
    let processors =
        [&times.ours, &times.floor, &times.peer].map(|all| middle(all.iter().map(|(_, cpu)| *cpu)));
    let seconds = |times: Vec<Taken>| {
        let times: Vec<Duration> = times.into_iter().map(|(time, _)| time).collect();
        (!times.is_empty()).then(|| median(times).as_secs_f64())
    };
    let [ours, floor, full] =
        [times.ours, times.floor, times.full].map(|one| seconds(one).unwrap_or_default());
    let peer = seconds(times.peer);
    say(&format!("{:<56} {:>9} {:>6}", "10 % of the users and all they need", "median", "ratio"));
    let line = |name: &str, time: f64| say(&format!("{name:<56} {time:>7.2} s {:>6.2}", time / ours));
    line("partywall sample, masked and proved", ours);
    peer.iter().for_each(|time| line("slice-db, 2 jobs, the same rows, unmasked", *time));
    line("pg_dump | psql: everything, unmasked", full);
    line("COPY BINARY of everything to nothing, 2 jobs", floor);
    let judged = users == USERS;
    let quoted =
        QUOTED.iter().filter(|(name, ..)| judged && (peer.is_none() || !name.starts_with("slice-db")));
    let mut missed = Vec::new();
    for (name, time, goal) in quoted {
        line(&format!("{name}: quoted, other run, larger row set"), *time);
        if time / ours < *goal {
            missed.push(format!("{name} (quoted) is {:.1} x slower; the goal is {goal}", time / ours));
        }
    }
    let number = |key: &str| times.done[key].as_u64().unwrap_or_default();
    let peak = times.peak_kb / 1000;
    #[expect(clippy::cast_precision_loss, reason = "a ratio for people")]
    let key_bytes = number("key_bytes") as f64 / number("keys").max(1) as f64;
    let slower = peer.map_or(0.0, |time| time / ours);
    let [ours_cpu, floor_cpu, peer_cpu] = processors;
    costs(processors, (alone, beside));
    say(&format!(
        "seed: users={users} rows={} ours_s={ours:.2} floor_s={floor:.2} of_floor={:.2} slicedb_s={:.2} slicedb_ratio={slower:.2} \
         full_s={full:.2} ours_cpu_s={ours_cpu:.2} floor_cpu_s={floor_cpu:.2} slicedb_cpu_s={peer_cpu:.2} \
         p99_alone_ms={alone:.2} p99_beside_ms={beside:.2} peak_mb={peak} bytes_per_key={key_bytes:.1} searched_for={} rounds={rounds}",
        number("rows"),
        ours / floor,
        peer.unwrap_or_default(),
        number("searched_for"),
    ));
    if !judged {
        say(&format!("not judged: the goals are for {USERS} users"));
        return Ok(());
    }
    if ours / floor > OF_FLOOR {
        missed.push(format!("{:.2} x the full COPY; the goal is {OF_FLOOR}", ours / floor));
    }
    if peer.is_some() && slower < 5.0 {
        missed.push(format!("slice-db is {slower:.1} x slower; the goal is 5"));
    }
    if peak >= PEAK_MB {
        missed.push(format!("{peak} MB of memory; the goal is under {PEAK_MB}"));
    }
    if missed.is_empty() { Ok(()) } else { Err(missed.join("; ").into()) }
}
