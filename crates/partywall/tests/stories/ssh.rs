//! `promote` over SSH, with a key that may do nothing else.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::harness::{PRODUCTION, Story, Told, finished};

/// Promise: a key that may promote can promote, and do nothing else.
/// Given: an SSH server with the line of `authorized_keys` that the documentation shows, and a bare repository that CI pushes to.
/// Then: a commit's name promotes it, with a line for each step; another command is taken for the name of a commit, and refused
/// before anything is done; so is no command at all.
#[test]
fn a_key_may_promote_and_nothing_else() {
    let story = Story::released();
    let bare = story.folder().join("bare.git");
    story.git(&["clone", "--quiet", "--bare", ".", bare.to_str().expect("a path")]);
    story.git(&["remote", "add", "origin", bare.to_str().expect("a path")]);
    let server = Server::of(&story);

    story.commit_good("2");
    story.git(&["push", "--quiet", "origin", "HEAD:refs/heads/main"]);
    let commit = Command::new("git").args(["rev-parse", "HEAD"]).current_dir(story.project()).output();
    let commit = String::from_utf8(commit.expect("git").stdout).expect("a name");
    let told = server.asked(&[commit.trim()]).ended(0);
    assert!(told.err.contains("open route to web at ") && told.err.contains(" done ("), "{}", told.err);
    assert_eq!(story.serves(PRODUCTION), "production release 2");

    let words = format!("HEAD; rm -rf {}", story.project().display());
    server.asked(&[&words]).ended(2).says(&["there is no commit `HEAD; rm -rf"]);
    server.asked(&["--help"]).ended(2).says(&["there is no commit `--help`"]);
    server.asked(&[]).ended(2).says(&["there is no commit ``"]);
    assert!(story.project().join("partywall.yaml").is_file());
    assert_eq!(story.serves(PRODUCTION), "production release 2");
}

/// OpenSSH's own server, for one connection at a time: it talks over a pipe, and listens nowhere.
struct Server<'s> {
    folder: &'s Path,
}

impl<'s> Server<'s> {
    fn of(story: &'s Story) -> Self {
        let folder = story.folder();
        for name in ["ci", "host"] {
            let path = folder.join(name);
            let words = ["-q", "-t", "ed25519", "-N", "", "-f", path.to_str().expect("a path")];
            assert!(Command::new("ssh-keygen").args(words).status().is_ok_and(|one| one.success()));
        }
        let key = |name: &str| fs::read_to_string(folder.join(name)).expect("a key");
        fs::write(folder.join("known"), format!("shop.example {}", key("host.pub"))).expect("written");
        fs::write(folder.join("authorized"), documented(story, key("ci.pub").trim())).expect("written");
        let lines = [
            format!("HostKey {}", folder.join("host").display()),
            format!("AuthorizedKeysFile {}", folder.join("authorized").display()),
            "PermitRootLogin forced-commands-only\nStrictModes no\nUsePAM no\nPidFile none\n".to_owned(),
        ];
        fs::write(folder.join("sshd_config"), lines.join("\n")).expect("written");
        // Its packages make it at boot.
        fs::create_dir_all("/run/sshd").expect("a folder");
        Self { folder }
    }

    fn asked(&self, words: &[&str]) -> Told {
        let at = |name: &str| self.folder.join(name).display().to_string();
        let options = [
            format!("ProxyCommand=/usr/sbin/sshd -i -f {}", at("sshd_config")),
            format!("UserKnownHostsFile={}", at("known")),
            format!("IdentityFile={}", at("ci")),
            "IdentitiesOnly=yes".to_owned(),
            "BatchMode=yes".to_owned(),
        ];
        let mut command = Command::new("ssh");
        command.args(["-F", "none", "-T"]).args(options.iter().flat_map(|one| ["-o", one.as_str()]));
        command.args(["--", "root@shop.example"]).args(words);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        finished(command.spawn().expect("ssh"))
    }
}

/// The line that `docs/promote.md` shows, for this story's folders, program and key.
fn documented(story: &Story, key: &str) -> String {
    let text = include_str!("../../../../docs/promote.md");
    let line = text.lines().find(|line| line.starts_with("restrict,command=")).expect("a line");
    let program = format!(
        "env PARTYWALL_STATE={} {} promote",
        story.state().display(),
        env!("CARGO_BIN_EXE_partywall")
    );
    let line = line.replace("/srv/shop", &story.project().display().to_string());
    let (before, _) = line.split_once(" ssh-ed25519 ").expect("a key");
    format!("{} {key}\n", before.replace("partywall promote", &program))
}
