//! The whole, on a database that has everything that is hard: cycles, composite keys, partitions, domains,
//! generated columns, policies, triggers, quoted names.
#![expect(clippy::expect_used, clippy::panic, reason = "helpers of tests fail by panicking")]

mod server;

use pw_data::Halt;
use pw_data::mask::Secret;
use pw_data::sample::{Done, Opening, Order, Reading};
use pw_model::source::SourceFile;
use server::Server;

const SQL: &str = include_str!("data/makapix_like.sql");
const RULES: &str = include_str!("data/makapix.yaml");

fn told(halt: Halt) -> String {
    match halt {
        Halt::Complaints(list) => list.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"),
        Halt::Failure(failure) => {
            format!("{failure}: {:?}", failure.source.as_ref().map(|source| format!("{source:?}")))
        }
    }
}

async fn sample(server: &Server, rules: &str, secret: &str, to: &str) -> Result<Done, String> {
    let file = SourceFile::new("rules.yaml", rules);
    let (to, secret, program) = (server.address(to), Secret::new(secret), server.pg_dump());
    let opening = Opening { load: true, pg_dump: Some(&program), ..Opening::default() };
    let from = server.address("production");
    let reading = Reading::open_as(&from, &file, &opening, &|_| ()).await.map_err(told)?;
    let order = Order { to: &to, secret: &secret, keep_failed: false, pg_dump: Some(&program) };
    reading.load(&order, &|_| ()).await.map_err(told)
}

fn filled() -> Server {
    let server = Server::start();
    server.psql("production", &["-v", "users=2000"], SQL);
    server
}

/// All that could be compared between two samples: every row of every table, in an order of its own.
const FINGERPRINT: &str = "SELECT string_agg(format('SELECT %L, count(*), md5(string_agg(md5(t::text), '''' ORDER BY md5(t::text))) FROM %s t', oid::regclass, oid::regclass), ' UNION ALL ' ORDER BY oid::regclass::text) \
    FROM pg_class WHERE relkind IN ('r', 'p') AND relnamespace = 'public'::regnamespace AND NOT relispartition";

fn fingerprint(server: &Server, database: &str) -> String {
    let query = server.sql(database, FINGERPRINT);
    let mut lines: Vec<String> = server.sql(database, &query).lines().map(str::to_owned).collect();
    lines.sort();
    lines.join("\n")
}

/// What a mask makes of a value by the secret. Addresses of machines and places, names and words are few, so that two secrets
/// meet in some by chance; of users there are few enough.
const OF_A_SECRET: [(&str, &[&str]); 11] = [
    ("users", &["email", "handle", "last_ip", "settings->>'recovery_email'", "settings->>'phone'"]),
    ("profiles", &["website", "contact->>'email'", "contact->>'discord'"]),
    (
        "oauth_accounts",
        &[
            "provider_user_id",
            "access_token",
            "refresh_token",
            "raw_profile->>'login'",
            "raw_profile->>'email'",
        ],
    ),
    ("api_keys", &["secret_hash", "prefix"]),
    ("teams", &["billing_email"]),
    ("team_invites", &["email", "token"]),
    ("posts", &["metadata#>>'{exif,author_email}'"]),
    ("notifications", &["payload->>'from_handle'"]),
    ("players", &["cert_pem", "registration_code"]),
    ("direct_messages", &["body"]),
    ("blog_comments", &["guest_email"]),
];

#[tokio::test]
async fn a_sample_is_closed_masked_proved_and_the_same_every_time() {
    let server = filled();
    let before = fingerprint(&server, "production");
    let done = sample(&server, RULES, "a secret", "first").await.unwrap();
    assert!(
        done.rows > 5_000 && done.searched_for > 2_000,
        "{} rows, {} values",
        done.rows,
        done.searched_for
    );
    shape(&server);
    masked(&server);
    sample(&server, RULES, "a secret", "second").await.unwrap();
    assert_eq!(fingerprint(&server, "first"), fingerprint(&server, "second"), "one secret, one sample");
    sample(&server, RULES, "another secret", "third").await.unwrap();
    for (table, columns) in OF_A_SECRET {
        for column in columns {
            let query = format!("SELECT DISTINCT {column} FROM {table} WHERE {column} IS NOT NULL");
            let [first, third] = ["first", "third"].map(|database| server.sql(database, &query));
            let known: std::collections::HashSet<&str> = first.lines().collect();
            assert!(!known.is_empty() && !third.is_empty(), "{table}.{column} is empty");
            let common = third.lines().find(|value| known.contains(value));
            assert_eq!(common, None, "{table}.{column} under two secrets");
        }
    }
    assert_eq!(fingerprint(&server, "production"), before, "the source is as it was");
}

/// Keys, sequences, partitions and what must not have happened.
fn shape(server: &Server) {
    let ask = |sql: &str| server.sql("first", sql);
    let keys =
        "SELECT count(*), bool_and(convalidated) FROM pg_constraint WHERE contype = 'f' AND conparentid = 0";
    assert_eq!(ask(keys), server.sql("production", keys), "every foreign key, and every one valid");
    let objects = "SELECT relkind, count(*) FROM pg_class WHERE relnamespace = 'public'::regnamespace GROUP BY 1 ORDER BY 1";
    assert_eq!(ask(objects), server.sql("production", objects), "tables, indexes, views, sequences");
    let triggers = "SELECT count(*) FROM pg_trigger WHERE NOT tgisinternal";
    assert_eq!(ask(triggers), server.sql("production", triggers));
    assert_eq!(ask("SELECT count(*) FROM users WHERE updated_at IS NOT NULL"), "0", "no trigger fired");
    assert_eq!(ask("SELECT count(*) FROM pg_policies"), "1");
    assert_ne!(ask("SELECT count(*) FROM top_users"), "0", "materialized views are filled");
    assert_eq!(
        ask("SELECT count(*) FROM posts WHERE visibility = 'private'"),
        "0",
        "what is excluded stays out"
    );
    assert_ne!(ask("SELECT count(*) FROM \"playerEvents\""), "0");
    assert_eq!(ask("SELECT (SELECT count(*) FROM sessions), (SELECT count(*) FROM audit_log)"), "0|0");
    assert_eq!(ask("SELECT count(*) FROM site_settings"), "25");
    let order = "SELECT count(*) > 1000, bool_and(key >= before) FROM \
        (SELECT storage_key AS key, lag(storage_key) OVER (ORDER BY ctid) AS before FROM post_files) AS files";
    assert_eq!(ask(order), "t|t", "rows lie in the order of a text that no two of them share");
    let sequence = "SELECT last_value FROM pg_sequences WHERE sequencename = 'users_id_seq'";
    assert_eq!(ask(sequence), server.sql("production", sequence));
    let added = "INSERT INTO tags VALUES (90001, 'new'); INSERT INTO teams (owner_id, slug, name) SELECT min(id), 'new-team', 'n' FROM users RETURNING 1";
    assert_eq!(ask(added), "1", "the identity goes on after the last");
    let leftovers = "SELECT count(*) FROM pg_database WHERE datname LIKE '%partywall%'";
    assert_eq!(ask(leftovers), "0");
    ask("DELETE FROM teams WHERE slug = 'new-team'; DELETE FROM tags WHERE id = 90001");
    let generated = "SELECT count(*) FROM users WHERE handle_key <> lower(handle::text)";
    assert_eq!(ask(generated), "0", "generated columns follow the masks");
}

/// No personal value of the source, in any column of the sample.
fn masked(server: &Server) {
    let whole = server.psql("first", &[], &server.sql("first", "SELECT string_agg(format('SELECT t::text FROM %s t;', oid::regclass), ' ') FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace"));
    for query in [
        "SELECT email FROM users",
        "SELECT access_token FROM oauth_accounts",
        "SELECT settings->>'phone' FROM users",
        "SELECT contact->>'email' FROM profiles",
        "SELECT email FROM team_invites",
    ] {
        let source = server.sql("production", query);
        let mut words: std::collections::HashSet<&str> = source.lines().collect();
        assert!(!words.is_empty());
        let found = whole
            .split(|letter: char| letter.is_whitespace() || "\"'(),{}<>\\".contains(letter))
            .find(|word| words.contains(word));
        assert_eq!(found, None, "a value of `{query}` is in the sample");
        words.clear();
    }
    assert_eq!(server.sql("first", "SELECT count(DISTINCT email) = count(*), bool_and(email ~ '^user[0-9a-f]{16}@dev.local$') FROM users"), "t|t");
    assert_eq!(server.sql("first", "SELECT count(DISTINCT password_hash) FROM users"), "1");
}

#[tokio::test]
async fn what_would_leak_stops_the_run_and_leaves_the_target() {
    let server = filled();
    server.sql("postgres", "CREATE DATABASE development");
    server.sql("development", "CREATE TABLE mine (a int)");

    let careless = RULES.replace("  comments.body: text\n", "").replace("  players.cert_pem: token\n", "");
    let message = sample(&server, &careless, "s", "development").await.unwrap_err();
    assert!(
        message.starts_with("error: 2 columns look personal or secret and no rule speaks of them"),
        "{message}"
    );
    assert!(message.contains("  comments.body: text  # "), "{message}");

    let message = sample(&server, RULES, "s", "development").await.unwrap_err();
    assert!(message.contains("has 1 tables and was not made by `partywall sample`"), "{message}");
    server.sql("postgres", "COMMENT ON DATABASE development IS 'partywall: sample'");

    let blind = RULES.replace("{ exif.author_email: email, exif.gps: \"null\" }", "{ exif.gps: \"null\" }");
    let message = sample(&server, &blind, "s", "development").await.unwrap_err();
    assert!(message.contains("a masked production value stands in `posts.metadata`"), "{message}");
    assert!(!message.contains("@gmail.com") && !message.contains(server::PASSWORD), "{message}");

    assert_eq!(server.sql("development", "SELECT count(*) FROM mine"), "0", "the target is as before");
    assert_eq!(
        server.sql("postgres", "SELECT count(*) FROM pg_database WHERE datname LIKE '%partywall%'"),
        "0"
    );

    let message = sample(&server, RULES, "s", "production").await.unwrap_err();
    assert!(message.starts_with("source and target are the same database"), "{message}");
}

#[tokio::test]
async fn mistakes_in_rules_have_places_and_near_names() {
    let server = filled();
    let rules = "cohort: { tabel: users, table: user, sample: 10% }\nmasks:\n  users.emial: email\n  users.email: emial\n  users.reputation: email\n";
    let file = SourceFile::new("rules.yaml", rules);
    let halt = Reading::open(&server.address("production"), &file, false, &|_| ()).await.err().unwrap();
    let message = told(halt);
    for part in [
        "unknown key `tabel`\n  --> rules.yaml:1:11",
        "the source has no table `user`",
        "no column `users.emial`\n  --> rules.yaml:3:3",
        "there is no mask `emial`\n  --> rules.yaml:4:3",
        "hint: write `email`",
        "does not fit `reputation`: its type is integer",
    ] {
        assert!(message.contains(part), "{part}\nis not in\n{message}");
    }
}

#[tokio::test]
async fn a_row_tells_why_it_is_there() {
    let server = filled();
    let file = SourceFile::new("rules.yaml", RULES);
    let reading =
        Reading::open(&server.address("production"), &file, true, &|_| ()).await.map_err(told).unwrap();
    let plan = reading.plan();
    let users = plan.iter().find(|one| one.table == "users").unwrap();
    assert!((120..=280).contains(&users.by.cohort), "{users:?}");
    assert!(users.by.parents > 0 && users.rows < 2000, "{users:?}");
    let stats = server.sql("production", "SELECT min(id) FROM categories WHERE parent_id IS NULL");
    let chain = reading.why("categories", &stats).await.map_err(told).unwrap();
    assert!(chain.last().is_some_and(|last| last.contains(": users ")), "{chain:?}");
    assert!(told(reading.why("nothing", "1").await.unwrap_err()).contains("no table `nothing`"));
}
