//! What measuring adds to a migration's own time: the same migration on the same rows, on two servers that differ only
//! in what a rehearsal sets, in turn.
#![expect(
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a benchmark talks to who started it, and fails by panicking"
)]

use std::os::unix::fs::PermissionsExt as _;
use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};

use pw_data::rehearse::judge::Limits;
use pw_data::rehearse::{Watch, Watched};
use tempfile::TempDir;
use tokio_postgres::{Client, NoTls};

const ROUNDS: usize = 9;
/// More may not be added: a tenth of the migration's time.
const GOAL: f64 = 1.10;
const FIXTURE: &str = "
    CREATE TABLE orgs (id bigint PRIMARY KEY);
    CREATE TABLE users (id bigint PRIMARY KEY, email text NOT NULL, plan text, age int NOT NULL, org_id bigint NOT NULL);
    INSERT INTO orgs SELECT generate_series(1, 1000);
    INSERT INTO users SELECT g, 'u' || g || '@example.org', NULL, g % 90, 1 + g % 1000 FROM generate_series(1, 300000) g;
    ANALYZE";
/// Few statements that take long: a rewrite, a backfill, an index, a key.
const HEAVY: [&str; 4] = [
    "ALTER TABLE users ADD COLUMN token uuid NOT NULL DEFAULT gen_random_uuid()",
    "UPDATE users SET plan = 'free' WHERE age > 30",
    "CREATE INDEX users_by_email ON users (lower(email))",
    "ALTER TABLE users ADD CONSTRAINT of_org FOREIGN KEY (org_id) REFERENCES orgs (id)",
];
const LIMITS: Limits = Limits { lock: Duration::from_secs(3600), total: Duration::from_secs(3600) };

/// What is run, and by whom.
struct Migration {
    texts: Vec<String>,
    /// A program that starts, connects and ends; otherwise somebody who is connected.
    by_program: bool,
}

/// A server with a fixture; gone when it is dropped.
struct Server {
    name: String,
    image: String,
    folder: TempDir,
}

impl Server {
    async fn start(word: &str, settings: &[&str]) -> Self {
        let folder = TempDir::new().expect("a folder");
        std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o777)).expect("a mode");
        let name = format!("pw-rehearse-bench-{word}-{}", std::process::id());
        let volume = format!("{}:/run/partywall", folder.path().display());
        let image = std::env::var("POSTGRES_IMAGE").unwrap_or_else(|_| "partywall-demo/postgres".into());
        let mut words = vec!["run", "-d", "--rm", "--network", "none", "--name", &name, "-v", &volume];
        words.extend(["-e", "POSTGRES_HOST_AUTH_METHOD=trust", &image, "postgres"]);
        let sockets = "unix_socket_directories=/var/run/postgresql,/run/partywall";
        // The same for all: space for what is written, so that no checkpoint falls into one of them.
        let common = [sockets, "max_wal_size=8GB", "autovacuum=off"];
        words.extend(settings.iter().copied().chain(common).flat_map(|setting| ["-c", setting]));
        let started = Command::new("docker").args(&words).output().expect("docker runs");
        assert!(started.status.success(), "{}", String::from_utf8_lossy(&started.stderr));
        let server = Self { name, image, folder };
        server.wait().await;
        server.connect("postgres").await.batch_execute("CREATE DATABASE fixture").await.expect("a database");
        server.connect("fixture").await.batch_execute(FIXTURE).await.expect("the fixture");
        server
    }

    async fn wait(&self) {
        let words = ["exec", &self.name, "pg_isready", "-q", "-h", "127.0.0.1"];
        let until = Instant::now() + Duration::from_secs(120);
        while !Command::new("docker").args(words).output().is_ok_and(|output| output.status.success()) {
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

    /// A database with the fixture.
    async fn fresh(&self, name: &str) -> Client {
        let admin = self.connect("postgres").await;
        for sql in [
            format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)"),
            format!("CREATE DATABASE {name} TEMPLATE fixture"),
        ] {
            admin.batch_execute(&sql).await.expect("a copy of the fixture");
        }
        admin.batch_execute("CHECKPOINT").await.expect("a checkpoint");
        self.connect(name).await
    }

    async fn plain(&self, migration: &Migration) -> f64 {
        drop(self.fresh("copy").await);
        self.timed(migration).await
    }

    /// Seconds of the migration, and of all that comes before and after it.
    async fn measured(&self, migration: &Migration) -> (f64, f64) {
        drop(self.fresh("copy").await);
        let begun = Instant::now();
        let mut watch =
            Watch::open(self.folder.path(), "server.csv", "postgres", "copy").await.expect("watched");
        let seconds = self.timed(migration).await;
        let watched =
            Watched { service: "migrate".into(), exit_code: Some(0), seconds, ..Watched::default() };
        let report = watch.end(watched, LIMITS).await.expect("measured");
        let (seen, ran) = (report.statements.len(), migration.texts.len());
        assert!(seen >= ran, "{seen} statements were seen of {ran}");
        (seconds, begun.elapsed().as_secs_f64())
    }

    /// Seconds: of the program from its start, or of the statements once somebody is connected.
    async fn timed(&self, migration: &Migration) -> f64 {
        if migration.by_program {
            return self.program(&migration.texts);
        }
        let client = self.connect("copy").await;
        let begun = Instant::now();
        for text in &migration.texts {
            client.batch_execute(text).await.expect("the migration");
        }
        begun.elapsed().as_secs_f64()
    }

    /// In a container of its own, as a project's migration is.
    fn program(&self, texts: &[String]) -> f64 {
        std::fs::write(self.folder.path().join("migration.sql"), texts.join(";\n") + ";").expect("a file");
        let volume = format!("{}:/run/partywall", self.folder.path().display());
        let words = ["run", "--rm", "--network", "none", "-v", &volume, &self.image, "psql", "-q"];
        let address = ["-h", "/run/partywall", "-U", "postgres", "-v", "ON_ERROR_STOP=1", "copy"];
        let file = ["-f", "/run/partywall/migration.sql"];
        let begun = Instant::now();
        let ran = Command::new("docker").args(words).args(address).args(file).output().expect("docker runs");
        assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
        begun.elapsed().as_secs_f64()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(Command::new("docker").args(["rm", "-f", &self.name]).output());
    }
}

fn median(mut all: Vec<f64>) -> f64 {
    all.sort_by(f64::total_cmp);
    all[all.len() / 2]
}

/// Many statements that take next to nothing, as a schema is built from its first migration on.
fn light() -> Vec<String> {
    let table = |number: usize| {
        [
            format!("CREATE TABLE t{number} (id bigint PRIMARY KEY, name text)"),
            format!("ALTER TABLE t{number} ADD COLUMN at timestamptz"),
            format!("CREATE INDEX ON t{number} (name)"),
            format!("INSERT INTO t{number} SELECT g, 'x' FROM generate_series(1, 100) g"),
        ]
    };
    (0..50).flat_map(table).collect()
}

/// One server as its project has it, one as a rehearsal sets it.
struct Pair {
    plain: Server,
    measured: Server,
}

impl Pair {
    async fn start(word: &str, settings: &[&str]) -> Self {
        let measuring: Vec<&str> = settings.iter().copied().chain(pw_plan::rehearse::MEASURING).collect();
        Self {
            plain: Server::start(&format!("{word}-plain"), settings).await,
            measured: Server::start(&format!("{word}-measured"), &measuring).await,
        }
    }

    /// Prints a line; answers whether the goal holds.
    async fn compare(&self, name: &str, migration: &Migration) -> bool {
        let (mut without, mut with, mut whole) = (Vec::new(), Vec::new(), Vec::new());
        for round in 0..=ROUNDS {
            let (alone, (own, all)) =
                (self.plain.plain(migration).await, self.measured.measured(migration).await);
            // The first warms up.
            if round > 0 {
                without.push(alone);
                with.push(own);
                whole.push(all);
            }
        }
        let (without, with, whole) = (median(without), median(with), median(whole));
        println!("{name:48} {without:6.3} {with:9.3} {:6.3} {whole:9.3}", with / without);
        with <= without * GOAL
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    println!("{ROUNDS} rounds in turn, medians in seconds; the goal is a ratio of at most {GOAL}");
    println!("{:48}  PLAIN  MEASURED  RATIO  WITH PREPARING AND REPORT", "MIGRATION");
    let heavy = || HEAVY.map(str::to_owned).to_vec();
    let program = |texts| Migration { texts, by_program: true };
    let statements = |texts| Migration { texts, by_program: false };
    // A copy commits as its original does: to the disk.
    let pair = Pair::start("safe", &[]).await;
    let mut held = pair.compare("4 statements that take long", &statements(heavy())).await;
    held &= pair.compare("200 small ones, the program that runs them", &program(light())).await;
    // What a migration never is: without a program that starts and connects.
    pair.compare("200 small ones, the statements alone", &statements(light())).await;
    drop(pair);
    // The hardest case: nothing is waited for but what is measured.
    let unsafe_pair = Pair::start("unsafe", &["fsync=off"]).await;
    unsafe_pair.compare("200 small ones, alone, and no commit waits", &statements(light())).await;
    println!(
        "of migrations as they are run, the first two: {}",
        if held { "the goal holds" } else { "the goal is missed" }
    );
    if held { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
