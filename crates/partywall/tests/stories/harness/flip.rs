//! The application of stories about releases: a git repository of which each commit is a release, good or bad.

use std::process::Command;

use super::{PRODUCTION, Story, Told, image};

/// How long the new release is watched in stories; those in which it turns out bad meanwhile give it longer.
const WATCH: &str = "1s";

impl Story {
    /// Production runs the first commit, brought up from the folder.
    pub(crate) fn released() -> Self {
        let story = Self::light();
        story.write(
            "Dockerfile",
            &format!("FROM {}\nCOPY app /app\nCMD [\"sh\", \"/app/serve.sh\"]\n", image("caddy")),
        );
        story.write("docker-compose.yml", &compose());
        let promote = format!(
            "promote:\n  migrate: {{ service: migrate, compatible: true }}\n  verify: [{{ get: /whoami, expect: 200, body: release }}]\n  watch: {WATCH}\n  ready: 20s\n  drain: 20s\n"
        );
        let config = story.read("partywall.yaml").replace("memory: 512MB", "memory: 1GB");
        story.write(
            "partywall.yaml",
            &format!("{config}{promote}objective: {{ errors: 1%, p99: 400ms }}\nroles: {{ db: cache }}\n"),
        );
        story.write(".gitignore", ".env*\npartywall.yaml\n");
        std::fs::create_dir(story.project().join("app")).expect("a folder");
        story.good_release("1");
        story.git(&["init", "--quiet"]);
        story.commit("release 1");
        story.up(PRODUCTION);
        story
    }

    /// Files of a release that answers well.
    pub(crate) fn good_release(&self, name: &str) {
        self.write("app/migrate.sh", "exit 0\n");
        self.write("app/serve.sh", "exec caddy run --config /app/Caddyfile --adapter caddyfile\n");
        self.write("app/Caddyfile", &answers(name, "respond \"{$APP_ENV} release NAME\""));
    }

    /// What the server does with each request; `NAME` stands for the release.
    pub(crate) fn answering(&self, name: &str, directives: &str) {
        self.good_release(name);
        self.write("app/Caddyfile", &answers(name, directives));
    }

    pub(crate) fn commit(&self, message: &str) {
        self.git(&["add", "--all"]);
        self.git(&[
            "-c",
            "user.name=story",
            "-c",
            "user.email=story@example.test",
            "commit",
            "--quiet",
            "-m",
            message,
        ]);
    }

    /// A commit with a good release of that name.
    pub(crate) fn commit_good(&self, name: &str) {
        self.good_release(name);
        self.commit(&format!("release {name}"));
    }

    #[track_caller]
    pub(crate) fn git(&self, words: &[&str]) {
        let status = Command::new("git").args(words).current_dir(self.project()).status();
        assert!(status.is_ok_and(|status| status.success()), "git {words:?}");
    }

    #[track_caller]
    pub(crate) fn promote(&self) -> Told {
        self.run(&["promote"]).ended(0)
    }

    /// Which release visitors meet.
    pub(crate) fn serves(&self, environment: &str) -> String {
        self.ask(environment, "/whoami").body
    }
}

fn answers(name: &str, directives: &str) -> String {
    format!("{{\n\tadmin off\n\tauto_https off\n}}\n:8000 {{\n\t{}\n}}\n", directives.replace("NAME", name))
}

fn compose() -> String {
    format!(
        r#"services:
  web:
    build: .
    environment: {{ APP_ENV: "${{APP_ENV}}" }}
    expose: ["8000"]
    depends_on:
      db: {{ condition: service_healthy }}
      migrate: {{ condition: service_completed_successfully }}
    healthcheck:
      test: [CMD-SHELL, "grep -q ':1F40 ' /proc/net/tcp /proc/net/tcp6"]
      interval: 2s
      retries: 2
      start_period: 3s
      start_interval: 200ms
    stop_grace_period: 3s
  caller:
    image: {caddy}
    command: ["bash", "-c", "while sleep 0.02; do (exec 3<>/dev/tcp/web/8000 && printf 'GET / HTTP/1.0\\r\\n\\r\\n' >&3 && grep -q release <&3) || echo lost; done 2>&1"]
    init: true
    depends_on: [web]
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
    build: .
    command: ["sh", "/app/migrate.sh"]
    restart: "no"
volumes:
  data:
"#,
        caddy = image("caddy"),
        redis = image("redis"),
    )
}
