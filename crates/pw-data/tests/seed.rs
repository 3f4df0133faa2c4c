//! What a seed does in development's server, each step twice, and taken back.
#![expect(clippy::expect_used, clippy::panic, reason = "helpers of tests fail by panicking")]

mod server;

use std::collections::BTreeMap;

use pw_data::Halt;
use pw_data::mask::Secret;
use pw_data::rules::Size;
use pw_data::sample::{Opening, Order, Reading};
use pw_data::seed::{self, Rewrite};
use pw_data::server::Address;
use pw_model::source::SourceFile;
use server::Server;

const SQL: &str = "
CREATE TABLE users (id int PRIMARY KEY, email text NOT NULL UNIQUE);
CREATE TABLE files (id int PRIMARY KEY, user_id int NOT NULL REFERENCES users, key text);
CREATE TABLE settings (name text PRIMARY KEY, value text, since date);
INSERT INTO users SELECT i, 'person' || i || '@mail.example' FROM generate_series(1, 500) i;
INSERT INTO files SELECT i, i, CASE WHEN i % 10 > 0 THEN 'art/' || i END FROM generate_series(1, 500) i;
ALTER TABLE files ADD CONSTRAINT never_checked FOREIGN KEY (id) REFERENCES users NOT VALID;
INSERT INTO settings VALUES ('site', 'https://production.example', '2020-01-01');
";
const RULES: &str = "seed:\n  cohort: { table: users, sample: 50% }\n  tables: { settings: whole }\n  masks: { users.email: email, files.key: keep }\n  vault: [{ volume: v, key: files.key }]\n";

fn ok<T>(result: Result<T, pw_run::Failure>) -> T {
    result.unwrap_or_else(|failure| panic!("{failure}: {:?}", failure.source))
}

fn told<T>(result: Result<T, Halt>) -> T {
    result.unwrap_or_else(|halt| panic!("{halt:?}"))
}

/// A proved sample of `production` beside `development`, which holds something of its own.
async fn sampled(server: &Server, name: &str) -> Address {
    server.sql("production", SQL);
    server.sql("production", "CREATE DATABASE development");
    server.sql("development", "CREATE TABLE own (id int); INSERT INTO own VALUES (7)");
    fill(server, name).await
}

async fn fill(server: &Server, name: &str) -> Address {
    let rules = SourceFile::new("partywall.yaml", RULES);
    let (from, to) = (server.address("production"), server.address("development"));
    let opening = Opening { size: Some(Size::Count(100)), ..Opening::default() };
    let reading = told(Reading::open_as(&from, &rules, &opening, &|_| {}).await);
    assert!(reading.bars_reading("files.key").is_none());
    assert!(reading.bars_reading("users.email").is_some_and(|told| told.to_string().contains("is masked")));
    let misspelt = reading.bars_reading("files.kye").expect("no such column").to_string();
    assert!(misspelt.contains("write `files.key`"), "{misspelt}");
    let (secret, words) = (Secret::new("a secret of the test"), server.pg_dump());
    let order = Order { to: &to, secret: &secret, keep_failed: false, pg_dump: Some(&words) };
    let (done, scratch) = told(reading.fill(&order, Some(name), &|_| {}).await);
    assert_eq!(
        (done.tables.iter().find(|one| one.table == "users").map(|one| one.rows), done.leaks),
        (Some(100), 0)
    );
    ok(scratch.finish().await);
    scratch.address.clone()
}

#[tokio::test]
async fn names_change_hands_and_back() {
    let server = Server::start();
    let new = "development__partywall_1";
    sampled(&server, new).await;
    let at = server.address("development");
    let pair = |from: &str, to: &str| (from.to_owned(), to.to_owned());
    let forward = [pair("development", "development__partywall_before_1"), pair(new, "development")];
    let back = [pair("development", new), pair("development__partywall_before_1", "development")];
    ok(seed::rename(&at, &back).await);
    assert_eq!(server.sql("development", "SELECT id FROM own"), "7", "nothing to take back");
    for _ in 0..2 {
        ok(seed::rename(&at, &forward).await);
    }
    assert_eq!(server.sql("development", "SELECT count(*) FROM users"), "100");
    // Somebody who holds the database open is sent away.
    let holder = ok(at.connect().await);
    for _ in 0..2 {
        ok(seed::rename(&at, &back).await);
    }
    drop(holder);
    assert_eq!(server.sql("development", "SELECT id FROM own"), "7");
    // A second sample under the same name replaces the first: a run that was cut off begins anew.
    fill(&server, new).await;
    assert!(ok(seed::databases(&at).await).contains(new));
    for _ in 0..2 {
        ok(seed::remove(&at, new).await);
    }
    assert!(!ok(seed::databases(&at).await).contains(new));
    let refused = seed::remove(&at, "production").await.expect_err("not ours");
    assert!(refused.what.contains("is not Partywall's to remove"), "{refused}");
}

/// A server goes on working for a client that has died; its database must not appear behind our back.
#[tokio::test]
async fn removing_waits_for_who_is_still_making_it() {
    let server = Server::start();
    server.sql("production", "CREATE DATABASE development");
    let at = server.address("development");
    let name = "development__partywall_1";
    let maker = ok(server.address("postgres").connect().await);
    let lock = "SELECT pg_advisory_lock(hashtext($1), 7077)";
    maker.execute(lock, &[&name]).await.expect("the lock");
    let remove = seed::remove(&at, name);
    let make = async {
        let waits = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted";
        while maker.query_one(waits, &[]).await.expect("locks").get::<_, i64>(0) == 0 {}
        maker.batch_execute(&format!("CREATE DATABASE \"{name}\"")).await.expect("made");
        drop(maker);
    };
    let (removed, ()) = tokio::join!(remove, make);
    ok(removed);
    assert!(!ok(seed::databases(&at).await).contains(name));
}

#[tokio::test]
async fn files_are_listed_keys_are_counted_and_own_rows_are_written() {
    let server = Server::start();
    let scratch = sampled(&server, "development__partywall_1").await;
    let keys = ok(seed::texts(&scratch, "files.key").await);
    assert!(
        keys.len() > 50 && keys.len() < 100 && keys.iter().all(|key| key.starts_with("art/")),
        "{keys:?}"
    );
    assert_eq!(ok(seed::foreign_keys(&scratch).await), 1, "one of two: production never checked the other");
    let set = BTreeMap::from([
        ("value".to_owned(), "https://development's".into()),
        ("since".to_owned(), "2026-01-02".into()),
    ]);
    let filter = Some("name = 'site'".to_owned());
    let site = Rewrite { table: "settings".into(), set: set.clone(), filter };
    for _ in 0..2 {
        assert_eq!(ok(seed::rewrite(&scratch, std::slice::from_ref(&site)).await), [1]);
    }
    let shown = server.sql(scratch.database(), "SELECT value, since FROM settings");
    assert_eq!(shown, "https://development's|2026-01-02");
    let wrong = Rewrite { table: "setting".into(), set, filter: None };
    let refused = seed::rewrite(&scratch, &[site, wrong]).await.expect_err("no such table");
    assert!(refused.hint.is_some_and(|hint| hint.contains("seed.rewrite")), "{}", refused.what);
}
