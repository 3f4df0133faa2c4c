//! `seed --from BACKUP`: the same data as production's own of that moment, and production is not asked.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::process::Command;
use std::time::Instant;

use pw_plan::Action;
use pw_plan::step::Step;

use crate::harness::{DEVELOPMENT, PRODUCTION, Story, docker_answers, finished, image, lines, random};
use crate::seed::{demonstration, development, files, keys, last, leftovers, query, redis, rows};
use crate::steps::killed_when;

/// A role that is no part of a dump, though a dump names it.
const ROLE: &str = "CREATE ROLE reporter";
const RIGHTS: &str = "GRANT SELECT ON posts TO reporter; ALTER TABLE follows OWNER TO reporter; \
    CREATE POLICY seen ON comments TO reporter USING (true)";
const WHO: &str = "SELECT string_agg(concat_ws(' ', relname, nullif(pg_get_userbyid(relowner), current_user), relacl, polname, \
    polroles::regrole[]), E'\\n' ORDER BY relname) FROM pg_class LEFT JOIN pg_policy ON polrelid = pg_class.oid \
    WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace";

/// Promise: a backup seeds development with the very rows and files that production would have given then, while production
/// is away.
/// Given: a seed from production, a backup of the same moment, then other rows in production and its database stopped.
/// Then: the seed from the backup gives the same masked rows and the same files, byte by byte, names the backup in `status`,
/// and leaves no server; questions about the sample are answered, and a plan only printed.
#[test]
fn a_backup_gives_what_production_would_have_given() {
    let story = demonstration();
    query(&story, PRODUCTION, &format!("{ROLE}; {RIGHTS}"));
    query(&story, DEVELOPMENT, ROLE);
    backup(&story);
    story.run(&["seed", DEVELOPMENT]).ended(0);
    let got = || got(&story);
    let direct = got();
    assert!(direct.2.contains("reporter=r/") && direct.2.contains("seen {reporter}"), "{}", direct.2);
    let key = query(&story, DEVELOPMENT, "SELECT min(id) FROM users");
    let why = ["seed", DEVELOPMENT, "--why", "users", &key];
    let chain = story.run(&why).ended(0).out;
    assert_eq!(from_server(&story), direct);
    query(&story, PRODUCTION, "UPDATE users SET handle = 'later_' || id; DELETE FROM post_files");
    story.container(PRODUCTION, "web").exec(&["sh", "-c", "rm -rf /vault/*"]).expect("removed");
    query(&story, DEVELOPMENT, "DELETE FROM comments; UPDATE users SET handle = 'own_' || id");
    stop_production(&story);

    story.run(&["seed", DEVELOPMENT]).ended(2).says(&["does not run"]);
    let plan = story.run(&["seed", DEVELOPMENT, "--from", "latest", "--plan", "--json"]).ended(0).json();
    assert!(plan["steps"].as_array().is_some_and(|steps| steps.len() > 20), "{plan}");
    assert_eq!(scratch(&story), "");
    let from = |words: &[&str]| story.run(&[words, &["--from", "latest"]].concat()).ended(0);
    assert_eq!(from(&why).out, chain);
    assert!(!from(&["seed", DEVELOPMENT, "--suggest"]).out.contains("users.email"));
    assert_eq!(scratch(&story), "");

    let seeded = last(&from(&["seed", DEVELOPMENT, "--json"]).out);
    assert_eq!(got(), direct, "{seeded}");
    assert_eq!(files(&story, DEVELOPMENT), keys(&story, DEVELOPMENT));
    assert_eq!((scratch(&story).as_str(), leftovers(&story).as_str()), ("", "0"));
    assert_eq!(seeded["seed"]["from"], PRODUCTION, "{seeded}");
    let backup = seeded["seed"]["backup"]["name"].as_str().expect("a backup").to_owned();
    let told = story.run(&["status", DEVELOPMENT]).ended(0).out;
    assert!(
        told.contains("  data    10% of production as of ")
            && told.contains(&format!("from backup {backup}")),
        "{told}"
    );
    assert!(story.ask(DEVELOPMENT, "/health").status == 200);
    let running = docker_answers(&["ps", "-q", "--filter", &format!("id={}", database(&story))]);
    assert_eq!(running.as_deref().map(str::trim), Some(""), "production's database was left alone");
}

type Got = (BTreeMap<String, String>, Vec<String>, String);

fn got(story: &Story) -> Got {
    (rows(story, DEVELOPMENT), files(story, DEVELOPMENT), query(story, DEVELOPMENT, WHO))
}

/// The same rows by a DSN, whose password no list of processes shows, and no faster than is allowed.
fn from_server(story: &Story) -> Got {
    let address = "{{range .NetworkSettings.Networks}}{{.IPAddress}} {{end}}";
    let address = docker_answers(&["inspect", "-f", address, &database(story)]).expect("inspected");
    let host = address.split_whitespace().next().expect("an address");
    let words = ["sh", "-c", "printf %s \"$POSTGRES_PASSWORD\""];
    let password = story.container(PRODUCTION, "db").exec(&words).expect("a password");
    let dsn = format!("postgres://atelier:{password}@{host}/atelier");
    story.run(&["seed", DEVELOPMENT, "--from", &dsn]).ended(1).says(&["holds a password", "env:NAME"]);
    story.edit("partywall.yaml", "  cohort:", "  from: env:REPLICA\n  rate: 100MB\n  cohort:");
    let mut command = story.command(&["seed", DEVELOPMENT, "--json"]);
    let told = command.env("REPLICA", &dsn).output().expect("it runs");
    let text = String::from_utf8_lossy(&told.stdout).into_owned() + &String::from_utf8_lossy(&told.stderr);
    assert!(told.status.success() && !text.contains(&password), "{text}");
    story.run(&["seed", DEVELOPMENT]).ended(2).says(&["could not read the DSN from `REPLICA`"]);
    story.edit("partywall.yaml", "  from: env:REPLICA\n", "");
    let status = story.run(&["status", DEVELOPMENT]).ended(0).out;
    assert!(status.contains("  data    10% of production, from env:REPLICA: "), "{status}");
    got(story)
}

/// Promise: whenever a seed from a backup is cut off, development has its own data or the new data whole, and no server stays.
/// Given: a backup, and development with rows and a session of its own.
/// Then: after each kill at a random moment and `abandon` or `resume` one of the two is there, and nothing beside it.
#[test]
fn a_killed_seed_from_a_backup_leaves_no_server() {
    let story = backed_up();
    stop_production(&story);
    let words = ["seed", DEVELOPMENT, "--from", "latest"];
    let begun = Instant::now();
    story.run(&words).ended(0);
    let takes = begun.elapsed();
    for round in 0..4_u32 {
        query(&story, DEVELOPMENT, "UPDATE users SET handle = 'own_' || id");
        redis(&story, &["SET", "session", "somebody"]);
        let before = development(&story);
        let moment = takes.mul_f64((f64::from(round) + (random() % 1000) as f64 / 1000.0) / 4.0);
        let mut seed = story.start(&words);
        std::thread::sleep(moment);
        drop(seed.kill());
        let told = format!("killed after {moment:.2?} of {takes:.2?}: {}", finished(seed).err);
        let word = if round % 2 == 0 { "abandon" } else { "resume" };
        if story.run(&[word]).code != Some(0) {
            assert_eq!(word, "abandon", "{told}");
            story.run(&["resume"]).ended(0);
        }
        let after = development(&story);
        assert_eq!((scratch(&story).as_str(), leftovers(&story).as_str()), ("", "0"), "{told}");
        assert!(after == before || files(&story, DEVELOPMENT) == keys(&story, DEVELOPMENT), "{told}");
        assert!(after == before || after["current"] != before["current"], "{told}");
        assert!(story.ask(DEVELOPMENT, "/health").status == 200, "{told}");
    }
}

/// Promise: a backup that cannot be the source is refused with its reason, and nothing is touched.
/// Given: a backup of production.
/// Then: an unknown name, a wrong key, a backup without the database or the vault, one of development itself, and one whose
/// repository is damaged each are named, and there is no server.
#[test]
fn a_backup_that_does_not_fit_is_refused() {
    let story = backed_up();
    let before = development(&story);
    let refused = |name: &str, code, texts: &[&str]| {
        story.run(&["seed", DEVELOPMENT, "--from", name]).ended(code).says(texts);
        assert_eq!((&development(&story), scratch(&story).as_str()), (&before, ""), "{name}");
    };
    refused("20000101-000000", 1, &["no backup `20000101-000000`"]);
    refused("prodution", 1, &["no environment or backup `prodution`", "did you mean `production`?"]);
    let key = story.state().join("projects").join(&story.name).join("backup.key");
    let kept = fs::read(&key).expect("a key");
    fs::write(&key, "another").expect("written");
    refused("latest", 2, &["is the key of another repository"]);
    fs::write(&key, kept).expect("written");
    story.run(&["backup", DEVELOPMENT]).ended(0);
    let own = last(&story.run(&["backups", DEVELOPMENT, "--json"]).ended(0).out);
    let own = own["backups"][0]["name"].as_str().expect("a backup").to_owned();
    refused(&own, 1, &["is of `development` itself", "partywall restore development"]);
    story.edit("partywall.yaml", "  main: { service: db }", "  other: { service: db }");
    refused("latest", 1, &["does not hold the database `other`", "it holds main"]);
    story.edit("partywall.yaml", "  other: { service: db }", "  main: { service: db }");
    story.edit("partywall.yaml", "volume: vault", "volume: pgdata");
    refused(
        "latest",
        1,
        &["does not hold `pgdata`", "--> partywall.yaml:", "its folders are redisdata, vault"],
    );
    story.edit("partywall.yaml", "volume: pgdata", "volume: vault");
    damage(&story);
    refused("latest", 2, &["could not read manifest.json of", "hint: the repository is damaged"]);
}

/// Nothing of what the repository's data holds can be read any more.
fn damage(story: &Story) {
    let words = "find data -type f | while read f; do chmod u+w $f; s=$(stat -c %s $f); \
        head -c $((s - 64)) /dev/zero | dd of=$f bs=64 seek=1 conv=notrunc status=none; done";
    let told = Command::new("sh").args(["-c", words]).current_dir(story.state().join("repository")).output();
    assert!(told.expect("sh").status.success());
}

/// A shop whose server has its password in a file, and whose pictures lie in a folder of the host.
fn shop() -> Story {
    let story = Story::light();
    let images = [image("caddy"), image("postgres")];
    let compose = format!(
        r#"services:
  web:
    image: {}
    command: [caddy, respond, --listen, ":8000", "hello"]
    expose: ["8000"]
    depends_on: {{ db: {{ condition: service_healthy }} }}
    volumes: ["./media:/srv/media"]
    stop_grace_period: 1s
  db:
    image: {}
    environment:
      POSTGRES_DB: shop
      POSTGRES_INITDB_ARGS: --no-sync
      POSTGRES_USER: keeper
      POSTGRES_PASSWORD_FILE: /run/secrets/password
    secrets: [password]
    volumes: ["data:/var/lib/postgresql/data"]
    healthcheck: {{ test: [CMD, pg_isready, -h, 127.0.0.1], interval: 1s, start_period: 60s, start_interval: 200ms }}
secrets:
  password: {{ file: ./password.txt }}
volumes:
  data:
"#,
        images[0], images[1]
    );
    story.write("docker-compose.yml", &compose);
    story.write("compose.override.yml", "services: {}\n");
    story.write("password.txt", "from-a-file-7Qx2\n");
    fs::create_dir_all(story.project().join("media/2026/small")).expect("folders");
    for (path, text) in
        [("2026/a.png", "a"), ("2026/small/a.png", "small a"), ("2026/b.png", "b"), ("other", "o")]
    {
        story.write(&format!("media/{path}"), text);
    }
    let sections = "databases:\n  main: { service: db }\nseed:\n  cohort: { table: people, where: \"id < 10\" }\n  masks: { people.emails: email }\n\
        \x20 vault: [{ mount: \"web:/srv/media/2026\", key: people.picture, strip: /media/, files: [\"{key}\", \"small/{key}\"] }]\n";
    let text = story.read("partywall.yaml");
    story.write("partywall.yaml", &format!("{text}{sections}"));
    story.up(PRODUCTION);
    story.up(DEVELOPMENT);
    keeper(
        &story,
        PRODUCTION,
        "CREATE TABLE people (id int PRIMARY KEY, emails text[], picture text); \
        INSERT INTO people VALUES (1, '{one@mail.example,uno@mail.example}', '/media/a.png'), (2, NULL, NULL), (20, '{}', '/media/b.png')",
    );
    story
}

fn keeper(story: &Story, environment: &str, sql: &str) -> String {
    let words = ["psql", "-qAtX", "-v", "ON_ERROR_STOP=1", "-U", "keeper", "-d", "shop", "-c", sql];
    story.container(environment, "db").exec(&words).unwrap_or_else(|| panic!("{environment}: {sql}"))
}

/// Promise: a server whose password stands in a file is seeded as any other, and so is a folder of the host.
/// Given: a shop with `POSTGRES_PASSWORD_FILE`, in each environment another, and pictures in a bind mount, of which the vault is a part.
/// Then: a seed from production, and one from a backup after the pictures have gone, bring the same rows and the pictures
/// of the sampled ones, under every path that belongs to a key.
#[test]
fn passwords_in_files_and_files_in_folders_of_the_host() {
    let story = shop();
    let pictures = || {
        let words = "cd /srv/media && find . -type f -exec md5sum {} + | sort -k 2";
        story.container(DEVELOPMENT, "web").exec(&["sh", "-c", words]).expect("a folder")
    };
    let rows = || keeper(&story, DEVELOPMENT, "SELECT string_agg(p::text, ' ' ORDER BY id) FROM people p");
    story.run(&["seed", DEVELOPMENT]).ended(0);
    let direct = (rows(), pictures());
    assert!(direct.0.starts_with("(1,\"{user") && direct.0.ends_with(",/media/a.png) (2,,)"), "{}", direct.0);
    let names: Vec<&str> =
        direct.1.lines().filter_map(|line| line.split_once("  ")).map(|(_, name)| name).collect();
    assert_eq!(names, ["./2026/a.png", "./2026/small/a.png"]);
    backup(&story);
    fs::remove_dir_all(story.project().join("media/2026")).expect("removed");
    keeper(&story, DEVELOPMENT, "DELETE FROM people");
    stop_production(&story);
    story.run(&["seed", DEVELOPMENT, "--from", "latest"]).ended(0);
    assert_eq!((rows(), pictures()), direct);
    assert_eq!(scratch(&story), "");
}

/// Promise: the machine goes down in the middle of a seed from a backup, and `resume` finishes it.
/// Given: a seed that is killed while it samples the server that stands in, which then is stopped, as after a reboot.
/// Then: `resume` ends it with the rows that an undisturbed seed brings, and nothing is left of the server.
#[test]
fn a_seed_from_a_backup_outlives_a_reboot() {
    let story = shop();
    backup(&story);
    let words = ["seed", DEVELOPMENT, "--from", "latest"];
    let rows = || keeper(&story, DEVELOPMENT, "SELECT string_agg(p::text, ' ' ORDER BY id) FROM people p");
    story.run(&words).ended(0);
    let wanted = rows();
    keeper(&story, DEVELOPMENT, "DELETE FROM people");
    let sampled = |_: usize, step: &Step| matches!(step.does, Action::SampleDatabase { .. });
    let killed = killed_when(&story, &words, sampled);
    assert!(killed.is_some(), "it was over");
    let filter = format!("label=com.docker.compose.project={}-source", story.compose_project(PRODUCTION));
    for container in lines(&["ps", "-q", "--filter", &filter]) {
        docker_answers(&["kill", &container]).expect("the power is gone");
    }
    story.run(&["resume"]).ended(0).says(&["`seed development` is finished"]);
    assert_eq!((rows(), scratch(&story).as_str()), (wanted, ""));
}

/// Promise: a seed from a backup that fails on the way leaves development its rows and no server, whatever fails.
/// Given: development with rows of its own; then a rewrite that meets no row, and at last a repository in which only what the
/// dump needs is damaged.
/// Then: with `--keep-failed` the new database stays, named with what removes it, and the server goes all the same; the damage is
/// told with its hint.
#[test]
fn a_seed_from_a_backup_that_fails_leaves_no_server() {
    let story = shop();
    keeper(&story, DEVELOPMENT, "CREATE TABLE own (id int)");
    backup(&story);
    let left = || {
        let list = "SELECT string_agg(datname, ' ') FROM pg_database WHERE datname LIKE '%partywall%'";
        let own = keeper(&story, DEVELOPMENT, "SELECT to_regclass('own')");
        (own, keeper(&story, DEVELOPMENT, list), scratch(&story))
    };
    let nothing = ("own".to_owned(), String::new(), String::new());
    let rewrite = "  rewrite: [{ table: people, set: { picture: none }, where: \"id = 99\" }]\n  masks:";
    story.edit("partywall.yaml", "  masks:", rewrite);
    let words = ["seed", DEVELOPMENT, "--from", "latest"];
    story.run(&words).ended(1).says(&["meets no row of the sample"]);
    assert_eq!(left(), nothing);
    let told = story.run(&[&words[..], &["--keep-failed"]].concat()).ended(1).err;
    let (own, kept, server) = left();
    assert_eq!(
        (own.as_str(), server.as_str(), kept.contains("shop__partywall_")),
        ("own", "", true),
        "{kept}"
    );
    let remove = told.split("remove it with `partywall ").nth(1).and_then(|rest| rest.split('`').next());
    let remove: Vec<&str> = remove.unwrap_or_else(|| panic!("{told}")).split(' ').collect();
    story.run(&remove).ended(0);
    assert_eq!(left(), nothing);
    story.edit("partywall.yaml", rewrite, "  masks:");

    damage_the_dump(&story);
    story
        .run(&words)
        .ended(2)
        .says(&["could not read `databases/main.dump`", "hint: the repository is damaged"]);
    assert_eq!(left(), nothing);
}

/// Flips bytes amid what a second backup has added, which is a dump with many new rows and little else.
fn damage_the_dump(story: &Story) {
    keeper(
        story,
        PRODUCTION,
        "CREATE TABLE noise AS SELECT sha256(n::text::bytea) AS words FROM generate_series(1, 50000) n",
    );
    let packs = || {
        let repository = story.state().join("repository");
        let told = Command::new("find").args(["data", "-type", "f"]).current_dir(repository).output();
        let told = told.expect("find").stdout;
        String::from_utf8(told).expect("names").lines().map(str::to_owned).collect::<BTreeSet<String>>()
    };
    let before = packs();
    story.run(&["backup", PRODUCTION]).ended(0);
    let repository = story.state().join("repository");
    let size = |name: &&String| fs::metadata(repository.join(name)).expect("a file").len();
    let new = &packs() - &before;
    let path = repository.join(new.iter().max_by_key(size).expect("a new one"));
    let mut bytes = fs::read(&path).expect("it reads");
    let middle = bytes.len() / 2;
    assert!(middle > 500_000, "{middle}");
    bytes[middle] ^= 1;
    fs::remove_file(&path).expect("removed");
    fs::write(&path, bytes).expect("written");
}

fn backed_up() -> Story {
    let story = demonstration();
    backup(&story);
    story
}

fn backup(story: &Story) {
    let backup =
        format!("\nbackup: {{ repository: {}, every: 6h }}\n", story.state().join("repository").display());
    let text = story.read("partywall.yaml");
    let without: String =
        text.lines().filter(|line| !line.starts_with("backup:")).map(|line| format!("{line}\n")).collect();
    story.write("partywall.yaml", &format!("{without}{backup}"));
    story.run(&["backup", PRODUCTION]).ended(0);
}

fn database(story: &Story) -> String {
    let project = format!("label=com.docker.compose.project={}", story.compose_project(PRODUCTION));
    let words =
        ["ps", "-aq", "--no-trunc", "--filter", &project, "--filter", "label=com.docker.compose.service=db"];
    docker_answers(&words).expect("docker answers").trim().to_owned()
}

fn stop_production(story: &Story) {
    docker_answers(&["stop", "-t", "5", &database(story)]).expect("stopped");
}

/// Containers, volumes and networks of the server that stands in.
fn scratch(story: &Story) -> String {
    let filter = format!("label=com.docker.compose.project={}-source", story.compose_project(PRODUCTION));
    let kinds: [&[&str]; 3] = [&["ps", "-aq"], &["volume", "ls", "-q"], &["network", "ls", "-q"]];
    let found = kinds
        .iter()
        .map(|words| docker_answers(&[*words, &["--filter", &filter]].concat()).expect("docker answers"));
    found.collect::<Vec<_>>().concat()
}
