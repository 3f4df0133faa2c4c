//! A folder out of which no path leads: not by `..`, not by a link that a container put there meanwhile.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::{MetadataExt as _, fchown};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, ResolveFlags, Stat};
use rustix::io::Errno;

pub(crate) struct Root {
    folder: OwnedFd,
    path: PathBuf,
}

fn inside() -> ResolveFlags {
    ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS
}

/// `a/b/c` → `a/b` and `c`; the folder itself is `.`.
fn split(path: &str) -> (&str, &str) {
    path.rsplit_once('/').unwrap_or((".", path))
}

fn absent(error: Errno) -> bool {
    matches!(error, Errno::NOENT | Errno::NOTDIR)
}

impl Root {
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        let folder = rustix::fs::open(path, OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
        let root = Self { folder, path: path.to_owned() };
        // Asks a kernel that is too old now, and not in the middle.
        root.folder(".")?;
        Ok(root)
    }

    /// The same for a folder in it.
    pub(crate) fn beneath(&self, path: &str) -> io::Result<Self> {
        let path = if path.is_empty() { "." } else { path };
        Ok(Self { folder: self.folder(path)?, path: self.path.join(path) })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    fn folder(&self, path: &str) -> Result<OwnedFd, Errno> {
        let flags = OFlags::DIRECTORY | OFlags::CLOEXEC;
        rustix::fs::openat2(&self.folder, path, flags, Mode::empty(), inside())
    }

    /// A regular file for reading. What is none (a link, a pipe, a folder) is an error.
    pub(crate) fn open_file(&self, path: &str) -> io::Result<File> {
        // Without waiting for somebody to write into a pipe.
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = File::from(rustix::fs::openat2(&self.folder, path, flags, Mode::empty(), inside())?);
        if file.metadata()?.is_file() { Ok(file) } else { Err(io::Error::other("it is no regular file")) }
    }

    pub(crate) fn create(&self, path: &str) -> io::Result<File> {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
        let mode = Mode::from_raw_mode(0o600);
        Ok(File::from(rustix::fs::openat2(&self.folder, path, flags, mode, inside())?))
    }

    /// Names and kinds of what a folder holds.
    pub(crate) fn list(&self, path: &str) -> io::Result<Vec<(String, FileType)>> {
        let mut all = Vec::new();
        for entry in Dir::read_from(self.folder(path)?)? {
            let entry = entry?;
            let name = entry.file_name().to_str().map_err(io::Error::other)?;
            if name != "." && name != ".." {
                all.push((name.to_owned(), entry.file_type()));
            }
        }
        Ok(all)
    }

    /// What stands at the path, itself and not where it leads; `None` when nothing does.
    pub(crate) fn look(&self, path: &str) -> io::Result<Option<Stat>> {
        let (above, name) = split(path);
        let found =
            self.folder(above).and_then(|above| rustix::fs::statat(above, name, AtFlags::SYMLINK_NOFOLLOW));
        match found {
            Ok(found) => Ok(Some(found)),
            Err(error) if absent(error) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    pub(crate) fn has_folder(&self, path: &str) -> io::Result<bool> {
        let found = self.look(path)?;
        Ok(found.is_some_and(|found| FileType::from_raw_mode(found.st_mode) == FileType::Directory))
    }

    pub(crate) fn make_private_folder(&self, path: &str) -> io::Result<()> {
        self.make(path, Mode::from_raw_mode(0o700))
    }

    fn make(&self, path: &str, mode: Mode) -> io::Result<()> {
        let (above, name) = split(path);
        match rustix::fs::mkdirat(self.folder(above)?, name, mode) {
            Err(error) if error != Errno::EXIST => Err(error.into()),
            _ => Ok(()),
        }
    }

    /// Makes a folder with the owner and the rights of the same one elsewhere, as far as we may.
    pub(crate) fn make_folder_like(&self, path: &str, model: &Self) -> io::Result<()> {
        self.make(path, Mode::from_raw_mode(0o755))?;
        let Ok(like) = model.folder(path).map(File::from) else { return Ok(()) };
        let (like, made) = (like.metadata()?, File::from(self.folder(path)?));
        give(&made, &like)
    }

    pub(crate) fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let ((from_above, from), (to_above, to)) = (split(from), split(to));
        Ok(rustix::fs::renameat(self.folder(from_above)?, from, self.folder(to_above)?, to)?)
    }

    pub(crate) fn remove_file(&self, path: &str) -> io::Result<()> {
        let (above, name) = split(path);
        Ok(rustix::fs::unlinkat(self.folder(above)?, name, AtFlags::empty())?)
    }

    /// Removes a folder if it is empty.
    pub(crate) fn remove_empty(&self, path: &str) -> io::Result<()> {
        let (above, name) = split(path);
        match self.folder(above).and_then(|above| rustix::fs::unlinkat(above, name, AtFlags::REMOVEDIR)) {
            Err(error) if !absent(error) && error != Errno::NOTEMPTY && error != Errno::EXIST => {
                Err(error.into())
            }
            _ => Ok(()),
        }
    }

    /// Everything that was written into this filesystem reaches the disk.
    pub(crate) fn sync(&self) -> io::Result<()> {
        Ok(rustix::fs::syncfs(self.folder.as_fd())?)
    }
}

/// Owner and rights of another file; without the rights of root the owner stays who made it.
pub(crate) fn give(file: &File, like: &std::fs::Metadata) -> io::Result<()> {
    match fchown(file, Some(like.uid()), Some(like.gid())) {
        Err(error) if error.kind() != io::ErrorKind::PermissionDenied => return Err(error),
        _ => {}
    }
    // Never the bits that lend somebody's rights to who runs it.
    let mode = like.mode() & 0o777;
    rustix::fs::fchmod(file, Mode::from_raw_mode(mode))?;
    Ok(())
}
