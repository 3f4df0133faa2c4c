//! A PostgreSQL server of the test's own, gone when the test ends.

use std::io::Write;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use pw_data::server::Address;

pub(crate) const PASSWORD: &str = "not-in-any-message";
static NUMBER: AtomicU32 = AtomicU32::new(0);

pub(crate) struct Server {
    pub(crate) name: String,
    pub(crate) host: String,
}

pub(crate) fn image() -> String {
    std::env::var("POSTGRES_IMAGE").unwrap_or_else(|_| "partywall-demo/postgres".into())
}

pub(crate) fn docker(words: &[&str]) -> String {
    let output = Command::new("docker").args(words).output().expect("docker runs");
    assert!(output.status.success(), "docker {words:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

impl Server {
    pub(crate) fn start() -> Self {
        Self::start_with(&[])
    }

    /// With more words for `docker run`.
    pub(crate) fn start_with(more: &[&str]) -> Self {
        let name = format!("pw-data-test-{}-{}", std::process::id(), NUMBER.fetch_add(1, Ordering::Relaxed));
        let password = format!("POSTGRES_PASSWORD={PASSWORD}");
        let user = ["-e", &password, "-e", "POSTGRES_USER=owner", "-e", "POSTGRES_DB=production"];
        let image = image();
        docker(&[&["run", "-d", "--name", &name], more, &user, &[image.as_str()]].concat());
        let mut server = Self { name, host: String::new() };
        let address = "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}";
        server.host = docker(&["inspect", "-f", address, &server.name]);
        server.wait();
        server
    }

    /// The server of the initialisation listens on the socket only.
    pub(crate) fn wait(&self) {
        for _ in 0..240 {
            let words = ["exec", &self.name, "pg_isready", "-q", "-h", "127.0.0.1", "-d", "production"];
            if Command::new("docker").args(words).output().is_ok_and(|output| output.status.success()) {
                return;
            }
            std::thread::sleep(Duration::from_millis(250));
        }
        panic!("the server did not start");
    }

    pub(crate) fn dsn(&self, user: &str, password: &str, database: &str) -> String {
        format!("postgres://{user}:{password}@{}:5432/{database}", self.host)
    }

    pub(crate) fn address_of(&self, user: &str, password: &str, database: &str) -> Address {
        Address::parse(&self.dsn(user, password, database)).expect("a DSN")
    }

    pub(crate) fn address(&self, database: &str) -> Address {
        self.address_of("owner", PASSWORD, database)
    }

    /// The server's own pg_dump.
    pub(crate) fn pg_dump(&self) -> Vec<String> {
        ["docker", "exec", "-e", "PGPASSWORD", &self.name, "pg_dump"].map(str::to_owned).to_vec()
    }

    /// Runs SQL; answers unaligned rows.
    pub(crate) fn sql(&self, database: &str, sql: &str) -> String {
        self.psql(database, &[], sql)
    }

    pub(crate) fn psql(&self, database: &str, words: &[&str], sql: &str) -> String {
        let url = format!("postgres://owner:{PASSWORD}@127.0.0.1/{database}");
        let base = ["exec", "-i", &self.name, "psql", "-qAtX", "-v", "ON_ERROR_STOP=1", "-d", &url];
        let mut child = Command::new("docker")
            .args(base)
            .args(words)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("psql runs");
        child.stdin.take().expect("a pipe").write_all(sql.as_bytes()).expect("psql reads");
        let output = child.wait_with_output().expect("psql ends");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(Command::new("docker").args(["rm", "-f", "-v", &self.name]).output());
    }
}
