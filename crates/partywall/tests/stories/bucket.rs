//! The copy of a repository in a bucket of S3.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use crate::copies::files;
use crate::harness::{PRODUCTION, Story, Told, finished, until};
use crate::keep::{backup_key, lose_everything, text};

const KEY: &str = "partywall-story";
const SECRET: &str = "not-in-any-message";

/// Promise: a copy in a bucket of S3 is all that is needed, next to the key; what is wrong with the bucket or with its key is
/// told, with what to correct; its secret is seen nowhere.
/// Given: a server that speaks S3 and checks who asks, and `backup.copies`. First there is no bucket, then the secret is a wrong
/// one, then all is well; then production, the project's folder and the whole state are gone.
/// Then: each failure is named, and the backup is there; the copy holds what the repository holds, and restic finds no error;
/// from what is copied back, everything comes back into a fresh state, equal by checksum.
#[test]
fn a_bucket_is_all_that_is_needed() {
    let story = Story::shop();
    let Some(server) = S3Server::start(&story) else { return };
    let path = text(&story.repository());
    story.edit("partywall.yaml", &path, &format!("{path}, copies: [\"offsite:backups/shop\"]"));
    story.up(PRODUCTION);
    story.stock(PRODUCTION, 100);
    let before = story.holdings(PRODUCTION);

    let told = server.backup(&story).ended(2);
    told.says(&["is backed up", "NoSuchBucket: ", "hint: make the bucket `backups`"]);
    fs::create_dir(server.root.join("backups")).expect("a bucket");
    server.knows("another");
    let told = server.backup(&story).ended(2);
    told.says(&[
        "is backed up",
        "SignatureDoesNotMatch: ",
        "hint: the key is refused: `rclone config` corrects",
    ]);
    server.knows(SECRET);
    server.backup(&story).ended(0).says(&["copied to offsite:backups/shop"]);
    let copy = server.root.join("backups/shop");
    assert_eq!(files(&story.repository()), files(&copy));
    for place in [story.state(), story.repository(), server.called()] {
        let found = Command::new("grep").args(["-rqF", SECRET]).arg(place).status().expect("grep");
        assert_eq!(
            found.code(),
            Some(1),
            "the secret stands in a file that we write, or a process was told it"
        );
    }

    let (key, back) = (story.folder().join("key"), story.folder().join("back"));
    fs::copy(backup_key(&story), &key).expect("a copy of the key");
    lose_everything(&story);
    fs::remove_dir_all(story.repository()).expect("the disk is gone");
    let words = ["copy", "offsite:backups/shop", &text(&back)];
    assert!(server.rclone(&words).status().expect("rclone").success());
    let check = ["-r", &text(&back), "-p", &text(&key), "--no-lock", "--no-cache", "check", "--read-data"];
    assert!(Command::new("restic").args(check).output().is_ok_and(|told| told.status.success()));
    let words = ["restore", "--from", &text(&back), "--key", &text(&key)];
    let mut restore = story.command(&words);
    // The project's folder is gone, so this runs from anywhere.
    restore.current_dir("/").stdout(Stdio::piped()).stderr(Stdio::piped());
    finished(restore.spawn().expect("partywall")).ended(0).says(&["is back in"]);
    assert_eq!(story.holdings(PRODUCTION), before);
}

/// A server that speaks S3 and lets in who signs with the secret; its buckets are folders of `root`.
struct S3Server {
    server: Child,
    root: PathBuf,
    config: PathBuf,
    port: u16,
}

impl S3Server {
    /// `None` where `./x test` could not get it, and has said so.
    fn start(story: &Story) -> Option<Self> {
        let at = std::env::var("PARTYWALL_S3").unwrap_or_else(|_| "/var/cache/partywall/s3/rclone".into());
        if !Path::new(&at).exists() {
            drop(writeln!(std::io::stderr(), "nothing is tested: there is no {at}, which would serve S3"));
            return None;
        }
        let (root, port) = (story.folder().join("s3"), story.port + 7);
        fs::create_dir(&root).expect("a folder");
        let address = format!("127.0.0.1:{port}");
        let mut server = Command::new(at);
        server.args([
            "serve",
            "s3",
            &text(&root),
            "--addr",
            &address,
            "--vfs-cache-mode",
            "off",
            "--dir-cache-time",
            "1ms",
        ]);
        server.env("RCLONE_AUTH_KEY", format!("\"{KEY},{SECRET}\"")).env("RCLONE_CONFIG", "/dev/null");
        let server = server.stderr(Stdio::null()).spawn().expect("rclone");
        let server = Self { server, root, config: story.folder().join("rclone.conf"), port };
        server.listen(&story.folder().join("bin"));
        server.knows(SECRET);
        until("the server answers", || std::net::TcpStream::connect(&address).is_ok());
        Some(server)
    }

    /// What rclone is given as its secret, in its own file.
    fn knows(&self, secret: &str) {
        let remote = format!(
            "[offsite]\ntype = s3\nprovider = Other\nendpoint = http://127.0.0.1:{}\naccess_key_id = {KEY}\n\
             secret_access_key = {secret}\nno_check_bucket = true\n",
            self.port
        );
        fs::write(&self.config, remote).expect("written");
    }

    /// An `rclone` that notes how it is called, and then is the real one.
    fn listen(&self, place: &Path) {
        fs::create_dir(place).expect("a folder");
        let script = format!(
            "#!/bin/sh\necho \"$*\" >>'{}'\nPATH=${{PATH#*:}} exec rclone \"$@\"\n",
            text(&self.called())
        );
        fs::write(place.join("rclone"), script).expect("written");
        fs::set_permissions(place.join("rclone"), fs::Permissions::from_mode(0o755)).expect("set");
    }

    fn called(&self) -> PathBuf {
        self.config.with_file_name("called")
    }

    fn rclone(&self, words: &[&str]) -> Command {
        let mut command = Command::new("rclone");
        command.args(words);
        self.led(&mut command);
        command
    }

    fn led(&self, command: &mut Command) {
        let path = std::env::var("PATH").expect("a path");
        let ours = self.config.with_file_name("bin");
        command.env("PATH", format!("{}:{path}", ours.display())).env("RCLONE_CONFIG", &self.config);
        // rclone 1.60 does not go on with a list of certificates that is named so.
        command.env_remove("AWS_CA_BUNDLE");
    }

    /// Backups are named by the second.
    fn backup(&self, story: &Story) -> Told {
        std::thread::sleep(std::time::Duration::from_secs(1));
        let mut command = story.command(&["backup", PRODUCTION]);
        self.led(&mut command);
        let told =
            finished(command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("partywall"));
        assert!(!told.err.contains(SECRET) && !told.out.contains(SECRET), "{}", told.err);
        told
    }
}

impl Drop for S3Server {
    fn drop(&mut self) {
        drop(self.server.kill());
        drop(self.server.wait());
    }
}
