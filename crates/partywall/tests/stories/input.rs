//! Bad input: one clear error with place, cause and hint, and nothing half done.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::harness::{DEVELOPMENT, PRODUCTION, Story, Told, docker_answers, finished};

/// Fails unless `told` is one error of the house style, and nothing of the project came to be.
#[track_caller]
fn refused(story: &Story, told: Told, code: i32, texts: &[&str]) {
    let told = told.ended(code).says(texts).says(&["error: ", "\nhint: "]);
    assert_eq!(told.out, "", "errors go to stderr");
    assert_eq!(told.err.matches("error: ").count(), 1, "one error:\n{}", told.err);
    assert!(!told.err.contains("panicked"), "{}", told.err);
    nothing_exists(story);
}

#[track_caller]
fn nothing_exists(story: &Story) {
    for environment in [PRODUCTION, DEVELOPMENT] {
        assert_eq!(story.everything(environment), Vec::<String>::new());
    }
    let left: Vec<_> =
        fs::read_dir(story.state()).into_iter().flatten().flatten().map(|entry| entry.path()).collect();
    assert!(left.is_empty(), "state was written: {left:?}");
}

/// What is written under `promote`, and what is said of it.
const WRONG_PROMOTIONS: [(&str, &[&str]); 5] = [
    (
        "{ migrate: { service: web, database: mian } }",
        &["`databases` describes no `mian`", "write `database: main`"],
    ),
    ("{ verify: [{ get: health }] }", &["`health` is not a path", "write `get: /health`"]),
    ("{ canary: { share: 100%, watch: 1m } }", &["`100%` is no part of the visitors", "`share: 10%`"]),
    ("{ assets: [static/*] }", &["`static/*` is not a path", "write `/static/*`"]),
    ("{ successes: 0 }", &["lets a release through that answers nothing", "write 1 or more"]),
];

/// Promise: a mistake in partywall.yaml is shown where it stands.
/// Given: broken YAML, an unknown key, a host name that two environments have, a name that is not known, values of `promote`
/// that mean nothing.
/// Then: exit 1 with file, line and column, and a hint; nothing is created.
#[test]
fn mistakes_in_partywall_yaml() {
    let story = Story::light();
    let good = story.read("partywall.yaml");
    let up = || story.run(&["up", DEVELOPMENT]);

    story.edit("partywall.yaml", "cpus: 1", "cpus: \"1");
    refused(&story, up(), 1, &["`partywall.yaml` ", "--> partywall.yaml:", "because: "]);
    story.write("partywall.yaml", &good.replace("    routes:", "    rouets:"));
    refused(&story, up(), 1, &["unknown key `rouets`", "--> partywall.yaml:6:5", "did you mean `routes`?"]);
    story.write("partywall.yaml", &good.replace(&story.host(DEVELOPMENT), &story.host(PRODUCTION)));
    refused(
        &story,
        up(),
        1,
        &["is routed twice", "--> partywall.yaml:10:15", "because: `web` of environment `production`"],
    );
    story.write("partywall.yaml", &good);
    let told = story.run(&["up", "developmnet"]);
    refused(
        &story,
        told,
        1,
        &["there is no environment `developmnet`", "--> partywall.yaml:3:1", "did you mean `development`?"],
    );
    story.write("partywall.yaml", &good.replace("memory: 512MB", "memory: 900TB"));
    refused(&story, up(), 1, &["budgets ask for 900 TB of memory, the host has ", "--> partywall.yaml:11:"]);
    for (promote, says) in WRONG_PROMOTIONS {
        story.write(
            "partywall.yaml",
            &format!("{good}databases: {{ main: {{ service: db }} }}\npromote: {promote}\n"),
        );
        refused(&story, up(), 1, &[&["--> partywall.yaml:"], says].concat());
    }
    fs::remove_file(story.project().join("partywall.yaml")).expect("a file");
    refused(&story, up(), 1, &["no `partywall.yaml` here", "because: looked in", "partywall init"]);
}

/// Promise: a mistake in a Compose file is shown where it stands.
/// Given: broken YAML, an unknown key, a missing env file of the environment and of a service.
/// Then: exit 1 with file, line and column, Compose's own words, and a hint; nothing is created.
#[test]
fn mistakes_in_compose_files() {
    let story = Story::light();
    let good = story.read("docker-compose.yml");
    let up = || story.run(&["up", DEVELOPMENT]);

    story.edit("docker-compose.yml", "    expose: [\"8000\"]", "    expose: [\"8000\"");
    refused(
        &story,
        up(),
        1,
        &["`docker-compose.yml` is not valid YAML", "--> docker-compose.yml:", "because: "],
    );
    story.write("docker-compose.yml", &good.replace("    expose:", "    exposed:"));
    refused(
        &story,
        up(),
        1,
        &[
            "does not know the key `exposed`",
            "--> docker-compose.yml:6:5",
            "because: docker compose: ",
            "did you mean `expose`?",
        ],
    );
    story.write("docker-compose.yml", &good.replace("    expose:", "    env_file: web.env\n    expose:"));
    refused(
        &story,
        up(),
        1,
        &["the env file `web.env` is missing", "--> docker-compose.yml:6:15", "because: ", "write `web.env`"],
    );
    story.write("docker-compose.yml", &good);
    fs::remove_file(story.project().join(".env.dev")).expect("a file");
    refused(
        &story,
        up(),
        1,
        &[
            "the env file `.env.dev` of environment `development` is missing",
            "--> partywall.yaml:9:15",
            "because: there is no ",
        ],
    );
}

/// Promise: a variable without a value is not silently empty.
/// Given: a Compose file with a variable that only production's env file sets, required and not.
/// Then: exit 1 for development, with the place where it is used and the file to add it to; nothing is created.
#[test]
fn a_variable_that_is_not_set() {
    let story = Story::light();
    let good = story.read("docker-compose.yml");
    let up = || story.run(&["up", DEVELOPMENT]);

    story.write(".env.prod", "APP_ENV=production\nNOTE=x\nMISSING=is-here\n");
    story.write("docker-compose.yml", &good.replace("\"${NOTE}\"", "\"${MISSING:?}\""));
    refused(
        &story,
        up(),
        1,
        &[
            "the variable `MISSING` of environment `development` is not set",
            "--> docker-compose.yml:5:",
            "add `MISSING=…` to `.env.dev`",
        ],
    );
    story.write("docker-compose.yml", &good.replace("\"${NOTE}\"", "\"${MISSING}\""));
    refused(
        &story,
        up(),
        1,
        &[
            "the variable `MISSING` of environment `development` is not set",
            "--> docker-compose.yml:5:",
            "add `MISSING=…` to `.env.dev`",
        ],
    );
}

/// Promise: `init` writes no file that `check` refuses, and says which holes are there.
/// Given: a host name that is an address, or stands for many; a development service with the engine's socket.
/// Then: exit 1 without a file; the proposal has the `allow:` line as a comment, with what it permits.
#[test]
fn init_refuses_wrong_names_and_tells_holes() {
    let story = Story::light();
    fs::remove_file(story.project().join("partywall.yaml")).expect("a file");
    for host in ["https://shop.example/", "*.shop.example", "shop..example", "shop_1.example"] {
        let told = story.run(&["init", "--host", host]);
        refused(&story, told, 1, &[&format!("`{host}` is not a host name"), "because: `--host` gives it"]);
    }
    assert!(!story.project().join("partywall.yaml").exists());
    let overlay = story.read("compose.override.yml");
    let socket = "  ci:\n    image: ci\n    volumes: [\"/var/run/docker.sock:/var/run/docker.sock\"]\n";
    story.write("compose.override.yml", &format!("{overlay}{socket}"));
    let told = story.run(&["init", "--print", "--host", "shop.example"]).ended(0);
    let hole = "    #   ci/docker-socket: the Docker socket: whoever holds it is root on the host\n";
    assert!(
        told.out.contains(hole) && told.out.contains("    # allow: [ci/docker-socket]\n"),
        "{}",
        told.out
    );
}

/// Promise: what is missing or wrong is shown in the file that says it, and no secret with it.
/// Given: a secret whose file is missing, a `$` in a password, a wrong port in the overlay.
/// Then: exit 1 with that file and line; the password is nowhere; nothing is created.
#[test]
fn the_file_that_says_it_is_the_one_that_is_named() {
    let story = Story::light();
    let good = story.read("docker-compose.yml");
    let up = || story.run(&["up", DEVELOPMENT]);

    let secret = "    secrets: [token]\n    expose:";
    let with_secret = good.replace("    expose:", secret) + "secrets:\n  token:\n    file: ./token.txt\n";
    story.write("docker-compose.yml", &with_secret);
    let told = story.run(&["up", PRODUCTION]);
    let line = with_secret.lines().position(|line| line.contains("token.txt")).unwrap_or_default() + 1;
    let place = format!("--> docker-compose.yml:{line}:5");
    refused(
        &story,
        told,
        1,
        &["the file of the secret `token` of environment `production` is missing", &place],
    );

    story.write("docker-compose.yml", &good.replace("    expose:", "    env_file: web.env\n    expose:"));
    story.write("web.env", "# $tail\nPASSWORD=head$tail\n");
    let told = up();
    assert!(!told.err.contains("head"), "{}", told.err);
    refused(&story, told, 1, &["the variable `tail`", "--> web.env:2:15", "put the value in single quotes"]);

    story.write("docker-compose.yml", &good);
    let overlay = story.read("compose.override.yml");
    story.write("compose.override.yml", &format!("{overlay}  web:\n    volumes: [5]\n"));
    let line = overlay.lines().count() + 2;
    let place = format!("--> compose.override.yml:{line}:");
    refused(&story, up(), 1, &["the Compose files of environment `development` cannot be read", &place]);
}

/// Promise: what does not fit the host is refused before anything is done.
/// Given: a port that another process listens on.
/// Then: exit 1, the error names the port, the place in the Compose file, and who has it; nothing is created.
#[test]
fn a_port_that_somebody_has() {
    let story = Story::light();
    let _taken = TcpListener::bind(("127.0.0.1", story.port + 1)).expect("a free port");
    let port = (story.port + 1).to_string();
    let told = story.run(&["up", DEVELOPMENT]);
    refused(
        &story,
        told,
        1,
        &[
            &format!("port {port}/tcp of `db`"),
            "--> compose.override.yml:",
            "because: something listens on 127.0.0.1:",
        ],
    );
}

/// Promise: an engine that cannot be used is the host's fault, and said so.
/// Given: a DOCKER_HOST where nobody listens; a user who may not open the socket.
/// Then: exit 2, with the socket, the cause and a hint; nothing is created.
#[test]
fn no_engine_and_no_permission() {
    let story = Story::light();
    for words in [&["up", DEVELOPMENT][..], &["status"], &["check"], &["destroy", DEVELOPMENT]] {
        let mut command = story.command(words);
        command.env("DOCKER_HOST", "unix:///nowhere/docker.sock");
        let told = finished(piped(&mut command));
        refused(&story, told, 2, &["no Docker Engine answers at `/nowhere/docker.sock`", "hint: start it: "]);
    }
    if !rustix::process::geteuid().is_root() {
        return;
    }
    for words in [&["up", DEVELOPMENT][..], &["status"]] {
        let told = as_nobody(&story, words);
        refused(
            &story,
            told,
            2,
            &["may not open the Docker socket", "hint: run it as root, or `sudo usermod -aG docker"],
        );
    }
}

/// Runs a copy of the program as a user without rights, who may read the project and write the state.
fn as_nobody(story: &Story, words: &[&str]) -> Told {
    let program = story.project().join("partywall-copy");
    drop(fs::copy(env!("CARGO_BIN_EXE_partywall"), &program));
    let above = story.project().parent().map(Path::to_owned).expect("a folder above");
    for path in [&above, &story.project(), &program] {
        fs::set_permissions(path, fs::Permissions::from_mode(0o777)).expect("rights");
    }
    let mut command = Command::new("setpriv");
    command.args(["--reuid=65534", "--regid=65534", "--clear-groups", "--"]).arg(&program).args(words);
    command.current_dir(story.project()).env("PARTYWALL_STATE", story.state()).env("HOME", story.project());
    let told = finished(piped(&mut command));
    fs::remove_file(program).expect("a copy");
    told
}

fn piped(command: &mut Command) -> std::process::Child {
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("a program")
}

/// Promise: a full disk stops an operation before or takes it back, and is the host's fault.
/// Given: a state folder on a file system without a free block.
/// Then: exit 2, the error names the disk; no container, network or volume exists.
#[test]
fn a_full_disk() {
    if !rustix::process::geteuid().is_root() {
        return;
    }
    let story = Story::light();
    for (size, left) in [("64k", 0), ("1m", 16)] {
        let disk = Disk::mount(&story, size);
        disk.fill(left);
        let told = story.run(&["up", DEVELOPMENT]).ended(2).says(&["error: ", "because: ", "hint: "]);
        assert!(told.err.to_lowercase().contains("space"), "{}", told.err);
        drop(disk);
        nothing_exists(&story);
    }
}

/// A small file system in place of the state folder.
struct Disk(std::path::PathBuf);

impl Disk {
    fn mount(story: &Story, size: &str) -> Self {
        fs::create_dir_all(story.state()).expect("a folder");
        let options = format!("size={size}");
        let status =
            Command::new("mount").args(["-t", "tmpfs", "-o", &options, "story"]).arg(story.state()).status();
        assert!(status.is_ok_and(|status| status.success()), "could not mount");
        Self(story.state())
    }

    /// Leaves so many blocks of 4 KiB.
    fn fill(&self, blocks: u64) {
        let path = self.0.join("filler");
        let mut size = 0;
        while fs::write(&path, vec![0; size + 4096]).is_ok() {
            size += 4096;
        }
        let file = fs::OpenOptions::new().write(true).open(&path).expect("the filler");
        file.set_len((size as u64).saturating_sub(blocks * 4096)).expect("shorter");
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        drop(Command::new("umount").arg("-l").arg(&self.0).status());
    }
}

/// Promise: the harness itself sees what it must not find.
/// Given: a container under development's Compose project.
/// Then: "nothing exists" is not said.
#[test]
fn a_stray_would_be_seen() {
    let story = Story::light();
    let project = story.compose_project(DEVELOPMENT);
    let label = format!("com.docker.compose.project={project}");
    docker_answers(&["network", "create", "--label", &label, &format!("{project}_stray")])
        .expect("a network");
    assert_eq!(story.everything(DEVELOPMENT).len(), 1);
}
