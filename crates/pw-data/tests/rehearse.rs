//! Migrations on a real server, measured: dangerous ones are named, safe ones pass clean.

#![expect(clippy::expect_used, reason = "a test fails by panicking")]

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use pw_data::rehearse::judge::Limits;
use pw_data::rehearse::{Mode, Report, Watch, Watched};
use tempfile::TempDir;
use tokio_postgres::{Client, NoTls};

const FIXTURE: &str = "
    CREATE TYPE mood AS ENUM ('sad', 'ok');
    CREATE TABLE orgs (id bigint PRIMARY KEY);
    CREATE TABLE users (id bigint PRIMARY KEY, email text NOT NULL, plan text, age int NOT NULL, mood mood,
        org_id bigint NOT NULL);
    CREATE INDEX users_by_age ON users (age);
    INSERT INTO orgs SELECT generate_series(1, 1000);
    INSERT INTO users SELECT g, 'u' || g || '@example.org', NULL, g % 90, 'ok', 1 + g % 1000
        FROM generate_series(1, 100000) g;
    ANALYZE";
const LIMITS: Limits = Limits { lock: Duration::from_secs(3600), total: Duration::from_secs(3600) };

/// A server as a copy runs it.
struct Copy {
    name: String,
    folder: TempDir,
}

fn docker(words: &[&str]) -> String {
    let output = Command::new("docker").args(words).output().expect("docker runs");
    assert!(output.status.success(), "docker {words:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

impl Copy {
    async fn start() -> Self {
        let folder = TempDir::new().expect("a folder");
        let run = folder.path().display().to_string();
        docker_mode(folder.path());
        let name = format!(
            "pw-rehearse-test-{}-{}",
            std::process::id(),
            run.len() + run.bytes().map(usize::from).sum::<usize>()
        );
        let (volume, image) = (
            format!("{run}:/run/partywall"),
            std::env::var("POSTGRES_IMAGE").unwrap_or_else(|_| "partywall-demo/postgres".into()),
        );
        let mut words = vec!["run", "-d", "--rm", "--network", "none", "--name", &name, "-v", &volume];
        words.extend(["-e", "POSTGRES_HOST_AUTH_METHOD=trust", &image, "postgres"]);
        let sockets = "unix_socket_directories=/var/run/postgresql,/run/partywall";
        let settings = pw_plan::rehearse::MEASURING.into_iter().chain([sockets, "fsync=off"]);
        words.extend(settings.flat_map(|setting| ["-c", setting]));
        docker(&words);
        let copy = Self { name, folder };
        copy.wait().await;
        copy.connect("postgres").await.batch_execute("CREATE DATABASE fixture").await.expect("a database");
        copy.connect("fixture").await.batch_execute(FIXTURE).await.expect("the fixture");
        copy
    }

    /// The server of the initialisation does not listen on the network's port.
    async fn wait(&self) {
        let until = Instant::now() + Duration::from_secs(120);
        let ready = || {
            let words = ["exec", &self.name, "pg_isready", "-q", "-h", "127.0.0.1"];
            Command::new("docker").args(words).output().is_ok_and(|output| output.status.success())
        };
        while !ready() {
            assert!(Instant::now() < until, "the server did not start");
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }

    async fn connect(&self, database: &str) -> Client {
        let dsn = format!(
            "host={} user=postgres dbname={database} application_name=migrator",
            self.folder.path().display()
        );
        let (client, connection) = tokio_postgres::connect(&dsn, NoTls).await.expect("the server answers");
        tokio::spawn(connection);
        client
    }

    /// A database of its own with the fixture in it, looked at.
    async fn watched(&self, name: &str) -> Watch {
        let admin = self.connect("postgres").await;
        let make = format!("CREATE DATABASE {name} TEMPLATE fixture");
        admin.batch_execute(&make).await.expect("a copy of the fixture");
        Watch::open(self.folder.path(), "server.csv", "postgres", name).await.expect("watched")
    }

    /// Sends each text as one message, as a migration tool does.
    async fn rehearse(&self, name: &str, texts: &[&str]) -> Report {
        let mut watch = self.watched(name).await;
        let client = self.connect(name).await;
        let mut code = 0;
        for text in texts {
            if client.batch_execute(text).await.is_err() {
                code = 1;
                break;
            }
        }
        watch.end(ended(code), LIMITS).await.expect("measured")
    }
}

fn ended(code: i64) -> Watched {
    Watched { service: "migrate".into(), exit_code: Some(code), ..Watched::default() }
}

/// The server's own user must be able to write there.
fn docker_mode(folder: &Path) {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::set_permissions(folder, std::fs::Permissions::from_mode(0o777)).expect("a mode");
}

impl Drop for Copy {
    fn drop(&mut self) {
        drop(Command::new("docker").args(["rm", "-f", "-v", &self.name]).output());
    }
}

#[track_caller]
fn names(report: &Report, rule: &str, statement: usize) {
    let found = report.findings.iter().any(|finding| finding.rule == rule && finding.statement == statement);
    assert!(found, "`{rule}` is not found: {:#?}", report.findings);
}

#[track_caller]
fn locks(report: &Report, statement: usize, table: &str, mode: Mode) {
    let one = &report.statements[statement];
    let held = one.locks.iter().find(|held| held.table == table);
    assert_eq!(held.map(|held| held.mode), Some(mode), "{one:#?}");
    assert!(one.seconds > 0.0 && held.is_some_and(|held| held.seconds > 0.0), "{one:#?}");
}

/// Promise: each known danger is named, with the time and the lock that were measured.
#[tokio::test]
async fn ten_dangerous_migrations_are_named() {
    let copy = Copy::start().await;
    let one = [
        (
            "ALTER TABLE users ADD COLUMN token uuid NOT NULL DEFAULT gen_random_uuid()",
            "table-rewrite",
            Mode::AccessExclusive,
        ),
        ("ALTER TABLE users ALTER COLUMN age TYPE bigint", "changing-column-type", Mode::AccessExclusive),
        ("CREATE INDEX users_by_email ON users (email)", "require-concurrent-index-creation", Mode::Share),
        (
            "ALTER TABLE users ADD CONSTRAINT of_org FOREIGN KEY (org_id) REFERENCES orgs (id)",
            "adding-foreign-key-constraint",
            Mode::ShareRowExclusive,
        ),
        ("ALTER TABLE users RENAME COLUMN email TO address", "renaming-column", Mode::AccessExclusive),
        ("UPDATE users SET plan = 'free' WHERE plan IS NULL", "backfill", Mode::RowExclusive),
        (
            "ALTER TABLE users ADD CONSTRAINT adult CHECK (age >= 0)",
            "constraint-missing-not-valid",
            Mode::AccessExclusive,
        ),
        (
            "ALTER TABLE users ALTER COLUMN mood SET NOT NULL",
            "adding-not-nullable-field",
            Mode::AccessExclusive,
        ),
    ];
    for (number, (text, rule, mode)) in one.into_iter().enumerate() {
        let report = copy.rehearse(&format!("danger_{number}"), &[text]).await;
        names(&report, rule, 0);
        locks(&report, 0, "users", mode);
        assert_eq!(report.statements[0].text, text);
        if rule == "backfill" {
            assert_eq!(report.statements[0].rows, 100_000);
        }
        if rule == "table-rewrite" {
            assert_eq!(report.statements[0].rewritten, ["users"]);
            assert!(report.wal_bytes > 1_000_000 && report.grown_bytes > 1_000_000, "{report:#?}");
        }
    }
    let text =
        "BEGIN; ALTER TYPE mood ADD VALUE 'happy'; UPDATE users SET mood = 'happy' WHERE id = 1; COMMIT";
    let report = copy.rehearse("danger_enum", &[text]).await;
    names(&report, "enum-in-transaction", 0);
    let error = report.statements[1].error.as_deref().unwrap_or_default();
    assert!(error.contains("unsafe use of new value"), "{report:#?}");
    assert!(!report.passed());
}

/// Returns once so many visitors have asked a second time: who is let in before that was not kept waiting.
async fn until_counted(looker: &Client, visitors: i32, what: &str) {
    let waiting = format!(
        "SELECT count(*) >= {visitors} FROM pg_stat_activity WHERE application_name = 'partywall' \
            AND wait_event_type = 'Lock' AND query LIKE '%lock_timeout = 50;%'"
    );
    let until = Instant::now() + Duration::from_secs(60);
    while !looker.query_one(&waiting, &[]).await.expect("answers").get::<_, bool>(0) {
        assert!(Instant::now() < until, "nobody waits for `{what}`");
        // A transaction goes on seeing the activity that it saw first.
        looker.batch_execute("SELECT pg_stat_clear_snapshot()").await.expect("looks anew");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Promise: a migration that waits behind a long reader is shown with what queued behind it.
/// Given: a transaction that has read the table and goes on, until visitors are seen to queue.
#[tokio::test]
async fn a_queue_behind_a_long_reader_is_measured() {
    let copy = Copy::start().await;
    let mut watch = copy.watched("queue").await;
    let reader = copy.connect("queue").await;
    reader.batch_execute("BEGIN; SELECT FROM users LIMIT 1").await.expect("reads");
    let migrator = copy.connect("queue").await;
    let migration =
        tokio::spawn(async move { migrator.batch_execute("ALTER TABLE users ADD COLUMN x int").await });
    let looker = copy.connect("queue").await;
    until_counted(&looker, 2, "a table that is queued for").await;
    reader.batch_execute("COMMIT").await.expect("ends");
    migration.await.expect("ends").expect("migrates");
    let report = watch.end(ended(0), LIMITS).await.expect("measured");
    let altered =
        report.statements.iter().position(|one| one.text.starts_with("ALTER")).expect("it was noted");
    names(&report, "lock-queue", altered);
    let waited = report.waited.iter().find(|waited| waited.table == "users").expect("somebody waited");
    assert!(waited.read_seconds > 0.0 && waited.write_seconds > 0.0, "{waited:?}");
}

/// Promise: who reads a row by its key and who writes it are let in or kept waiting as in production.
/// Given: migrations that hold what they took until visitors have waited, and one that keeps nobody out.
#[tokio::test]
async fn readers_and_writers_queue_as_they_would() {
    let copy = Copy::start().await;
    let cases = [
        ("CREATE INDEX users_by_email ON users (email)", (false, true)),
        ("ALTER TABLE users ALTER COLUMN age TYPE bigint", (true, true)),
        ("UPDATE users SET plan = 'free'", (false, true)),
        ("REINDEX TABLE users", (true, true)),
    ];
    for (number, (text, expected)) in cases.into_iter().enumerate() {
        let name = format!("visitors_{number}");
        let mut watch = copy.watched(&name).await;
        let migrator = copy.connect(&name).await;
        migrator.batch_execute(&format!("BEGIN; {text}")).await.expect("migrates");
        until_counted(&migrator, 1 + i32::from(expected.0), text).await;
        migrator.batch_execute("COMMIT").await.expect("ends");
        let report = watch.end(ended(0), LIMITS).await.expect("measured");
        let waited = report.waited.iter().find(|waited| waited.table == "users").expect("somebody waited");
        let kept = (waited.read_seconds > 0.0, waited.write_seconds > 0.0);
        assert_eq!(kept, expected, "{text}: {waited:?}");
    }
    let safe = ["CREATE INDEX CONCURRENTLY users_by_email ON users (email)"];
    assert_eq!(copy.rehearse("visitors_safe", &safe).await.waited, []);
}

/// Promise: what is done carefully is not complained of.
#[tokio::test]
async fn ten_safe_migrations_pass_clean() {
    let copy = Copy::start().await;
    let wait = "SET lock_timeout = '2s'";
    let batches: Vec<String> = (0..3)
        .map(|n| {
            format!(
                "UPDATE users SET plan = 'free' WHERE id BETWEEN {} AND {}",
                n * 1000 + 1,
                n * 1000 + 1000
            )
        })
        .collect();
    let batches: Vec<&str> = std::iter::once(wait).chain(batches.iter().map(String::as_str)).collect();
    let safe: [&[&str]; 10] = [
        &[wait, "ALTER TABLE users ADD COLUMN note text"],
        &[wait, "ALTER TABLE users ADD COLUMN points int NOT NULL DEFAULT 0"],
        &[wait, "CREATE INDEX CONCURRENTLY users_by_email ON users (email)"],
        &[
            wait,
            "ALTER TABLE users ADD CONSTRAINT of_org FOREIGN KEY (org_id) REFERENCES orgs (id) NOT VALID",
            "ALTER TABLE users VALIDATE CONSTRAINT of_org",
        ],
        &[
            wait,
            "ALTER TABLE users ADD CONSTRAINT adult CHECK (age >= 0) NOT VALID",
            "ALTER TABLE users VALIDATE CONSTRAINT adult",
        ],
        &[
            wait,
            "ALTER TABLE users ADD CONSTRAINT has_mood CHECK (mood IS NOT NULL) NOT VALID",
            "ALTER TABLE users VALIDATE CONSTRAINT has_mood",
            "ALTER TABLE users ALTER COLUMN mood SET NOT NULL",
        ],
        &batches,
        &["ALTER TYPE mood ADD VALUE 'happy'"],
        &[
            wait,
            "CREATE TABLE badges (id bigint PRIMARY KEY, name text NOT NULL); CREATE INDEX ON badges (name); \
             INSERT INTO badges VALUES (1, 'first'); UPDATE badges SET name = 'none'",
        ],
        &[wait, "DROP INDEX CONCURRENTLY users_by_age"],
    ];
    for (number, texts) in safe.into_iter().enumerate() {
        let report = copy.rehearse(&format!("safe_{number}"), texts).await;
        assert_eq!(report.findings, [], "{texts:#?}\n{:#?}", report.statements);
        assert!(report.passed(), "{report:#?}");
    }
}

/// Promise: statements that come in one message are told apart, and a lock counts until its transaction ends.
#[tokio::test]
async fn one_message_of_many_statements_is_taken_apart() {
    let copy = Copy::start().await;
    let text = "ALTER TABLE users ADD COLUMN a int; UPDATE users SET a = age WHERE id <= 500; \
        DO $$ BEGIN DELETE FROM users WHERE id = 1; END $$; LOCK TABLE orgs; TRUNCATE orgs; SELECT pg_sleep(0.2)";
    let report = copy.rehearse("many", &[text]).await;
    let rows: Vec<u64> = report.statements.iter().map(|one| one.rows).collect();
    assert_eq!(rows, [0, 500, 1, 0, 0, 0], "{:#?}", report.statements);
    locks(&report, 0, "users", Mode::AccessExclusive);
    let held = report.statements[0].locks[0].seconds;
    let all: f64 = report.statements.iter().map(|one| one.seconds).sum();
    assert!(held >= 0.2 && held >= all * 0.9, "held for {held} s of {all} s");
    assert!(report.statements[5].seconds >= 0.19, "{:#?}", report.statements[5]);
    let orgs = report.statements.iter().flat_map(|one| &one.locks).find(|held| held.table == "orgs");
    assert_eq!(orgs.map(|held| held.mode), Some(Mode::AccessExclusive));
}

/// Promise: beyond the limits it has not passed, and the table is named.
#[tokio::test]
async fn a_lock_beyond_its_limit_is_told() {
    let copy = Copy::start().await;
    let mut watch = copy.watched("limits").await;
    let client = copy.connect("limits").await;
    client.batch_execute("BEGIN; LOCK TABLE users; SELECT pg_sleep(0.3); COMMIT").await.expect("locks");
    let limits = Limits { lock: Duration::from_millis(100), ..LIMITS };
    let report = watch.end(ended(0), limits).await.expect("measured");
    assert!(!report.passed());
    assert!(
        report.exceeded[0].starts_with("reads and writes of `users` wait for 3"),
        "{:?}",
        report.exceeded
    );
}
