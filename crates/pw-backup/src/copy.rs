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
    let cause = cause(&said);
    Err(what().because(io::Error::other(cause.to_owned())).hint(hint(cause, to)))
}

/// The last that it says. Below it S3's request numbers are indented, before it stand the time and how often it was tried.
fn cause(said: &str) -> &str {
    let mut lines = said.lines().filter(|line| !line.starts_with(char::is_whitespace));
    let last = lines.rfind(|line| !line.is_empty()).unwrap_or("no word");
    let last = last.rsplit_once("last error was: ").map_or(last, |(_, last)| last);
    let timeless = last.trim_start_matches(|letter: char| letter.is_ascii_digit() || "/: ".contains(letter));
    if timeless.is_empty() { last } else { timeless }
}

fn hint(cause: &str, to: &str) -> String {
    let says = |words: &[&str]| words.iter().any(|word| cause.contains(word));
    let (name, path) = to.split_once(':').unwrap_or((to, ""));
    let bucket = path.trim_start_matches('/').split('/').next().unwrap_or_default();
    let to_do = if says(&["NoSuchBucket"]) {
        format!("make the bucket `{bucket}`, or correct `copies` under `backup:`")
    } else if says(&["InvalidAccessKeyId", "SignatureDoesNotMatch", "AccessDenied", "Forbidden"]) {
        format!(
            "the key is refused: `rclone config` corrects `access_key_id` and `secret_access_key` of `{name}`"
        )
    } else if says(&["didn't find section in config file"]) {
        format!("make `{name}` known with `rclone config`, as the user who runs backups")
    } else {
        format!("try `rclone lsd {to}`")
    };
    format!("{to_do}; the next backup copies again")
}

#[cfg(test)]
mod tests {
    use super::*;

    const S3: &str = "2026/11/22 05:07:33 ERROR : Attempt 3/3 failed with 2 errors and: NoSuchBucket: none\n\
        2026/11/22 05:07:34 Failed to copy with 2 errors: last error was: NoSuchBucket: The specified bucket does not exist\n\
        \tstatus code: 404, request id: 070B, host id: MDc\n";

    #[test]
    fn the_cause_is_what_was_said_and_not_its_numbers() {
        assert_eq!(cause(S3), "NoSuchBucket: The specified bucket does not exist");
        let once = "2026/11/22 05:07:37 Failed to copy: InvalidAccessKeyId: none\n\tstatus code: 403\n\n";
        assert_eq!(cause(once), "Failed to copy: InvalidAccessKeyId: none");
        assert_eq!((cause(""), cause("12:30\n")), ("no word", "12:30"));
    }

    #[test]
    fn a_hint_says_what_to_correct() {
        let to = "offsite:backups/shop";
        assert_eq!(
            hint(cause(S3), to),
            "make the bucket `backups`, or correct `copies` under `backup:`; the next backup copies again"
        );
        assert!(hint("SignatureDoesNotMatch: …", to).contains("`secret_access_key` of `offsite`"));
        assert!(
            hint("didn't find section in config file", to).contains("`offsite` known with `rclone config`")
        );
        assert!(hint("connection refused", to).starts_with("try `rclone lsd offsite:backups/shop`"));
    }
}
