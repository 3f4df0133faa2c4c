//! Texts under their hash: every file that was ever installed, so that it can be installed again.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use pw_run::Failure;

use super::atomic::{sync_folder, write};
use super::folder::{make_folder, private_folder};
use crate::failed::io_failed;

/// The project's store. Its files are readable by the owner only, for Compose files hold secrets.
#[derive(Debug, Clone)]
pub struct Store {
    root: PathBuf,
    /// Where texts are kept: what belongs to an environment goes with it.
    folder: PathBuf,
}

impl Store {
    /// Touches nothing; the folder is made when something is first kept.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        let root = root.into();
        Self { folder: root.clone(), root }
    }

    /// Keeps texts in a folder of their own.
    #[must_use]
    pub fn of(self, environment: &str) -> Self {
        Self { folder: self.root.join(environment), root: self.root }
    }

    /// Keeps a text under its hash.
    pub fn stage(&self, hash: &str, text: &str) -> Result<(), Failure> {
        if pw_plan::hash(text) != hash {
            return Err(Failure::new(format!("the text that is kept as `{hash}` has another hash")));
        }
        if self.get(hash).is_ok() {
            return Ok(());
        }
        // The project's folder, which guards all that is in it.
        self.root.parent().map_or(Ok(()), private_folder)?;
        private_folder(&self.root)?;
        private_folder(&self.folder)?;
        write(&self.folder.join(hash), text.as_bytes(), 0o600)
    }

    /// The text with this hash, checked: what a failing disk returned is not installed.
    pub fn get(&self, hash: &str) -> Result<String, Failure> {
        let path = self.find(hash);
        let text = fs::read_to_string(&path).map_err(|error| io_failed("read", &path, error))?;
        match pw_plan::hash(&text) == hash {
            true => Ok(text),
            false => Err(Failure::new(format!("the content of `{}` is damaged", path.display()))),
        }
    }

    /// The proxy's files may have been installed by the plan of another environment.
    fn find(&self, hash: &str) -> PathBuf {
        let own = self.folder.join(hash);
        if own.is_file() {
            return own;
        }
        let folders = fs::read_dir(&self.root).into_iter().flatten().flatten();
        let mut found = folders.map(|folder| folder.path().join(hash));
        found.find(|path| path.is_file()).unwrap_or(own)
    }

    /// Puts the text with this hash at `path`, readable by the owner only.
    pub fn install(&self, hash: &str, path: &Path) -> Result<(), Failure> {
        let text = self.get(hash)?;
        if let Some(folder) = path.parent() {
            make_folder(folder)?;
        }
        write(path, text.as_bytes(), 0o600)
    }

    /// Keeps the present content of `path`, which must still have this hash.
    pub fn keep(&self, hash: &str, path: &Path) -> Result<(), Failure> {
        if self.get(hash).is_ok() {
            return Ok(());
        }
        let text = fs::read_to_string(path).map_err(|error| io_failed("read", path, error))?;
        if pw_plan::hash(&text) != hash {
            return Err(Failure::new(format!("`{}` has changed since the plan was made", path.display()))
                .hint("run the command again: it plans anew"));
        }
        self.stage(hash, &text)
    }
}

/// Removes a file; one that is not there is removed already.
pub fn remove(path: &Path) -> Result<(), Failure> {
    let removed = match fs::remove_file(path) {
        Err(error) if is_absent(&error) => return Ok(()),
        other => other,
    };
    removed
        .and_then(|()| sync_folder(path.parent().unwrap_or(Path::new("/"))))
        .map_err(|error| io_failed("remove", path, error))
}

/// The hash of a file's content; `None` when there is no file.
pub fn hash_of(path: &Path) -> Result<Option<String>, Failure> {
    match fs::read(path) {
        Ok(content) => Ok(Some(pw_plan::hash(&String::from_utf8_lossy(&content)))),
        Err(error) if is_absent(&error) => Ok(None),
        Err(error) => Err(io_failed("read", path, error)),
    }
}

pub(super) fn is_absent(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}
