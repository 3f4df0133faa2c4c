//! `seed`: development gets a part of production, masked, or keeps what it had.

use std::collections::BTreeMap;
use std::process::Command;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::harness::{DEVELOPMENT, PRODUCTION, Story, finished, random};
use crate::steps::killed_when;

/// Tables of the demonstration, but for the one into which its worker writes all the time.
const TABLES: [&str; 7] =
    ["users", "oauth_accounts", "follows", "posts", "post_files", "comments", "schema_migrations"];

/// Promise: a seed fills development with a closed, masked part of production and its files, and production does not notice.
/// Given: the demonstration with 2,000 people in production, a setting of production's own, and a session in development.
/// Then: development holds exactly the planned rows, every reference leads somewhere, no e-mail address of
/// production stands anywhere, its vault holds exactly the named files, its setting is its own, the session
/// is gone, web and worker were restarted and the database was not; production is as it was. A second seed
/// copies no file again and removes the one that no row names any more.
#[test]
fn development_gets_a_part_of_production() {
    let story = demonstration();
    let before = production(&story);
    redis(&story, &["SET", "session", "somebody"]);
    let started = started(&story);
    let plan = story.run(&["seed", DEVELOPMENT, "--plan", "--json"]).ended(0).json();
    assert_eq!(production(&story), before, "a plan changes nothing");

    let seeded = last(&story.run(&["seed", DEVELOPMENT, "--json"]).ended(0).out);
    assert_eq!(seeded["ok"], true, "{seeded}");
    assert_eq!(production(&story), before);
    planned_rows(&story, &plan);
    closed(&story);
    masked(&story);
    assert_eq!(files(&story, DEVELOPMENT), keys(&story, DEVELOPMENT));
    assert!(files(&story, DEVELOPMENT).len() > 50, "{seeded}");
    let site = query(&story, DEVELOPMENT, "SELECT value FROM settings");
    assert_eq!(site, format!("https://{}", story.host(DEVELOPMENT)));
    assert_eq!(redis(&story, &["DBSIZE"]), "0");
    let now = self::started(&story);
    for (service, changed) in [("db", false), ("redis", false), ("web", true), ("worker", true)] {
        assert_eq!(now[service] != started[service], changed, "{service}");
    }
    assert!(story.ask(DEVELOPMENT, "/health").status == 200);
    status(&story);
    second(&story, &seeded);
}

/// Only what changed is done again, and what no row names any more goes.
fn second(story: &Story, first: &Value) {
    let here = "SELECT min(id) FROM posts";
    let post = query(story, DEVELOPMENT, here);
    let gone =
        query(story, PRODUCTION, &format!("SELECT storage_key FROM post_files WHERE post_id = {post}"));
    query(story, PRODUCTION, &format!("DELETE FROM posts WHERE id = {post}"));
    let seeded = last(&story.run(&["seed", DEVELOPMENT, "--json", "--keep"]).ended(0).out);
    let (first, vault) = (&first["seed"]["vault"][0], &seeded["seed"]["vault"][0]);
    assert_eq!((&vault["copied"], &vault["removed"]), (&0.into(), &1.into()), "{vault}");
    assert_eq!(vault["files"].as_u64(), first["files"].as_u64().map(|files| files - 1));
    assert!(!files(story, DEVELOPMENT).contains(&gone), "{gone}");
    assert_eq!(files(story, DEVELOPMENT), keys(story, DEVELOPMENT));
    let kept = query(story, DEVELOPMENT, "SELECT count(*) FROM pg_database WHERE datname LIKE '%before%'");
    assert_eq!(kept, "1");
}

/// Promise: in whichever step a seed is killed, `abandon` brings back what development had, and `resume` ends it.
/// Given: both environments, development with rows, files and a session of its own.
/// Then: after a kill in every second of its steps and `abandon`, development has its own data or, where the seed was past
/// the point from which nothing comes back, the new data whole; after `resume` always that; nothing of ours is left
/// beside the database; an interrupted seed takes itself back.
#[test]
fn a_killed_seed_leaves_development_its_data() {
    let story = demonstration();
    let takes = measured(|| drop(story.run(&["seed", DEVELOPMENT]).ended(0)));
    query(&story, DEVELOPMENT, "UPDATE users SET handle = 'own_' || id");
    redis(&story, &["SET", "session", "somebody"]);
    let source = production(&story);
    let plan = story.run(&["seed", DEVELOPMENT, "--plan"]).ended(0).out;
    let steps: Vec<&str> = plan.lines().filter(|line| line.contains(" | undo: ")).collect();
    assert!(steps.len() > 4, "{plan}");
    let (mut hit, mut tried) = (0, 0);
    // Every second one in one run, the others in another: each takes a whole seed.
    let first = usize::from(random().is_multiple_of(2));
    for (number, step) in steps.iter().enumerate().skip(first).step_by(2) {
        tried += 1;
        let before = development(&story);
        let words = ["seed", DEVELOPMENT, "--sample", &format!("{}%", 3 + number)];
        let killed = killed_when(&story, &words, |at, _| at >= number);
        hit += usize::from(killed == Some(number));
        let (told, begun) = (format!("killed in {killed:?} of `{step}`"), killed.is_some());
        let word = if tried % 2 == 0 { "abandon" } else { "resume" };
        let recovered = story.run(&[word]);
        if recovered.code != Some(0) {
            assert_eq!(word, "abandon", "{told}\n{}", recovered.err);
            story.run(&["resume"]).ended(0);
        }
        let after = development(&story);
        assert!(after != before || word == "abandon" || !begun, "{told}\n{}", recovered.err);
        if after != before {
            assert_ne!(after["current"], before["current"], "{told}\n{}", recovered.err);
            assert_eq!(files(&story, DEVELOPMENT), keys(&story, DEVELOPMENT), "{told}");
            query(&story, DEVELOPMENT, "UPDATE users SET handle = 'own_' || id");
            redis(&story, &["SET", "session", "somebody"]);
        }
        assert_eq!(leftovers(&story), "0", "{told}\n{}", recovered.err);
        assert!(story.ask(DEVELOPMENT, "/health").status == 200, "{told}");
    }
    // A step that takes no time may be over before the kill; most are not.
    assert!(hit * 2 > tried, "killed in {hit} of {tried}");
    interrupted(&story, takes.mul_f64(0.4));
    assert_eq!(production(&story), source);
}

fn interrupted(story: &Story, moment: Duration) {
    let before = development(story);
    let seed = story.start(&["seed", DEVELOPMENT]);
    std::thread::sleep(moment);
    let _ended_before = kill_process(Pid::from_child(&seed), Signal::INT);
    let told = finished(seed);
    if told.code != Some(0) {
        assert!(!told.err.contains("unfinished"), "{}", told.err);
        assert_eq!(development(story), before, "{}", told.err);
        assert_eq!(leftovers(story), "0", "{}", told.err);
    }
}

/// Promise: what is asked wrongly is said before anything is touched.
/// Given: the demonstration.
/// Then: production is never filled, an unknown source is no source, a column without a rule stops with a snippet,
/// a masked name of files is refused at its line, and a leak or a failure on the way leaves nothing behind.
#[test]
fn a_wrong_seed_touches_nothing() {
    let story = demonstration();
    let before = development(&story);
    story.run(&["seed", PRODUCTION]).ended(1).says(&["is a production environment", "hint: "]);
    let from = ["seed", DEVELOPMENT, "--from", "yesterday"];
    story.run(&from).ended(1).says(&["no environment or backup `yesterday`"]);
    story.edit("partywall.yaml", "    oauth_accounts.access_token: token\n", "");
    story
        .run(&["seed", DEVELOPMENT])
        .ended(1)
        .says(&["looks personal or secret", "oauth_accounts.access_token: token"]);
    story.run(&["seed", DEVELOPMENT, "--suggest"]).ended(0);
    story.edit(
        "partywall.yaml",
        "post_files.storage_key: keep",
        "post_files.storage_key: token\n    oauth_accounts.access_token: token",
    );
    story.run(&["seed", DEVELOPMENT]).ended(1).says(&["names files and is masked", "--> partywall.yaml:"]);
    story.edit("partywall.yaml", "post_files.storage_key: token\n    ", "post_files.storage_key: keep\n    ");
    story.edit("partywall.yaml", "volume: vault", "volume: vautl");
    story.run(&["seed", DEVELOPMENT]).ended(1).says(&[
        "have no volume `vautl`",
        "--> partywall.yaml:",
        "write `vault`",
    ]);
    assert_eq!(development(&story), before);
    assert_eq!(story.plans(), 2, "only the two `up`");
    story.edit("partywall.yaml", "volume: vautl", "volume: vault");
    failed(&story, &before);
}

/// A seed that fails on the way, or leaks, leaves nothing; only where that was asked it stays, named with what removes it.
fn failed(story: &Story, before: &BTreeMap<String, String>) {
    story.edit("partywall.yaml", "where: \"name = 'site'\"", "where: \"name = 'nobody'\"");
    story.run(&["seed", DEVELOPMENT]).ended(1).says(&["meets no row of the sample"]);
    assert_eq!((&development(story), leftovers(story).as_str()), (before, "0"));
    let told = story.run(&["seed", DEVELOPMENT, "--keep-failed"]).ended(1).err;
    assert_eq!((&development(story), leftovers(story).as_str()), (before, "1"));
    let words = told.split("remove it with `partywall ").nth(1).and_then(|rest| rest.split('`').next());
    let words: Vec<&str> = words.unwrap_or_else(|| panic!("{told}")).split(' ').collect();
    story.run(&words).ended(0);
    assert_eq!(leftovers(story), "0");
    story.edit("partywall.yaml", "comments.body: text", "comments.body: keep");
    let told = story.run(&["seed", DEVELOPMENT]).ended(1);
    told.says(&["a masked production value stands in `comments.body`", "its rule is `keep`", "hint: mask"]);
    assert_eq!((&development(story), leftovers(story).as_str()), (before, "0"));
}

/// The demonstration with both environments up and production filled.
pub(crate) fn demonstration() -> Story {
    let story = Story::demo();
    let ours = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../demo/partywall.yaml"));
    let ours = ours.expect("the demo's partywall.yaml");
    let sections = &ours[ours.find("databases:").expect("databases")..];
    let own = "  rewrite: [{ table: settings, set: { value: \"https://{host:web}\" }, where: \"name = 'site'\" }]\n";
    let whole = sections.replace("schema_migrations: whole", "schema_migrations: whole, settings: whole");
    story.write("partywall.yaml", &format!("{}{whole}", story.read("partywall.yaml")));
    story.edit("partywall.yaml", "  vault: [", &format!("{own}  vault: ["));
    story.up(PRODUCTION);
    story.up(DEVELOPMENT);
    let mut populate = Command::new(story.project().join("populate.sh"));
    populate.arg(env!("CARGO_BIN_EXE_partywall")).env("PARTYWALL_STATE", story.state());
    let told = populate.output().expect("populate.sh runs");
    assert!(told.status.success(), "{}", String::from_utf8_lossy(&told.stderr));
    let site = "CREATE TABLE settings (name text PRIMARY KEY, value text); INSERT INTO settings VALUES ('site', 'https://production.example')";
    query(&story, PRODUCTION, site);
    story
}

pub(crate) fn query(story: &Story, environment: &str, sql: &str) -> String {
    let name = if environment == PRODUCTION { "atelier" } else { "atelier_dev" };
    let words = ["psql", "-qAtX", "-v", "ON_ERROR_STOP=1", "-U", name, "-d", name, "-c", sql];
    let said = story.container(environment, "db").exec(&words);
    said.unwrap_or_else(|| panic!("{environment}: {sql}"))
}

pub(crate) fn redis(story: &Story, words: &[&str]) -> String {
    let words: Vec<&str> = ["redis-cli"].into_iter().chain(words.iter().copied()).collect();
    story.container(DEVELOPMENT, "redis").exec(&words).expect("redis-cli")
}

/// Everything in the tables, as one hash each.
pub(crate) fn rows(story: &Story, environment: &str) -> BTreeMap<String, String> {
    let hash = |table: &&str| {
        let sql = format!(
            "SELECT count(*) || ' ' || md5(string_agg(t::text, ',' ORDER BY t::text)) FROM {table} t"
        );
        ((*table).to_owned(), query(story, environment, &sql))
    };
    TABLES.iter().map(hash).collect()
}

fn production(story: &Story) -> BTreeMap<String, String> {
    let mut all = rows(story, PRODUCTION);
    all.insert(
        "databases".into(),
        query(story, PRODUCTION, "SELECT string_agg(datname, ',' ORDER BY datname) FROM pg_database"),
    );
    all.insert("files".into(), listing(story, PRODUCTION));
    all.insert("started".into(), format!("{:?}", story.ids(PRODUCTION)));
    all
}

pub(crate) fn development(story: &Story) -> BTreeMap<String, String> {
    let mut all = rows(story, DEVELOPMENT);
    all.insert("files".into(), listing(story, DEVELOPMENT));
    all.insert("session".into(), redis(story, &["GET", "session"]));
    let current = story.rendered(DEVELOPMENT).with_file_name("seeds").join("current");
    all.insert("current".into(), std::fs::read_to_string(current).unwrap_or_default());
    all
}

pub(crate) fn leftovers(story: &Story) -> String {
    query(story, DEVELOPMENT, "SELECT count(*) FROM pg_database WHERE datname LIKE '%partywall%'")
}

/// Names, sizes and sums of everything in the vault, also of what is hidden.
fn listing(story: &Story, environment: &str) -> String {
    let web = story.container(environment, "web");
    let words = "cd /vault && find . -type f -exec md5sum {} + | sort -k 2; find . -mindepth 1 -type d";
    web.exec(&["sh", "-c", words]).expect("a vault")
}

pub(crate) fn files(story: &Story, environment: &str) -> Vec<String> {
    let all = listing(story, environment);
    all.lines().map(|line| line.rsplit("./").next().unwrap_or(line).to_owned()).collect()
}

pub(crate) fn keys(story: &Story, environment: &str) -> Vec<String> {
    let all =
        query(story, environment, "SELECT storage_key FROM post_files ORDER BY storage_key COLLATE \"C\"");
    all.lines().map(str::to_owned).collect()
}

/// Service → when its container was started, in development.
fn started(story: &Story) -> BTreeMap<String, String> {
    story.containers(DEVELOPMENT).iter().map(|one| (one.service(), one.started())).collect()
}

fn planned_rows(story: &Story, plan: &Value) {
    let planned: BTreeMap<&str, &Value> = plan["tables"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|table| Some((table["table"].as_str()?, &table["rows"])))
        .collect();
    assert!(planned["users"].as_u64() > Some(150) && planned["users"].as_u64() < Some(2000), "{planned:?}");
    for table in TABLES {
        let count = query(story, DEVELOPMENT, &format!("SELECT count(*) FROM {table}"));
        assert_eq!(planned[table].to_string(), count, "{table}");
    }
}

/// Each reference, asked as a person would.
fn closed(story: &Story) {
    let references = [
        ("oauth_accounts", "user_id", "users"),
        ("follows", "follower_id", "users"),
        ("follows", "followed_id", "users"),
        ("posts", "author_id", "users"),
        ("post_files", "post_id", "posts"),
        ("comments", "post_id", "posts"),
        ("comments", "author_id", "users"),
    ];
    for (from, column, to) in references {
        let sql =
            format!("SELECT count(*) FROM {from} f LEFT JOIN {to} t ON t.id = f.{column} WHERE t.id IS NULL");
        assert_eq!(query(story, DEVELOPMENT, &sql), "0", "{from}.{column}");
    }
    let valid = "SELECT count(*), bool_and(convalidated) FROM pg_constraint WHERE contype = 'f'";
    let (here, there) = (query(story, DEVELOPMENT, valid), query(story, PRODUCTION, valid));
    assert_eq!(here, there);
    assert_eq!(query(story, DEVELOPMENT, "SELECT count(*) FROM posts WHERE visibility = 'private'"), "0");
}

fn masked(story: &Story) {
    let words = ["pg_dump", "-U", "atelier_dev", "-d", "atelier_dev", "--data-only"];
    let mut text = story.container(DEVELOPMENT, "db").exec(&words).expect("a dump");
    let seeds = story.rendered(DEVELOPMENT).with_file_name("seeds").join("1");
    for file in ["record.json", "files-0.json"] {
        text += &std::fs::read_to_string(seeds.join(file)).expect("a record");
    }
    let secret = "SELECT email FROM users UNION ALL SELECT access_token FROM oauth_accounts UNION ALL SELECT handle FROM users";
    let secrets = query(story, PRODUCTION, secret);
    assert!(secrets.lines().count() > 4000);
    let leaked: Vec<&str> = secrets.lines().filter(|secret| text.contains(secret)).collect();
    assert_eq!(leaked, Vec::<&str>::new());
}

fn status(story: &Story) {
    let told = story.run(&["status", DEVELOPMENT]).ended(0);
    assert!(told.out.contains("  data    10% of production: "), "{}", told.out);
    assert!(told.out.contains("; 0 leaks of "), "{}", told.out);
    let seed = &story.run(&["status", "--json"]).ended(0).json()["environments"][1]["seed"];
    assert_eq!((&seed["sample"]["leaks"], &seed["number"]), (&0.into(), &1.into()), "{seed}");
}

pub(crate) fn last(lines: &str) -> Value {
    let line = lines.lines().next_back().unwrap_or_default();
    serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {lines}"))
}

fn measured(work: impl FnOnce()) -> Duration {
    let begun = Instant::now();
    work();
    begun.elapsed()
}
