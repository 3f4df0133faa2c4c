//! Schemas that are hard: cycles, partitions, keys that are equal and not alike, policies, triggers.

use pw_data::sample::Reading;
use pw_model::source::SourceFile;

use crate::server::Server;
use crate::{Asked, sample_into, told, try_sample};

const SQL: &str = r#"
CREATE EXTENSION citext;
CREATE TYPE mood AS ENUM ('good', 'bad');
CREATE DOMAIN moods AS mood[];
CREATE TABLE root (id int PRIMARY KEY, moods mood[], more moods, note text GENERATED ALWAYS AS ('n') STORED);
INSERT INTO root SELECT i, ARRAY['good', 'bad']::mood[], ARRAY['bad']::mood[] FROM generate_series(1, 100) i;
-- a cycle in which nothing may be null
CREATE TABLE egg (id bigint PRIMARY KEY, hen bigint NOT NULL, root_id bigint NOT NULL);
CREATE TABLE hen (id bigint PRIMARY KEY, egg bigint NOT NULL REFERENCES egg DEFERRABLE INITIALLY DEFERRED);
INSERT INTO egg SELECT i, i % 100 + 1, i FROM generate_series(1, 100) i;
INSERT INTO hen SELECT i, (i + 7) % 100 + 1 FROM generate_series(1, 100) i;
ALTER TABLE egg ADD FOREIGN KEY (hen) REFERENCES hen DEFERRABLE INITIALLY DEFERRED;
-- other integer types on both sides, and many children of one parent
ALTER TABLE egg ADD FOREIGN KEY (root_id) REFERENCES root;
CREATE TABLE "Select" ("From" smallint NOT NULL REFERENCES root, "a ""b""" text, "order" int);
INSERT INTO "Select" SELECT i % 100 + 1, E'tab\t\\N', i FROM generate_series(1, 1000) i;
-- keys that are equal and not the same bytes
CREATE TABLE tag (name citext PRIMARY KEY, price numeric UNIQUE);
INSERT INTO tag VALUES ('One', 1.0), ('Two', 2.50), ('Unused', 3);
CREATE TABLE tagged (root_id int NOT NULL REFERENCES root, tag citext REFERENCES tag, price numeric REFERENCES tag (price), part int, made date);
INSERT INTO tagged SELECT i, CASE WHEN i % 2 = 0 THEN 'ONE' END, CASE WHEN i % 2 = 1 THEN 2.5 END FROM generate_series(1, 100) i;
-- partitions on both sides of a reference
CREATE TABLE parent (region text, id int, root_id int NOT NULL REFERENCES root, PRIMARY KEY (region, id)) PARTITION BY LIST (region);
CREATE TABLE parent_a PARTITION OF parent FOR VALUES IN ('a');
CREATE TABLE parent_b PARTITION OF parent FOR VALUES IN ('b');
CREATE TABLE child (id int, region text, parent int, FOREIGN KEY (region, parent) REFERENCES parent) PARTITION BY RANGE (id);
CREATE TABLE child_low PARTITION OF child FOR VALUES FROM (0) TO (50);
CREATE TABLE child_rest PARTITION OF child DEFAULT;
INSERT INTO parent SELECT CASE WHEN i % 2 = 0 THEN 'a' ELSE 'b' END, i, i FROM generate_series(1, 100) i;
INSERT INTO child SELECT i, CASE WHEN i % 5 = 0 THEN NULL WHEN i % 2 = 0 THEN 'a' ELSE 'b' END, i FROM generate_series(1, 100) i;
CREATE TABLE alone (anything text);
INSERT INTO alone VALUES ('x'), ('x'), (NULL);
CREATE TABLE empty (id int PRIMARY KEY, root_id int REFERENCES root);
CREATE TABLE hidden (id int PRIMARY KEY, root_id int NOT NULL REFERENCES root);
ALTER TABLE hidden ENABLE ROW LEVEL SECURITY;
INSERT INTO hidden SELECT i, i FROM generate_series(1, 100) i;
CREATE ROLE reader LOGIN PASSWORD 'reader';
DO $$ BEGIN EXECUTE 'CREATE TABLE wide (' || (SELECT string_agg('c' || i || ' bool', ',') FROM generate_series(1, 1600) i) || ')'; END $$;
INSERT INTO wide (c1, c1600) VALUES (true, false);
GRANT SELECT ON ALL TABLES IN SCHEMA public TO reader;
"#;

const RULES: &str = r#"
cohort: { table: root, sample: 10 }
exclude: ["parent where id % 10 = 0"]
children: { Select.From: 3, child.parent: all }
masks: { alone.anything: keep }
"#;

#[tokio::test]
async fn hard_schemas_come_over() {
    let server = Server::start();
    server.sql("production", SQL);
    try_sample(&server, RULES).await.unwrap();
    let ask = |sql: &str| server.sql("development", sql);
    assert_eq!(
        ask("SELECT count(*), bool_and(convalidated) FROM pg_constraint WHERE contype = 'f'"),
        server
            .sql("production", "SELECT count(*), true FROM pg_constraint WHERE contype = 'f'")
            .replace("true", "t")
    );
    assert_eq!(
        ask("SELECT moods, more, note FROM root LIMIT 1"),
        "{good,bad}|{bad}|n",
        "arrays of a type of the user's"
    );
    assert_eq!(
        ask("SELECT count(*), count(DISTINCT \"From\"), min(\"a \"\"b\"\"\") FROM \"Select\""),
        "30|10|tab\t\\N",
        "three of each parent"
    );
    assert_eq!(
        ask("SELECT string_agg(name::text, ',' ORDER BY name) FROM tag"),
        "One,Two",
        "equal keys, other bytes"
    );
    assert_eq!(ask("SELECT count(*) FROM parent WHERE id % 10 = 0"), "0");
    assert_eq!(ask("SELECT count(*) FROM alone"), "3");
    assert_eq!(ask("SELECT c1, c1600, c800 IS NULL FROM wide"), "t|f|t");
    let closed = server.sql("production", "SELECT count(*) FROM root");
    assert_eq!(closed, "100");
}

/// The closure against SQL that says the same: the naive way, on the same database.
#[tokio::test]
async fn the_closure_is_what_plain_sql_says() {
    let server = Server::start();
    server.sql("production", SQL);
    let rules = "cohort: { table: root, where: \"id % 9 = 0\" }\nmasks: { alone.anything: keep }\n";
    try_sample(&server, rules).await.unwrap();
    let oracle = "WITH RECURSIVE e(id) AS (SELECT id FROM egg WHERE root_id % 9 = 0 \
        UNION SELECT h.egg FROM e JOIN egg ON egg.id = e.id JOIN hen h ON h.id = egg.hen), \
        down(kind, id) AS (SELECT 'egg', id FROM egg WHERE root_id % 9 = 0 UNION SELECT n.kind, n.id FROM down d, LATERAL \
        (SELECT 'hen', id FROM hen WHERE d.kind = 'egg' AND hen.egg = d.id UNION ALL SELECT 'egg', id FROM egg WHERE d.kind = 'hen' AND egg.hen = d.id) n(kind, id)), \
        up(kind, id) AS (SELECT * FROM down UNION SELECT n.kind, n.id FROM up u, LATERAL \
        (SELECT 'hen', hen FROM egg WHERE u.kind = 'egg' AND egg.id = u.id UNION ALL SELECT 'egg', egg FROM hen WHERE u.kind = 'hen' AND hen.id = u.id) n(kind, id)) \
        SELECT kind, count(*), sum(id) FROM up GROUP BY 1 ORDER BY 1";
    let loaded =
        "SELECT 'egg', count(*), sum(id) FROM egg UNION ALL SELECT 'hen', count(*), sum(id) FROM hen";
    assert_eq!(server.sql("development", loaded), server.sql("production", oracle));
}

#[tokio::test]
async fn policies_and_leftovers_are_not_passed_over_in_silence() {
    let server = Server::start();
    server.sql("production", SQL);
    let file = SourceFile::new("rules.yaml", RULES);
    let reader = server.address_of("reader", "reader", "production");
    let message =
        Reading::open(&reader, &file, false, &|_| ()).await.err().map(told).expect("a policy hides rows");
    assert!(message.contains("row-level security"), "{message}");

    server.sql("postgres", "CREATE DATABASE development__partywall_new");
    let message = try_sample(&server, RULES).await.unwrap_err();
    assert!(
        message.starts_with("a database `development__partywall_new` exists and is not ours"),
        "{message}"
    );
    server
        .sql("postgres", "COMMENT ON DATABASE development__partywall_new IS 'partywall: unfinished sample'");
    try_sample(&server, RULES).await.expect("what a killed run left is removed");
    server.sql("postgres", "CREATE DATABASE development__partywall_new ALLOW_CONNECTIONS false");
    try_sample(&server, RULES).await.expect("so is what was not marked yet");
    assert_eq!(
        server.sql("postgres", "SELECT count(*) FROM pg_database WHERE datname LIKE '%partywall%'"),
        "0"
    );
}

const OBJECTS: &str = r#"
CREATE SCHEMA "Other";
CREATE TABLE root (id int PRIMARY KEY, label text DEFAULT 'x', kind text, gone int);
ALTER TABLE root DROP COLUMN gone;
COMMENT ON COLUMN root.label IS 'what it is called';
CREATE TABLE "Other".child (id int GENERATED ALWAYS AS IDENTITY (START 1000) PRIMARY KEY, root_id int NOT NULL REFERENCES public.root ON DELETE CASCADE, span int4range, EXCLUDE USING gist (span WITH &&));
CREATE FUNCTION twice(int) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT $1 * 2';
CREATE INDEX by_twice ON root (twice(id)) WHERE kind IS NOT NULL;
CREATE VIEW first_view AS SELECT id, label, twice(id) AS double FROM root;
CREATE VIEW second_view AS SELECT v.*, c.span FROM first_view v JOIN "Other".child c ON c.root_id = v.id;
CREATE MATERIALIZED VIEW third AS SELECT count(*) AS n FROM second_view;
CREATE UNIQUE INDEX ON third (n);
CREATE RULE no_more AS ON DELETE TO root DO INSTEAD NOTHING;
CREATE FUNCTION forbidden() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'a trigger fired'; END $$;
CREATE STATISTICS together ON id, kind FROM root;
INSERT INTO root SELECT i, 'l' || i, CASE WHEN i % 2 = 0 THEN 'even' END FROM generate_series(1, 100) i;
INSERT INTO "Other".child (root_id, span) SELECT i, int4range(i * 10, i * 10 + 5) FROM generate_series(1, 100) i;
REFRESH MATERIALIZED VIEW third;
CREATE TRIGGER never BEFORE INSERT ON root FOR EACH ROW EXECUTE FUNCTION forbidden();
CREATE TRIGGER never AFTER INSERT ON "Other".child FOR EACH STATEMENT EXECUTE FUNCTION forbidden();
"#;

/// What pg_dump writes of a database, without its rows.
fn schema_of(server: &Server, database: &str) -> String {
    let mut words = vec!["exec", &server.name, "pg_dump", "-U", "owner", "--schema-only"];
    words.extend(["--no-owner", "--no-privileges", database]);
    let output = std::process::Command::new("docker").args(words).output().expect("docker runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    text.lines().filter(|line| !line.starts_with('\\')).collect::<Vec<_>>().join("\n")
}

#[tokio::test]
async fn views_rules_triggers_and_comments_come_over() {
    let server = Server::start();
    server.sql("production", OBJECTS);
    try_sample(&server, "cohort: { table: root, where: \"id <= 10\" }\n").await.unwrap();
    assert_eq!(schema_of(&server, "development"), schema_of(&server, "production"));
    let ask = |sql: &str| server.sql("development", sql);
    assert_eq!(ask("SELECT count(*), sum(double) FROM second_view"), "10|110");
    assert_eq!(ask("SELECT n FROM third"), "10", "filled anew");
    assert_eq!(
        ask("SELECT count(*) FROM pg_stats WHERE tablename IN ('root', 'child')"),
        "6",
        "statistics are made"
    );
}

#[tokio::test]
async fn three_hundred_tables_come_over() {
    let server = Server::start();
    let chain: String = (1..300)
        .map(|at| format!("CREATE TABLE t{at} (id int PRIMARY KEY, up int NOT NULL REFERENCES t{}, side int REFERENCES t{});\nINSERT INTO t{at} SELECT i, i, nullif(i % 7, 0) FROM generate_series(1, 20) i;\n", at - 1, at / 2))
        .collect();
    server.sql(
        "production",
        &format!(
            "CREATE TABLE t0 (id int PRIMARY KEY); INSERT INTO t0 SELECT generate_series(1, 20);\n{chain}"
        ),
    );
    try_sample(&server, "cohort: { table: t0, where: \"id = 10\" }\n").await.unwrap();
    assert_eq!(server.sql("development", "SELECT id FROM t299"), "10");
    // Row 10 names row 3 of the table at half its number, and so on up to the first.
    assert_eq!(server.sql("development", "SELECT string_agg(id::text, ',' ORDER BY id) FROM t1"), "3,10");
    let valid = "SELECT count(*) FROM pg_constraint WHERE contype = 'f' AND convalidated";
    assert_eq!(server.sql("development", valid), "598");
}

const MORE: &str = r#"
CREATE TABLE root (id int PRIMARY KEY, code text, kind text);
CREATE UNIQUE INDEX one_code ON root (code) WHERE kind = 'live';
INSERT INTO root SELECT i, 'c' || i, CASE WHEN i % 2 = 0 THEN 'live' END FROM generate_series(1, 100) i;
-- partitions of partitions, whose columns stand in another order and of which one was dropped
CREATE TABLE event (id bigint GENERATED ALWAYS AS IDENTITY, root_id int NOT NULL REFERENCES root, region text, month date, told text, PRIMARY KEY (id, region, month)) PARTITION BY LIST (region);
CREATE TABLE event_eu PARTITION OF event FOR VALUES IN ('eu') PARTITION BY RANGE (month);
CREATE TABLE event_eu_01 (told text, gone int, month date NOT NULL, region text NOT NULL, root_id int NOT NULL, id bigint NOT NULL) PARTITION BY HASH (id);
ALTER TABLE event_eu_01 DROP COLUMN gone;
ALTER TABLE event_eu ATTACH PARTITION event_eu_01 FOR VALUES FROM ('2026-01-01') TO ('2026-02-01');
CREATE TABLE event_eu_01_a PARTITION OF event_eu_01 FOR VALUES WITH (MODULUS 2, REMAINDER 0);
CREATE TABLE event_eu_01_b PARTITION OF event_eu_01 FOR VALUES WITH (MODULUS 2, REMAINDER 1);
CREATE TABLE event_eu_rest PARTITION OF event_eu DEFAULT;
CREATE TABLE event_rest PARTITION OF event DEFAULT;
INSERT INTO event (root_id, region, month, told) SELECT i, CASE WHEN i % 3 = 0 THEN 'us' ELSE 'eu' END, '2026-01-01'::date + i % 60, 'n' || i FROM generate_series(1, 100) i;
CREATE TABLE reaction (id int PRIMARY KEY, event bigint, region text, month date, FOREIGN KEY (event, region, month) REFERENCES event ON DELETE SET NULL);
INSERT INTO reaction SELECT id, id, region, month FROM event;
-- a key of one partition's own, and one from a partition to a partition
ALTER TABLE event_eu_rest ADD UNIQUE (id);
CREATE TABLE only_rest (id int PRIMARY KEY, event bigint REFERENCES event_eu_rest (id));
INSERT INTO only_rest SELECT row_number() OVER (), id FROM event_eu_rest;
-- inheritance of old
CREATE TABLE animal (id int PRIMARY KEY, root_id int NOT NULL REFERENCES root);
CREATE TABLE dog (bark text, FOREIGN KEY (root_id) REFERENCES root) INHERITS (animal);
INSERT INTO animal SELECT i, i FROM generate_series(1, 100) i;
INSERT INTO dog SELECT 1000 + i, i, 'woof' FROM generate_series(1, 100) i;
-- unique over nulls, excluded by a deferrable constraint, and keys that hold when all is done
CREATE TABLE slot (root_id int REFERENCES root, during tstzrange, extra int, UNIQUE NULLS NOT DISTINCT (root_id, extra), EXCLUDE USING gist (during WITH &&) DEFERRABLE INITIALLY DEFERRED);
INSERT INTO slot SELECT i, tstzrange('2026-01-01'::timestamptz + i * interval '1 day', '2026-01-01'::timestamptz + (i + 1) * interval '1 day'), NULL FROM generate_series(1, 100) i;
-- a key that never held for every row
CREATE TABLE loose (id int PRIMARY KEY, root_id int NOT NULL, other_id int);
INSERT INTO loose SELECT i, CASE WHEN i % 10 = 0 THEN -1 ELSE i END, i FROM generate_series(1, 100) i;
ALTER TABLE loose ADD CONSTRAINT never_held FOREIGN KEY (root_id) REFERENCES root NOT VALID;
ALTER TABLE loose ADD CONSTRAINT not_yet FOREIGN KEY (other_id) REFERENCES root NOT VALID;
CREATE UNLOGGED TABLE unlogged (id int PRIMARY KEY, root_id int NOT NULL REFERENCES root);
INSERT INTO unlogged SELECT i, i FROM generate_series(1, 100) i;
CREATE TABLE nothing ();
CREATE TABLE made_only (made int GENERATED ALWAYS AS (7) STORED);
INSERT INTO made_only DEFAULT VALUES;
INSERT INTO nothing DEFAULT VALUES;
CREATE VIEW totals AS SELECT region, count(*) AS n FROM event GROUP BY region;
CREATE MATERIALIZED VIEW first AS SELECT sum(n) AS n FROM totals;
CREATE MATERIALIZED VIEW second AS SELECT n * 2 AS n FROM first WITH NO DATA;
CREATE FUNCTION told() RETURNS event_trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'an event trigger fired'; END $$;
CREATE EVENT TRIGGER never ON ddl_command_end EXECUTE FUNCTION told();
"#;

#[tokio::test]
async fn partitions_of_partitions_and_keys_of_every_kind_come_over() {
    let server = Server::start();
    partitions(&server, &server).await;
    assert_eq!(schema_of(&server, "development"), schema_of(&server, "production"));
}

pub(crate) async fn partitions(from: &impl Asked, to: &impl Asked) {
    from.sql("production", &from.known(MORE, &[(15, "UNIQUE NULLS NOT DISTINCT", "UNIQUE")]));
    let rules = "cohort: { table: root, where: \"id <= 30\" }\nchildren: { reaction.event: all }\n";
    sample_into(from, to, rules).await;
    let ask = |sql: &str| to.sql("development", sql);
    for (sql, filter) in [
        ("SELECT count(*), sum(id), string_agg(told, ',' ORDER BY id) FROM event", "root_id <= 30"),
        ("SELECT count(*), sum(id) FROM event_eu_01_a", "root_id <= 30"),
        ("SELECT count(*), sum(id), sum(event) FROM reaction", "id <= 30"),
        ("SELECT count(*), sum(root_id) FROM ONLY animal", "root_id <= 30"),
        ("SELECT count(*), sum(root_id), min(bark) FROM dog", "root_id <= 30"),
        ("SELECT count(*), max(upper(during)) FROM slot", "root_id <= 30"),
        ("SELECT count(*), sum(id) FROM unlogged", "root_id <= 30"),
        ("SELECT count(*), sum(id) FROM loose", "other_id <= 30"),
        ("SELECT count(*) FROM nothing", "true"),
        ("SELECT count(*), sum(made) FROM made_only", "true"),
    ] {
        assert_eq!(ask(sql), from.sql("production", &format!("{sql} WHERE {filter}")), "{sql}");
    }
    assert_eq!(ask("SELECT first.n, second.n FROM first, second"), "30|60");
    let valid = "SELECT string_agg(conname, ',') FROM pg_constraint WHERE contype = 'f' AND NOT convalidated";
    assert_eq!(ask(valid), "never_held,not_yet", "as in the source");
}
