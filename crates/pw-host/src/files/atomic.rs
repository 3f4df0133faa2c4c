//! Writing a file in one instant.

use std::fs::{File, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use pw_run::Failure;

use crate::failed::io_failed;

/// Puts `content` at `path`: a reader sees the old file or the new one, also after a power cut.
///
/// The content reaches the disk before the name does. On failure the old file stays and nothing is left beside it.
pub fn write(path: &Path, content: &[u8], mode: u32) -> Result<(), Failure> {
    let folder = path.parent().unwrap_or(Path::new("/"));
    replace(folder, path, content, mode).map_err(|error| io_failed("write", path, error))
}

fn replace(folder: &Path, path: &Path, content: &[u8], mode: u32) -> io::Result<()> {
    let mut file = tempfile::Builder::new()
        .prefix(".new-")
        .permissions(Permissions::from_mode(0o600))
        .tempfile_in(folder)?;
    file.write_all(content)?;
    // Set on the open file, for the process's umask cuts what is given at creation.
    file.as_file().set_permissions(Permissions::from_mode(mode))?;
    file.as_file().sync_all()?;
    file.persist(path).map_err(|error| error.error)?;
    sync_folder(folder)
}

/// Makes a rename or removal in the folder survive a power cut.
pub(super) fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}
