//! Who owns what and who may do what in the target, and what its server lacks.

use std::process::Command;

use crate::between;
use crate::server::{PASSWORD, Server};

const SOURCE: &str = "CREATE ROLE app; CREATE ROLE reader; CREATE ROLE \"Odd One\"; CREATE ROLE gone;
CREATE SCHEMA shop AUTHORIZATION app;
CREATE TABLE shop.item (id int PRIMARY KEY, price int); ALTER TABLE shop.item OWNER TO app;
CREATE TABLE open (id int PRIMARY KEY, owner name DEFAULT current_user);
ALTER TABLE open OWNER TO \"Odd One\";
CREATE FUNCTION shop.sum() RETURNS bigint LANGUAGE sql AS E'SELECT sum(price)\nFROM shop.item'; ALTER FUNCTION shop.sum() OWNER TO app;
GRANT USAGE ON SCHEMA shop TO reader; GRANT SELECT ON shop.item TO reader; GRANT UPDATE (price) ON shop.item TO reader WITH GRANT OPTION;
GRANT SELECT ON open TO gone; REVOKE EXECUTE ON FUNCTION shop.sum() FROM PUBLIC;
ALTER DEFAULT PRIVILEGES FOR ROLE app IN SCHEMA shop GRANT SELECT ON TABLES TO reader;
ALTER TABLE open ENABLE ROW LEVEL SECURITY; CREATE POLICY mine ON open TO reader, \"Odd One\" USING (owner = current_user);
CREATE EXTENSION postgres_fdw; CREATE SERVER far FOREIGN DATA WRAPPER postgres_fdw OPTIONS (host 'far.example');
CREATE USER MAPPING FOR owner SERVER far OPTIONS (user 'u', password 'never-in-development');
INSERT INTO shop.item SELECT i, i FROM generate_series(1, 10) i; INSERT INTO open SELECT generate_series(1, 10);
CREATE FUNCTION told() RETURNS event_trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'an event trigger fired'; END $$;
CREATE EVENT TRIGGER never ON ddl_command_end EXECUTE FUNCTION told();";
const RULES: &str = "tables: { shop.item: whole, open: whole }\n";
/// What development's own database has.
const FORMER: &str = "CREATE ROLE app_dev; CREATE ROLE reader; CREATE ROLE mine; CREATE DATABASE development OWNER mine;
REVOKE ALL ON DATABASE development FROM PUBLIC; GRANT CONNECT ON DATABASE development TO reader;
ALTER DATABASE development SET search_path = 'two words', public; ALTER ROLE reader IN DATABASE development SET work_mem = '8MB';
ALTER DATABASE development SET default_transaction_read_only = on;";

async fn attempt(source: &Server, target: &Server, rules: &str) -> Result<Vec<String>, String> {
    let (from, to) = (source.address("production"), target.address("development"));
    between(&from, &to, &source.pg_dump(), rules).await.map(|done| done.told)
}

#[tokio::test]
async fn owners_and_privileges_are_those_of_the_roles_that_are_there() {
    let (source, target) = (Server::start(), Server::start());
    source.sql("production", SOURCE);
    target.sql("postgres", FORMER);
    let message = attempt(&source, &target, RULES).await.unwrap_err();
    assert!(message.starts_with("error: the target's server has no role `Odd One`"), "{message}");
    assert!(message.contains("roles: { Odd One: OTHER }"), "{message}");
    let mapped = format!("{RULES}roles: {{ app: app_dev, Odd One: mine }}\n");
    let told = attempt(&source, &target, &mapped).await.unwrap();
    assert_eq!(
        told,
        [
            "an owner or a privilege was left out: role \"gone\" does not exist",
            "1 user mappings of foreign servers were left out"
        ]
    );
    let ask = |sql: &str| target.sql("development", sql);
    let owners = "SELECT string_agg(relname || ' ' || pg_get_userbyid(relowner), ',' ORDER BY relname) FROM pg_class WHERE relname IN ('item', 'open')";
    assert_eq!(ask(owners), "item app_dev,open mine");
    assert_eq!(
        ask(
            "SELECT pg_get_userbyid(proowner), proacl FROM pg_proc WHERE proname = 'sum' AND pronamespace = 'shop'::regnamespace"
        ),
        "app_dev|{app_dev=X/app_dev}"
    );
    assert_eq!(
        ask("SELECT relacl FROM pg_class WHERE relname = 'item'"),
        "{app_dev=arwdDxtm/app_dev,reader=r/app_dev}"
    );
    assert_eq!(
        ask("SELECT attacl FROM pg_attribute WHERE attname = 'price' AND attrelid = 'shop.item'::regclass"),
        "{reader=w*/app_dev}"
    );
    assert_eq!(
        ask("SELECT pg_get_userbyid(defaclrole), defaclacl FROM pg_default_acl"),
        "app_dev|{reader=r/app_dev}"
    );
    assert_eq!(ask("SELECT roles FROM pg_policies"), "{mine,reader}");
    assert_eq!(ask("SELECT count(*) FROM pg_user_mappings"), "0");
    assert_eq!(ask("SELECT count(*) FROM pg_event_trigger"), "1", "it comes last, and did not fire");
    let own = "SELECT pg_get_userbyid(datdba), has_database_privilege('app_dev', oid, 'CONNECT'), has_database_privilege('reader', oid, 'CONNECT'), has_database_privilege('reader', oid, 'CREATE') FROM pg_database WHERE datname = 'development'";
    assert_eq!(ask(own), "mine|f|t|f", "the database is as development's was");
    assert_eq!(ask("SHOW search_path"), "\"two words\", public");
    let settings =
        "SELECT string_agg(array_to_string(setconfig, ' '), ',' ORDER BY setrole) FROM pg_db_role_setting";
    assert_eq!(
        ask(settings),
        "search_path=\"two words\", public default_transaction_read_only=on,work_mem=8MB"
    );
    assert!(!source.sql("production", "SELECT count(*) FROM pg_user_mappings").is_empty());
}

#[tokio::test]
async fn what_the_targets_server_lacks_is_told_before_anything_is_copied() {
    let (source, target) = (Server::start(), Server::start());
    source.sql(
        "production",
        "CREATE EXTENSION citext; CREATE TABLE root (id int PRIMARY KEY); INSERT INTO root VALUES (1)",
    );
    let hide = "rm \"$(pg_config --sharedir)\"/extension/citext.control || rm /usr/share/postgresql/*/extension/citext.control";
    let hidden = Command::new("docker").args(["exec", "-u", "root", &target.name, "sh", "-c", hide]).output();
    assert!(hidden.expect("docker runs").status.success());
    let message = attempt(&source, &target, "cohort: { table: root }\n").await.unwrap_err();
    assert!(message.starts_with("error: the target's server has no extension `citext`"), "{message}");
    assert_eq!(target.sql("postgres", "SELECT count(*) FROM pg_database WHERE datname ~ 'development'"), "0");
    assert!(!message.contains(PASSWORD));
}
