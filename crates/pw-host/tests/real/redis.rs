//! A Redis whose content is set aside, brought back and forgotten.

use pw_plan::Action;
use pw_plan::step::CachePlace;

use crate::common::{Project, chain, docker, image_of, strings};

type Numbers = Vec<(u32, u32)>;

/// A project with a Redis behind a password that its command names, and what is asked of it.
async fn redis() -> (Project, CachePlace) {
    let mut project = Project::new();
    let image = image_of("REDIS_IMAGE", "partywall-demo/redis");
    let run = project.compose(&format!(
        "  cache: {{image: {image}, LABELS, command: [redis-server, --requirepass, hush], healthcheck: {{test: [CMD-SHELL, 'redis-cli -a hush ping | grep -q PONG'], interval: 200ms, retries: 50}}}}\n  plain: {{image: IMAGE, init: true, LABELS, command: [sleep, 1d]}}\n"
    ));
    project.start(&run, &["cache", "plain"]).await;
    let wait = Action::AwaitServices {
        project: project.name.clone(),
        services: strings(&["cache"]),
        timeout_seconds: 60,
    };
    project.perform(wait).await.unwrap_or_else(|failure| panic!("{}", chain(&failure)));
    let place = CachePlace { project: project.name.clone(), service: "cache".into() };
    (project, place)
}

fn ask(project: &Project, words: &[&str]) -> String {
    let container = format!("{}-cache-1", project.name);
    let base = ["exec", "-e", "REDISCLI_AUTH=hush", &container, "redis-cli"];
    docker(&[&base[..], words].concat())
}

async fn twice(project: &mut Project, action: Action) {
    for _ in 0..2 {
        project.perform(action.clone()).await.unwrap_or_else(|failure| panic!("{}", chain(&failure)));
    }
}

#[tokio::test]
async fn content_is_set_aside_and_comes_back_however_often_it_is_asked() {
    let (mut project, cache) = redis().await;
    ask(&project, &["SET", "session", "1"]);
    ask(&project, &["-n", "3", "SET", "job", "1"]);
    let keyspace = project.host.engine().keyspace(&cache).await;
    let keyspace = keyspace.unwrap_or_else(|failure| panic!("{}", chain(&failure)));
    assert_eq!((keyspace.used.into_iter().collect::<Vec<_>>(), keyspace.limit), (vec![0, 3], 16));

    let numbers: Numbers = vec![(0, 15), (3, 14)];
    let (aside, back, forget) = (
        Action::SetCacheAside { cache: cache.clone(), numbers: numbers.clone() },
        Action::BringCacheBack { cache: cache.clone(), numbers: numbers.clone() },
        Action::RemoveCacheAside { cache: cache.clone(), numbers },
    );
    twice(&mut project, back.clone()).await;
    assert_eq!(ask(&project, &["KEYS", "*"]), "session", "nothing was set aside");
    twice(&mut project, aside.clone()).await;
    assert_eq!((ask(&project, &["DBSIZE"]), ask(&project, &["-n", "3", "DBSIZE"])), ("0".into(), "0".into()));
    ask(&project, &["SET", "new", "1"]);
    twice(&mut project, back).await;
    assert_eq!(ask(&project, &["KEYS", "*"]), "session", "as it was, without what came since");
    assert_eq!(ask(&project, &["-n", "3", "KEYS", "*"]), "job");
    twice(&mut project, aside).await;
    twice(&mut project, forget).await;
    assert_eq!(ask(&project, &["INFO", "keyspace"]).trim(), "# Keyspace");
}

#[tokio::test]
async fn what_is_no_redis_says_so() {
    let (project, cache) = redis().await;
    let plain = CachePlace { service: "plain".into(), ..cache };
    let failure = project.host.engine().keyspace(&plain).await.expect_err("no Redis");
    let told = chain(&failure);
    assert!(
        told.contains("has no Redis client inside") && told.contains("`caches: { plain: leave }`"),
        "{told}"
    );
}

#[tokio::test]
async fn stopped_services_stay_and_are_started_again() {
    let (mut project, cache) = redis().await;
    let ids = project.ids();
    let stop =
        Action::StopServices { project: cache.project.clone(), services: strings(&["cache", "plain"]) };
    twice(&mut project, stop).await;
    assert_eq!(project.ids(), ids);
    let container = format!("{}-cache-1", project.name);
    assert_eq!(docker(&["inspect", "-f", "{{.State.Running}}", &container]), "false");
    assert!(project.host.engine().look_inside(&cache.project, "cache").await.is_err());
}
