//! The repository in another place, by the program `rclone`, which knows SFTP, S3 and many more.

use std::io;
use std::process::{Command, Stdio};

use pw_run::Failure;

use crate::repository::Repository;

/// Nobody waits for ever for a network that is gone.
const PATIENCE: [&str; 8] =
    ["--contimeout", "20s", "--timeout", "2m", "--retries", "3", "--low-level-retries", "3"];
/// What has its own checksum as its name is the same when it is as large.
const NAMED_BY_CHECKSUM: &str = "--size-only";

const CONFIG: &str = "config";

/// In this order what is there at any moment is whole: what is pointed at comes first, and goes last.
const STEPS: [(&str, &str); 8] = [
    ("copy", "data"),
    ("copy", "index"),
    ("copy", "keys"),
    ("copyto", CONFIG),
    ("sync", "snapshots"),
    ("sync", "keys"),
    ("sync", "index"),
    ("sync", "data"),
];

/// Copies, removes there what is no longer here, and compares the names and sizes of all files.
///
/// # Errors
/// There is no such program, or the place cannot be reached or written; running it again goes on.
pub fn copy(repository: &Repository, to: &str) -> Result<(), Failure> {
    let _writing = repository.writing()?;
    // A folder whose disk is away must not empty the copy.
    repository.open()?;
    let (from, to) = (repository.path().trim_end_matches('/'), to.trim_end_matches('/'));
    for (verb, part) in STEPS {
        // That of another repository is as large.
        let compared = if part == CONFIG { "--ignore-times" } else { NAMED_BY_CHECKSUM };
        rclone(&[verb, compared, &format!("{from}/{part}"), &format!("{to}/{part}")], to)?;
    }
    rclone(&["check", "--one-way", NAMED_BY_CHECKSUM, from, to], to)
}

fn rclone(words: &[&str], to: &str) -> Result<(), Failure> {
    let what = || Failure::new(format!("could not copy the repository to `{to}`"));
    let mut command = Command::new("rclone");
    command.args(words).args(PATIENCE).args(["--log-level", "ERROR"]);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    let told = match command.output() {
        Ok(told) => told,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(what().because(error).hint("install `rclone`, which copies: `apt install rclone`"));
        }
        Err(error) => return Err(what().because(error)),
    };
    if told.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&told.stderr);
    let last = said.lines().map(str::trim).rfind(|line| !line.is_empty()).unwrap_or("no word");
    Err(what()
        .because(io::Error::other(last.to_owned()))
        .hint(format!("try `rclone lsd {to}`; the next backup copies again")))
}
