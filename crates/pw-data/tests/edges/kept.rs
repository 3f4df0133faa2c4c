//! What stays of a failed run, and what is told of a target that was ahead of the source.

use pw_data::load::Scratch;
use pw_data::mask::Secret;
use pw_data::sample::{Order, Reading};
use pw_model::source::SourceFile;

use crate::server::Server;
use crate::{sample, told, try_sample};

const RULES: &str = "cohort: { table: people }\nmasks: { people.email: email, people.plain: keep }\n";

async fn keeping(server: &Server) -> String {
    let file = SourceFile::new("rules.yaml", RULES);
    let (from, to) = (server.address("production"), server.address("development"));
    let reading = Reading::open(&from, &file, false, &|_| ()).await.map_err(told).expect("it is read");
    let (secret, program) = (Secret::new("s"), server.pg_dump());
    let order = Order { to: &to, secret: &secret, keep_failed: true, pg_dump: Some(&program) };
    reading.load(&order, &|_| ()).await.map_err(told).expect_err("a value leaks")
}

#[tokio::test]
async fn a_failed_run_stays_only_where_that_was_asked_and_until_the_next() {
    let server = Server::start();
    server.sql("production", "CREATE TABLE people (id int PRIMARY KEY, email text, plain text); \
        INSERT INTO people SELECT i, 'person' || i || '@mail.example', CASE i WHEN 7 THEN 'person7@mail.example' END FROM generate_series(1, 50) i");
    let to = server.address("development");
    let left = async || Scratch::left(&to).await.map_err(|failure| failure.to_string());
    let message = try_sample(&server, RULES).await.unwrap_err();
    assert!(message.contains("a masked production value stands in `people.plain`"), "{message}");
    assert_eq!(left().await, Ok(None));
    assert!(keeping(&server).await.contains("`people.plain`"));
    assert_eq!(left().await, Ok(Some("development__partywall_new".into())));
    assert_eq!(
        server.sql("development__partywall_new", "SELECT count(*) FROM people"),
        "50",
        "to be looked at"
    );
    sample(&server, &RULES.replace("plain: keep", "plain: text")).await;
    assert_eq!(left().await, Ok(None), "the next run removes it");
}

#[tokio::test]
async fn migrations_that_only_the_target_had_are_named() {
    let server = Server::start();
    server.sql("production", "CREATE TABLE schema_migrations (version bigint PRIMARY KEY, dirty bool); INSERT INTO schema_migrations VALUES (1), (2); \
        CREATE TABLE migrations (id int PRIMARY KEY); INSERT INTO migrations VALUES (1)");
    let rules = "tables: { schema_migrations: whole }\n";
    assert_eq!(sample(&server, rules).await.told, Vec::<String>::new(), "there was no target");
    server.sql("development", "INSERT INTO schema_migrations SELECT generate_series(3, 9); ALTER TABLE schema_migrations ADD COLUMN newer int; \
        CREATE TABLE django_migrations (app text, name text); INSERT INTO django_migrations VALUES ('shop', '0001_initial')");
    let told = sample(&server, rules).await.told;
    let behind = "had been applied to the target and not to the source: the new database has the source's schema; apply them again";
    assert_eq!(
        told,
        [
            format!("`shop.0001_initial` of `django_migrations` {behind}"),
            format!("`3`, `4`, `5`, `6`, `7` and 2 more of `schema_migrations` {behind}")
        ]
    );
    assert_eq!(
        server.sql(
            "development",
            "SELECT to_regclass('django_migrations') IS NULL, max(version) FROM schema_migrations"
        ),
        "t|2"
    );
    server.sql("production", "INSERT INTO schema_migrations VALUES (3)");
    assert_eq!(sample(&server, rules).await.told, Vec::<String>::new(), "the source may be ahead");
}

/// A migration of the source while its rows are read: it waits, or the sample is of before it.
#[tokio::test]
async fn a_migration_in_the_middle_leaves_a_sample_of_one_moment_or_an_error() {
    let server = Server::start();
    server.sql("production", "CREATE TABLE root (id int PRIMARY KEY, word text); CREATE TABLE leaf (id int PRIMARY KEY, root_id int NOT NULL REFERENCES root); \
        INSERT INTO root SELECT i, 'w' || i FROM generate_series(1, 100) i; INSERT INTO leaf SELECT i, i FROM generate_series(1, 100) i");
    let rules = SourceFile::new("rules.yaml", "cohort: { table: root, where: \"id <= 10\" }\n");
    sample(&server, &rules.text).await;
    for change in [
        "ALTER TABLE leaf ADD COLUMN added int DEFAULT 7",
        "ALTER TABLE root DROP COLUMN word",
        "ALTER TABLE leaf ALTER COLUMN id TYPE bigint",
        "TRUNCATE leaf",
    ] {
        let alter = format!("SET lock_timeout = '200ms'; {change}");
        let at = |stage: &str| {
            if stage == "learning what must not go out" {
                let url = server.dsn("owner", crate::server::PASSWORD, "production");
                let words = ["exec", &server.name, "psql", "-qX", "-d", &url, "-c", &alter];
                drop(std::process::Command::new("docker").args(words).output().expect("docker runs"));
            }
        };
        let reading =
            Reading::open(&server.address("production"), &rules, false, &|_| ()).await.map_err(told).unwrap();
        let (to, secret, program) = (server.address("development"), Secret::new("s"), server.pg_dump());
        let order = Order { to: &to, secret: &secret, keep_failed: false, pg_dump: Some(&program) };
        let ended = reading.load(&order, &at).await.map_err(told);
        let rows = server.sql("development", "SELECT (SELECT count(*) FROM root), (SELECT count(*) FROM leaf), (SELECT count(*) FROM leaf JOIN root ON root.id = root_id)");
        assert_eq!(rows, "10|10|10", "{change}: {ended:?}");
        let left =
            server.sql("postgres", "SELECT count(*) FROM pg_database WHERE datname LIKE '%partywall%'");
        assert_eq!(left, "0", "{change}");
    }
}
