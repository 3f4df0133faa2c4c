//! What a service is, guessed from its image, ports, command and healthcheck.
//!
//! The guess only decides defaults (restart policy, which service gets a route, which is never
//! flipped) and can be overridden with `roles:` in `partywall.yaml`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::compose::Service;

/// What a service is for the application.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Answers HTTP for users or other services.
    Web,
    /// Works in the background.
    Worker,
    /// Keeps data: SQL, document, search, column, object or time-series store.
    Database,
    Cache,
    /// Passes messages: MQTT, AMQP, Kafka.
    Broker,
    /// Takes requests from outside and hands them on.
    Proxy,
    /// Runs once and ends.
    Job,
}

impl Role {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Web => "web",
            Self::Worker => "worker",
            Self::Database => "database",
            Self::Cache => "cache",
            Self::Broker => "broker",
            Self::Proxy => "proxy",
            Self::Job => "job",
        }
    }

    /// True for services that must never run twice on the same data.
    pub fn is_stateful(self) -> bool {
        matches!(self, Self::Database | Self::Cache | Self::Broker)
    }
}

/// Image name words that settle the role, most specific first.
const IMAGES: &[(Role, &[&str])] = &[
    (
        Role::Job,
        &[
            "minio/mc",
            "flyway",
            "liquibase",
            "dbmate",
            "golang-migrate",
            "migrate/migrate",
            "cp-kafka-init",
            "wait-for-it",
            "dockerize",
        ],
    ),
    (
        Role::Worker,
        &[
            "exporter",
            "cadvisor",
            "watchtower",
            "autoheal",
            "ofelia",
            "backup",
            "promtail",
            "fluent-bit",
            "fluentd",
            "filebeat",
            "metricbeat",
            "telegraf",
            "vector:",
            "timberio/vector",
            "cloudflared",
            "runner",
            "certbot",
            "diun",
            "ddclient",
            "machine-learning",
            "logspout",
        ],
    ),
    (
        Role::Web,
        &[
            "pgadmin",
            "phpmyadmin",
            "adminer",
            "redis-commander",
            "redisinsight",
            "mongo-express",
            "kibana",
            "kafka-ui",
            "akhq",
            "postgrest",
            "postgres-meta",
            "opensearch-dashboards",
            "chronograf",
            "hasura",
            "pgweb",
            "kafdrop",
            "cloudbeaver",
        ],
    ),
    (Role::Worker, &["pgbackup", "postgres-backup", "mysql-backup", "pg_dump"]),
    (
        Role::Database,
        &[
            "postgres",
            "postgis",
            "pgvector",
            "vectorchord",
            "timescale",
            "mysql",
            "mariadb",
            "percona",
            "mongo",
            "cockroach",
            "clickhouse",
            "influxdb",
            "elasticsearch",
            "opensearch",
            "meilisearch",
            "typesense",
            "solr",
            "couchdb",
            "couchbase",
            "cassandra",
            "scylla",
            "neo4j",
            "arangodb",
            "minio",
            "qdrant",
            "weaviate",
            "milvus",
            "chroma",
            "victoria-metrics",
            "mssql",
            "oracle/database",
            "ferretdb",
            "surrealdb",
            "rethinkdb",
            "questdb",
            "seaweedfs",
            "garage",
            "etcd",
            "openldap",
            "manticore",
            "sonic",
            "immudb",
            "tidb",
            "yugabyte",
            "prometheus",
            "loki",
            "zinc",
            "foundationdb",
            "dgraph",
            "edgedb",
            "gel",
        ],
    ),
    (Role::Cache, &["redis", "valkey", "keydb", "dragonfly", "memcached", "garnet", "varnish"]),
    (
        Role::Broker,
        &[
            "mosquitto",
            "rabbitmq",
            "kafka",
            "zookeeper",
            "nats",
            "emqx",
            "activemq",
            "artemis",
            "pulsar",
            "redpanda",
            "hivemq",
            "vernemq",
            "nsq",
            "beanstalk",
            "rocketmq",
            "elasticmq",
            "nanomq",
        ],
    ),
    (
        Role::Proxy,
        &[
            "caddy",
            "traefik",
            "haproxy",
            "nginx-proxy",
            "nginx-proxy-manager",
            "envoyproxy",
            "envoy",
            "kong",
            "swag",
            "oauth2-proxy",
            "apisix",
            "openresty",
            "ingress",
            "jwilder/nginx",
            "tyk",
        ],
    ),
];

/// Words of a service's name that make it a job when something waits for its end or it looks so.
const JOB_NAMES: &[&str] = &[
    "migrate",
    "migration",
    "migrations",
    "init",
    "initdb",
    "setup",
    "seed",
    "bootstrap",
    "createbuckets",
    "provision",
    "installer",
    "install",
    "cleanup",
    "prepare",
    "upgrade",
    "createbucket",
];
const WORKER_NAMES: &[&str] = &[
    "worker",
    "workers",
    "sidekiq",
    "celery",
    "cron",
    "scheduler",
    "queue",
    "consumer",
    "consumers",
    "beat",
    "jobs",
    "background",
    "resque",
    "horizon",
    "runner",
    "daemon",
    "processor",
    "ingest",
    "forwarder",
    "exporter",
    "backup",
    "mailer",
    "watcher",
    "delayed",
];
const WORKER_COMMANDS: &[&str] = &[
    "sidekiq",
    "celery",
    "worker",
    "queue:work",
    "horizon",
    "schedule:run",
    "schedule:work",
    "consumer",
    "consume",
    "cron",
    "crond",
    "beat",
    "rqworker",
    "resque",
    "run-consumer",
    "jobs:work",
    "good_job",
    "dramatiq",
    "scheduler",
    "subscribe",
];
const JOB_COMMANDS: &[&str] = &[
    "migrate",
    "db:migrate",
    "db:prepare",
    "db:setup",
    "migration:run",
    "upgrade head",
    "migrate deploy",
    "collectstatic",
    "bootstrap",
    "mc alias",
    "mc mb",
    "createbuckets",
    "cleanup",
    "init.sh",
];
const PROXY_NAMES: &[&str] = &[
    "proxy",
    "gateway",
    "ingress",
    "edge",
    "loadbalancer",
    "lb",
    "reverse-proxy",
    "traefik",
    "caddy",
    "kong",
];
const DATABASE_NAMES: &[&str] = &[
    "db",
    "database",
    "postgres",
    "postgresql",
    "mysql",
    "mariadb",
    "mongo",
    "mongodb",
    "elasticsearch",
    "clickhouse",
    "minio",
];
const CACHE_NAMES: &[&str] = &["redis", "cache", "memcached", "valkey", "keydb"];
const BROKER_NAMES: &[&str] =
    &["mqtt", "broker", "rabbitmq", "kafka", "mosquitto", "nats", "zookeeper", "rabbit"];

/// The role of a service. `awaited` is true when another service waits for it to complete.
pub fn guess(service: &Service<'_>, awaited: bool) -> Role {
    if awaited {
        return Role::Job;
    }
    let words = words(service.name());
    let image = service.image().map(image_name).unwrap_or_default();
    let command = service.command_text();
    if let Some(role) = by_image(&image, service, &command) {
        return role;
    }
    if runs_once(service, &words, &command) {
        return Role::Job;
    }
    by_name(service, &words, &command)
}

fn by_image(image: &str, service: &Service<'_>, command: &str) -> Option<Role> {
    let padded = format!("{image}:");
    let (role, _) = IMAGES.iter().find(|(_, names)| names.iter().any(|name| has_word(&padded, name)))?;
    // A database's image is also what its one-shot clients and backup loops run.
    let once = runs_once(service, &words(service.name()), command);
    match role {
        Role::Database | Role::Cache | Role::Broker if once => Some(Role::Job),
        // nginx-like images before an application are proxies only when they are not its web server.
        other => Some(*other),
    }
}

/// True when `name` stands in `image` as whole words: `kong` is in `kong/kong-gateway:`, not in `kongregate:`.
fn has_word(image: &str, name: &str) -> bool {
    image.match_indices(name).any(|(at, _)| {
        let before = image[..at].chars().next_back();
        let after = image[at + name.len()..].chars().next();
        let edge = |c: Option<char>| c.is_none_or(|c| !c.is_ascii_alphabetic());
        edge(before) && (name.ends_with(':') || edge(after) || after == Some('d') && name == "kafka")
    })
}

fn runs_once(service: &Service<'_>, words: &[String], command: &str) -> bool {
    let never_restarts = matches!(service.restart(), None | Some("no" | "on-failure"))
        || service.restart().is_some_and(|r| r.starts_with("on-failure"));
    let named = words.iter().any(|word| JOB_NAMES.contains(&word.as_str()));
    let commanded = JOB_COMMANDS.iter().any(|text| command.contains(text));
    let serves = !service.container_ports().is_empty() || service.has_healthcheck();
    // A web service often migrates before it serves: `migrate && serve` is no job.
    never_restarts
        && !serves
        && (named || commanded && !command.contains("&&") && !command.contains("runserver"))
}

fn by_name(service: &Service<'_>, words: &[String], command: &str) -> Role {
    let named = |names: &[&str]| words.iter().any(|word| names.contains(&word.as_str()));
    let ports = service.container_ports();
    let has_ports = !ports.is_empty();
    let image = service.image().map(image_name).unwrap_or_default();
    if WORKER_COMMANDS.iter().any(|text| command.contains(text)) && !has_ports {
        return Role::Worker;
    }
    if named(WORKER_NAMES) && !service.publishes() {
        return Role::Worker;
    }
    if named(DATABASE_NAMES) && service.has_volumes() {
        return Role::Database;
    }
    if named(CACHE_NAMES) {
        return Role::Cache;
    }
    if named(BROKER_NAMES) && !command.contains("http") {
        return Role::Broker;
    }
    if named(PROXY_NAMES) || has_word(&format!("{image}:"), "nginx") && takes_the_front(&ports) {
        return Role::Proxy;
    }
    if has_ports
        || service.has_healthcheck()
        || named(&["web", "app", "api", "server", "frontend", "backend", "site", "ui"])
    {
        return Role::Web;
    }
    if service.publishes() { Role::Web } else { by_absence(words) }
}

/// Nothing listens and nothing is checked: a worker, unless its name says that it serves.
fn by_absence(words: &[String]) -> Role {
    let serving = [
        "www",
        "http",
        "wiki",
        "cms",
        "blog",
        "admin",
        "dashboard",
        "portal",
        "grafana",
        "streaming",
        "rest",
        "auth",
        "studio",
        "storage",
        "realtime",
        "functions",
        "client",
        "gotenberg",
        "tika",
        "synapse",
        "element",
        "nodered",
    ];
    if words.iter().any(|word| serving.contains(&word.as_str())) { Role::Web } else { Role::Worker }
}

fn takes_the_front(ports: &[u16]) -> bool {
    ports.iter().any(|port| matches!(port, 80 | 443 | 8080 | 8443))
}

fn image_name(image: &str) -> String {
    let without_digest = image.split('@').next().unwrap_or(image);
    let slash = without_digest.rfind('/').map_or(0, |at| at + 1);
    match without_digest[slash..].find(':') {
        Some(colon) => without_digest[..slash + colon].to_lowercase(),
        None => without_digest.to_lowercase(),
    }
}

fn words(name: &str) -> Vec<String> {
    let lower = name.to_lowercase();
    let mut words: Vec<String> = lower
        .split(['-', '_', '.'])
        .map(|word| word.trim_end_matches(|c: char| c.is_ascii_digit()).to_owned())
        .collect();
    words.push(lower);
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    fn role_of(name: &str, service: &str) -> Role {
        let value: serde_json::Value = serde_json::from_str(service).expect("a service of the test");
        guess(&Service::new(name, &value), false)
    }

    #[test]
    fn images_settle_the_role() {
        for (image, role) in [
            ("postgres:16", Role::Database),
            ("docker.io/library/redis:7-alpine", Role::Cache),
            ("registry:5000/bitnami/kafka@sha256:aa", Role::Broker),
            ("caddy:2", Role::Proxy),
            ("prom/node-exporter", Role::Worker),
            ("dpage/pgadmin4", Role::Web),
            ("ghcr.io/immich-app/postgres:14-vectorchord0.3", Role::Database),
        ] {
            assert_eq!(role_of("x", &format!(r#"{{"image":"{image}"}}"#)), role, "{image}");
        }
    }

    #[test]
    fn commands_and_names_settle_the_rest() {
        assert_eq!(role_of("api", r#"{"image":"app","ports":[{"target":8000}]}"#), Role::Web);
        assert_eq!(
            role_of("tasks", r#"{"image":"app","command":["celery","-A","x","worker"]}"#),
            Role::Worker
        );
        assert_eq!(role_of("migrate", r#"{"image":"app","command":["./manage.py","migrate"]}"#), Role::Job);
        assert_eq!(
            role_of("web", r#"{"image":"nginx","ports":[{"target":80,"published":"80"}]}"#),
            Role::Proxy
        );
    }
}
