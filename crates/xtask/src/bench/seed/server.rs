//! The server of the benchmark, with a source database that is made once and remembered.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use crate::run::{Result, output, say};

/// The database that everybody reads.
pub(super) const SOURCE: &str = "production";
pub(super) const PASSWORD: &str = "bench";
/// Marks a source that was filled to its end.
const FILLED: &str = "filled by the benchmark";

/// A container of the benchmark's own, gone at its end; the volume with the source stays for the next run.
pub(super) struct Server {
    pub(super) name: String,
    pub(super) host: String,
    image: String,
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(Command::new("docker").args(["stop", "--time", "60", &self.name]).output());
        drop(Command::new("docker").args(["rm", "-f", &self.name]).output());
    }
}

impl Server {
    /// # Errors
    /// Docker or the server does not do it.
    pub(super) fn start(data: &Path, users: u64) -> Result<Self> {
        let image = std::env::var("POSTGRES_IMAGE").unwrap_or_else(|_| "postgres:17".into());
        let sql = std::fs::read_to_string(data)?;
        let volume = format!("partywall-bench-seed-{users}-{:08x}", number(&(&sql, &image)) >> 32);
        let name = format!("partywall-bench-seed-{}", std::process::id());
        let mut server = Self { name, host: String::new(), image };
        server.run(&volume)?;
        let address = "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}";
        let told = output(Command::new("docker").args(["inspect", "-f", address, &server.name]))?;
        told.trim().clone_into(&mut server.host);
        server.wait()?;
        server.fill(data, users, &volume)?;
        server.sql("postgres", "DROP DATABASE IF EXISTS sample; DROP DATABASE IF EXISTS full_copy")?;
        Ok(server)
    }

    fn run(&self, volume: &str) -> Result<()> {
        let mount = format!("{volume}:/var/lib/postgresql/data");
        let words = ["run", "-d", "--name", &self.name, "--shm-size", "1g", "-v", &mount];
        let secret = format!("POSTGRES_PASSWORD={PASSWORD}");
        let database = format!("POSTGRES_DB={SOURCE}");
        let settings = ["-e", &secret, "-e", "POSTGRES_USER=owner", "-e", &database, &self.image];
        output(Command::new("docker").args(words).args(settings)).map(drop)
    }

    fn wait(&self) -> Result<()> {
        for _ in 0..240 {
            let ready = ["exec", &self.name, "pg_isready", "-q", "-h", "127.0.0.1", "-d", SOURCE];
            if Command::new("docker").args(ready).status()?.success() {
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(250));
        }
        Err("the server of the benchmark did not start".into())
    }

    fn fill(&self, data: &Path, users: u64, volume: &str) -> Result<()> {
        let mark = "SELECT coalesce(shobj_description(oid, 'pg_database'), '') FROM pg_database WHERE datname = current_database()";
        if self.sql(SOURCE, mark)? == FILLED {
            say(&format!("the source of {users} users is in the volume {volume}"));
            return Ok(());
        }
        say(&format!("filling a source of {users} users; it is kept in the volume {volume}"));
        self.sql("postgres", &format!("DROP DATABASE IF EXISTS {SOURCE}"))?;
        self.sql("postgres", &format!("CREATE DATABASE {SOURCE}"))?;
        let target = format!("{}:/tmp/data.sql", self.name);
        output(Command::new("docker").arg("cp").arg(data).arg(target))?;
        let text = format!("psql -U owner -q -v users={users} -f /tmp/data.sql {SOURCE} >/dev/null");
        output(&mut self.shell(&text))?;
        self.sql(SOURCE, &format!("COMMENT ON DATABASE {SOURCE} IS '{FILLED}'")).map(drop)
    }

    pub(super) fn shell(&self, text: &str) -> Command {
        let mut command = Command::new("docker");
        command.args(["exec", &self.name, "bash", "-o", "pipefail", "-c", text]);
        command
    }

    /// Statements, each by itself; answers unaligned rows.
    pub(super) fn sql(&self, database: &str, sql: &str) -> Result<String> {
        let mut command = Command::new("docker");
        command.args(["exec", &self.name, "psql", "-U", "owner", "-qAtX", "-v", "ON_ERROR_STOP=1"]);
        command.args(sql.split(';').filter(|one| !one.trim().is_empty()).flat_map(|one| ["-c", one]));
        Ok(output(command.arg(database))?.trim().to_owned())
    }

    /// Rows of every table but those that nobody copies.
    pub(super) fn counts(&self, database: &str) -> Result<String> {
        let list = "SELECT string_agg(format('SELECT %L, count(*) FROM %s', oid::regclass, oid::regclass), ' UNION ALL ' ORDER BY relname) \
            FROM pg_class WHERE relkind IN ('r', 'p') AND NOT relispartition AND relnamespace = 'public'::regnamespace";
        let query = self.sql(database, list)?;
        let mut lines: Vec<String> = self.sql(database, &query)?.lines().map(str::to_owned).collect();
        lines.sort();
        Ok(lines.join("\n"))
    }
}

fn number(of: &impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    of.hash(&mut hasher);
    hasher.finish()
}
