//! `drift`: quiet where all is as described, and nothing planted stays unseen.

use serde_json::Value;

use crate::harness::{DEVELOPMENT, PRODUCTION, Story, docker, docker_answers, image};

/// Both environments up, with an image of the story's own behind `web`.
fn shop() -> (Story, Own) {
    let story = Story::shop();
    let own = Own { image: format!("{}-web:1", story.name), stranger: format!("{}-stranger", story.name) };
    docker(&["tag", &image("caddy"), &own.image]);
    let web = format!("image: {}\n    command: [caddy", image("caddy"));
    story.edit("docker-compose.yml", &web, &format!("image: {}\n    command: [caddy", own.image));
    story.edit("docker-compose.yml", "  web:\n", "  web:\n    env_file: [\".more.${APP_ENV}\"]\n");
    story.write(".more.production", "KEPT=1\n");
    story.write(".more.development", "KEPT=2\n");
    story.up(PRODUCTION);
    story.up(DEVELOPMENT);
    (story, own)
}

/// What the story makes beside its project; gone when it is dropped.
struct Own {
    image: String,
    stranger: String,
}

impl Drop for Own {
    fn drop(&mut self) {
        drop(docker_answers(&["rm", "-f", &self.stranger]));
        drop(docker_answers(&["rmi", &self.image]));
    }
}

/// Paths of everything that is told and not on purpose, by what is held against what.
fn found(story: &Story, right: &str) -> Vec<String> {
    let told = story.run(&["drift", DEVELOPMENT, "--json"]).ended(1).json();
    let all = told["comparisons"].as_array().expect("comparisons");
    let one = all.iter().find(|one| one["right"] == right).expect("it is compared");
    assert_eq!(one["not_compared"], Value::Array(Vec::new()), "{one}");
    let differences = one["differences"].as_array().expect("differences").iter();
    let drift = differences.filter(|difference| difference["deliberate"] == false);
    drift.map(|difference| difference["path"].as_str().unwrap_or_default().to_owned()).collect()
}

/// Promise: an environment that runs as described shows no drift, and everything that was changed by hand is told,
/// with what to run; what overlays say is on purpose.
/// Given: two environments, then 20 changes behind Partywall's back.
/// Then: before, exit 0 and not one difference but those on purpose; after, exit 1 and exactly the planted ones; `status`
/// says how many; no secret is printed.
#[test]
fn what_was_changed_by_hand_is_found_and_nothing_else() {
    let (story, own) = shop();
    prints(&story, &["drift"], 0, &["no drift"]);
    let all = story.run(&["drift", "--all", "--json"]).ended(0).json();
    let differences = all["comparisons"].as_array().expect("some").iter();
    let told: Vec<&Value> =
        differences.flat_map(|one| one["differences"].as_array().expect("a list")).collect();
    let paths: Vec<&str> = told.iter().filter_map(|one| one["path"].as_str()).collect();
    assert_eq!(
        paths,
        ["services.db.ports.5432/tcp", "services.web.command"],
        "the overlay, and a variable: {all}"
    );
    let expected = plant(&story, &own);
    assert_eq!(found(&story, "running"), expected);
    let told = story.run(&["drift"]).ended(1);
    assert!(
        told.out.contains("docker update --cpus ") && told.out.contains("partywall up development"),
        "{}",
        told.out
    );
    assert!(!told.out.contains("secret of"), "{}", told.out);
    // `docker update` takes no limit of memory away.
    let anew = format!("docker rm --force {}-db-1 && ", story.compose_project(DEVELOPMENT));
    assert!(told.out.contains(&anew) && !told.out.contains("--memory-reservation 0"), "{}", told.out);
    let status = story.run(&["status"]).ended(0);
    assert!(
        status.out.contains(&format!("drift      {} differences", expected.len())),
        "{}\n{}",
        status.out,
        told.out
    );
    prints(&story, &["drift", PRODUCTION], 1, &["production, as described and as it runs"]);
}

#[track_caller]
fn prints(story: &Story, words: &[&str], code: i32, texts: &[&str]) {
    let told = story.run(words).ended(code);
    for text in texts {
        assert!(told.out.contains(text), "`{text}` is not in\n{}", told.out);
    }
}

fn plant(story: &Story, own: &Own) -> Vec<String> {
    let project = story.compose_project(DEVELOPMENT);
    let (web, db) = (format!("{project}-web-1"), format!("{project}-db-1"));
    let (network, stray) = (format!("{project}_default"), format!("{project}_stray"));
    let label = format!("com.docker.compose.project={project}");
    let ghost = ["--label", &label, "--label", "com.docker.compose.service=ghost"];
    let redis = image("redis");
    for words in [
        &["update", "--memory", "200m", "--memory-swap", "200m", &db][..],
        &["update", "--memory-reservation", "20m", &db],
        &["update", "--pids-limit", "77", &db],
        &["update", "--cpus", "0.3", &web],
        &["update", "--restart", "always", &web],
        &["network", "create", "--label", &label, &stray],
        &["network", "connect", &stray, &web],
        &["network", "disconnect", &network, &db],
        &["volume", "create", "--label", &label, &stray],
        &["run", "-d", "--name", &own.stranger, "--network", &network, &redis],
        &[&["run", "-d", "--name", &format!("{project}-ghost-1")][..], &ghost, &[redis.as_str()]].concat(),
        &["tag", &redis, &own.image],
        &["pause", &web],
        &["network", "disconnect", &format!("{project}_partywall-edge"), &story.proxy()],
    ] {
        docker(words);
    }
    let switches = story.state().join("proxy").join(story.proxy()).join("switch").join(&project);
    std::fs::remove_file(switches.join("web")).expect("a switch");
    std::fs::write(switches.join("ghost"), "nobody:1\n").expect("a switch");
    // Described otherwise since, and not brought up.
    story.edit("docker-compose.yml", "NOTE: \"${NOTE}\" }", "NOTE: \"${NOTE}\", ADDED: \"1\" }");
    story.edit("docker-compose.yml", "\"files:/files\"", "\"files:/files\", \"more:/more\"");
    story.edit("docker-compose.yml", "  files:\n", "  files:\n  more:\n");
    [
        "files.compose.yaml".to_owned(),
        format!("networks.{network}.{}", own.stranger),
        format!("networks.{stray}"),
        format!("proxy.networks.{project}_partywall-edge"),
        "routes.ghost".to_owned(),
        "routes.web".to_owned(),
        "services.db.memory".to_owned(),
        "services.db.memory_reservation".to_owned(),
        format!("services.db.networks.{network}"),
        "services.db.processes".to_owned(),
        "services.ghost".to_owned(),
        "services.web.cpus".to_owned(),
        "services.web.environment.ADDED".to_owned(),
        "services.web.image".to_owned(),
        format!("services.web.networks.{stray}"),
        "services.web.restart".to_owned(),
        "services.web.state".to_owned(),
        "services.web.volumes./more".to_owned(),
        format!("volumes.{project}_more"),
        format!("volumes.{stray}"),
    ]
    .into()
}

/// Promise: what only one environment has, and no overlay of it says, is told; `accept:` quiets it.
/// Given: a variable and a newer database image in development's own variables, and a table and a migration that
/// only its database has.
/// Then: exactly these, with the way to production; with all of them accepted, exit 0.
#[test]
fn environments_that_part_are_told() {
    let (story, _own) = shop();
    story.edit("docker-compose.yml", &format!("image: {}", image("postgres")), "image: ${DB_IMAGE}");
    let variables = |name: &str| story.read(name);
    let (production, development) = (variables(".env.prod"), variables(".env.dev"));
    story.write(".env.prod", &format!("{production}\nDB_IMAGE={}\n", image("postgres")));
    story.write(".env.dev", &format!("{development}\nDB_IMAGE={}:latest\n", image("postgres")));
    story.write(".more.development", "KEPT=2\nEXTRA=1\n");
    story.up(DEVELOPMENT);
    story.sql(DEVELOPMENT, "CREATE TABLE extra (id int PRIMARY KEY)");
    for environment in [PRODUCTION, DEVELOPMENT] {
        story.sql(environment, "CREATE TABLE schema_migrations (version text PRIMARY KEY)");
    }
    story.sql(DEVELOPMENT, "INSERT INTO schema_migrations VALUES ('0002')");
    let expected: Vec<String> = [
        "services.db.image",
        "services.web.environment.EXTRA",
        "database.main.migration.public.schema_migrations.0002",
        "database.main.table.public.extra",
    ]
    .map(str::to_owned)
    .into();
    assert_eq!(found(&story, DEVELOPMENT), expected);
    prints(
        &story,
        &["drift", DEVELOPMENT],
        1,
        &[
            "not applied, development: applied",
            "partywall rehearse production",
            "set it for `production` too",
        ],
    );
    let accepted = "drift:\n  accept: [database.main, services.db.image, \"services.*.environment.EXTRA\"]\n";
    story.write("partywall.yaml", &format!("{}{accepted}", story.read("partywall.yaml")));
    prints(&story, &["drift", DEVELOPMENT], 0, &["4 accepted in `partywall.yaml`"]);
}
