//! What measuring adds to a migration's own time: the same migration on the same rows, on two servers that differ only
//! in what a rehearsal sets, in turn.
#![expect(
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a benchmark talks to who started it, and fails by panicking"
)]

use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;
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

/// A server with a fixture; gone when it is dropped.
struct Server {
    name: String,
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
        // The same for both: space for what is written, so that no checkpoint falls into one of them.
        let common = [sockets, "fsync=off", "max_wal_size=8GB", "autovacuum=off"];
        words.extend(settings.iter().copied().chain(common).flat_map(|setting| ["-c", setting]));
        let started = Command::new("docker").args(&words).output().expect("docker runs");
        assert!(started.status.success(), "{}", String::from_utf8_lossy(&started.stderr));
        let server = Self { name, folder };
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

    async fn plain(&self, texts: &[String]) -> f64 {
        let client = self.fresh("copy").await;
        timed(&client, texts).await
    }

    /// Seconds of the migration, and of all that comes before and after it.
    async fn measured(&self, texts: &[String]) -> (f64, f64) {
        drop(self.fresh("copy").await);
        let begun = Instant::now();
        let mut watch =
            Watch::open(self.folder.path(), "server.csv", "postgres", "copy").await.expect("watched");
        let client = self.connect("copy").await;
        let seconds = timed(&client, texts).await;
        let watched =
            Watched { service: "migrate".into(), exit_code: Some(0), seconds, ..Watched::default() };
        let report = watch.end(watched, LIMITS).await.expect("measured");
        assert!(report.statements.len() >= texts.len(), "{} statements were seen", report.statements.len());
        (seconds, begun.elapsed().as_secs_f64())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(Command::new("docker").args(["rm", "-f", &self.name]).output());
    }
}

async fn timed(client: &Client, texts: &[String]) -> f64 {
    let begun = Instant::now();
    for text in texts {
        client.batch_execute(text).await.expect("the migration");
    }
    begun.elapsed().as_secs_f64()
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

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let plain = Server::start("plain", &[]).await;
    let measured = Server::start("measured", &pw_plan::rehearse::MEASURING).await;
    println!("{ROUNDS} rounds in turn, medians in seconds; the goal is a ratio of at most {GOAL}");
    println!("{:32}  PLAIN  MEASURED  RATIO  WITH PREPARING AND REPORT", "MIGRATION");
    let mut held = true;
    for (name, texts) in [
        ("4 statements that take long", HEAVY.map(str::to_owned).to_vec()),
        ("200 small statements", light()),
    ] {
        let (mut without, mut with, mut whole) = (Vec::new(), Vec::new(), Vec::new());
        for round in 0..=ROUNDS {
            let (alone, (own, all)) = (plain.plain(&texts).await, measured.measured(&texts).await);
            // The first warms up.
            if round > 0 {
                without.push(alone);
                with.push(own);
                whole.push(all);
            }
        }
        let (without, with, whole) = (median(without), median(with), median(whole));
        held &= with <= without * GOAL;
        println!("{name:32} {without:6.3} {with:9.3} {:6.3} {whole:9.3}", with / without);
    }
    println!("{}", if held { "the goal holds" } else { "the goal is missed" });
}
