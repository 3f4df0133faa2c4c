//! Servers older than the image's: those that this machine has to itself.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use pw_data::roles;
use pw_data::server::Address;
use tempfile::TempDir;

use crate::Asked;
use crate::schemas::partitions;
use crate::server::Server;
use crate::types::everything;

/// The programs of each version that is installed as Debian does it.
fn installed() -> Vec<PathBuf> {
    let all = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    all.map(|entry| entry.path().join("bin")).filter(|programs| programs.join("initdb").exists()).collect()
}

fn is_root() -> bool {
    fs::metadata("/proc/self").is_ok_and(|this| this.uid() == 0)
}

/// A server of this machine's own programs, in a folder of its own. It is gone when the test ends.
struct Installed {
    programs: PathBuf,
    folder: TempDir,
    port: u16,
}

impl Installed {
    fn start(programs: &Path) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let free = std::net::TcpListener::bind("127.0.0.1:0").and_then(|one| one.local_addr());
        let port = free.expect("a free port").port();
        let server = Self { programs: programs.to_owned(), folder, port };
        server.own();
        let data = server.data();
        server.run("initdb", &["-D", &data, "-U", "owner", "-A", "trust", "-E", "UTF8", "--no-sync"]);
        let options = format!("-p {port} -k {data} -h 127.0.0.1 -c fsync=off");
        server.run("pg_ctl", &["-D", &data, "-w", "-l", &format!("{data}/log"), "-o", &options, "start"]);
        server
    }

    /// PostgreSQL does not run as root; its folder must be its user's.
    fn own(&self) {
        if is_root() {
            let words = ["postgres", &self.folder.path().display().to_string()];
            assert!(Command::new("chown").args(words).status().is_ok_and(|status| status.success()));
        }
    }

    fn data(&self) -> String {
        self.folder.path().join("data").display().to_string()
    }

    fn output(&self, program: &str, words: &[&str]) -> Output {
        let path = self.programs.join(program);
        let mut command = if is_root() {
            let mut command = Command::new("runuser");
            command.args(["-u", "postgres", "--"]).arg(path);
            command
        } else {
            Command::new(path)
        };
        command.args(words).current_dir("/").output().expect("it runs")
    }

    fn run(&self, program: &str, words: &[&str]) -> String {
        let output = self.output(program, words);
        assert!(output.status.success(), "{program}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }
}

impl Drop for Installed {
    fn drop(&mut self) {
        self.output("pg_ctl", &["-D", &self.data(), "-m", "immediate", "stop"]);
    }
}

impl Asked for Installed {
    fn sql(&self, database: &str, sql: &str) -> String {
        let url = format!("postgres://owner@127.0.0.1:{}/{database}", self.port);
        self.run("psql", &["-qAtX", "-v", "ON_ERROR_STOP=1", "-d", &url, "-c", sql])
    }

    fn address(&self, database: &str) -> Address {
        let dsn = format!("postgres://owner@127.0.0.1:{}/{database}", self.port);
        Address::parse(&dsn).expect("a DSN")
    }

    fn pg_dump(&self) -> Vec<String> {
        vec![self.programs.join("pg_dump").display().to_string()]
    }
}

/// From each to itself and to the image's. Where the machine has none of its own there is nothing to ask.
#[tokio::test]
async fn an_older_server_is_read_and_filled() {
    for programs in installed() {
        let (old, new) = (Installed::start(&programs), Server::start());
        let again = |sql: &str| {
            let statements = [
                "DROP DATABASE IF EXISTS production WITH (FORCE)",
                "DROP DATABASE IF EXISTS development WITH (FORCE)",
                sql,
            ];
            statements.iter().for_each(|one| drop(old.sql("postgres", one)));
            new.sql("postgres", "DROP DATABASE IF EXISTS development WITH (FORCE)");
        };
        for to_new in [false, true] {
            again("CREATE DATABASE production");
            if to_new {
                everything(&old, &new).await
            } else {
                everything(&old, &old).await
            }
            again("CREATE DATABASE production");
            if to_new { partitions(&old, &new).await } else { partitions(&old, &old).await }
        }
    }
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

/// On the older server itself, and on the image's.
#[tokio::test]
async fn roles_of_an_older_server_are_made_as_they_were() {
    for programs in installed() {
        let (old, new) = (Installed::start(&programs), Server::start());
        old.sql("postgres", "CREATE DATABASE kept");
        old.sql("postgres", ROLES);
        let (around, rights) =
            (roles::read(&old.address("kept")).await.expect("roles"), old.sql("kept", RIGHTS));
        assert!(rights.contains("SCRAM-SHA-256$") && rights.contains("readers=c*/app"), "{rights}");
        let names = ["app", "helper", "readers"].map(str::to_owned);
        old.sql("postgres", "DROP DATABASE kept WITH (FORCE)");
        old.sql("postgres", "DROP ROLE app, helper, readers");
        let servers: [&dyn Asked; 2] = [&old, &new];
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
}
