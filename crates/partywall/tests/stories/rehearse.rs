//! `rehearse`: the project's own migration on a full-size copy; production is only read, and nothing stays.

use std::net::TcpListener;
use std::process::Command;
use std::time::Duration;

use serde_json::Value;

use crate::harness::{DEVELOPMENT, PRODUCTION, Story, docker, finished, image, lines, until};

const SAFE: &str = "SET lock_timeout = '2s';\nALTER TABLE users ADD COLUMN note text;\n";
const DANGEROUS: &str = "BEGIN;\nALTER TABLE users ADD COLUMN token uuid NOT NULL DEFAULT gen_random_uuid();\n\
    SELECT pg_sleep(0.5);\nCOMMIT;\n";

/// Production with a PostgreSQL of 20,000 rows, and a migration in files that both environments read.
fn shop() -> Story {
    let story = unstocked();
    story.up(PRODUCTION);
    query(&story, "CREATE TABLE users (id bigint PRIMARY KEY, email text NOT NULL)");
    query(&story, "INSERT INTO users SELECT g, 'u' || g || '@example.org' FROM generate_series(1, 20000) g");
    story
}

/// The same, not up yet.
pub(crate) fn unstocked() -> Story {
    let story = Story::light();
    let compose = format!(
        r#"services:
  web:
    image: {caddy}
    command: [caddy, respond, --listen, ":8000", "${{APP_ENV}}"]
    expose: ["8000"]
  db:
    image: {postgres}
    environment: {{ POSTGRES_USER: shop, POSTGRES_PASSWORD: not-in-any-message, POSTGRES_DB: shop, POSTGRES_INITDB_ARGS: --no-sync }}
    volumes: ["data:/var/lib/postgresql/data"]
    healthcheck:
      test: [CMD-SHELL, "pg_isready -q -h 127.0.0.1"]
      interval: 1s
      start_period: 60s
      start_interval: 200ms
    stop_grace_period: 3s
  migrate:
    image: {postgres}
    command: ["true"]
    environment: {{ PGHOST: db, PGUSER: shop, PGPASSWORD: not-in-any-message, PGDATABASE: shop }}
    volumes: ["./sql:/sql:ro"]
    restart: "no"
volumes:
  data:
"#,
        caddy = image("caddy"),
        postgres = image("postgres"),
    );
    story.write("docker-compose.yml", &compose);
    story.write("compose.override.yml", "services: {}\n");
    std::fs::create_dir(story.project().join("sql")).expect("a folder");
    story.write("sql/up.sql", SAFE);
    let config = story.read("partywall.yaml");
    let more = "databases:\n  main: { service: db }\npromote:\n  \
        migrate: { service: migrate, command: [psql, -qX, -v, ON_ERROR_STOP=1, -f, /sql/up.sql] }\n  limits: { lock: 300ms, total: 5m }\n";
    story.write("partywall.yaml", &format!("{config}{more}"));
    story
}

pub(crate) fn query(story: &Story, sql: &str) -> String {
    let container = story.container(PRODUCTION, "db").id();
    docker(&["exec", &container, "psql", "-qAtX", "-U", "shop", "-c", sql])
}

/// What must be as it was: containers, volumes, files, columns, rows.
fn production(story: &Story) -> (Vec<String>, String) {
    let columns = query(
        story,
        "SELECT string_agg(column_name, ',' ORDER BY 1) FROM information_schema.columns WHERE table_name = 'users'",
    );
    let kept = |path: &String| !path.contains("/.store/");
    let rows = query(story, "SELECT count(*), sum(id) FROM users");
    (story.everything(PRODUCTION).into_iter().filter(kept).collect(), format!("{columns} {rows}"))
}

/// Everything of the copy that the engine has.
pub(crate) fn copy(story: &Story) -> Vec<String> {
    let name = format!("{}-rehearsal", story.compose_project(PRODUCTION));
    let label = format!("label=com.docker.compose.project={name}");
    let mut all = lines(&["ps", "-aq", "--filter", &label]);
    all.extend(lines(&["network", "ls", "-q", "--filter", &label]));
    all.extend(lines(&["volume", "ls", "-q", "--filter", &label]));
    all
}

fn last(text: &str) -> Value {
    serde_json::from_str(text.lines().last().unwrap_or_default()).expect("JSON")
}

/// Promise: a rehearsal runs the migration on all of production's rows, tells time and lock of each statement, and
/// changes nothing of production; beyond the limits it ends with exit code 1; `status` shows the last one.
/// Given: a safe migration, then one that rewrites a table and keeps its lock.
#[test]
fn a_migration_is_measured_on_a_copy() {
    let story = shop();
    let before = production(&story);
    let plan = story.run(&["rehearse", PRODUCTION, "--plan"]).ended(0);
    assert!(
        plan.out.contains("copy database shop") && !plan.out.contains("not-in-any-message"),
        "{}",
        plan.out
    );
    assert_eq!(production(&story), before, "a plan changes nothing");

    let safe = last(&story.run(&["rehearse", PRODUCTION, "--json"]).ended(0).out);
    assert_eq!(
        (&safe["ok"], safe["commands"][0]["findings"].as_array().map(Vec::len)),
        (&true.into(), Some(0)),
        "{safe}"
    );
    assert_eq!(production(&story), before);
    assert_eq!(copy(&story), Vec::<String>::new());

    story.write("sql/up.sql", DANGEROUS);
    let told = story.run(&["rehearse", PRODUCTION]).ended(1);
    for words in ["users access excl.", "table-rewrite", "stop: reads and writes of `users` wait for"] {
        assert!(told.out.contains(words), "`{words}` in\n{}", told.out);
    }
    assert!(told.out.lines().all(|line| line.chars().count() <= 80), "{}", told.out);
    assert_eq!(production(&story), before);
    assert_eq!(copy(&story), Vec::<String>::new());
    story.run(&["status", PRODUCTION]).ended(0);
    let status = story.run(&["status", PRODUCTION, "--json"]).ended(0).json();
    let record = &status["environments"][0]["rehearsal"];
    assert_eq!(
        (&record["passed"], record["worst_lock"]["table"].as_str()),
        (&false.into(), Some("users")),
        "{status}"
    );
}

/// Promise: a rehearsal that is killed leaves production alone, and the next one removes what it left.
/// Given: a migration that would take an hour, killed while it runs; then one killed earlier, taken back by `resume`.
#[test]
fn a_killed_rehearsal_is_removed() {
    let story = shop();
    let before = production(&story);
    story.write("sql/up.sql", "LOCK TABLE users; SELECT pg_sleep(3600);");
    let mut rehearsal = story.start(&["rehearse", PRODUCTION]);
    let job = format!("{}-rehearsal-migrate-1", story.compose_project(PRODUCTION));
    until("the migration runs", || !lines(&["ps", "-q", "--filter", &format!("name=^{job}$")]).is_empty());
    drop(rehearsal.kill());
    drop(finished(rehearsal));
    assert!(!copy(&story).is_empty(), "it was killed in the middle");
    story.run(&["up", PRODUCTION]).says(&["was left unfinished", "partywall abandon"]);

    story.write("sql/up.sql", SAFE);
    story.run(&["rehearse", PRODUCTION]).ended(0).says(&["removing what a cut-off"]);
    assert_eq!(copy(&story), Vec::<String>::new());
    let mut rehearsal = story.start(&["rehearse", PRODUCTION]);
    until("the copy is begun", || !copy(&story).is_empty());
    std::thread::sleep(Duration::from_millis(500));
    drop(rehearsal.kill());
    drop(finished(rehearsal));
    story.run(&["resume"]).ended(0);
    assert_eq!(copy(&story), Vec::<String>::new());
    let rest = production(&story);
    assert_eq!(rest.1, before.1);
    assert!(rest.0.iter().all(|one| !one.contains("/rehearsal/")), "{:?}", rest.0);
    let reading = query(&story, "SELECT count(*) FROM pg_stat_replication");
    assert_eq!(reading, "0", "nobody reads production any more");
}

/// Promise: a migration on the copy reaches the copy and nothing else: not production, not what listens on the host.
/// Given: a migration that tries to open production's database and its site, a port of the host at each address that
/// the host has, also the one in the copy's own network, and a name server.
/// Then: from a container of production's network the same words reach production; the rehearsal reaches none and passes.
#[test]
fn a_rehearsal_reaches_nothing() {
    let story = shop();
    let listener = TcpListener::bind("0.0.0.0:0").expect("a port");
    let port = listener.local_addr().expect("an address").port();
    let [db, web] = ["db", "web"].map(|one| story.container(PRODUCTION, one).addresses()[0].0.clone());
    let host = Command::new("hostname").arg("-I").output().expect("addresses").stdout;
    let host = String::from_utf8(host).expect("addresses");
    let host = host.split_whitespace().filter(|one| one.contains('.')).map(|one| format!("{one}/{port}"));
    let mut others: Vec<String> = vec![format!("{db}/5432"), format!("{web}/8000"), "1.1.1.1/53".to_owned()];
    others.extend(host);
    let words = format!(
        "own=$(hostname -i | cut -d ' ' -f 1); reached=\n\
         for one in {} ${{own%.*}}.1/{port}; do timeout 2 bash -c \": </dev/tcp/$one\" 2>/dev/null && reached=\"$reached $one\"; done\n\
         echo \"reached:$reached\"; [ -z \"$reached\" ]\n",
        others.join(" ")
    );
    story.write("sql/try.sh", &words);
    let script = format!("{}:/try.sh:ro", story.project().join("sql/try.sh").display());
    let network = format!("container:{}", story.container(PRODUCTION, "db").id());
    let inside = ["run", "--rm", "--network", &network, "-v", &script, &image("postgres"), "bash", "-c"];
    let told = docker(&[&inside[..], &["bash /try.sh || true"]].concat());
    assert!(told.contains(&format!("{db}/5432 {web}/8000")), "the words find what is there: {told}");

    let command = "[psql, -qX, -v, ON_ERROR_STOP=1, -f, /sql/up.sql]";
    story.edit("partywall.yaml", command, "[bash, /sql/try.sh]");
    let told = story.run(&["rehearse", PRODUCTION, "--json"]);
    assert_eq!(told.code, Some(0), "{}{}", told.out, told.err);
    assert_eq!(copy(&story), Vec::<String>::new());
}

/// Promise: what cannot be rehearsed is told before anything is done.
/// Given: no section, no such database, a database that does not run, and a migration that fails.
#[test]
fn what_cannot_be_rehearsed_is_told() {
    let story = shop();
    story
        .run(&["rehearse", PRODUCTION, "--database", "other"])
        .ended(1)
        .says(&["there is no database `other`", "hint: "]);
    story.run(&["rehearse", DEVELOPMENT]).ended(1).says(&["does not run", "partywall up development"]);
    story.write("sql/up.sql", "ALTER TABLE nowhere ADD COLUMN a int;");
    let told = story.run(&["rehearse", PRODUCTION]).ended(1);
    assert!(told.out.contains("failed: relation \"nowhere\" does not exist"), "{}", told.out);
    assert_eq!(copy(&story), Vec::<String>::new());
    let config = story.read("partywall.yaml");
    let without = config.split("promote:").next().unwrap_or_default().to_owned();
    story.write("partywall.yaml", &without);
    story.run(&["rehearse", PRODUCTION]).ended(1).says(&["no migration is described", "hint: add `promote:"]);
}

/// The answer of a rehearsal that is expected to end so.
fn rehearsed(story: &Story, words: &[&str], code: i32) -> Value {
    last(&story.run(&[&["rehearse", PRODUCTION, "--json"], words].concat()).ended(code).out)
}

/// Promise: what passes on development's sample and fails on all of production's rows is told as such, and the other way.
/// Given: a sample of a tenth, and in production one row that it does not hold and that a change of type stumbles over.
/// Then: the rehearsal fails, names the row's value and that the sample did not show it; a migration that development has
/// already fails on the sample only, which is no more than a note; neither environment is changed, and nothing is left.
#[test]
fn what_a_sample_hides_is_told() {
    let story = shop();
    query(&story, "ALTER TABLE users ADD COLUMN size text; UPDATE users SET size = (id % 50)::text");
    query(&story, "UPDATE users SET size = 'large' WHERE id = 7");
    let seed = "seed:\n  cohort: { table: users, sample: 10%, where: \"id > 100\" }\n  masks: { users.email: email }\n";
    story.write("partywall.yaml", &format!("{}{seed}", story.read("partywall.yaml")));
    // How long a machine that is busy holds a lock is not what this is about.
    story.edit("partywall.yaml", "lock: 300ms", "lock: 1m");
    story.up(DEVELOPMENT);
    assert_eq!(rehearsed(&story, &[], 0)["sample"], Value::Null, "nothing was seeded yet");
    story.run(&["seed", DEVELOPMENT]).ended(0);
    let before = (production(&story), story.ids(DEVELOPMENT), columns(&story, DEVELOPMENT));

    story.write("sql/up.sql", "ALTER TABLE users ALTER COLUMN size TYPE int USING size::int;\n");
    let plan = story.run(&["rehearse", PRODUCTION, "--plan"]).ended(0);
    let copied = format!("copy database shop of {}-db-1", story.compose_project(DEVELOPMENT));
    assert!(plan.out.contains(&copied), "{}", plan.out);
    let told = story.run(&["rehearse", PRODUCTION]).ended(1);
    let flat = told.out.split_whitespace().collect::<Vec<_>>().join(" ");
    for words in [
        "stop: it passes on development's sample but not on the whole: invalid input syntax for type integer: \"large\"",
        "beside it, on a copy of development's sample 10%,",
    ] {
        assert!(flat.contains(words), "`{words}` in\n{}", told.out);
    }
    assert!(told.out.lines().all(|line| line.chars().count() <= 80), "{}", told.out);
    let status = story.run(&["status", PRODUCTION]).ended(0);
    assert!(status.out.contains("though it passes on the sample"), "{}", status.out);
    let alone = rehearsed(&story, &["--no-sample"], 1);
    assert_eq!(alone["sample"], Value::Null);

    let container = story.container(DEVELOPMENT, "db").id();
    docker(&[
        "exec",
        &container,
        "psql",
        "-qAtX",
        "-U",
        "shop",
        "-c",
        "ALTER TABLE users ADD COLUMN note text",
    ]);
    story.write("sql/up.sql", SAFE);
    let both = rehearsed(&story, &[], 0);
    assert_eq!(both["sample"]["verdict"], "fails-on-the-sample-only", "{both}");
    let whole = both["commands"][0]["statements"].as_array().map_or(0, Vec::len);
    assert!(whole > 0 && both["sample"]["commands"][0]["exit_code"] != 0, "{both}");
    docker(&["exec", &container, "psql", "-qAtX", "-U", "shop", "-c", "ALTER TABLE users DROP COLUMN note"]);
    story.write("sql/up.sql", "UPDATE users SET size = '0';\n");
    let both = rehearsed(&story, &[], 0);
    assert_eq!(both["sample"]["verdict"], "passes-on-both", "{both}");
    let rows = |part: &Value| part["commands"][0]["statements"][0]["rows"].as_u64().unwrap_or(0);
    assert_eq!(rows(&both), 20_000, "{both}");
    assert!((1..4_000).contains(&rows(&both["sample"])), "{both}");
    assert_eq!((production(&story), story.ids(DEVELOPMENT), columns(&story, DEVELOPMENT)), before);
    for environment in [PRODUCTION, DEVELOPMENT] {
        let name =
            format!("label=com.docker.compose.project={}-rehearsal", story.compose_project(environment));
        assert_eq!(lines(&["ps", "-aq", "--filter", &name]), Vec::<String>::new());
        assert_eq!(lines(&["volume", "ls", "-q", "--filter", &name]), Vec::<String>::new());
    }
}

fn columns(story: &Story, environment: &str) -> String {
    let container = story.container(environment, "db").id();
    let sql = "SELECT string_agg(column_name || data_type, ',' ORDER BY 1) FROM information_schema.columns WHERE table_name = 'users'";
    docker(&["exec", &container, "psql", "-qAtX", "-U", "shop", "-c", sql])
}

/// Promise: the way back is rehearsed after the way there, on what that left; one that does not work fails the rehearsal.
/// Given: a `down` that undoes the migration, and then one that stumbles; the way there fails too, at last.
#[test]
fn the_way_back_is_rehearsed() {
    let story = shop();
    let before = production(&story);
    let command = |file: &str| format!("[psql, -qX, -v, ON_ERROR_STOP=1, -f, /sql/{file}]");
    let up = command("up.sql");
    story.edit("partywall.yaml", &up, &format!("{up}, down: {}", command("down.sql")));
    story.write("sql/down.sql", "SET lock_timeout = '2s';\nALTER TABLE users DROP COLUMN note;\n");
    let told = rehearsed(&story, &[], 0);
    let of = |told: &Value, index: usize| {
        let one = &told["commands"][index];
        let last = one["statements"].as_array().and_then(|all| all.last()).cloned().unwrap_or_default();
        (one["service"].clone(), one["exit_code"].clone(), last["text"].clone())
    };
    assert_eq!(of(&told, 0), ("migrate".into(), 0.into(), "ALTER TABLE users ADD COLUMN note text".into()));
    assert_eq!(of(&told, 1), ("migrate-down".into(), 0.into(), "ALTER TABLE users DROP COLUMN note".into()));

    story.write("sql/down.sql", "ALTER TABLE users DROP COLUMN other;\n");
    let told = story.run(&["rehearse", PRODUCTION]).ended(1);
    for words in
        ["migrate-down  1 statement", "failed: column \"other\" of relation \"users\" does not exist"]
    {
        assert!(told.out.contains(words), "`{words}` in\n{}", told.out);
    }
    story.write("sql/up.sql", "ALTER TABLE nowhere ADD COLUMN a int;");
    let told = rehearsed(&story, &[], 1);
    assert_eq!(
        told["commands"].as_array().map(Vec::len),
        Some(1),
        "there is nothing to go back from: {told}"
    );
    assert_eq!(production(&story), before);
    assert_eq!(copy(&story), Vec::<String>::new());
}

/// Promise: a server that cannot stream its files is copied row by row, which is said, and measured all the same.
/// Given: a server with `wal_level=minimal`, a role of the application's that owns the table, and a sequence in use.
#[test]
fn a_server_that_cannot_stream_is_copied_by_its_rows() {
    let story = shop();
    query(&story, "CREATE ROLE app LOGIN PASSWORD 'not-in-any-message'; ALTER TABLE users OWNER TO app");
    query(&story, "CREATE POLICY own ON users TO app USING (true); GRANT SELECT ON users TO pg_monitor");
    let image = format!("image: {}\n    environment: {{ POSTGRES_USER", image("postgres"));
    let minimal =
        "command: [postgres, -c, wal_level=minimal, -c, max_wal_senders=0]\n    environment: { POSTGRES_USER";
    story.edit("docker-compose.yml", &image, &image.replace("environment: { POSTGRES_USER", minimal));
    story.up(PRODUCTION);
    let before = production(&story);
    story.write("sql/up.sql", "SET ROLE app;\nUPDATE users SET email = lower(email);\n");
    let told = rehearsed(&story, &[], 0);
    let why = "`wal_level` of the server is `minimal`, so it cannot stream its files";
    assert_eq!(told["copy"]["logical_because"], why, "{told}");
    let statements = told["commands"][0]["statements"].as_array().cloned().unwrap_or_default();
    let update =
        statements.iter().find(|one| one["text"].as_str().is_some_and(|text| text.starts_with("UPDATE")));
    assert_eq!(update.map(|one| one["rows"].clone()), Some(20_000.into()), "{told}");
    let shown = story.run(&["rehearse", PRODUCTION]).ended(0);
    assert!(shown.out.contains("logical"), "{}", shown.out);
    shown.says(&["the copy is a logical one"]);
    assert_eq!(production(&story), before);
    assert_eq!(copy(&story), Vec::<String>::new());
}

/// Promise: a copy from a backup holds what production held then, and production is not even asked.
/// Given: a backup, then fewer rows, then production's database stopped.
/// Then: the migration meets all rows of the backup, whose name is told; what is no backup of it is refused; nothing is left.
#[test]
fn a_backup_is_rehearsed_on() {
    let story = shop();
    let section = format!("backup: {{ repository: {} }}\n", story.repository().display());
    story.write("partywall.yaml", &format!("{}{section}", story.read("partywall.yaml")));
    story.run(&["rehearse", PRODUCTION, "--from", "latest"]).ended(1).says(&["`production` has no backup"]);
    query(&story, "CREATE ROLE app LOGIN PASSWORD 'not-in-any-message'; ALTER TABLE users OWNER TO app");
    story.run(&["backup", PRODUCTION]).ended(0);
    query(&story, "DELETE FROM users WHERE id > 7");
    let container = story.container(PRODUCTION, "db").id();
    docker(&["stop", &container]);
    story.run(&["rehearse", PRODUCTION]).ended(1).says(&["does not run", "--from latest"]);
    let known = story.run(&["backups", PRODUCTION, "--json"]).ended(0).json();
    let name = known["backups"][0]["name"].as_str().expect("a backup").to_owned();

    story.write("sql/up.sql", "SET ROLE app;\nUPDATE users SET email = lower(email);\n");
    let told = rehearsed(&story, &["--from", "latest"], 0);
    assert_eq!(told["copy"]["backup"], name.as_str(), "{told}");
    let statements = told["commands"][0]["statements"].as_array().cloned().unwrap_or_default();
    assert!(statements.iter().any(|one| one["rows"] == 20_000), "{told}");
    story.write("sql/up.sql", "ALTER TABLE nowhere ADD COLUMN a int;");
    let shown = story.run(&["rehearse", PRODUCTION, "--from", &name]).ended(1);
    assert!(shown.out.starts_with(&format!("rehearsed on backup {name} of production")), "{}", shown.out);
    let other = ["rehearse", DEVELOPMENT, "--from", &name];
    story.run(&other).ended(1).says(&["is not of `development`"]);
    assert_eq!(copy(&story), Vec::<String>::new());
    assert_eq!(docker(&["ps", "-q", "--filter", &format!("id={container}")]).trim(), "");
}
