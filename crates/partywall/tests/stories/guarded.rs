//! `promote` where there is a database: a restore point and a rehearsal come before production is touched.

use std::process::{Child, Command};

use crate::harness::{PRODUCTION, Story, Traffic};
use crate::mishap::{COLUMNS, query, with_database};
use crate::rehearse::copy;

/// Each in a transaction of its own, until it is enough.
const WRITES: &str = "DO $$ BEGIN FOR n IN 1..100000 LOOP INSERT INTO users VALUES (n); COMMIT; \
    PERFORM pg_sleep(0.05); EXIT WHEN to_regclass('enough') IS NOT NULL; END LOOP; END $$";
const SAFE: &str = "alter table users add column note text";
/// Rewrites the table, and keeps everybody out of it for a second.
const HELD: &str = "alter table users add column token uuid default gen_random_uuid(); select pg_sleep(1)";

/// Promise: a migration that would keep visitors waiting is stopped by its rehearsal, before production is touched; one that
/// passes has a restore point of the moment before; one whose code fails leaves its table and takes the code back; no row is lost
/// on the way.
/// Given: production with a database, `databases` and `backup`, visitors, and somebody who writes rows all the time; first a
/// migration that holds a lock, then one that does not, then one with code that answers wrongly.
/// Then: the first promotion ends with exit code 1 and says who would wait; release, table and engine are as before; the second
/// passes, its release names its restore point, which is there; after the third the release before answers, on a table that has
/// the new column, for the migration was called compatible; every row is there.
#[test]
fn a_migration_is_rehearsed_and_backed_up_before_production_meets_it() {
    let story = guarded();
    let mut writer = writer(&story);
    let traffic = Traffic::to(story.http, &story.host(PRODUCTION), "production release");
    story.edit("partywall.yaml", SAFE, HELD);
    story.commit_good("2");
    let told = story.run(&["promote"]).ended(1);
    assert!(told.out.contains("reads and writes of `users` wait for"), "{}\n{}", told.out, told.err);
    assert_eq!(
        (story.serves(PRODUCTION).as_str(), query(&story, COLUMNS).as_str()),
        ("production release 1", "1")
    );
    assert_eq!(copy(&story), Vec::<String>::new(), "the copy is still there");

    story.edit("partywall.yaml", HELD, SAFE);
    story.promote();
    assert_eq!(
        (story.serves(PRODUCTION).as_str(), query(&story, COLUMNS).as_str()),
        ("production release 2", "2")
    );
    has_restore_point(&story);

    story.edit("partywall.yaml", SAFE, "alter table users add column later text");
    story.answering("3", "respond \"no\" 500");
    story.commit("good schema, bad code");
    story.run(&["promote"]).ended(1).says(&["does not answer `/whoami` as wanted"]);
    assert_eq!(
        (story.serves(PRODUCTION).as_str(), query(&story, COLUMNS).as_str()),
        ("production release 2", "3")
    );
    traffic.all_answered();
    query(&story, "CREATE TABLE enough ()");
    assert!(writer.wait().is_ok_and(|ended| ended.success()), "a row was refused");
    let rows = query(&story, "SELECT count(*) || ' of ' || max(id) || ' ' || (count(*) > 100) FROM users");
    let (there, written) = rows.split_once(" of ").expect("two numbers");
    assert_eq!(written, format!("{there} true"));
}

fn has_restore_point(story: &Story) {
    let release = std::fs::read_to_string(
        story.state().join(format!("projects/{}/{PRODUCTION}/release.json", story.name)),
    );
    let release: serde_json::Value = serde_json::from_str(&release.expect("a release")).expect("JSON");
    let point = release["restore_point"].as_str().expect("it has a restore point").to_owned();
    let backups = story.run(&["backups", "--json"]).ended(0).out;
    assert!(backups.contains(&point), "{point} is not among {backups}");
}

fn guarded() -> Story {
    let story = with_database("300ms");
    let sections = format!(
        "databases:\n  main: {{ service: sql }}\nbackup: {{ repository: {} }}\n",
        story.folder().join("repository").display()
    );
    story.write("partywall.yaml", &format!("{}{sections}", story.read("partywall.yaml")));
    story
}

fn writer(story: &Story) -> Child {
    let database = story.container(PRODUCTION, "sql").id();
    let words = ["exec", &database, "psql", "-qAtX", "-v", "ON_ERROR_STOP=1", "-U", "shop", "-c", WRITES];
    Command::new("docker").args(words).spawn().expect("started")
}
