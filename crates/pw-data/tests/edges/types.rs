//! Values of every kind come over as they are, also where their binary form means nothing in another database.

use pw_data::sample::Done;

use crate::server::Server;
use crate::{Asked, sample, sample_into, try_sample};

/// So many types before the others that no number is the same in the two databases.
const SHIFTED: &str = "DO $$ BEGIN FOR i IN 1..200 LOOP EXECUTE 'CREATE TYPE shift_' || i || ' AS ENUM ()'; EXECUTE 'DROP TYPE shift_' || i; END LOOP; END $$;";

const TYPES: &str = r#"
CREATE EXTENSION citext; CREATE EXTENSION hstore; CREATE EXTENSION ltree; CREATE EXTENSION lo;
CREATE TYPE mood AS ENUM ('good', 'bad');
CREATE TYPE place AS (street text, "Number" int, at timestamptz);
CREATE TYPE person AS (name citext, home place, moods mood[]);
CREATE DOMAIN moods AS mood[] CHECK (array_length(VALUE, 1) < 4);
CREATE DOMAIN few AS moods CHECK (cardinality(VALUE) > 0);
CREATE DOMAIN home AS place CHECK ((VALUE).street <> '');
CREATE TYPE texts AS RANGE (subtype = text);
CREATE TYPE places AS RANGE (subtype = place);
CREATE TABLE everything (
    id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    number_small smallint, number_big bigint, exact numeric(30, 10), real_one real, double_one double precision, cash money,
    words varchar(20), padded char(8), "char" "char", insensitive citext, named name, bytes bytea, yes bool,
    day date, moment timestamptz, local timestamp, clock time, clock_far timetz, span interval,
    address inet, network cidr, hardware macaddr, hardware_long macaddr8, unique_one uuid,
    shape point, line_one line, box_one box, path_one path, polygon_one polygon, circle_one circle, segment lseg,
    bits bit(3), bits_some bit varying(9), found tsvector, asked tsquery, document xml, loose json, tight jsonb, way jsonpath,
    numbers int4range, moments tstzmultirange, range_of_text texts, range_of_place places, many int4multirange[],
    pairs hstore, tree ltree, feeling mood, feelings mood[], domained moods, domained_twice few, nested moods[],
    composite place, deep person, composites person[], in_domain home, whole_row "Select",
    grid int[][], none int[], lsn pg_lsn, snapshot pg_snapshot, transaction xid8, list int2vector,
    relation regclass, routine regprocedure, kind regtype, schema_of regnamespace, operator_of regoperator, config regconfig, relations regclass[],
    number oid, made text GENERATED ALWAYS AS (words || '!') STORED
);
"#;

const ROWS: &str = r#"
INSERT INTO everything VALUES (DEFAULT,
    -32768, 9223372036854775807, 12345678901234567890.0123456789, 1.1, 0.1::float8 + 0.2, 12.34,
    E'tab\t"q" \\N', 'pad', 'x', 'MixedCase', 'a name', '\x00ff5c27', true,
    'infinity', '2020-02-29 12:34:56.789012+05', '-infinity', '24:00:00', '12:00:00+05:30', '1 year -2 days 03:04:05.678',
    '2001:db8::1/64', '10.0.0.0/8', '08:00:2b:01:02:03', '08:00:2b:01:02:03:04:05', 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11',
    '(1.5,2)', '{1,2,3}', '((0,0),(1,1))', '[(0,0),(1,1),(2,0)]', '((0,0),(1,1),(2,0))', '<(0,0),5>', '[(0,0),(1,1)]',
    B'101', B'1', to_tsvector('english', 'a fat cat sat'), 'fat & cat', '<a b="c">&amp;</a>', '{"a" : 1.0}', '{"b": [1, "x", null]}', '$.a[*] ? (@ > 1)',
    'empty', '{[2020-01-01, 2020-01-02), [2021-01-01,)}', '[a,"b""c"]', places(('a', 1, '2020-01-01')::place, ('b', 2, NULL)::place), ARRAY['{[1,3)}'::int4multirange],
    'a=>1, "b c"=>NULL', 'top.middle.leaf', 'bad', '{good,bad}', '{bad}', '{good}', ARRAY['{bad,good}'::moods],
    ('a "b" \ , (c)', 7, '2020-01-01 00:00+02'), ROW('Ann', ROW('s', NULL, NULL)::place, '{good}'),
    ARRAY[ROW('Bo', NULL, NULL)::person, NULL], ROW('h', 1, NULL), ROW(1, 'x'),
    '{{1,2},{3,NULL}}', '{}', '16/B374D848', '10:20:10,14,15', '42', '1 2 3',
    'everything', 'twice(int)', 'person[]', '"Other schema"', '+(int,int)', 'english', '{everything,"\"Select\""}', 4242);
INSERT INTO everything DEFAULT VALUES;
"#;

const NEWER: [(u32, &str, &str); 4] = [
    (14, "moments tstzmultirange", "moments tstzrange[]"),
    (14, "{[2020-01-01, 2020-01-02), [2021-01-01,)}", r#"{"[2020-01-01, 2020-01-02)", "[2021-01-01,)"}"#),
    (14, "many int4multirange[]", "many int4range[]"),
    (14, "'{[1,3)}'::int4multirange", "'[1,3)'::int4range"),
];

#[tokio::test]
async fn every_type_comes_over_as_it_is() {
    let server = Server::start();
    everything(&server, &server).await;
}

pub(crate) async fn everything(from: &impl Asked, to: &impl Asked) {
    from.sql("production", SHIFTED);
    let before = "CREATE SCHEMA \"Other schema\"; CREATE TABLE \"Select\" (\"From\" int, \"order\" text); \
        CREATE FUNCTION twice(int) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT $1 * 2';";
    from.sql("production", &from.known(&format!("{before}{TYPES}{ROWS}"), &NEWER));
    // What a text looks like in this database is no matter of the other.
    from.sql("production", "ALTER DATABASE production SET datestyle = 'German'; ALTER DATABASE production SET intervalstyle = 'sql_standard'; ALTER DATABASE production SET search_path = '\"Other schema\", public'");
    let rules = "cohort: { table: everything, where: \"id > 0\" }\nmasks: { everything.address: keep, everything.network: keep, everything.named: keep, everything.shape: keep }\n";
    sample_into(from, to, rules).await;
    let shown = "SET datestyle = 'ISO'; SET intervalstyle = 'postgres'; SET search_path = public; SELECT t::text FROM everything t ORDER BY id";
    assert_eq!(to.sql("development", shown), from.sql("production", shown));
    let inside =
        "SELECT (composites[1]).name, (deep).name = 'ANN', ((deep).home).street FROM everything WHERE id = 1";
    assert_eq!(to.sql("development", inside), "Bo|t|s");
    assert_eq!(to.sql("development", "SELECT count(*) FROM pg_namespace WHERE nspname ~ 'partywall'"), "0");
    // The numbers behind the names are this database's.
    let named = "SELECT relation = 'everything'::regclass, routine::oid = 'twice'::regproc FROM everything WHERE id = 1";
    assert_eq!(to.sql("development", named), "t|t");
    let number = "SELECT 'public.person'::regtype::oid";
    assert_ne!(to.sql("development", number), from.sql("production", number), "or this proves nothing");
}

#[tokio::test]
async fn masks_and_the_proof_reach_into_composites() {
    let server = Server::start();
    server.sql("production", "CREATE TYPE contact AS (name text, email text); \
        CREATE TABLE people (id int PRIMARY KEY, email text NOT NULL, contact contact, others contact[]); \
        INSERT INTO people SELECT i, 'person' || i || '@mail.example', ROW('P', 'person' || i || '@mail.example')::contact, ARRAY[ROW('O', 'a')::contact] FROM generate_series(1, 50) i");
    let rules =
        |masks: &str| format!("cohort: {{ table: people }}\nmasks: {{ people.email: email, {masks} }}\n");
    let message = try_sample(&server, &rules("people.others: keep")).await.unwrap_err();
    assert!(message.contains("`people.contact`: it holds e-mail addresses"), "{message}");
    let message = try_sample(&server, &rules("people.contact: keep")).await.unwrap_err();
    assert!(message.contains("a masked production value stands in `people.contact`"), "{message}");
    let message = try_sample(&server, &rules("people.contact: email")).await.unwrap_err();
    assert!(message.contains("does not fit `contact`: its type is contact"), "{message}");
    let whole =
        "people.contact: { sql: \"ROW((contact).name, 'x@dev.local')::contact\" }, people.others: \"null\"";
    sample(&server, &rules(whole)).await;
    let shown = "SELECT DISTINCT contact, others IS NULL FROM people";
    assert_eq!(server.sql("development", shown), "(P,x@dev.local)|t");
    let constant = "people.contact: { constant: '(,none)' }";
    sample(&server, &rules(constant)).await;
    assert_eq!(server.sql("development", "SELECT DISTINCT contact FROM people"), "(,none)");
    assert_eq!(server.sql("development", "SELECT count(*) FROM people WHERE email ~ 'mail.example'"), "0");
}

const OBJECTS: &str = "CREATE EXTENSION lo;
CREATE TABLE papers (id int PRIMARY KEY, scan lo, plain oid, counted bigint, email text NOT NULL);
INSERT INTO papers SELECT i, lo_from_bytea(0, convert_to('scan ' || i || repeat(' page', 500000), 'UTF8')), lo_from_bytea(0, convert_to('plain ' || i, 'UTF8')),
    lo_from_bytea(0, convert_to('counted ' || i, 'UTF8')), 'person' || i || '@mail.example' FROM generate_series(1, 4) i;
UPDATE papers SET plain = 99999999 WHERE id = 2; UPDATE papers SET scan = NULL WHERE id = 1;";

fn objects(done: &Done) -> (u64, u64) {
    (done.large_objects, done.large_objects_left)
}

#[tokio::test]
async fn large_objects_come_with_the_rows_that_name_them() {
    let server = Server::start();
    server.sql("production", OBJECTS);
    let rules = "cohort: { table: papers, where: \"id <= 2\" }\nmasks: { papers.email: email }\n";
    let done = sample(&server, rules).await;
    assert_eq!(objects(&done), (2, 10), "a scan and a plain one; what no row names any more stays too");
    let shown = "SELECT id, md5(lo_get(scan)), CASE WHEN plain < 99999999 THEN encode(lo_get(plain), 'escape') END, plain FROM papers WHERE id <= 2 ORDER BY id";
    assert_eq!(server.sql("development", shown), server.sql("production", shown));
    let declared = format!("{rules}large_objects: [papers.counted]\n");
    assert_eq!(objects(&sample(&server, &declared).await), (4, 8));
    assert_eq!(
        server.sql("development", "SELECT encode(lo_get(counted::oid), 'escape') FROM papers WHERE id = 2"),
        "counted 2"
    );
    assert_eq!(server.sql("development", "SELECT count(*) FROM pg_largeobject_metadata"), "4");
    // What is masked away is not carried, and what is carried is searched, also across two chunks.
    let away = rules.replace(
        "papers.email: email",
        "papers.email: email, papers.scan: null, papers.plain: { constant: '0' }",
    );
    assert_eq!(objects(&sample(&server, &away).await).0, 0);
    server.sql("production", "UPDATE papers SET scan = lo_from_bytea(0, convert_to(repeat('x', 1048570) || ' person2@mail.example', 'UTF8')) WHERE id = 2");
    let message = try_sample(&server, rules).await.unwrap_err();
    assert!(message.contains("a masked production value stands in `papers.scan`"), "{message}");
    let wrong = rules.replace("masks", "large_objects: [papers.email]\nmasks");
    let message = try_sample(&server, &wrong).await.unwrap_err();
    assert!(message.contains("`papers.email` does not number large objects: its type is text"), "{message}");
}

/// A name that the new database does not know, or knows only when the rows of every table stand.
#[tokio::test]
async fn a_name_that_stands_for_nothing_is_told() {
    let server = Server::start();
    server.sql("production", "CREATE TABLE root (id int PRIMARY KEY, which regclass); CREATE INDEX by_which ON root (which); INSERT INTO root VALUES (1, 'root'), (2, 4242424242), (3, NULL)");
    let rules = "cohort: { table: root }\n";
    server.sql("production", "INSERT INTO root VALUES (4, 'by_which')");
    sample(&server, rules).await;
    assert_eq!(
        server.sql("development", "SELECT which::text FROM root WHERE id <> 3 ORDER BY id"),
        "root\n4242424242\nby_which"
    );
    server.sql(
        "production",
        "CREATE TABLE long (words text); INSERT INTO root SELECT 5, reltoastrelid FROM pg_class WHERE relname = 'long'",
    );
    let message = try_sample(&server, rules).await.unwrap_err();
    assert!(message.starts_with("could not copy `root`") && message.contains("pg_toast_"), "{message}");
}
