//! Alerts: who is to be told is told, by real receivers, and nobody is told twice.

use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};

use serde_json::Value;

use crate::harness::{Agent, PRODUCTION, Story, docker, finished, until};

/// What was posted: path and body.
type Posts = Arc<Mutex<Vec<(String, String)>>>;

/// Answers every POST with `status`, and keeps it.
fn listen(port: u16, status: &'static str) -> Posts {
    let listener = TcpListener::bind(("127.0.0.1", port)).expect("a port");
    let posts = Posts::default();
    let kept = Arc::clone(&posts);
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let mut reader = BufReader::new(stream);
            let (mut head, mut length) = (String::new(), 0);
            loop {
                let mut line = String::new();
                if reader.read_line(&mut line).unwrap_or(0) == 0 || line.trim().is_empty() {
                    break;
                }
                if let Some(value) = line.to_lowercase().strip_prefix("content-length:") {
                    length = value.trim().parse().unwrap_or(0);
                }
                head.push_str(&line);
            }
            let mut body = vec![0; length];
            drop(reader.read_exact(&mut body));
            let path = head.split(' ').nth(1).unwrap_or_default().to_owned();
            kept.lock().expect("a lock").push((path, String::from_utf8_lossy(&body).into_owned()));
            let answer = format!("HTTP/1.1 {status}\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok");
            drop(reader.get_mut().write_all(answer.as_bytes()));
        }
    });
    posts
}

fn posted(posts: &Posts) -> Vec<(String, String)> {
    posts.lock().expect("a lock").clone()
}

/// A server of somebody else's, ended with its story.
struct Server(Child);

impl Server {
    fn start(program: &str, arguments: &[&str]) -> Self {
        let mut command = Command::new(program);
        command.args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        Self(command.spawn().unwrap_or_else(|error| panic!("{program}: {error}")))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

fn answers(port: u16) -> bool {
    std::net::TcpStream::connect(("127.0.0.1", port)).is_ok()
}

/// Nobody's at this moment.
fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.local_addr().expect("an address").port()
}

/// aiosmtpd, which takes mail from who signs in over STARTTLS only. Its certificate is its own authority.
fn mail_server(story: &Story, port: u16, letters: &Path) -> Server {
    let [key, certificate, script] =
        ["mail.key", "mail.crt", "mail.py"].map(|name| story.folder().join(name));
    let made = Command::new("openssl")
        .args([
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
            "-nodes",
            "-days",
            "2",
        ])
        .args(["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"])
        .args(["-addext", "basicConstraints=critical,CA:FALSE", "-keyout"])
        .arg(&key)
        .arg("-out")
        .arg(&certificate)
        .stderr(Stdio::null())
        .status();
    assert!(made.is_ok_and(|status| status.success()), "openssl");
    std::fs::write(&script, MAIL_SERVER).expect("a file");
    let words = [&script, &key, &certificate, letters].map(|path| path.display().to_string());
    let port = port.to_string();
    let mut arguments: Vec<&str> = words.iter().map(String::as_str).collect();
    arguments.push(&port);
    Server::start("/usr/bin/python3", &arguments)
}

/// Debian's, with nobody to tell.
fn alertmanager(story: &Story, port: u16) -> Server {
    let data = format!("--storage.path={}", story.folder().join("alertmanager").display());
    let config = story.folder().join("alertmanager.yml");
    std::fs::write(&config, "route: { receiver: nobody }\nreceivers: [{ name: nobody }]\n").expect("a file");
    Server::start(
        "prometheus-alertmanager",
        &[
            &format!("--config.file={}", config.display()),
            &data,
            &format!("--web.listen-address=127.0.0.1:{port}"),
            "--cluster.listen-address=",
        ],
    )
}

const MAIL_SERVER: &str = r#"
import ssl, sys, threading
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult
_, key, certificate, letters, port = sys.argv
context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
context.load_cert_chain(certificate, key)
class Keep:
    async def handle_DATA(self, server, session, envelope):
        with open(letters, "ab") as file:
            file.write(envelope.content)
        return "250 kept"
def authenticator(server, session, envelope, mechanism, data):
    return AuthResult(success=(data.login, data.password) == (b"shop", b"right"))
Controller(Keep(), hostname="127.0.0.1", port=int(port), tls_context=context, require_starttls=True,
           auth_required=True, authenticator=authenticator).start()
threading.Event().wait()
"#;

fn with_alerts(alerts: &str) -> Story {
    let story = Story::light();
    let config = story.read("partywall.yaml");
    story
        .write("partywall.yaml", &format!("{config}objective: {{ errors: 1%, p99: 5s }}\nalerts:\n{alerts}"));
    story
}

/// Promise: `alerts test` says for each receiver what it answered, and no address or password with it.
/// Given: a webhook of each shape, one that refuses, Debian's Alertmanager, and a mail server that wants STARTTLS and a password.
#[test]
fn each_receiver_says_what_it_was_told() {
    let [good, bad, manager, mail] = std::array::from_fn(|_| free_port());
    let posts = listen(good, "200 OK");
    listen(bad, "403 Forbidden");
    let story = with_alerts(&format!(
        "  - {{ webhook: \"http://127.0.0.1:{good}/hidden\", name: plain }}\n  - {{ webhook: \"file:/nowhere\", name: lost }}\n  \
         - {{ webhook: \"http://127.0.0.1:{good}/slack\", shape: slack, name: slack }}\n  \
         - {{ webhook: \"http://127.0.0.1:{bad}/hidden\", name: bad }}\n  - {{ alertmanager: \"http://127.0.0.1:{manager}\" }}\n  \
         - email: {{ to: [operator@shop.example], server: localhost, port: {mail}, user: shop, password_file: PASSWORD }}\n"
    ));
    let (password, letters) = (story.folder().join("password"), story.folder().join("letters"));
    std::fs::write(&password, "right\n").expect("a file");
    story.edit("partywall.yaml", "PASSWORD", &password.display().to_string());
    let _alertmanager = alertmanager(&story, manager);
    let _mail = mail_server(&story, mail, &letters);
    until("both servers answer", || answers(manager) && answers(mail));
    let test = |words: &[&str]| {
        let mut command = story.command(words);
        let asked = command.env("SSL_CERT_FILE", story.folder().join("mail.crt")).env("no_proxy", "*");
        finished(asked.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("started"))
    };
    let told = test(&["alerts", "test"]).ended(1);
    for line in [
        "plain (webhook): it answered 200 OK ok",
        "alertmanager (alertmanager): it answered 200 OK",
        "email (email): it answered 250",
    ] {
        assert!(told.out.contains(line), "`{line}` is not in {}", told.out);
    }
    assert!(
        told.out.contains("it answered 403 Forbidden ok") && told.out.contains("could not read `/nowhere`"),
        "{}",
        told.out
    );
    assert!(
        !told.out.contains("hidden") && !told.err.contains("hidden") && !told.out.contains("right"),
        "{}",
        told.out
    );
    let letters = std::fs::read_to_string(&letters).expect("a letter");
    assert!(letters.contains(&format!("Subject: [warning] {}: agent-crashed test", story.name)), "{letters}");
    assert!(posted(&posts).iter().any(|(path, body)| path == "/slack" && body.contains("\"text\"")));
    let asked = Command::new("curl")
        .args(["-sS", "--noproxy", "*", &format!("http://127.0.0.1:{manager}/api/v2/alerts")])
        .output();
    let known: Value = serde_json::from_slice(&asked.expect("curl").stdout).expect("JSON");
    assert_eq!(known[0]["labels"]["alertname"], "agent-crashed", "{known}");
    // A wrong password is refused by the server, and repeated by nobody.
    std::fs::write(&password, "guessed").expect("a file");
    let told = test(&["alerts", "test", "email"]).ended(1).out;
    assert!(told.contains("could not send mail over `localhost`") && !told.contains("guessed"), "{told}");
    story
        .run(&["alerts", "test", "emial"])
        .ended(1)
        .says(&["there is no receiver `emial`", "did you mean `email`?"]);
}

/// Promise: an incident is told once, though the receiver was down at first and the agent was killed in between; that it
/// was killed is told too.
#[test]
fn an_incident_is_told_once_over_a_killed_agent() {
    let port = free_port();
    let story = with_alerts(&format!("  - webhook: \"http://127.0.0.1:{port}/\"\n"));
    story.up(PRODUCTION);
    let agent = Agent::start(&story);
    until("the agent answers", || story.run(&["agent", "status", "--json"]).json()["running"] == true);
    docker(&["update", "--restart", "no", &story.container(PRODUCTION, "web").id()]);
    docker(&["kill", &story.container(PRODUCTION, "web").id()]);
    let waiting = || {
        let told = story.run(&["alerts", "list", "--json"]).ended(0).json();
        told["waiting"].as_array().cloned().unwrap_or_default()
    };
    until("a message waits for its receiver", || {
        story.ask(PRODUCTION, "/whoami");
        waiting().iter().any(|one| one["failure"].is_string())
    });
    let listed = story.run(&["alerts", "list"]).ended(0).out;
    assert!(listed.contains("webhook (webhook): 1 wait since") && listed.contains("refused"), "{listed}");
    agent.kill();

    let posts = listen(port, "200 OK");
    let agent = Agent::start(&story);
    until("it is delivered, and that the agent was killed", || {
        let all: String = posted(&posts).into_iter().map(|(_, body)| body).collect();
        all.contains("\"incident\"") && all.contains("\"agent-crashed\"")
    });
    agent.end().ended(0);
    let messages: Vec<Value> =
        posted(&posts).iter().map(|(_, body)| serde_json::from_str(body).expect("JSON")).collect();
    let standing = messages.iter().flat_map(|one| one["standing"].as_array().cloned().unwrap_or_default());
    let since: BTreeSet<String> =
        standing.filter(|one| one["alert"] == "incident").map(|one| one["since"].to_string()).collect();
    let decided: BTreeSet<String> = messages.iter().map(|one| one["at"].to_string()).collect();
    assert_eq!((since.len(), decided.len()), (1, messages.len()), "{messages:?}");
    assert_eq!(waiting(), Vec::<Value>::new());
}
