//! Git: which commit is meant, and its files in a folder of their own.

use std::path::Path;
use std::process::Stdio;

use pw_plan::step::Checkout;
use pw_run::Failure;
use tokio::process::Command;

use crate::failed::io_failed;

/// What git said when it failed.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct GitSaid(String);

/// A commit, and where in its repository the project lies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Commit {
    /// The repository's folder.
    pub repository: String,
    /// The project's folder below it, with `/` behind it; empty at the top.
    pub prefix: String,
    pub id: String,
    pub subject: String,
}

/// Runs git and answers what it prints, without the line's end. A checkout of another account is read all the same.
///
/// # Errors
/// Git is not there, or refuses.
pub async fn git(folder: &Path, arguments: &[&str]) -> Result<String, Failure> {
    let mut command = Command::new("git");
    command
        .args(["-c", "safe.directory=*", "-c", "advice.detachedHead=false", "-C"])
        .arg(folder)
        .args(arguments);
    command.stdin(Stdio::null()).env("GIT_TERMINAL_PROMPT", "0").kill_on_drop(true);
    for variable in ["GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_QUARANTINE_PATH"] {
        command.env_remove(variable);
    }
    let output = command.output().await.map_err(|error| {
        Failure::new("could not run git").because(error).hint("install it: `apt install git`")
    })?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).trim_end().to_owned());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let last: Vec<&str> = said.lines().filter(|line| !line.trim().is_empty()).collect();
    let words = last.last().copied().unwrap_or("it said nothing").trim_start_matches("fatal: ");
    let verb = arguments.first().copied().unwrap_or_default();
    Err(Failure::new(format!("git {verb} failed")).because(GitSaid(words.to_owned())))
}

/// The commit that a name means in the repository of a folder.
///
/// # Errors
/// The folder is in no repository, or has no such commit.
pub async fn commit(folder: &Path, reference: &str) -> Result<Commit, Failure> {
    let top = git(folder, &["rev-parse", "--show-toplevel"]).await.map_err(|failure| {
        failure.hint("releases are commits: put the project under git, with `git init` and a first commit")
    })?;
    let prefix = git(folder, &["rev-parse", "--show-prefix"]).await?;
    let wanted = format!("{reference}^{{commit}}");
    let id = git(folder, &["rev-parse", "--verify", "--quiet", "--end-of-options", &wanted]).await.map_err(
        |_| {
            Failure::new(format!("there is no commit `{reference}`"))
                .hint("name a branch, a tag or a commit that `git log` shows; `git fetch` brings new ones")
        },
    )?;
    let subject = git(folder, &["log", "-1", "--format=%s", &id]).await?;
    Ok(Commit { repository: top, prefix, id, subject })
}

/// Files under version control that differ from the last commit, of the folder.
///
/// # Errors
/// Git refuses.
pub async fn changed(folder: &Path) -> Result<Vec<String>, Failure> {
    let said = git(folder, &["status", "--porcelain", "--untracked-files=no", "--", "."]).await?;
    Ok(said.lines().filter_map(|line| line.get(3..)).map(str::to_owned).collect())
}

/// What git calls the content of a folder of a commit; the same content has the same name.
///
/// # Errors
/// The commit has no such folder.
pub async fn content(repository: &Path, commit: &str, folder: &str) -> Result<String, Failure> {
    let path = format!("{commit}:{}", folder.trim_matches('/'));
    git(repository, &["rev-parse", "--verify", "--quiet", &path])
        .await
        .map_err(|_| Failure::new(format!("the commit has no folder `{folder}`")))
}

/// Puts the files of a commit into a folder; one that holds them already stays.
pub(crate) async fn check_out(checkout: &Checkout) -> Result<(), Failure> {
    let path = Path::new(&checkout.path);
    if path.is_dir() && git(path, &["rev-parse", "HEAD"]).await.is_ok_and(|head| head == checkout.commit) {
        return Ok(());
    }
    let folder = path.parent().unwrap_or(Path::new("/"));
    crate::files::private_folder(folder)?;
    let new = tempfile::Builder::new()
        .prefix(".new-")
        .tempdir_in(folder)
        .map_err(|error| io_failed("make a folder in", folder, error))?;
    let (from, to) = (checkout.repository.as_str(), new.path().to_string_lossy().into_owned());
    // Shares the repository's objects and takes nothing of its hooks or settings.
    git(folder, &["clone", "--quiet", "--shared", "--no-checkout", "--", from, &to]).await?;
    git(new.path(), &["checkout", "--quiet", "--detach", &checkout.commit]).await?;
    git(new.path(), &["submodule", "update", "--quiet", "--init", "--recursive"]).await?;
    if path.exists() {
        std::fs::remove_dir_all(path).map_err(|error| io_failed("remove", path, error))?;
    }
    std::fs::rename(new.keep(), path).map_err(|error| io_failed("put in its place", path, error))
}
