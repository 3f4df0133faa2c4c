//! Small files with their own rights: generated secrets and switches.

use std::path::Path;

use pw_run::Failure;

use super::atomic::write;
use super::folder::{make_folder, private_folder, remove_folder, set_mode};
use super::store::remove;

/// Writes 32 random bytes as hexadecimal digits, unless there is a file.
///
/// The file is readable by all and its folder by the owner only: Compose mounts file secrets as
/// they are, and the user of a container, who is seldom root, must read it; on the host nobody
/// else gets past the folder.
pub fn generate_secret(path: &Path) -> Result<(), Failure> {
    if let Some(folder) = path.parent() {
        private_folder(folder)?;
    }
    if path.exists() {
        return Ok(());
    }
    write(path, random_hex()?.as_bytes(), 0o644)
}

/// Writes 32 random bytes as hexadecimal digits for our own eyes, unless there is a file.
pub fn make_key(path: &Path) -> Result<(), Failure> {
    if let Some(folder) = path.parent() {
        private_folder(folder)?;
    }
    match path.exists() {
        true => set_mode(path, 0o600),
        false => write(path, random_hex()?.as_bytes(), 0o600),
    }
}

/// 64 digits that nobody can guess.
pub(crate) fn random_hex() -> Result<String, Failure> {
    let mut bytes = [0u8; 32];
    getrandom::fill(&mut bytes)
        .map_err(|error| Failure::new("could not get random bytes").because(error.to_string()))?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// Lets requests through to `address`.
///
/// By rename, for the proxy reads the file with every request and must never see half of it; for
/// all to read, since a Caddy that does not run as root must enter too. An address is no secret.
pub fn open_switch(path: &Path, address: &str) -> Result<(), Failure> {
    if let Some(folder) = path.parent() {
        make_folder(folder)?;
        set_mode(folder, 0o755)?;
    }
    write(path, address.trim_end().as_bytes(), 0o644)
}

/// Lets no request through any more; the environment's folder goes with its last switch.
pub fn close_switch(path: &Path) -> Result<(), Failure> {
    remove(path)?;
    path.parent().map_or(Ok(()), remove_folder)
}
