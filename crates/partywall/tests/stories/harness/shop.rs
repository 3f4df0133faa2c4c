//! The application of stories about backups: a database of PostgreSQL, a volume of files, a web server.

use super::{PRODUCTION, Story, image};

impl Story {
    /// With a repository in the story's own folder; nothing runs yet.
    pub(crate) fn shop() -> Self {
        let story = Self::light();
        story.write("docker-compose.yml", &compose());
        let overlay = format!("services:\n  db:\n    ports: [\"{}:5432\"]\n", story.port);
        story.write("compose.override.yml", &overlay);
        let sections = format!(
            "databases:\n  main: {{ service: db }}\nbackup: {{ repository: {} }}\n",
            story.repository().display()
        );
        story.write("partywall.yaml", &format!("{}{sections}", story.read("partywall.yaml")));
        story.edit("partywall.yaml", "memory: 512MB", "memory: 1GB");
        story
    }

    pub(crate) fn repository(&self) -> std::path::PathBuf {
        self.folder().join("repository")
    }

    /// Rows with references, and files beside them.
    pub(crate) fn stock(&self, environment: &str, rows: u32) {
        let sql = format!(
            "CREATE TABLE shelf (id int PRIMARY KEY, name text NOT NULL); \
             CREATE TABLE item (id int PRIMARY KEY, shelf int NOT NULL REFERENCES shelf, made_at timestamptz DEFAULT now(), words text); \
             INSERT INTO shelf SELECT n, '{environment} ' || n FROM generate_series(1, 10) n; \
             INSERT INTO item SELECT n, n % 10 + 1, now(), md5(n::text) FROM generate_series(1, {rows}) n"
        );
        self.sql(environment, &sql);
        let words = format!(
            "for n in 1 2 3; do mkdir -p /files/$n; echo {environment} $n > /files/$n/name; head -c 200000 /dev/urandom > /files/$n/noise; done"
        );
        self.container(environment, "web").exec(&["sh", "-c", &words]).expect("files");
    }

    #[track_caller]
    pub(crate) fn sql(&self, environment: &str, sql: &str) -> String {
        let words = ["psql", "-qAtX", "-v", "ON_ERROR_STOP=1", "-U", "shop", "-d", "shop", "-c", sql];
        self.container(environment, "db").exec(&words).unwrap_or_else(|| panic!("{sql}"))
    }

    /// Checksums of every row and every file.
    pub(crate) fn holdings(&self, environment: &str) -> String {
        let of = |table: &str| {
            format!("SELECT count(*) || ' ' || md5(string_agg(t::text, ',' ORDER BY id)) FROM {table} t")
        };
        let words = "cd /files && find . -type f -exec md5sum {} + | sort -k 2";
        let files = self.container(environment, "web").exec(&["sh", "-c", words]).expect("a volume");
        format!("{}\n{}\n{files}", self.sql(environment, &of("shelf")), self.sql(environment, &of("item")))
    }

    /// A shop whose production runs and has something.
    pub(crate) fn stocked_shop() -> Self {
        let story = Self::shop();
        story.up(PRODUCTION);
        story.stock(PRODUCTION, 1000);
        story
    }
}

fn compose() -> String {
    format!(
        r#"services:
  web:
    image: {caddy}
    command: [caddy, respond, --listen, ":8000", "${{APP_ENV}} ${{NOTE}}"]
    environment: {{ APP_ENV: "${{APP_ENV}}", NOTE: "${{NOTE}}" }}
    expose: ["8000"]
    volumes: ["files:/files"]
    depends_on: {{ db: {{ condition: service_healthy }} }}
    healthcheck:
      test: [CMD-SHELL, "grep -q ':1F40 ' /proc/net/tcp /proc/net/tcp6"]
      interval: 2s
      start_period: 30s
      start_interval: 200ms
    stop_grace_period: 3s
  db:
    image: {postgres}
    environment: {{ POSTGRES_USER: shop, POSTGRES_DB: shop, POSTGRES_PASSWORD: "secret of ${{APP_ENV}}", POSTGRES_INITDB_ARGS: --no-sync }}
    volumes: ["data:/var/lib/postgresql/data"]
    healthcheck:
      test: [CMD-SHELL, "pg_isready -q -h 127.0.0.1 -U shop"]
      interval: 2s
      start_period: 60s
      start_interval: 300ms
    stop_grace_period: 20s
volumes:
  data:
  files:
"#,
        caddy = image("caddy"),
        postgres = image("postgres"),
    )
}
