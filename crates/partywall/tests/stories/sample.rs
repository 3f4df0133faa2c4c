//! `sample`: the engine of `seed` on any two databases, by hand.

use serde_json::Value;

use crate::harness::{Story, docker, docker_answers, image, until};

const SQL: &str = "CREATE TABLE people (id int PRIMARY KEY, email text NOT NULL, plain text);
    CREATE TABLE things (id int PRIMARY KEY, owner int NOT NULL REFERENCES people);
    INSERT INTO people SELECT i, 'person' || i || '@mail.example' FROM generate_series(1, 2000) i;
    INSERT INTO things SELECT i, i % 2000 + 1 FROM generate_series(1, 20000) i";
const RULES: &str =
    "cohort: { table: people, sample: 50% }\nmasks: { people.email: email, people.plain: keep }\n";
const PASSWORD: &str = "not-in-any-message";

/// A server of the story's own.
struct Server(String);

impl Server {
    fn start(story: &Story) -> Self {
        let server = Self(format!("{}-sample", story.proxy()));
        let password = format!("POSTGRES_PASSWORD={PASSWORD}");
        docker(&[
            "run",
            "-d",
            "--name",
            &server.0,
            "-e",
            &password,
            "-e",
            "POSTGRES_DB=production",
            &image("postgres"),
        ]);
        let ready = ["exec", &server.0, "pg_isready", "-q", "-h", "127.0.0.1", "-d", "production"];
        until("the server answers", || docker_answers(&ready).is_some());
        server
    }

    fn sql(&self, database: &str, sql: &str) -> String {
        docker(&[
            "exec",
            &self.0,
            "psql",
            "-qAtX",
            "-v",
            "ON_ERROR_STOP=1",
            "-U",
            "postgres",
            "-d",
            database,
            "-c",
            sql,
        ])
    }

    fn dsn(&self, database: &str) -> String {
        let address = "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}";
        format!("postgres://postgres:{PASSWORD}@{}/{database}", docker(&["inspect", "-f", address, &self.0]))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        docker_answers(&["rm", "-f", "-v", &self.0]);
    }
}

/// Promise: a sample shows how far it is, to a person and to a program; what stays of a failed one is named.
/// Given: a server with two tables, and rules that leave a column as it is.
/// Then: lines tell the stages and the copying with rate and time left, `--json` the same as events; a leak stops the
/// run, `--keep-failed` names the database that stays and how to be rid of it, and nothing stays without it.
#[test]
fn a_sample_by_hand() {
    let story = Story::light();
    let server = Server::start(&story);
    server.sql("production", SQL);
    story.write("rules.yaml", RULES);
    let (from, to) = (server.dsn("production"), server.dsn("development"));
    let run = |more: &[&str]| {
        let words = [&["sample", "--from", &from, "--to", &to, "--rules", "rules.yaml"], more].concat();
        let own = format!("docker exec -e PGPASSWORD {} pg_dump", server.0);
        let output = story.command(&words).env("PARTYWALL_PG_DUMP", own).output().expect("it runs");
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        assert!(!text(&output.stderr).contains(PASSWORD) && !text(&output.stdout).contains(PASSWORD));
        (output.status.code(), text(&output.stdout), text(&output.stderr))
    };
    let (code, _, told) = run(&[]);
    assert_eq!(code, Some(0), "{told}");
    let rows =
        server.sql("development", "SELECT (SELECT count(*) FROM people) + (SELECT count(*) FROM things)");
    let copied = told.lines().rfind(|line| line.contains("copying ")).expect("it tells how far it is");
    assert!(copied.contains(": 100 %, ") && copied.contains("/s, 0 s left"), "{told}");
    let digits: String =
        copied.split(" rows").next().unwrap_or_default().chars().filter(char::is_ascii_digit).collect();
    assert!(digits.ends_with(&format!("{rows}{rows}")), "{copied}: {rows}");
    assert!(told.contains("  finding the rows\n"), "{told}");

    let (code, out, told) = run(&["--json"]);
    assert_eq!((code, told.as_str()), (Some(0), ""));
    let events: Vec<Value> = out.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!(events.last().map(|last| &last["ok"]), Some(&true.into()));
    let last = events.iter().rfind(|one| one["event"] == "copying").expect("an event");
    assert_eq!((&last["percent"], last["standing"]["rows"].to_string()), (&100.into(), rows), "{last}");

    server.sql("production", "UPDATE people SET plain = email WHERE id % 10 = 0");
    let left = "SELECT count(*) FROM pg_database WHERE datname ~ 'partywall'";
    let (code, _, told) = run(&[]);
    assert_eq!((code, server.sql("postgres", left)), (Some(1), "0".into()), "{told}");
    assert!(
        told.contains("a masked production value stands in `people.plain`") && !told.contains("mail.example"),
        "{told}"
    );
    let (code, _, told) = run(&["--keep-failed"]);
    assert_eq!((code, server.sql("postgres", left)), (Some(1), "1".into()), "{told}");
    let command = told.lines().find_map(|line| line.split("remove it before: ").nth(1)).expect("a command");
    assert!(
        command.starts_with("dropdb --host ") && command.ends_with("'development__partywall_new'"),
        "{command}"
    );
    docker(&["exec", "-e", &format!("PGPASSWORD={PASSWORD}"), &server.0, "sh", "-c", command]);
    assert_eq!(server.sql("postgres", left), "0");
}
