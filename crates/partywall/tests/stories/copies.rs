//! The copy of a repository elsewhere: what takes this machine must not take it.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use crate::harness::{PRODUCTION, Story, Told, finished, until};
use crate::keep::{backup_key, text};

/// Promise: what takes this machine leaves the copy elsewhere, and a copy that fails takes no backup with it.
/// Given: a server that speaks SFTP, named by rclone's own configuration, and a `backup.copies`.
/// Then: after each backup the copy holds what the repository holds, and no more; what is damaged here leaves it as it was; from the
/// copy alone everything comes back; with the server gone the backup is there, and `status` says that the copy failed; so does an empty repository.
#[test]
fn a_copy_elsewhere_is_all_that_is_needed() {
    let story = Story::stocked_shop();
    let before = story.holdings(PRODUCTION);
    let server = SftpServer::start(&story);
    let (path, away) = (story.repository().display().to_string(), story.folder().join("away"));
    let section = format!("{path}, copies: [\"offsite:{}\"]", away.display());
    story.edit("partywall.yaml", &path, &section);
    let backup = |words: &[&str]| {
        // Backups are named by the second.
        std::thread::sleep(std::time::Duration::from_secs(1));
        let mut command = story.command(&[["backup", PRODUCTION].as_slice(), words].concat());
        command.env("RCLONE_CONFIG", &server.config);
        finished(command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("run"))
    };
    for _ in 0..2 {
        backup(&[]).ended(0).says(&["copied to offsite:"]);
        assert_eq!(files(&story.repository()), files(&away));
    }
    let key = backup_key(&story);
    let check = ["-r", &text(&away), "-p", &text(&key), "--no-lock", "check"];
    assert!(Command::new("restic").args(check).output().is_ok_and(|told| told.status.success()));

    fs::rename(&away, away.with_extension("moved")).expect("moved");
    fs::write(&away, "no folder").expect("written");
    backup(&[]).ended(2).says(&["is backed up", "could not copy the repository to `offsite:"]);
    assert!(story.run(&["status", PRODUCTION]).ended(0).out.contains("copy    to offsite:"));
    assert!(!story.run(&["status", PRODUCTION]).out.contains("backup  failed"));
    fs::remove_file(&away).expect("removed");
    fs::rename(away.with_extension("moved"), &away).expect("moved");
    backup(&[]).ended(0);

    let (left, pack) = (files(&away), largest(&story.repository().join("data")));
    let whole = fs::read(&pack).expect("a pack");
    fs::write(&pack, &whole[..whole.len() / 2]).expect("cut short");
    let told = backup(&[]).ended(2);
    told.says(&["is backed up", "is left as it is", "is damaged", "check --read-data"]);
    assert!(!story.run(&["status"]).err.contains("unfinished"), "what cannot be forgotten bars nobody's way");
    assert_eq!(files(&away), left, "what is lost here is there yet");
    fs::write(&pack, &whole).expect("mended");
    backup(&[]).ended(0);

    fs::remove_dir_all(story.repository()).expect("the disk is gone");
    backup(&[]).ended(1).says(&["there is no repository in"]);
    fs::rename(&away, story.repository()).expect("copied back");
    story.sql(PRODUCTION, "DROP TABLE item");
    story.run(&["restore", PRODUCTION, "latest", "--confirm", PRODUCTION]).ended(0);
    assert_eq!(story.holdings(PRODUCTION), before);

    fs::rename(story.repository(), &away).expect("the only one that is left");
    let left = files(&away);
    let told = backup(&["--new-repository"]).ended(2);
    told.says(&["is backed up", "another repository's backups are there", "hint: give `copies`"]);
    assert_eq!(files(&away), left);
}

/// Promise: wherever the way to a copy is cut off, what the copy holds can be restored, and `resume` or the next backup completes it.
/// Given: a copy of one backup, then others of each of which the copying stops before one of its parts and is killed there.
/// Then: restic finds no error in the copy and the first backup in it; after `resume` it holds what the repository holds, after
/// `abandon` the words say what stays.
#[test]
fn a_copy_that_is_cut_off_can_be_restored() {
    let story = Story::light();
    let (away, place) = (story.folder().join("away"), story.folder().join("stops"));
    let section = format!(
        "backup: {{ repository: {}, copies: [\"offsite:{}\"], keep: {{ last: 2, hourly: 0, daily: 0, weekly: 0, monthly: 0 }} }}\n",
        story.repository().display(),
        away.display()
    );
    story.write("partywall.yaml", &format!("{}{section}", story.read("partywall.yaml")));
    story.up(PRODUCTION);
    let stops = Stops::at(&place);
    let restic = |words: &[&str]| {
        let (repository, key) = (text(&away), text(&backup_key(&story)));
        let to = ["-r", &repository, "-p", &key, "--no-lock", "--no-cache"];
        let told = Command::new("restic").args(to).args(words).output().expect("restic");
        assert!(told.status.success(), "{words:?}: {}", String::from_utf8_lossy(&told.stderr));
        String::from_utf8(told.stdout).expect("text")
    };
    finished(stops.start(&story, 0)).ended(0);
    for (round, part) in ["index", "snapshots", "data", "config"].into_iter().enumerate() {
        let words = "head -c 300000 /dev/urandom > /data/file";
        story.container(PRODUCTION, "db").exec(&["sh", "-c", words]).expect("a file");
        // Calls are counted: one that looks whose it is, four that copy, four that remove, one that compares.
        let call = [3, 6, 9, 5][round];
        let cut_off = stops.start(&story, call);
        let told = stops.kill_there(cut_off);
        assert!(told.ends_with(&format!("/{part}")), "{told}");
        restic(&["check", "--read-data"]);
        assert!(restic(&["snapshots", "--json"]).contains("\"id\""));
        if round % 2 == 0 {
            stops.run(&story, &["resume"]).ended(0);
            assert_eq!(files(&story.repository()), files(&away));
        } else {
            stops.run(&story, &["abandon"]).ended(0).says(&["of the copy, what was begun stays"]);
            assert_ne!(files(&story.repository()), files(&away));
        }
    }
    finished(stops.start(&story, 0)).ended(0);
    assert_eq!(files(&story.repository()), files(&away));
}

/// An `rclone` that stops before one of its calls until it is killed, and otherwise is the real one.
struct Stops(PathBuf);

impl Stops {
    fn at(place: &Path) -> Self {
        fs::create_dir(place).expect("a folder");
        let script = "#!/bin/sh\nhere=${0%/*}; count=$(($(cat $here/count) + 1)); echo $count >$here/count\n\
            if [ $count = $(cat $here/stop) ]; then echo $$ $4 >$here/new; mv $here/new $here/reached; exec sleep 1000000; fi\n\
            PATH=${PATH#*:} exec rclone \"$@\"\n";
        fs::write(place.join("rclone"), script).expect("written");
        fs::set_permissions(place.join("rclone"), fs::Permissions::from_mode(0o755)).expect("set");
        fs::write(place.join("rclone.conf"), "[offsite]\ntype = alias\nremote = /\n").expect("written");
        Self(place.to_owned())
    }

    fn command(&self, story: &Story, words: &[&str]) -> Command {
        let mut command = story.command(words);
        let path = format!("{}:{}", self.0.display(), std::env::var("PATH").expect("a path"));
        command.env("PATH", path).env("RCLONE_CONFIG", self.0.join("rclone.conf"));
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// A backup whose copying stops at this call, counted from 1; at none with 0.
    fn start(&self, story: &Story, call: u32) -> Child {
        fs::write(self.0.join("count"), "0").expect("written");
        fs::write(self.0.join("stop"), call.to_string()).expect("written");
        self.command(story, &["backup", PRODUCTION]).spawn().expect("run")
    }

    fn run(&self, story: &Story, words: &[&str]) -> Told {
        fs::write(self.0.join("stop"), "0").expect("written");
        finished(self.command(story, words).spawn().expect("run"))
    }

    /// As a power cut: the program and what it started. Answers what was being copied to.
    fn kill_there(&self, mut run: Child) -> String {
        let reached = self.0.join("reached");
        until("the copying stops", || {
            assert_eq!(run.try_wait().expect("asked"), None, "it has ended");
            reached.exists()
        });
        drop(run.kill());
        let told = fs::read_to_string(&reached).expect("it reads");
        fs::remove_file(&reached).expect("removed");
        let (id, to) = told.trim().split_once(' ').expect("two words");
        let killed = Command::new("kill").args(["-9", id]).status();
        assert!(killed.is_ok_and(|status| status.success()));
        drop(finished(run));
        to.to_owned()
    }
}

fn largest(folder: &Path) -> PathBuf {
    let all = Command::new("find").arg(folder).args(["-type", "f", "-printf", "%s %p\n"]).output();
    let all = String::from_utf8(all.expect("find").stdout).expect("text");
    let sized = all.lines().filter_map(|line| line.split_once(' '));
    let largest = sized.max_by_key(|(size, _)| size.parse::<u64>().expect("a number"));
    PathBuf::from(largest.expect("a file").1)
}

/// Names and sizes of all files below a folder.
pub(crate) fn files(folder: &Path) -> String {
    let words = ["-c", "find . -type f -printf '%P %s\\n' | sort"];
    let told = Command::new("sh").args(words).current_dir(folder).output().expect("sh");
    String::from_utf8(told.stdout).expect("text")
}

/// rclone's own server, and the file in which rclone knows it as `offsite`.
struct SftpServer {
    server: Child,
    config: PathBuf,
}

impl SftpServer {
    fn start(story: &Story) -> Self {
        let at = |name: &str| story.folder().join(name);
        for key in ["host", "own"] {
            let words = ["-q", "-t", "ed25519", "-N", "", "-f", &text(&at(key))];
            assert!(Command::new("ssh-keygen").args(words).status().is_ok_and(|one| one.success()));
        }
        let port = story.port + 7;
        let (host, own) = (text(&at("host")), text(&at("own.pub")));
        let address = format!("127.0.0.1:{port}");
        let words = ["serve", "sftp", "/", "--addr", &address, "--key", &host, "--authorized-keys", &own];
        let server = Command::new("rclone").args(words).stderr(Stdio::null()).spawn();
        let server = server.expect("rclone, which `./x test` installs");
        let config = at("rclone.conf");
        let remote = format!(
            "[offsite]\ntype = sftp\nhost = 127.0.0.1\nport = {port}\nuser = backup\nkey_file = {}\nshell_type = unix\n",
            text(&at("own"))
        );
        fs::write(&config, remote).expect("written");
        until("the server answers", || std::net::TcpStream::connect(&address).is_ok());
        Self { server, config }
    }
}

impl Drop for SftpServer {
    fn drop(&mut self) {
        drop(self.server.kill());
        drop(self.server.wait());
    }
}
