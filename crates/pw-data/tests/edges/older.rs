//! Servers older than the image's, as their packages bring them (`scripts/servers.sh`).

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use pw_data::definitions::definitions;
use pw_data::roles;
use pw_data::server::Address;
use pw_plan::drift::Difference;
use pw_plan::drift::schema::{Repairs, schemas};
use tempfile::TempDir;

use crate::Asked;
use crate::schemas::partitions;
use crate::server::Server;
use crate::types::everything;

fn is_root() -> bool {
    fs::metadata("/proc/self").is_ok_and(|this| this.uid() == 0)
}

/// A server of a version's own programs, in a folder of its own. It is gone when the test ends.
struct Older {
    programs: PathBuf,
    /// Its socket is in it, and in the same place for the image's programs.
    folder: TempDir,
    pg_dump: Vec<String>,
}

impl Older {
    /// `None` where `./x test` could not get the version, and has said so.
    fn start(version: u32) -> Option<Self> {
        let all =
            std::env::var("PARTYWALL_POSTGRES").unwrap_or_else(|_| "/var/cache/partywall/postgres".into());
        let programs = Path::new(&all).join(version.to_string()).join("bin");
        if !programs.join("initdb").exists() {
            let at = programs.display();
            drop(writeln!(std::io::stderr(), "nothing is tested: {at} holds no PostgreSQL {version}"));
            return None;
        }
        let folder = tempfile::tempdir().expect("a folder");
        let server = Self { programs, folder, pg_dump: Vec::new() };
        server.own();
        let data = server.data();
        server.run("initdb", &["-D", &data, "-U", "owner", "-A", "trust", "-E", "UTF8", "--no-sync"]);
        let socket = server.socket();
        let options = format!("-k {socket} -h '' -c fsync=off -c password_encryption=scram-sha-256");
        server.run("pg_ctl", &["-D", &data, "-w", "-l", &format!("{data}/log"), "-o", &options, "start"]);
        Some(server)
    }

    /// PostgreSQL does not run as root; its folder must be its user's.
    fn own(&self) {
        if is_root() {
            let words = ["nobody", &self.folder.path().display().to_string()];
            assert!(Command::new("chown").args(words).status().is_ok_and(|status| status.success()));
        }
    }

    fn data(&self) -> String {
        self.folder.path().join("data").display().to_string()
    }

    fn socket(&self) -> String {
        self.folder.path().display().to_string()
    }

    fn dsn(&self, database: &str) -> String {
        format!("host={} user=owner dbname={database}", self.socket())
    }

    /// The image's server. Its `pg_dump` is newer than this one: what it writes may be more than an old server knows.
    fn newer(&mut self) -> Server {
        let socket = format!("{0}:{0}", self.socket());
        let newer = Server::start_with(&["-v", &socket]);
        self.pg_dump = newer.pg_dump();
        newer
    }

    fn output(&self, program: &str, words: &[&str]) -> Output {
        let path = self.programs.join(program);
        let mut command = if is_root() {
            let mut command = Command::new("runuser");
            command.args(["-u", "nobody", "--"]).arg(path);
            command
        } else {
            Command::new(path)
        };
        command.env("LD_LIBRARY_PATH", self.programs.with_file_name("lib"));
        command.args(words).current_dir("/").output().expect("it runs")
    }

    fn run(&self, program: &str, words: &[&str]) {
        succeeded(program, &self.output(program, words));
    }
}

fn succeeded(program: &str, output: &Output) -> String {
    assert!(output.status.success(), "{program}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

impl Drop for Older {
    fn drop(&mut self) {
        self.output("pg_ctl", &["-D", &self.data(), "-m", "immediate", "stop"]);
    }
}

impl Asked for Older {
    fn sql(&self, database: &str, sql: &str) -> String {
        let words = ["-qAtX", "-v", "ON_ERROR_STOP=1", "-d", &self.dsn(database), "-c", sql];
        succeeded("psql", &Command::new("psql").args(words).output().expect("psql"))
    }

    fn address(&self, database: &str) -> Address {
        Address::parse(&self.dsn(database)).expect("a DSN")
    }

    fn pg_dump(&self) -> Vec<String> {
        self.pg_dump.clone()
    }
}

#[tokio::test]
async fn postgresql_13_is_read_and_filled() {
    read_and_filled(13).await;
}

#[tokio::test]
async fn postgresql_14_is_read_and_filled() {
    read_and_filled(14).await;
}

#[tokio::test]
async fn postgresql_15_is_read_and_filled() {
    read_and_filled(15).await;
}

#[tokio::test]
async fn postgresql_16_is_read_and_filled() {
    read_and_filled(16).await;
}

/// From the older one to itself, which gives what drift calls the same schema, and to the image's; then roles, which come back on
/// both as they were.
async fn read_and_filled(version: u32) {
    let Some(mut old) = Older::start(version) else { return };
    let new = old.newer();
    let again = || {
        let drops = [
            "DROP DATABASE IF EXISTS production WITH (FORCE)",
            "DROP DATABASE IF EXISTS development WITH (FORCE)",
        ];
        drops.iter().for_each(|one| drop(old.sql("postgres", one)));
        old.sql("postgres", "CREATE DATABASE production");
        new.sql("postgres", drops[1]);
    };
    again();
    everything(&old, &old).await;
    again();
    everything(&old, &new).await;
    again();
    partitions(&old, &old).await;
    assert_eq!(drifted(&old).await, []);
    again();
    partitions(&old, &new).await;
    roles_are_made_as_they_were(&old, &new).await;
}

async fn drifted(server: &Older) -> Vec<Difference> {
    let read = async |name: &str| definitions(&server.address(name)).await.expect("definitions");
    let (left, right) = (read("production").await, read("development").await);
    schemas("main", &left, &right, Repairs { left_only: "left", right_only: "right" })
}

const ROLES: &str = "CREATE ROLE app LOGIN PASSWORD 'kept' CONNECTION LIMIT 7 VALID UNTIL '2030-01-01 00:00:00+02'; \
    CREATE ROLE readers; CREATE ROLE helper NOINHERIT CREATEDB IN ROLE readers; GRANT pg_monitor TO helper; \
    GRANT readers TO app WITH ADMIN OPTION; ALTER ROLE app SET statement_timeout = '7s'; ALTER ROLE helper SET search_path = ''; \
    ALTER DATABASE kept OWNER TO app; REVOKE CONNECT ON DATABASE kept FROM PUBLIC; \
    GRANT CONNECT ON DATABASE kept TO readers WITH GRANT OPTION; ALTER DATABASE kept SET search_path = public, \"odd one\"; \
    ALTER ROLE helper IN DATABASE kept SET work_mem = '5MB'";
const RIGHTS: &str = "SELECT concat_ws(E'\\n', \
    (SELECT string_agg(concat_ws(' ', rolname, rolsuper, rolinherit, rolcanlogin, rolcreatedb, rolconnlimit, \
        extract(epoch FROM rolvaliduntil)::bigint, rolpassword, \
        (SELECT setconfig FROM pg_db_role_setting WHERE setrole = a.oid AND setdatabase = 0)), E'\\n' ORDER BY rolname) \
        FROM pg_authid a WHERE rolname IN ('app', 'helper', 'readers')), \
    (SELECT string_agg(concat_ws(' ', roleid::regrole, member::regrole, admin_option), E'\\n' \
        ORDER BY roleid::regrole::text, member::regrole::text) FROM pg_auth_members WHERE member::regrole::text IN ('app', 'helper')), \
    (SELECT concat_ws(' ', pg_get_userbyid(datdba), (SELECT string_agg(a::text, ',' ORDER BY a::text COLLATE \"C\") FROM unnest(datacl) a), \
        (SELECT string_agg(concat(setrole::regrole, setconfig), ',' ORDER BY setrole::regrole::text) FROM pg_db_role_setting \
            WHERE setdatabase = d.oid)) FROM pg_database d WHERE datname = 'kept'))";

async fn roles_are_made_as_they_were(old: &Older, new: &Server) {
    old.sql("postgres", "CREATE DATABASE kept");
    old.sql("postgres", ROLES);
    let (around, rights) = (roles::read(&old.address("kept")).await.expect("roles"), old.sql("kept", RIGHTS));
    assert!(rights.contains("SCRAM-SHA-256$") && rights.contains("readers=c*/app"), "{rights}");
    let names = ["app", "helper", "readers"].map(str::to_owned);
    old.sql("postgres", "DROP DATABASE kept WITH (FORCE)");
    old.sql("postgres", "DROP ROLE app, helper, readers");
    let servers: [&dyn Asked; 2] = [old, new];
    for server in servers {
        server.sql("postgres", "CREATE DATABASE kept");
        for _ in 0..2 {
            let made = roles::make(&server.address("postgres"), &around, &names.clone().into()).await;
            made.expect("made, and there already");
            roles::dress(&server.address("kept"), &around).await.expect("dressed");
        }
        assert_eq!(server.sql("kept", RIGHTS), rights);
    }
}
