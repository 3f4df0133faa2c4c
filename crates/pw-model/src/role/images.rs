//! Images that settle the role of what runs from them.

use super::Role;
use crate::compose::Service;

/// Words of an image's own name, first match wins, so what only *speaks* of a database stands before the databases.
///
/// `=x` is the whole name, `a/b` an organisation's image, anything else a word of the name.
const IMAGES: &[(Role, &str)] = &[
    (
        Role::Worker,
        "\
        exporter cadvisor watchtower autoheal ofelia backup backups promtail fluent-bit fluentd \
        filebeat metricbeat heartbeat logstash telegraf =vector runner certbot acme-companion \
        letsencrypt-companion acme.sh lego diun ddclient logspout dozzle-agent crowdsec fail2ban \
        alloy vmagent vmalert opentelemetry-collector opentelemetry-collector-contrib \
        otel-collector supercronic rclone restic docker-gc sidekiq worker duplicity autorestic \
        postfix-relay ddns admin-tools etl",
    ),
    (
        Role::Job,
        "\
        minio/mc flyway liquibase dbmate golang-migrate migrate/migrate wait-for-it dockerize \
        geoipupdate =composer awscli aws-cli mkcert =busybox =hello-world openssl =curl",
    ),
    (
        Role::Web,
        "\
        pgadmin phpmyadmin phppgadmin adminer redis-commander redisinsight mongo-express kibana \
        kafka-ui akhq kafdrop kowl schema-registry kafka-connect kafka-rest kafka-bridge \
        ksqldb-server control-center postgrest postgres-meta pg-meta opensearch-dashboards \
        elasticsearch-dashboards chronograf hasura graphql-engine pgweb cloudbeaver \
        minio-console attu etcdkeeper zoonavigator influxdb-ui mailhog mailpit mailcatcher \
        maildev grafana alertmanager dozzle portainer jaeger all-in-one wordpress httpd \
        nextcloud ghost tika gotenberg nocodb flink spark trino",
    ),
    (
        Role::Database,
        "\
        postgres postgresql postgis pgvector pgvecto-rs vectorchord timescaledb timescaledb-ha \
        spilo mysql mariadb percona mongo mongodb cockroach clickhouse influxdb influxdb3 \
        elasticsearch opensearch meilisearch typesense solr couchdb couchbase cassandra scylla \
        neo4j memgraph arangodb orientdb minio qdrant weaviate milvus chroma chromadb \
        victoria-metrics victoria-logs vmstorage mssql mssql/server oracle-xe oracle-free \
        ferretdb surrealdb rethinkdb questdb seaweedfs =garage etcd openldap manticore \
        manticoresearch =sonic immudb tidb tikv yugabyte prometheus loki mimir tempo zincsearch \
        foundationdb dgraph edgedb =gel vespa dolt rqlite sqld graphite oceanbase oceanbase-ce \
        opengauss nebula-graphd ravendb greptimedb localstack azurite rustfs wazuh-indexer azure-sql-edge",
    ),
    (
        Role::Cache,
        "\
        redis redis-stack redis-stack-server valkey keydb dragonfly memcached garnet hazelcast \
        =kvrocks",
    ),
    (
        Role::Broker,
        "\
        mosquitto rabbitmq kafka zookeeper nats emqx activemq artemis pulsar redpanda hivemq \
        vernemq nsq beanstalk beanstalkd rocketmq elasticmq nanomq redpanda-nightly",
    ),
    (
        Role::Proxy,
        "\
        caddy caddy-docker-proxy traefik haproxy nginx-proxy nginx-proxy-manager envoy kong \
        kong-gateway swag oauth2-proxy apisix openresty tyk tyk-gateway https-portal squid \
        varnish pgbouncer pgcat pgpool proxysql supavisor privoxy gluetun cloudflared ngrok \
        tailscale docker-socket-proxy socket-proxy pomerium bunkerweb zoraxy torproxy frpc frps \
        krakend mcrouter twemproxy maxscale =proxy zeroproxy newt pangolin",
    ),
];

/// The role that the image settles.
pub(super) fn role(service: &Service<'_>) -> Option<Role> {
    let image = image_name(service)?;
    let name = image.rsplit('/').next().unwrap_or(&image);
    if is_variant(name) {
        return Some(Role::Web);
    }
    if name.starts_with("nginx") && !name.contains("exporter") {
        return Some(if is_page(service) { Role::Web } else { Role::Proxy });
    }
    let settles = |pattern: &str| match pattern.strip_prefix('=') {
        Some(whole) => name == whole,
        None if pattern.contains('/') => format!("/{image}").ends_with(&format!("/{pattern}")),
        None => has_word(name, pattern),
    };
    IMAGES.iter().find(|(_, patterns)| patterns.split_ascii_whitespace().any(settles)).map(|(role, _)| *role)
}

/// `zabbix-server-mysql` is the server that speaks to MySQL, `nginx-fpm` an application in PHP with its own web server.
fn is_variant(name: &str) -> bool {
    let words: Vec<&str> = name.split('-').collect();
    let databases = ["mysql", "mariadb", "pgsql", "postgres", "postgresql", "sqlite", "mongodb"];
    let own = |word: &&str| databases.contains(word) || matches!(*word, "percona" | "mongo");
    let ends = words.iter().position(own).is_some_and(|first| first + 1 == words.len());
    let has = |wanted: &[&str]| wanted.iter().all(|word| words.contains(word));
    let serves = has(&["server"]) || has(&["web", "nginx"]) || has(&["web", "apache"]);
    ends && serves || has(&["nginx", "fpm"]) || has(&["nginx", "php"])
}

/// A web server that is given pages and no configuration is no proxy.
fn is_page(service: &Service<'_>) -> bool {
    let mounts = service.get("volumes").and_then(|volumes| volumes.as_array()).into_iter().flatten();
    let targets: Vec<&str> = mounts.filter_map(|mount| mount.get("target")?.as_str()).collect();
    let configs = service.get("configs").is_some();
    targets.iter().any(|target| target.starts_with("/usr/share/nginx/html"))
        && !configs
        && !targets.iter().any(|target| target.contains("/etc/nginx"))
        && service.dependencies().next().is_none()
}

/// The image without tag and digest; for one that is built without a name, the folder that it is built from.
fn image_name(service: &Service<'_>) -> Option<String> {
    let Some(image) = service.image() else {
        let folder = service.build_context()?.trim_end_matches('/').rsplit('/').next()?.to_lowercase();
        return is_whole_pattern(&folder).then_some(folder);
    };
    let without_digest = image.split('@').next().unwrap_or(image);
    let slash = without_digest.rfind('/').map_or(0, |at| at + 1);
    let end = without_digest[slash..].find(':').map_or(without_digest.len(), |colon| slash + colon);
    Some(without_digest[..end].to_lowercase())
}

fn is_whole_pattern(folder: &str) -> bool {
    folder == "nginx"
        || IMAGES
            .iter()
            .any(|(_, patterns)| patterns.split_ascii_whitespace().any(|pattern| pattern == folder))
}

/// True when `word` stands in `name` as whole words: `kong` in `kong-gateway` and `pgadmin` in `pgadmin4`, not `mongo` in `mongoose`.
fn has_word(name: &str, word: &str) -> bool {
    name.match_indices(word).any(|(at, _)| {
        let edge = |c: Option<char>| c.is_none_or(|c| !c.is_ascii_alphabetic());
        edge(name[..at].chars().next_back()) && edge(name[at + word.len()..].chars().next())
    })
}
