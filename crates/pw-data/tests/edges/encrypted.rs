//! A source that speaks with nobody in the clear.

use std::path::Path;
use std::process::Command;

use pw_data::server::Address;

use crate::between;
use crate::server::{PASSWORD, Server};

fn run(program: &str, words: &[&str]) {
    let output = Command::new(program).args(words).output().expect("it runs");
    assert!(output.status.success(), "{program} {words:?}: {}", String::from_utf8_lossy(&output.stderr));
}

fn inside(server: &Server, script: &str) {
    run("docker", &["exec", "-u", "root", &server.name, "sh", "-ec", script]);
}

/// An authority, and a certificate of the server under that name.
fn certify(server: &Server, name: &str) {
    inside(
        server,
        &format!(
            "cd /certificates; umask 077; [ -e ca.pem ] || openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=ours -addext basicConstraints=critical,CA:TRUE -keyout ca.key -out ca.pem 2>/dev/null
            openssl req -newkey rsa:2048 -nodes -subj /CN=server -keyout key.pem -out request.pem 2>/dev/null
            printf 'subjectAltName={name}' >names
            openssl x509 -req -in request.pem -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile names -out server.pem 2>/dev/null
            chown postgres key.pem; chmod a+r server.pem ca.pem; chmod a+rx ."
        ),
    );
    let set = "ALTER SYSTEM SET ssl = on; ALTER SYSTEM SET ssl_key_file = '/certificates/key.pem'; ALTER SYSTEM SET ssl_cert_file = '/certificates/server.pem'";
    set.split("; ").for_each(|statement| drop(server.sql("postgres", statement)));
    reload(server);
}

/// Until whoever connects meets the new settings.
fn reload(server: &Server) {
    let loaded = || server.sql("postgres", "SELECT pg_conf_load_time()");
    let before = loaded();
    server.sql("postgres", "SELECT pg_reload_conf()");
    while loaded() == before {}
}

/// The server's own pg_dump, with what an encrypted connection needs.
fn pg_dump(server: &Server) -> Vec<String> {
    let words = ["docker", "exec", "-e", "PGPASSWORD", "-e", "PGSSLMODE", "-e", "PGSSLROOTCERT"];
    words.into_iter().chain([server.name.as_str(), "pg_dump"]).map(str::to_owned).collect()
}

#[tokio::test]
async fn a_source_is_read_encrypted_and_believed_as_far_as_asked() {
    let folder = tempfile::tempdir().expect("a folder");
    let mount = format!("{}:/certificates", folder.path().display());
    let (server, other) = (Server::start_with(&["-v", &mount]), folder.path().join("other.pem"));
    let plain = server.dsn("owner", PASSWORD, "production");
    let host = plain.split_once('@').and_then(|(_, rest)| rest.split(':').next()).expect("a host").to_owned();
    certify(&server, &format!("IP:{host}"));
    server.sql("production", "CREATE TABLE root (id int PRIMARY KEY); INSERT INTO root VALUES (1), (2)");
    inside(
        &server,
        "sed -i 's/^host /hostssl /; s/^hostssl *all *all *127/host all all 127/' \"$PGDATA\"/pg_hba.conf",
    );
    reload(&server);
    run(
        "openssl",
        &[
            "req",
            "-x509",
            "-newkey",
            "rsa:2048",
            "-nodes",
            "-subj",
            "/CN=theirs",
            "-keyout",
            "/dev/null",
            "-out",
            &other.display().to_string(),
        ],
    );
    let attempt = async |words: &str| {
        let from = Address::parse(&format!("{plain}?{words}")).expect("a DSN");
        let to = server.address("development");
        between(&from, &to, &pg_dump(&server), "cohort: { table: root }\n").await.map(|done| done.rows)
    };
    let ours = |mode: &str, file: &Path| format!("sslmode={mode}&sslrootcert={}", file.display());
    // The authority's file is at the same place on both sides, for the server's own pg_dump.
    let authority = folder.path().join("ca.pem");
    inside(
        &server,
        &format!("mkdir -p {0}; cp /certificates/ca.pem {0}/; chmod -R a+rX {0}", folder.path().display()),
    );
    for good in ["", "sslmode=require", &ours("verify-ca", &authority), &ours("verify-full", &authority)] {
        assert_eq!(attempt(good).await, Ok(2), "{good}");
    }
    let told = attempt("sslmode=disable").await.unwrap_err();
    assert!(told.contains("no encryption"), "{told}");
    for wrong in [ours("verify-full", &other), ours("require", &other), "sslmode=verify-full".to_owned()] {
        let told = attempt(&wrong).await.unwrap_err();
        assert!(told.contains("could not connect") && told.contains("certificate"), "{wrong}: {told}");
    }
    let told = attempt(&ours("verify-full", Path::new("/nowhere.pem"))).await.unwrap_err();
    assert!(told.starts_with("could not read root certificates from `/nowhere.pem`"), "{told}");
    certify(&server, "DNS:db.example");
    assert_eq!(attempt(&ours("verify-ca", &authority)).await, Ok(2), "whatever its name");
    let told = attempt(&ours("verify-full", &authority)).await.unwrap_err();
    assert!(told.contains("not valid for name"), "{told}");
    assert!(!told.contains(PASSWORD));
}
