//! The light application of most stories: a web server that says its environment, a database, a job.

use super::image;

pub(super) fn compose() -> String {
    format!(
        r#"services:
  web:
    image: {caddy}
    command: [caddy, respond, --listen, ":8000", "${{APP_ENV}} ${{NOTE}}"]
    environment: {{ APP_ENV: "${{APP_ENV}}", NOTE: "${{NOTE}}" }}
    expose: ["8000"]
    depends_on:
      db: {{ condition: service_healthy }}
      migrate: {{ condition: service_completed_successfully }}
    healthcheck:
      test: [CMD-SHELL, "grep -q ':1F40 ' /proc/net/tcp /proc/net/tcp6"]
      interval: 2s
      start_period: 30s
      start_interval: 200ms
    stop_grace_period: 3s
  db:
    image: {redis}
    volumes: ["data:/data"]
    healthcheck:
      test: [CMD, redis-cli, ping]
      interval: 2s
      start_period: 30s
      start_interval: 200ms
    stop_grace_period: 3s
  migrate:
    image: {debian}
    command: [echo, migrated]
    restart: "no"
volumes:
  data:
"#,
        caddy = image("caddy"),
        redis = image("redis"),
        debian = image("debian"),
    )
}

pub(super) fn overlay(port: u16) -> String {
    format!("services:\n  db:\n    ports: [\"{port}:6379\"]\n")
}
