//! A Docker Engine of a story's own, which may be restarted without harm to any other.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use super::{docker, docker_answers, image, until};

/// Names the engine's socket to all that talk to it.
const HOST: &str = "DOCKER_HOST";
const IMAGES: &str = "images.tar";
/// Where the engine lies on a host whose own packages have none.
const PROGRAMS: &str = "/opt/partywall-docker/bin";

/// Runs an ignored story of this program in a network namespace, so that the firewall of its engine is its own.
///
/// The engine gets these images.
pub(crate) fn in_a_network_of_its_own(story: &str, images: &[&str]) {
    let folder = TempDir::with_prefix("engine-").expect("a folder");
    let names: Vec<String> = images.iter().map(|name| image(name)).collect();
    let mut save = Command::new("docker");
    save.args(["save", "-o"]).arg(folder.path().join(IMAGES)).args(&names);
    assert!(save.status().is_ok_and(|status| status.success()), "could not save {names:?}");
    let script = "ip link set lo up && exec \"$0\" --exact \"$1\" --ignored --nocapture";
    let mut command = Command::new("unshare");
    command
        .args(["--net", "sh", "-c", script])
        .arg(std::env::current_exe().expect("this program"))
        .arg(story);
    let output = command.env(HOST, socket(folder.path())).output().expect("unshare");
    let told =
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && told.contains("1 passed"), "{told}");
}

fn socket(folder: &Path) -> String {
    format!("unix://{}", folder.join("docker.sock").display())
}

pub(crate) struct Engine {
    folder: PathBuf,
    daemon: Child,
}

impl Engine {
    /// The engine that this story talks to; it keeps containers alive while it restarts.
    pub(crate) fn start() -> Self {
        let socket = std::env::var(HOST).expect("a socket");
        let folder = Path::new(socket.trim_start_matches("unix://")).parent().expect("a folder").to_owned();
        let engine = Self { daemon: daemon(&folder), folder };
        engine.await_answer();
        docker(&["load", "--quiet", "-i", &engine.folder.join(IMAGES).display().to_string()]);
        engine
    }

    /// Ends the daemon; containers run on.
    pub(crate) fn stop(&mut self) {
        let _ended_before = kill_process(Pid::from_child(&self.daemon), Signal::TERM);
        self.daemon.wait().expect("a child");
    }

    pub(crate) fn start_again(&mut self) {
        self.daemon = daemon(&self.folder);
        self.await_answer();
    }

    fn await_answer(&self) {
        until("the engine", || {
            self.folder.join("docker.sock").exists() && docker_answers(&["version"]).is_some()
        });
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        let all = docker_answers(&["ps", "-aq"]).unwrap_or_default();
        for container in all.lines() {
            drop(docker_answers(&["rm", "-f", "-v", container]));
        }
        self.stop();
        // Left mounted for a daemon that comes back.
        drop(Command::new("umount").arg("--recursive").arg(self.folder.join("data")).status());
    }
}

fn daemon(folder: &Path) -> Child {
    let path = |name: &str| -> PathBuf { folder.join(name) };
    let log = File::options().create(true).append(true).open(path("log")).expect("a file");
    let programs = format!("{PROGRAMS}:{}", std::env::var("PATH").unwrap_or_default());
    let mut command = Command::new("dockerd");
    command.arg("--live-restore").arg("--data-root").arg(path("data")).arg("--exec-root").arg(path("run"));
    command.arg("--pidfile").arg(path("pid")).arg("--host").arg(socket(folder));
    command.args(["--bip", "172.31.250.1/24", "--default-address-pool", "base=10.201.0.0/16,size=24"]);
    command.env("PATH", &programs).stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
    // Found with the changed PATH: the standard library looks a name up in the child's.
    command.spawn().unwrap_or_else(|error| panic!("dockerd, looked for in {programs}: {error}"))
}
