//! Values that change places: all of them stay, in other rows.

use crate::server::Server;
use crate::{sample, try_sample};

const SQL: &str = "CREATE TYPE pair AS (a int, b text);
CREATE TABLE city (id int PRIMARY KEY, label text);
INSERT INTO city SELECT i, 'c' || i FROM generate_series(1, 10) i;
CREATE TABLE person (id int PRIMARY KEY, salary numeric NOT NULL, badge varchar(20), born date, city int REFERENCES city, couple pair, tags text[]) PARTITION BY RANGE (id);
CREATE TABLE person_low PARTITION OF person FOR VALUES FROM (0) TO (300);
CREATE TABLE person_high PARTITION OF person DEFAULT;
INSERT INTO person SELECT i, i * 1.5, 'b' || i, CASE WHEN i % 3 > 0 THEN '1980-01-01'::date + i END, i % 10 + 1, (i, 'x')::pair, ARRAY['t' || i] FROM generate_series(1, 1000) i;
CREATE TABLE badge (number text PRIMARY KEY, both_a int, both_b int, UNIQUE (both_a, both_b));
INSERT INTO badge SELECT 'n' || i, i, i FROM generate_series(1, 500) i";

#[tokio::test]
async fn values_change_places_and_none_is_lost() {
    let server = Server::start();
    server.sql("production", SQL);
    let rules = "cohort: { table: person, where: \"id <= 600\" }\nexclude: [\"city where id = 7\"]\ntables: { badge: whole }\nmasks: { person.salary: permute, person.badge: permute, person.born: permute, person.city: permute, person.couple: permute, person.tags: permute, badge.number: permute }\n";
    sample(&server, rules).await;
    let all = |database: &str, filter: &str| {
        server.sql(database, &format!("SELECT md5(string_agg(salary::text, ',' ORDER BY salary)), md5(string_agg(badge, ',' ORDER BY badge)), count(born), md5(string_agg(born::text, ',' ORDER BY born)), md5(string_agg(couple::text, ',' ORDER BY couple)), md5(string_agg(tags::text, ',' ORDER BY tags)) FROM person WHERE id <= 600 {filter}"))
    };
    assert_eq!(all("development", ""), all("production", ""), "the same values, as often");
    let cities = "SELECT city, count(*) FROM person WHERE city IS DISTINCT FROM 7 AND id <= 600 AND city IS NOT NULL GROUP BY 1 ORDER BY 1";
    assert_eq!(server.sql("development", cities), server.sql("production", cities));
    assert_eq!(
        server.sql("development", "SELECT count(*) FROM person WHERE city IS NULL"),
        "60",
        "what was cleared stays cleared, elsewhere"
    );
    let stayed = server.sql("development", "SELECT count(*) FROM person WHERE salary = id * 1.5 OR badge = 'b' || id OR couple = (id, 'x')::pair");
    assert!(stayed.parse::<u32>().is_ok_and(|stayed| stayed < 20), "{stayed} of 600 stayed by chance");
    let apart =
        server.sql("development", "SELECT count(*) FROM person WHERE badge = 'b' || (salary / 1.5)::int");
    assert!(apart.parse::<u32>().is_ok_and(|apart| apart < 20), "each column goes its own way: {apart}");
    let rows = |database: &str| {
        server.sql(database, "SELECT md5(string_agg(t::text, ',' ORDER BY id)) FROM person t")
    };
    let first = rows("development");
    sample(&server, rules).await;
    assert_eq!(rows("development"), first, "the same every time");
    let wrong = format!("{}\n", rules.replace("badge.number: permute", "badge.both_a: permute"));
    let message = try_sample(&server, &wrong).await.unwrap_err();
    assert!(message.contains("values of one column of a key of several cannot change places"), "{message}");
}
