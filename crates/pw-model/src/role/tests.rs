use super::*;

/// Service lines as `name | image | rest of the JSON`, with the role that people expect.
fn role_in(model: &str, name: &str) -> Role {
    let model = ComposeModel::from_json(model).expect("a model of the test");
    guess_in(&model.service(name).expect("a service"), &model)
}

fn role_of(name: &str, service: &str) -> Role {
    role_in(&format!(r#"{{"services":{{"{name}":{service}}}}}"#), name)
}

#[test]
fn images_settle_the_role() {
    for (image, role) in [
        ("postgres:16", Role::Database),
        ("bitnami/postgresql:16", Role::Database),
        ("docker.io/library/redis:7-alpine", Role::Cache),
        ("registry:5000/bitnami/kafka@sha256:aa", Role::Broker),
        ("caddy:2", Role::Proxy),
        ("prom/node-exporter", Role::Worker),
        ("quay.io/prometheus/alertmanager", Role::Web),
        ("prom/prometheus", Role::Database),
        ("dpage/pgadmin4", Role::Web),
        ("mongo-express", Role::Web),
        ("confluentinc/cp-schema-registry", Role::Web),
        ("ghcr.io/immich-app/postgres:14-vectorchord0.3", Role::Database),
        ("mcr.microsoft.com/mssql/server:2022", Role::Database),
        ("ubuntu/squid", Role::Proxy),
        ("prodrigestivill/postgres-backup-local", Role::Worker),
        ("oliver006/redis_exporter", Role::Worker),
        ("nginxinc/nginx-unprivileged", Role::Proxy),
        ("timberio/vector:0.28.1-alpine", Role::Worker),
    ] {
        assert_eq!(role_of("x", &format!(r#"{{"image":"{image}"}}"#)), role, "{image}");
    }
}

#[test]
fn a_name_ends_in_what_the_service_is() {
    for (name, role) in [
        ("api-worker", Role::Worker),
        ("worker-api", Role::Web),
        ("celery-flower", Role::Web),
        ("celerybeat", Role::Worker),
        ("zammad-railsserver", Role::Web),
        ("appwrite-task-maintenance", Role::Worker),
        ("snuba-errors-consumer", Role::Worker),
        ("queue-short", Role::Worker),
        ("taiga-gateway", Role::Proxy),
        ("app_db", Role::Database),
        ("airflow-triggerer", Role::Worker),
        ("create-site", Role::Job),
        ("migrator", Role::Job),
        ("superset-init", Role::Job),
        ("something", Role::Worker),
    ] {
        assert_eq!(role_of(name, r#"{"image":"example/app"}"#), role, "{name}");
    }
}

#[test]
fn commands_settle_more_than_names() {
    for (name, command, role) in [
        ("tasks", r#"["celery","-A","x","worker"]"#, Role::Worker),
        ("api", r#"["gunicorn","x.wsgi","--workers","4"]"#, Role::Web),
        ("one", r#"["./manage.py","migrate"]"#, Role::Job),
        ("one", r#"["sh","-c","./manage.py migrate && exec gunicorn x"]"#, Role::Web),
        ("plane-beat", r#"["./bin/docker-entrypoint-beat.sh"]"#, Role::Worker),
        ("app", r#"["php","artisan","queue:work","--tries=3"]"#, Role::Worker),
        ("cron", r#"["/cron.sh"]"#, Role::Worker),
        ("site", r#"["npm","run","dev"]"#, Role::Web),
    ] {
        assert_eq!(
            role_of(name, &format!(r#"{{"image":"example/app","command":{command}}}"#)),
            role,
            "{name} {command}"
        );
    }
}

#[test]
fn what_restarts_is_no_job_and_a_client_is_no_database() {
    assert_eq!(role_of("mirror", r#"{"image":"minio/mc","restart":"always"}"#), Role::Worker);
    assert_eq!(role_of("createbuckets", r#"{"image":"minio/mc"}"#), Role::Job);
    assert_eq!(role_of("mongo-init-replica", r#"{"image":"mongo:6"}"#), Role::Job);
    assert_eq!(
        role_of("init", r#"{"image":"a","deploy":{"restart_policy":{"condition":"any"}}}"#),
        Role::Worker
    );
}

#[test]
fn who_is_spoken_of_serves() {
    let model = r#"{"services":{
        "thumbs":{"image":"example/a"},
        "mills":{"image":"example/b"},
        "main":{"image":"example/c","ports":[{"target":80}],"environment":{"THUMBS_URL":"http://thumbs:5001/x"}}}}"#;
    assert_eq!(role_in(model, "thumbs"), Role::Web);
    assert_eq!(role_in(model, "mills"), Role::Worker);
    assert_eq!(role_in(model, "main"), Role::Web);
}

#[test]
fn the_application_is_what_nobody_else_is() {
    let with = |other: &str| {
        format!(
            r#"{{"services":{{"ledger":{{"image":"example/ledger","restart":"always"}},"store":{{"image":"{other}","ports":[{{"target":80}}]}}}}}}"#
        )
    };
    assert_eq!(role_in(&with("postgres"), "ledger"), Role::Web);
    assert_eq!(role_in(&with("example/shop"), "ledger"), Role::Worker);
}

#[test]
fn the_right_to_a_low_port_is_for_serving() {
    let model = |rights: &str| {
        format!(
            r#"{{"services":{{"front":{{"image":"a","ports":[{{"target":80}}]}},"orders":{{"image":"b","restart":"always","cap_add":["{rights}"]}}}}}}"#
        )
    };
    assert_eq!(role_in(&model("NET_BIND_SERVICE"), "orders"), Role::Web);
    assert_eq!(role_in(&model("CHOWN"), "orders"), Role::Worker);
}

#[test]
fn nginx_with_pages_only_is_a_web_server() {
    let pages =
        r#"{"image":"nginx","volumes":[{"type":"bind","source":"/x","target":"/usr/share/nginx/html"}]}"#;
    assert_eq!(role_of("web", pages), Role::Web);
    assert_eq!(role_of("web", r#"{"image":"nginx","ports":[{"target":80,"published":"80"}]}"#), Role::Proxy);
}

#[test]
fn whose_end_is_awaited_is_a_job() {
    let model = r#"{"services":{
        "prepare-all":{"image":"postgres","restart":"always"},
        "web":{"image":"a","depends_on":{"prepare-all":{"condition":"service_completed_successfully"}}}}}"#;
    assert_eq!(role_in(model, "prepare-all"), Role::Job);
}

/// `service image role [ports] [restarts] [$ command]` → the service's JSON and the roles that fit.
fn known(line: &str) -> (&str, Value, Vec<&str>) {
    let (facts, command) =
        line.split_once(" $ ").map_or((line, None), |(facts, command)| (facts, Some(command)));
    let words: Vec<&str> = facts.split(' ').collect();
    let mut service = serde_json::json!({"image": words[1]});
    if let Some(command) = command {
        service["command"] = command.split(' ').collect();
    }
    if words.contains(&"ports") {
        service["ports"] = serde_json::json!([{"target": 8000, "published": "8000"}]);
    }
    if words.contains(&"restarts") {
        service["restart"] = "unless-stopped".into();
    }
    (words[0], service, words[2].split('|').collect())
}

#[test]
fn services_of_well_known_projects_have_their_roles() {
    let lines = include_str!("known.txt").lines().filter(|line| !line.starts_with('#'));
    let wrong: Vec<String> = lines
        .filter_map(|line| {
            let (name, service, roles) = known(line);
            let role = guess(&Service::new(name, &service), false).as_str();
            (!roles.contains(&role)).then(|| format!("{role} instead of {roles:?}: {line}"))
        })
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
