//! One command at a time per project, and who holds the lock.

use std::fs::{File, TryLockError};
use std::io::{Read as _, Seek as _, Write as _};
use std::path::Path;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use pw_run::Failure;
use rustix::io::{FdFlags, fcntl_setfd};
use serde::{Deserialize, Serialize};

use crate::failed::io_failed;

const POLL: Duration = Duration::from_millis(100);
/// Who asks whether a lock is held has it himself for an instant.
const INSTANT: Duration = Duration::from_millis(10);

/// A lock that is held until it is dropped.
#[derive(Debug)]
pub struct ProjectLock {
    file: File,
}

/// Who holds a lock.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holder {
    pub user: String,
    pub pid: u32,
    /// The command line.
    pub command: String,
    pub since: Timestamp,
}

impl ProjectLock {
    /// Takes the lock, or says who has it.
    pub fn acquire(path: &Path, holder: &str) -> Result<Self, Failure> {
        for _ in 0..3 {
            if let Ok(lock) = acquire(path, holder)? {
                return Ok(lock);
            }
            std::thread::sleep(INSTANT);
        }
        acquire(path, holder)?.map_err(|other| held(path, other.as_ref()))
    }
}

impl Drop for ProjectLock {
    fn drop(&mut self) {
        // Explicitly, for a child that still runs has the same open file and would go on holding it.
        drop(self.file.unlock());
    }
}

/// True while somebody holds the lock: what is unfinished then is not cut off.
pub fn is_held(path: &Path) -> bool {
    let lock = File::open(path);
    lock.is_ok_and(|file| matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock)))
}

/// The command that holds the lock, as far as it is known; `None` while nobody does.
pub fn command(path: &Path) -> Option<String> {
    let holder = || reader(&mut File::open(path).ok()?);
    is_held(path).then(|| holder().map_or_else(|| "another command".to_owned(), |one| one.command))
}

/// Waits up to `patience` for the lock; `on_wait` is called once, with who has it.
pub async fn acquire_waiting(
    path: &Path,
    holder: &str,
    patience: Duration,
    mut on_wait: impl FnMut(Option<&Holder>),
) -> Result<ProjectLock, Failure> {
    let until = Instant::now() + patience;
    let mut told = false;
    loop {
        let other = match acquire(path, holder)? {
            Ok(lock) => return Ok(lock),
            Err(other) => other,
        };
        if !std::mem::replace(&mut told, true) {
            on_wait(other.as_ref());
        }
        if Instant::now() >= until {
            return Err(held(path, other.as_ref()));
        }
        tokio::time::sleep(POLL).await;
    }
}

/// The lock, or whoever has it as far as the file tells.
fn acquire(path: &Path, holder: &str) -> Result<Result<ProjectLock, Option<Holder>>, Failure> {
    let wrong = |error| io_failed("lock", path, error);
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).map_err(wrong)?;
    }
    let options = File::options().read(true).write(true).create(true).truncate(false).open(path);
    let mut file = options.map_err(wrong)?;
    match file.try_lock() {
        Err(TryLockError::WouldBlock) => return Ok(Err(reader(&mut file))),
        Err(TryLockError::Error(error)) => return Err(wrong(error)),
        Ok(()) => {}
    }
    // Children inherit it: a `docker compose` of a killed command goes on changing the project until it ends.
    fcntl_setfd(&file, FdFlags::empty()).map_err(|error| wrong(error.into()))?;
    // Who it is is only told: a full disk must not keep anybody from making room on it.
    drop(write(&mut file, holder));
    Ok(Ok(ProjectLock { file }))
}

fn reader(file: &mut File) -> Option<Holder> {
    let mut text = String::new();
    file.read_to_string(&mut text).ok()?;
    serde_json::from_str(&text).ok()
}

fn write(file: &mut File, command: &str) -> std::io::Result<()> {
    let holder =
        Holder { user: user(), pid: std::process::id(), command: command.into(), since: Timestamp::now() };
    file.set_len(0)?;
    file.rewind()?;
    file.write_all(serde_json::to_string(&holder)?.as_bytes())
}

/// The person: under sudo the one who called it.
fn user() -> String {
    let uid = rustix::process::getuid();
    let root = uid.is_root().then(|| "root".to_owned());
    let named = ["SUDO_USER", "USER", "LOGNAME"].iter().find_map(|name| std::env::var(name).ok());
    named.or(root).unwrap_or_else(|| format!("uid {}", uid.as_raw()))
}

fn held(path: &Path, holder: Option<&Holder>) -> Failure {
    let Some(holder) = holder else {
        return Failure::new(format!("somebody else holds the lock `{}`", path.display()));
    };
    let Holder { user, pid, command, since } = holder;
    let failure =
        Failure::new(format!("`{command}` is at work, started by {user} at {since:.0} (process {pid})"));
    if Path::new(&format!("/proc/{pid}")).exists() {
        return failure.hint("wait until it ends, and run the command again");
    }
    failure
        .hint("that process has died, but a `docker compose` that it started still runs: wait until it ends")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_second_is_told_who_was_first() {
        let folder = tempfile::tempdir().expect("a temp dir");
        let path = folder.path().join("project/lock");
        let first = ProjectLock::acquire(&path, "partywall up production").expect("free");
        let refused = ProjectLock::acquire(&path, "partywall down production").expect_err("held");
        assert!(refused.what.starts_with("`partywall up production` is at work, started by"), "{refused}");
        assert!(refused.what.contains(&format!("(process {})", std::process::id())));
        let mut seen = Vec::new();
        let short = Duration::from_millis(250);
        let waited = acquire_waiting(&path, "x", short, |holder| seen.push(holder.cloned())).await;
        assert!(waited.is_err() && seen.len() == 1 && seen[0].is_some());
        drop(first);
        acquire_waiting(&path, "x", short, |_| {}).await.expect("free again");
    }

    #[test]
    fn a_child_keeps_it_until_it_ends() {
        let folder = tempfile::tempdir().expect("a temp dir");
        let path = folder.path().join("lock");
        let mut lock = ProjectLock::acquire(&path, "partywall up").expect("free");
        let mut child = std::process::Command::new("sleep").arg("0.5").spawn().expect("a child");
        // What a kill does: the file is closed, and nothing is unlocked.
        drop(std::mem::replace(&mut lock.file, File::open("/dev/null").expect("a file")));
        assert!(ProjectLock::acquire(&path, "another").is_err());
        child.wait().expect("its end");
        ProjectLock::acquire(&path, "another").expect("free when the child has ended");
    }
}
