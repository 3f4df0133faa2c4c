//! Generated secrets and keys, each with its own rights.

use std::path::Path;

use pw_run::Failure;

use super::atomic::write;
use super::folder::{private_folder, set_mode};

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
