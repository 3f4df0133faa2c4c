//! Uploaded files, one per storage key, in the vault folder.

use std::path::PathBuf;

use axum::extract::multipart::Field;
use tokio::fs::{self, File};
use tokio::io::AsyncWriteExt;
use uuid::Uuid;

use crate::error::ApiError;

/// Kinds a browser may show; everything else is kept as plain bytes.
const KINDS: [(&str, &str); 5] = [
    ("image/png", "png"),
    ("image/jpeg", "jpg"),
    ("image/gif", "gif"),
    ("image/webp", "webp"),
    ("text/plain", "txt"),
];
const BYTES: (&str, &str) = ("application/octet-stream", "bin");

#[derive(Clone)]
pub struct Vault {
    root: PathBuf,
}

pub struct Stored {
    pub key: String,
    pub media_type: &'static str,
    pub size: i64,
}

impl Vault {
    pub fn new(root: PathBuf) -> Self {
        Self { root }
    }

    /// Writes the upload piece by piece; it gets its name only when complete.
    pub async fn receive(&self, field: Field<'_>) -> Result<Stored, ApiError> {
        let (media_type, extension) = kind(field.content_type());
        let key = format!("{}.{extension}", Uuid::new_v4());
        let partial = self.root.join(format!("{key}.part"));
        match write(field, &partial).await {
            Ok(size) => {
                fs::rename(&partial, self.root.join(&key)).await?;
                Ok(Stored { key, media_type, size })
            }
            Err(error) => {
                discard(&partial).await;
                Err(error)
            }
        }
    }

    /// Writes a file as an upload does, and removes it.
    pub async fn try_out(&self) -> Result<Stored, ApiError> {
        const TEXT: &[u8] = b"ready?";
        let key = format!("{}.bin", Uuid::new_v4());
        let partial = self.root.join(format!("{key}.part"));
        let written = write_all(TEXT, &partial).await;
        discard(&partial).await;
        written?;
        Ok(Stored { key, media_type: BYTES.0, size: i64::try_from(TEXT.len()).unwrap_or(i64::MAX) })
    }

    pub async fn open(&self, key: &str) -> Result<File, ApiError> {
        if !is_key(key) {
            return Err(ApiError::not_found());
        }
        match File::open(self.root.join(key)).await {
            Ok(file) => Ok(file),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                tracing::warn!("the vault misses {key}");
                Err(ApiError::not_found())
            }
            Err(error) => Err(error.into()),
        }
    }

    pub async fn remove(&self, key: &str) {
        discard(&self.root.join(key)).await;
    }
}

async fn write(mut field: Field<'_>, path: &PathBuf) -> Result<i64, ApiError> {
    let mut file = File::create(path).await?;
    let mut size = 0;
    while let Some(chunk) = field.chunk().await? {
        file.write_all(&chunk).await?;
        size += i64::try_from(chunk.len()).unwrap_or(i64::MAX);
    }
    finish(file).await?;
    Ok(size)
}

async fn write_all(bytes: &[u8], path: &PathBuf) -> std::io::Result<()> {
    let mut file = File::create(path).await?;
    file.write_all(bytes).await?;
    finish(file).await
}

/// A write is done behind its answer: only a flush tells that the last one failed, syncing does not.
async fn finish(mut file: File) -> std::io::Result<()> {
    file.flush().await?;
    file.sync_all().await
}

async fn discard(path: &PathBuf) {
    if let Err(error) = fs::remove_file(path).await {
        tracing::warn!("cannot remove an unused upload: {error}");
    }
}

fn kind(declared: Option<&str>) -> (&'static str, &'static str) {
    let declared = declared.unwrap_or_default();
    let essence = declared.split(';').next().unwrap_or_default().trim();
    KINDS.into_iter().find(|(media_type, _)| *media_type == essence).unwrap_or(BYTES)
}

fn is_key(text: &str) -> bool {
    !text.starts_with('.')
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'.')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_cannot_leave_the_vault() {
        assert!(is_key("0d2c-11.png"));
        assert!(!is_key("../secret"));
        assert!(!is_key(".hidden"));
        assert!(!is_key("a/b"));
    }

    #[test]
    fn only_harmless_kinds_are_shown() {
        assert_eq!(kind(Some("image/png")).1, "png");
        assert_eq!(kind(Some("text/plain; charset=utf-8")).1, "txt");
        assert_eq!(kind(Some("text/html")), BYTES);
        assert_eq!(kind(None), BYTES);
    }
}
