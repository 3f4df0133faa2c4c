//! What the words of a service's name and command tell.

use super::Role;
use crate::compose::Service;

/// Words of names, role by role. The last word that is known decides: an `api-worker` works, a `worker-api` serves.
const NAMES: &[(Role, &str)] = &[
    (Role::Worker, SURE_WORKERS),
    (
        Role::Worker,
        "\
        runner daemon processor ingest exporter backup backups mailer watcher delayed background \
        agent bot task tasks sync syncer crawler scraper indexer notifier poller listener \
        subscriber archiver async maintenance housekeeping triggerer taskmanager jobservice \
        watchdog telemetry collector certbot acme ofelia fetchmail janitor simulator netfilter \
        jicofo jibri jigasi sender etl ddns",
    ),
    (
        Role::Database,
        "\
        db database postgres postgresql pg pgsql mysql mariadb mongo mongodb elasticsearch \
        opensearch clickhouse minio influxdb ldap prometheus loki objectstorage qdrant \
        meilisearch typesense solr cassandra neo4j etcd",
    ),
    (Role::Cache, "redis cache memcached memcache valkey keydb dragonfly"),
    (Role::Broker, "mqtt broker rabbitmq rabbit kafka mosquitto nats zookeeper mq amqp"),
    (
        Role::Proxy,
        "\
        proxy gateway ingress edge loadbalancer load-balancer load_balancer lb traefik caddy kong nginx haproxy \
        envoy pgbouncer pooler tunnel vpn gluetun cloudflared router tor",
    ),
    (
        Role::Web,
        "\
        web app api server frontend backend front back site ui www http rest graphql admin \
        dashboard portal console website webserver webapp websocket websockets ws streaming \
        realtime client flower wiki cms blog shop store storefront studio viewer builder editor \
        auth sso idp fpm php webmail rails django laravel grafana hub homepage synapse element \
        nodered functions storage relay browser live",
    ),
];
const SURE_WORKERS: &str = "\
        worker workers sidekiq celery cron crond scheduler queue queues consumer consumers beat \
        celerybeat jobs resque horizon forwarder replacer taskmanager";
const JOB_NAMES: &str = "\
        migrate migration migrations migrator init initdb initialize initializer setup seed \
        seeder seeds bootstrap createbuckets createbucket provision provisioner installer \
        install cleanup prepare upgrade import importer loader fixtures configurator configure \
        register create permissions chown ownership cli wpcli artisan composer npm test tests \
        lint once asyncmigrationscheck geoipupdate certs keygen gencerts";
const WORKER_COMMANDS: &str = "\
        sidekiq celery worker queue:work queue:listen horizon schedule schedule:run schedule:work \
        consumer consume messenger:consume cron crond beat rqworker rqscheduler resque jobs:work \
        good_job dramatiq scheduler subscribe solid_queue bin/jobs supercronic qcluster huey \
        run_huey taskmanager ofelia";
const JOB_COMMANDS: &str = "\
        migrate migrations migrator migration:run db:migrate db:prepare db:setup db:seed \
        collectstatic createbuckets cleanup alembic createsuperuser loaddata seed";
const SERVERS: &str = "\
        gunicorn uvicorn hypercorn daphne puma unicorn thin runserver php-fpm apache2-foreground \
        httpd-foreground nginx octane:start reverb:start webserver api-server flower uwsgi granian next vite \
        nuxt webpack-dev-server http-server websocket artisan:serve";

fn has(list: &str, word: &str) -> bool {
    list.split_ascii_whitespace().any(|known| known == word)
}

/// Name and command of a service, cut into words.
pub(super) struct Words {
    name: Vec<String>,
    image: Vec<String>,
    command: Vec<String>,
    is_chain: bool,
    is_fpm: bool,
}

impl Words {
    pub(super) fn of(service: &Service<'_>) -> Self {
        let command = service.command_text();
        let image = service.image().unwrap_or_default().to_lowercase();
        let own = image.split(['@', ':']).next().unwrap_or(&image).rsplit('/').next().unwrap_or_default();
        Self {
            name: split_name(service.name()),
            image: split_name(own),
            is_chain: command.contains("&&"),
            command: split_command(&command),
            is_fpm: image.contains("fpm"),
        }
    }

    /// The role of the last telling word of the name, else of the image's.
    pub(super) fn named(&self) -> Option<Role> {
        let last = |words: &[String]| words.iter().rev().find_map(|word| role_of_word(word));
        // One image of an application runs its web server and its workers alike.
        let everything = ["app", "backend", "php", "rails", "django", "laravel"];
        let image = || {
            last(&self.image).filter(|_| !self.image.iter().any(|word| everything.contains(&word.as_str())))
        };
        last(&self.name).or_else(image).or_else(|| self.is_service().then_some(Role::Web))
    }

    /// `orders-service`: a word that says little, where no other says more.
    fn is_service(&self) -> bool {
        self.name.iter().chain(&self.image).any(|word| matches!(word.as_str(), "service" | "svc"))
    }

    pub(super) fn named_worker_for_sure(&self) -> bool {
        self.name.iter().any(|word| is_sure_worker(word))
    }

    pub(super) fn named_job(&self) -> bool {
        let known = |word: &String| has(JOB_NAMES, word) || word.starts_with("createbucket");
        self.name.iter().any(known) || self.image.iter().any(|word| word.starts_with("migrat"))
    }

    /// One command that prepares and ends; in a chain what follows is what counts.
    pub(super) fn command_is_job(&self) -> bool {
        let buckets =
            self.command.windows(2).any(|pair| pair[0] == "mc" && (pair[1] == "mb" || pair[1] == "alias"));
        let job = buckets || self.command.iter().any(|word| has(JOB_COMMANDS, word));
        job && !self.is_chain && !self.command_serves() && !self.command_works()
    }

    pub(super) fn command_works(&self) -> bool {
        let works = |word: &String| {
            has(WORKER_COMMANDS, word) || word.ends_with("worker") || word.contains("consumer")
        };
        self.command.iter().any(works)
    }

    pub(super) fn command_serves(&self) -> bool {
        let serves = |word: &String| has(SERVERS, word);
        let rails = |pair: &[String]| pair[0] == "rails" && matches!(pair[1].as_str(), "server" | "s");
        self.command.iter().any(serves)
            || matches!(self.command.as_slice(), [only] if only == "server" || only == "serve")
            || self.command.windows(2).any(rails)
            || self.is_fpm && !self.command_works() && !self.named_worker_for_sure()
    }
}

fn role_of_word(word: &str) -> Option<Role> {
    if is_sure_worker(word) {
        return Some(Role::Worker);
    }
    let known = NAMES.iter().find(|(_, names)| has(names, word)).map(|(role, _)| *role);
    // `railsserver`, `webserver`, `searchapi`; `maindb`.
    let ending = |end: &str| word.len() > end.len() && word.ends_with(end);
    known.or_else(|| match () {
        () if ending("server") || ending("api") || ending("web") || ending("frontend") => Some(Role::Web),
        () if ending("proxy") && word != "imgproxy" => Some(Role::Proxy),
        () if ending("db") => Some(Role::Database),
        () if ending("broker") => Some(Role::Broker),
        () => None,
    })
}

fn is_sure_worker(word: &str) -> bool {
    has(SURE_WORKERS, word)
        || word.ends_with("worker")
        || word.ends_with("consumer")
        || word.starts_with("celery")
}

/// `billing-api_2` → `billing`, `api`, and the whole.
fn split_name(name: &str) -> Vec<String> {
    let lower = name.to_lowercase();
    let digits = |c: char| c.is_ascii_digit();
    let mut words = vec![lower.clone()];
    words.extend(lower.split(['-', '_', '.']).map(|word| word.trim_end_matches(digits).to_owned()));
    words.retain(|word| !word.is_empty());
    words
}

/// Words of a command: whole arguments, and the parts of those that are no options.
fn split_command(command: &str) -> Vec<String> {
    let breaks = |c: char| c.is_whitespace() || "/;|&\"'()=,$".contains(c);
    let mut words = Vec::new();
    for argument in
        command.split(breaks).filter(|argument| !argument.is_empty() && !argument.starts_with('-'))
    {
        words.push(argument.to_owned());
        let parts: Vec<&str> = argument.split(['-', '_', '.']).filter(|part| !part.is_empty()).collect();
        if parts.len() > 1 {
            words.extend(parts.into_iter().map(str::to_owned));
        }
    }
    words
}
