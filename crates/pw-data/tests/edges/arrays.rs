//! Columns that hold lists: every element is masked as a value of its own would be.

use crate::server::Server;
use crate::{sample, try_sample};

const TABLES: &str = r#"
CREATE DOMAIN mail AS varchar(40);
CREATE TABLE people (id int PRIMARY KEY, email text NOT NULL, emails text[] NOT NULL, domained mail[], grid text[][], short varchar(12)[],
    ips inet[], keys uuid[], files bytea[], logs jsonb[], born date[], heights int[], note text[]);
INSERT INTO people SELECT i, e, ARRAY[e, NULL, 'other' || i || '@mail.example'], ARRAY[e]::mail[], ARRAY[[e, 'x'], ['y', e]],
    ARRAY['p' || i || '@a.io'], ARRAY['10.1.2.3', '2a00::1']::inet[], ARRAY[gen_random_uuid()], ARRAY['\xdeadbeef'::bytea],
    ARRAY[jsonb_build_object('mail', e, 'n', i)], ARRAY['1990-01-01', 'infinity']::date[], ARRAY[100, NULL, 200], '{}'
    FROM generate_series(1, 300) i, LATERAL (SELECT 'person' || i || '@mail.example' AS e) s;
"#;
const RULES: &str = "cohort: { table: people }\nmasks: { people.email: email, people.emails: email, people.domained: email, people.grid: email, \
    people.short: email, people.ips: ip, people.keys: token, people.files: token, people.logs: { json: { mail: email } }, \
    people.born: { shift: 30 days }, people.heights: { noise: 50% }, people.note: text }\n";

#[tokio::test]
async fn every_element_of_a_list_is_masked_like_a_value_of_its_own() {
    let server = Server::start();
    server.sql("production", TABLES);
    sample(&server, RULES).await;
    let is = |sql: &str, wanted: &str| {
        let found = server.sql("development", &format!("SELECT DISTINCT {sql} FROM people"));
        assert_eq!(found, wanted, "{sql}");
    };
    is("emails[1] = email AND grid[1][1] = email AND grid[2][2] = email AND logs[1] ->> 'mail' = email", "t");
    is("domained[1] = email AND email LIKE 'user%@dev.local'", "t");
    is("emails[2] IS NULL AND emails[3] LIKE 'user%@dev.local' AND emails[3] <> email", "t");
    is("array_dims(emails) || array_dims(grid) || array_length(heights, 1)", "[1:3][1:2][1:2]3");
    is("length(short[1]) <= 12 AND short[1] NOT LIKE '%@a.io'", "t");
    is("ips[1] <<= '100.64.0.0/10' AND ips[2] <<= '2001:db8::/32'", "t");
    is("keys[1] IS NOT NULL AND length(files[1]) = 4 AND files[1] <> '\\xdeadbeef'", "t");
    is("born[1] BETWEEN '1989-12-01' AND '1990-02-01' AND born[2] = 'infinity'", "t");
    is("heights[1] BETWEEN 50 AND 150 AND heights[2] IS NULL AND heights[3] BETWEEN 100 AND 300", "t");
    is("note = '{}' AND logs[1] ->> 'n' = id::text", "t");
    let dump = server.sql("development", "SELECT p FROM people p");
    assert!(!dump.contains("mail.example"), "{dump}");
}

#[tokio::test]
async fn a_list_is_looked_into_before_and_searched_after() {
    let server = Server::start();
    server.sql("production", TABLES);
    let message = try_sample(&server, &RULES.replace("people.domained: email, ", "")).await.unwrap_err();
    assert!(message.contains("`people.domained`: it holds e-mail addresses"), "{message}");
    assert!(message.contains("people.domained: email"), "{message}");
    let message =
        try_sample(&server, &RULES.replace("people.emails: email", "people.emails: keep")).await.unwrap_err();
    assert!(message.contains("a masked production value stands in `people.emails`"), "{message}");
    // What stands in lists alone is known too.
    server.sql("production", "ALTER TABLE people ADD copied text; UPDATE people SET copied = emails[3]");
    let kept = RULES.replace("people.note: text", "people.note: text, people.copied: keep");
    let message = try_sample(&server, &kept).await.unwrap_err();
    assert!(message.contains("a masked production value stands in `people.copied`"), "{message}");
    let message =
        try_sample(&server, &RULES.replace("people.heights: { noise: 50% }", "people.heights: email"))
            .await
            .unwrap_err();
    assert!(message.contains("its type is integer[]"), "{message}");
}
