//! Password hashing, off the threads that serve requests.

use anyhow::{Context, anyhow};
use argon2::Argon2;
use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{PasswordHasher, PasswordVerifier};
use tokio::task::spawn_blocking;

pub async fn hash(password: String) -> anyhow::Result<String> {
    spawn_blocking(move || {
        Argon2::default()
            .hash_password(password.as_bytes())
            .map(|hash| hash.to_string())
            .map_err(|error| anyhow!("cannot hash a password: {error}"))
    })
    .await
    .context("the hashing task ended early")?
}

pub async fn matches(password: String, hash: String) -> anyhow::Result<bool> {
    spawn_blocking(move || {
        let parsed = PasswordHash::new(&hash)
            .map_err(|error| anyhow!("a stored password hash is unreadable: {error}"))?;
        Ok(Argon2::default().verify_password(password.as_bytes(), &parsed).is_ok())
    })
    .await
    .context("the hashing task ended early")?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_password_matches_its_own_hash_only() -> anyhow::Result<()> {
        let stored = hash("brush".into()).await?;
        assert!(matches("brush".into(), stored.clone()).await?);
        assert!(!matches("chisel".into(), stored).await?);
        Ok(())
    }
}
