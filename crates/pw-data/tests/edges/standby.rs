//! A read replica is sampled as its primary would be; what only it can refuse is told with what to do.

use std::time::Duration;

use pw_data::mask::Secret;
use pw_data::sample::{Order, Reading};
use pw_model::source::SourceFile;

use crate::server::{Server, docker, image};
use crate::{between, told};

const RULES: &str =
    "cohort: { table: people, sample: 50% }\nmasks: { people.email: email }\nlarge_objects: [people.photo]\n";
const ALL: &str = "SELECT md5(string_agg(t::text, ',' ORDER BY t::text)) FROM (SELECT p.*, o.id, o.total FROM people p JOIN orders o ON o.person = p.id) t";

fn filled() -> Server {
    let server = Server::start();
    server.sql("production", "CREATE TABLE people (id serial PRIMARY KEY, email text UNIQUE, photo int); \
        CREATE TABLE orders (id serial PRIMARY KEY, person int NOT NULL REFERENCES people, total int); \
        INSERT INTO people (email, photo) SELECT 'person' || i || '@mail.example', CASE WHEN i < 9 THEN lo_from_bytea(0, 'photo')::int END FROM generate_series(1, 2000) i; \
        INSERT INTO orders (person, total) SELECT 1 + i % 2000, i FROM generate_series(1, 8000) i; ANALYZE; \
        CREATE TABLE turned (lsn pg_lsn)");
    server
}

/// A read replica, as `pg_basebackup -R` makes one; it takes rows back as soon as its primary has removed them.
fn standby_of(primary: &Server) -> Server {
    let allow = "echo 'host replication all all trust' >> \"$PGDATA/pg_hba.conf\"";
    docker(&["exec", "-u", "postgres", &primary.name, "sh", "-c", allow]);
    primary.sql("postgres", "SELECT pg_reload_conf()");
    let follow = format!(
        "export PGDATA=/tmp/standby && pg_basebackup -R -X stream -c fast -D $PGDATA -h {} -U owner && exec postgres -c max_standby_streaming_delay=0",
        primary.host
    );
    let (name, image) = (format!("{}-standby", primary.name), image());
    docker(&[
        "run",
        "-d",
        "--name",
        &name,
        "--user",
        "postgres",
        "--entrypoint",
        "sh",
        &image,
        "-c",
        &follow,
    ]);
    let address = "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}";
    let server = Server { host: docker(&["inspect", "-f", address, &name]), name };
    server.wait();
    server
}

/// Until the standby has what the primary has written.
fn caught_up(primary: &Server, standby: &Server) {
    let lsn = primary.sql("production", "SELECT pg_current_wal_lsn()");
    for _ in 0..240 {
        if standby.sql("production", &format!("SELECT pg_last_wal_replay_lsn() >= '{lsn}'")) == "t" {
            return;
        }
        std::thread::sleep(Duration::from_millis(250));
    }
    panic!("the standby does not follow");
}

#[tokio::test]
async fn a_standby_gives_the_same_sample_as_its_primary() {
    let (primary, target) = (filled(), Server::start());
    let standby = standby_of(&primary);
    caught_up(&primary, &standby);
    assert_eq!(standby.sql("production", "SELECT pg_is_in_recovery()"), "t");
    let mut found = Vec::new();
    for from in [&primary, &standby] {
        let to = target.address("development");
        let done = between(&from.address("production"), &to, &from.pg_dump(), RULES).await.expect("a sample");
        let objects = target.sql("development", "SELECT count(*) FROM pg_largeobject_metadata");
        assert_eq!(done.large_objects.to_string(), objects);
        found.push((done.rows, target.sql("development", ALL)));
    }
    assert_eq!(found[0], found[1]);
    assert!(
        found[0].0 > 3000 && !target.sql("development", "SELECT email FROM people").contains("@mail.example")
    );
}

#[tokio::test]
async fn a_standby_that_takes_rows_back_says_what_to_do() {
    let (primary, target) = (filled(), Server::start());
    let standby = standby_of(&primary);
    caught_up(&primary, &standby);
    let file = SourceFile::new("rules.yaml", RULES);
    let from = standby.address("production");
    let reading = Reading::open(&from, &file, false, &|_| ()).await.map_err(told).expect("it is read");
    primary.sql("production", "DELETE FROM orders WHERE total > 100");
    primary.sql("production", "VACUUM orders");
    caught_up(&primary, &standby);
    let (secret, program, to) = (Secret::new("s"), standby.pg_dump(), target.address("development"));
    let order = Order { to: &to, secret: &secret, keep_failed: false, pg_dump: Some(&program) };
    let Err(pw_data::Halt::Failure(failure)) = reading.load(&order, &|_| ()).await else {
        panic!("the rows are gone");
    };
    let hint = failure.hint.clone().unwrap_or_default();
    assert!(hint.contains("hot_standby_feedback = on"), "{failure}: {hint}: {:?}", failure.source);
    assert_eq!(
        target.sql("postgres", "SELECT count(*) FROM pg_database WHERE datname LIKE 'development%'"),
        "0"
    );
}
