//! The repository in another place, by the program `rclone`, which knows SFTP, S3 and many more.

use std::process::{Command, Output, Stdio};
use std::{fs, io};

use pw_run::Failure;

use crate::repository::Repository;

/// Nobody waits for ever for a network that is gone.
const PATIENCE: [&str; 8] =
    ["--contimeout", "20s", "--timeout", "2m", "--retries", "3", "--low-level-retries", "3"];
/// What has its own checksum as its name is the same when it is as large.
const NAMED_BY_CHECKSUM: &str = "--size-only";

const CONFIG: &str = "config";
/// What `rclone` ends with where the folder or the file is not there.
const NOTHING_THERE: [i32; 2] = [3, 4];

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
/// There is no such program, another repository's backups are there, or the place cannot be reached or written; running
/// it again goes on.
pub fn copy(repository: &Repository, to: &str) -> Result<(), Failure> {
    let _writing = repository.writing()?;
    // A folder whose disk is away must not empty the copy, nor what is lost or cut short here be taken from there, too.
    repository.check(false).map_err(|mut failure| {
        let hint = failure.hint.take().unwrap_or_default();
        Failure::new(format!("the copy in `{to}` is left as it is")).because(failure).hint(hint)
    })?;
    let (from, to) = (repository.path().trim_end_matches('/'), to.trim_end_matches('/'));
    spare_another(from, to)?;
    for (verb, part) in STEPS {
        rclone(&[verb, NAMED_BY_CHECKSUM, &format!("{from}/{part}"), &format!("{to}/{part}")], to)?;
    }
    rclone(&["check", "--one-way", NAMED_BY_CHECKSUM, from, to], to)
}

/// What lies there may be all that is left of a repository whose place this one has taken.
fn spare_another(from: &str, to: &str) -> Result<(), Failure> {
    let own = fs::read(format!("{from}/{CONFIG}")).map_err(|error| failed(to).because(error))?;
    // Listed, and not asked for by its name: of a bucket, rclone takes what it is not let see for what is not there.
    let told = run(&["cat", to, "--include", &format!("/{CONFIG}"), "--max-depth", "1"], to)?;
    if told.status.code().is_some_and(|code| NOTHING_THERE.contains(&code)) {
        return Ok(());
    }
    if !is_anothers(&ended(told, to)?.stdout, &own) {
        return Ok(());
    }
    Err(failed(to).because(io::Error::other("another repository's backups are there")).hint(format!(
        "give `copies` under `backup:` another place; or, when nobody needs those, remove them by hand: `rclone purge {to}`"
    )))
}

/// It is written once, when its repository is made, and each is encrypted anew; one whose way was cut off is a beginning.
fn is_anothers(there: &[u8], own: &[u8]) -> bool {
    !own.starts_with(there)
}

fn rclone(words: &[&str], to: &str) -> Result<(), Failure> {
    ended(run(words, to)?, to).map(drop)
}

fn failed(to: &str) -> Failure {
    Failure::new(format!("could not copy the repository to `{to}`"))
}

fn run(words: &[&str], to: &str) -> Result<Output, Failure> {
    let mut command = Command::new("rclone");
    command.args(words).args(PATIENCE).args(["--log-level", "ERROR"]).stdin(Stdio::null());
    command.output().map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => {
            failed(to).because(error).hint("install `rclone`, which copies: `apt install rclone`")
        }
        _ => failed(to).because(error),
    })
}

/// What it told, when it ended well.
fn ended(told: Output, to: &str) -> Result<Output, Failure> {
    if told.status.success() {
        return Ok(told);
    }
    let said = String::from_utf8_lossy(&told.stderr);
    let cause = cause(&said);
    Err(failed(to).because(io::Error::other(cause.to_owned())).hint(hint(cause, to)))
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
    fn only_the_copy_of_this_repository_is_written_over() {
        let own = b"encrypted";
        assert!(!is_anothers(own, own));
        assert!(!is_anothers(b"", own) && !is_anothers(b"encry", own), "the way of our own was cut off");
        assert!(is_anothers(b"decrypted", own) && is_anothers(b"encrypted, and more", own));
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
