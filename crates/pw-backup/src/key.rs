//! The file in which a repository keeps what it is encrypted with, itself encrypted with the user's key.
//!
//! Stretching a key makes a word that people remember costly to guess. Ours are random, and too long to be guessed
//! however fast; so one is stretched as restic does it, and not with four times as much memory at every opening.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::Path;

use aes256ctr_poly1305aes::aead::Aead as _;
use aes256ctr_poly1305aes::{Aes256CtrPoly1305Aes, Key, aead};
use pw_run::Failure;
use rustic_core::repofile::{KeyFile, MasterKey};
use scrypt::Params;
use sha2::{Digest as _, Sha256};

/// A key that `backup` made has so many characters: 256 random bits.
const RANDOM: usize = 64;
/// 32 MB, as restic takes.
const STRETCH: (u8, u32, u32) = (15, 8, 1);
const SALT: usize = 64;
const NONCE: usize = 16;

/// Puts a new one into a folder that holds no repository yet; answers what the repository is encrypted with.
///
/// # Errors
/// The folder cannot be written.
pub(crate) fn make(repository: &Path, key: &str) -> Result<MasterKey, Failure> {
    let what = || Failure::new(format!("could not write a key into `{}`", repository.display()));
    let folder = repository.join("keys");
    // What was cut off left one that opens nothing.
    drop(fs::remove_dir_all(&folder));
    fs::create_dir_all(&folder).map_err(|error| what().because(error))?;
    let master = MasterKey::new();
    let text = serde_json::to_vec(&locked(key, &master)?).map_err(|error| what().because(error))?;
    let name: String = Sha256::digest(&text).iter().map(|byte| format!("{byte:02x}")).collect();
    // On the disk before anything is encrypted with it; the first opening then proves that it opens.
    let written = File::create_new(folder.join(name))
        .and_then(|mut file| file.write_all(&text).and_then(|()| file.sync_all()))
        .and_then(|()| File::open(&folder)?.sync_all());
    written.map_err(|error| what().because(error))?;
    Ok(master)
}

/// Which repository a key opens, told by the files in which it keeps what it is encrypted with.
pub(crate) fn of(repository: &Path, key: &str) -> String {
    let files = fs::read_dir(repository.join("keys")).into_iter().flatten().flatten();
    let mut names: Vec<_> = files.map(|file| file.file_name()).collect();
    names.sort();
    blake3::hash(format!("{key}\n{}\n{names:?}", repository.display()).as_bytes()).to_hex().to_string()
}

fn locked(key: &str, master: &MasterKey) -> Result<KeyFile, Failure> {
    let what = || Failure::new("could not encrypt the key of a repository");
    let (mut salt, mut nonce, mut stretched) = (vec![0; SALT], [0; NONCE], Key::default());
    getrandom::fill(&mut salt)
        .and_then(|()| getrandom::fill(&mut nonce))
        .map_err(|error| what().because(error.to_string()))?;
    let params = params(key).map_err(|error| what().because(error))?;
    scrypt::scrypt(key.as_bytes(), &salt, &params, &mut stretched).map_err(|error| what().because(error))?;
    let text = serde_json::to_vec(master).map_err(|error| what().because(error))?;
    let nonce = aead::Nonce::<Aes256CtrPoly1305Aes>::from(nonce);
    let sealed = Aes256CtrPoly1305Aes::new(&stretched).encrypt(&nonce, text.as_slice());
    let sealed = sealed.map_err(|error| what().because(error.to_string()))?;
    Ok(KeyFile {
        hostname: None,
        username: None,
        created: None,
        kdf: "scrypt".to_owned(),
        n: 1 << params.log_n(),
        r: params.r(),
        p: params.p(),
        data: [nonce.as_slice(), &sealed].concat(),
        salt,
    })
}

fn params(key: &str) -> Result<Params, scrypt::errors::InvalidParams> {
    let (log_n, r, p) = STRETCH;
    if key.len() < RANDOM { Ok(Params::RECOMMENDED) } else { Params::new(log_n, r, p) }
}
