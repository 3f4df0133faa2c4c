//! What may happen while a sample is made: killed, no room, a source that goes away or changes.
//! The target stays as it was, and nothing is left behind after the next run.
#![expect(clippy::expect_used, clippy::panic, reason = "helpers of tests fail by panicking")]

mod server;

use std::cell::Cell;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command, Stdio};

use pw_data::Halt;
use pw_data::mask::Secret;
use pw_data::sample::{Order, Reading};
use pw_data::server::Address;
use pw_model::source::SourceFile;
use server::Server;

const SQL: &str = "CREATE TABLE owner (id int PRIMARY KEY, plain text);
    CREATE TABLE thing (id int PRIMARY KEY, owner_id int NOT NULL REFERENCES owner, plain text);
    INSERT INTO owner SELECT i, repeat('x', 100) FROM generate_series(1, 1000) i;
    INSERT INTO thing SELECT i, i % 1000 + 1, repeat('y', 200) FROM generate_series(1, 20000) i;";
const RULES: &str = "cohort: { table: owner, sample: 50% }\n";
/// What the target held before.
const FORMER: &str = "CREATE TABLE former (a int); INSERT INTO former VALUES (7)";
/// Every stage that tells of itself, from the first row that is read to the last step.
const STAGES: [&str; 6] = [
    "finding the rows",
    "learning what must not go out",
    "copying and building indexes",
    "checking keys",
    "filling views and writing to the disk",
    "giving it the target's name",
];

fn told(halt: Halt) -> String {
    match halt {
        Halt::Complaints(list) => list.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"),
        Halt::Failure(failure) => {
            let cause = failure.source.as_ref().and_then(|cause| cause.source().map(ToString::to_string));
            format!("{failure} because {}", cause.unwrap_or_default())
        }
    }
}

async fn sample_from(
    from: &Address,
    to: &Address,
    program: &[String],
    tell: &dyn Fn(&str),
) -> Result<u64, String> {
    let (file, secret) = (SourceFile::new("rules.yaml", RULES), Secret::new("s"));
    let reading = Reading::open(from, &file, false, tell).await.map_err(told)?;
    let order = Order { to, secret: &secret, keep_failed: false, pg_dump: Some(program) };
    reading.load(&order, tell).await.map(|done| done.rows).map_err(told)
}

async fn sample(server: &Server, tell: &dyn Fn(&str)) -> Result<u64, String> {
    let (from, to) = (server.address("production"), server.address("development"));
    sample_from(&from, &to, &server.pg_dump(), tell).await
}

fn with_former() -> Server {
    let server = Server::start();
    server.sql("production", SQL);
    former(&server);
    server
}

/// A development database from an earlier run.
fn former(server: &Server) {
    server.sql("postgres", "CREATE DATABASE development");
    server.sql("postgres", "COMMENT ON DATABASE development IS 'partywall: sample'");
    server.sql("development", FORMER);
}

fn leftovers(server: &Server) -> String {
    server.sql("postgres", "SELECT count(*) FROM pg_database WHERE datname LIKE '%partywall%'")
}

/// Not a test: the process that the test below kills.
#[tokio::test]
#[ignore = "no test of its own: the process that the test below starts, and kills while it samples"]
async fn victim() {
    let text = |name: &str| std::env::var(name).expect("the test that kills it says");
    let (from, to) = (Address::parse("env:VICTIM_FROM"), Address::parse("env:VICTIM_TO"));
    let program: Vec<String> = text("VICTIM_PG_DUMP").split(' ').map(str::to_owned).collect();
    let stop = text("VICTIM_STAGE");
    let tell = |stage: &str| {
        if stage == stop {
            drop(writeln!(std::io::stderr(), "reached"));
            // The stage has begun when the killer hears of it; it does not go on without being killed.
            std::thread::sleep(std::time::Duration::from_secs(600));
        }
    };
    let done = sample_from(&from.expect("a DSN"), &to.expect("a DSN"), &program, &tell).await;
    panic!("it was not killed: {done:?}");
}

fn victim_of(server: &Server, stage: &str) -> Child {
    Command::new(std::env::current_exe().expect("this program"))
        .args(["--ignored", "--exact", "victim", "--nocapture"])
        .env("VICTIM_FROM", server.dsn("owner", server::PASSWORD, "production"))
        .env("VICTIM_TO", server.dsn("owner", server::PASSWORD, "development"))
        .env("VICTIM_PG_DUMP", server.pg_dump().join(" "))
        .env("VICTIM_STAGE", stage)
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("this program runs")
}

fn kill_at(server: &Server, stage: &str) {
    let mut child = victim_of(server, stage);
    let heard = BufReader::new(child.stderr.take().expect("a pipe")).lines().map_while(Result::ok);
    let heard: Vec<String> = heard.take_while(|line| line != "reached").collect();
    child.kill().expect("it can be killed");
    let status = child.wait().expect("it ends");
    assert!(!status.success() && !heard.iter().any(|line| line.contains("panicked")), "{heard:?}");
}

/// Somebody holds the target's name while it is to change: the server goes on with what a killed client asked for.
#[tokio::test]
async fn killed_inside_the_swap_the_target_is_the_one_or_the_other() {
    let server = with_former();
    let holder = server.address("postgres").connect().await.expect("a connection");
    let hold = "BEGIN; COMMENT ON DATABASE development IS 'partywall: sample'";
    for end in ["ROLLBACK", "COMMIT"] {
        holder.batch_execute(hold).await.expect("the name is held");
        let mut child = victim_of(&server, "none");
        let waits = "SELECT count(*) FROM pg_locks WHERE NOT granted AND locktype IN ('object', 'transactionid', 'tuple')";
        while server.sql("postgres", waits) == "0" {
            assert!(child.try_wait().expect("a process").is_none(), "it ended before the swap");
        }
        child.kill().expect("it can be killed");
        child.wait().expect("it ends");
        holder.batch_execute(end).await.expect("the name is free");
        let others = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'partywall'";
        while server.sql("postgres", others) != "1" {}
        let there = server.sql("development", "SELECT coalesce(to_regclass('former'), to_regclass('thing'))");
        assert!(["former", "thing"].contains(&there.as_str()), "{there}");
    }
    drop(holder);
    sample(&server, &|_| ()).await.expect("the next run");
    assert_eq!(leftovers(&server), "0");
    assert_ne!(server.sql("development", "SELECT count(*) FROM thing"), "0");
}

#[tokio::test]
async fn killed_at_any_stage_the_target_is_as_before_and_the_next_run_cleans_up() {
    let server = with_former();
    for stage in STAGES {
        kill_at(&server, stage);
        assert_eq!(server.sql("development", "SELECT a FROM former"), "7", "killed while {stage}");
    }
    sample(&server, &|_| ()).await.expect("the next run");
    assert_eq!(leftovers(&server), "0");
    assert_ne!(server.sql("development", "SELECT count(*) FROM thing"), "0");
}

/// Too little for the empty database, for its rows, and for what the server writes last.
#[tokio::test]
async fn a_full_disk_of_the_target_is_told_and_leaves_nothing() {
    for size in ["14m", "16m", "17m"] {
        let disk = format!("/small:size={size},uid=999,gid=999,mode=700");
        let server = Server::start_with(&["--tmpfs", &disk]);
        server.sql("production", SQL);
        former(&server);
        server.sql("postgres", "CREATE TABLESPACE small LOCATION '/small'");
        // Scratch databases are made where template0 lies; it takes 8 MB itself, and as much in each of them.
        server.sql("postgres", "ALTER DATABASE template0 SET TABLESPACE small");
        let message = sample(&server, &|_| ()).await.unwrap_err();
        let told = ["No space left on device", "could not write the new database to the disk"];
        assert!(told.iter().any(|words| message.contains(words)), "{size}: {message}");
        assert_eq!(server.sql("development", "SELECT a FROM former"), "7");
        assert_eq!(leftovers(&server), "0");
    }
}

#[tokio::test]
async fn a_source_that_goes_away_leaves_the_target_as_it_was() {
    let (source, target) = (Server::start(), Server::start());
    source.sql("production", SQL);
    former(&target);
    let tell = |stage: &str| {
        if stage == "copying and building indexes" {
            let restarted = Command::new("docker").args(["restart", "--time", "10", &source.name]).output();
            assert!(restarted.expect("docker runs").status.success());
            source.wait();
        }
    };
    let (from, to) = (source.address("production"), target.address("development"));
    let message = sample_from(&from, &to, &source.pg_dump(), &tell).await.unwrap_err();
    assert!(message.starts_with("could not copy"), "{message}");
    assert!(!message.contains(server::PASSWORD), "{message}");
    assert_eq!(target.sql("development", "SELECT a FROM former"), "7");
    assert_eq!(leftovers(&target), "0");
}

#[tokio::test]
async fn what_changes_in_the_source_meanwhile_is_not_in_the_sample() {
    let server = with_former();
    // The first run is held to a rate: the rows are the same.
    let (from, to) = (server.address("production").limited(Some(5_000_000)), server.address("development"));
    let planned = sample_from(&from, &to, &server.pg_dump(), &|_| ()).await.expect("a first run");
    let changed = Cell::new(0);
    let tell = |stage: &str| {
        if ["learning what must not go out", "copying and building indexes"].contains(&stage) {
            changed.set(changed.get() + 1);
            server.sql("production", "UPDATE thing SET plain = 'changed'; DELETE FROM thing WHERE id % 2 = 0; CREATE TABLE IF NOT EXISTS later (id int REFERENCES owner)");
        }
    };
    assert_eq!(sample(&server, &tell).await, Ok(planned), "the snapshot holds");
    assert_eq!(changed.get(), 2);
    assert_eq!(server.sql("development", "SELECT count(*) FROM thing WHERE plain = 'changed'"), "0");
    assert_eq!(
        server.sql("development", "SELECT to_regclass('later') IS NULL"),
        "t",
        "the schema is of the same moment"
    );
}

/// Nobody who alters a table waits for the sample to end.
#[tokio::test]
async fn a_table_can_be_altered_while_it_is_sampled() {
    let server = with_former();
    let altered = Cell::new(0);
    let tell = |stage: &str| {
        if stage == "copying and building indexes" {
            altered.set(altered.get() + 1);
            let more = "SET lock_timeout = '1s'; ALTER TABLE thing ADD COLUMN more int DEFAULT 7; CREATE INDEX ON owner (plain)";
            server.sql("production", more);
        }
    };
    sample(&server, &tell).await.expect("the snapshot holds");
    assert_eq!(altered.get(), 1);
    let columns = "SELECT count(*) FROM pg_attribute WHERE attrelid = 'thing'::regclass AND attname = 'more'";
    assert_eq!(server.sql("development", columns), "0");
}

/// Rows that were found by where they lie are never looked for in another heap.
#[tokio::test]
async fn a_table_that_is_rewritten_meanwhile_is_told() {
    let server = with_former();
    for rewrite in ["VACUUM FULL thing", "TRUNCATE thing"] {
        let tell = |stage: &str| {
            if stage == "learning what must not go out" {
                server.sql("production", rewrite);
            }
        };
        let message = sample(&server, &tell).await.unwrap_err();
        assert!(
            message.contains("`thing` was made anew in the source while it was read"),
            "{rewrite}: {message}"
        );
        assert_eq!(server.sql("development", "SELECT a FROM former"), "7");
        assert_eq!(leftovers(&server), "0");
    }
}
