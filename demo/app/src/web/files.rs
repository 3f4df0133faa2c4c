//! Uploaded files, as far as the visitor may see their post.

use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::header::{CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE, X_CONTENT_TYPE_OPTIONS};
use axum::response::{AppendHeaders, IntoResponse};
use tokio_util::io::ReaderStream;

use crate::app::App;
use crate::error::ApiError;
use crate::web::session::Visitor;

const FIND: &str = "
    SELECT media_type FROM post_files
    JOIN posts ON posts.id = post_id
    WHERE storage_key = $1 AND (visibility = 'public' OR author_id = $2)";

pub async fn download(
    State(app): State<App>,
    Visitor(visitor): Visitor,
    Path(key): Path<String>,
) -> Result<impl IntoResponse, ApiError> {
    let client = app.database.client().await?;
    let row = client.query_opt(FIND, &[&key, &visitor]).await?.ok_or_else(ApiError::not_found)?;
    let file = app.vault.open(&key).await?;
    let size = file.metadata().await?.len();
    let headers = AppendHeaders([
        (CONTENT_TYPE, row.get::<_, String>(0)),
        (CONTENT_LENGTH, size.to_string()),
        (X_CONTENT_TYPE_OPTIONS, "nosniff".to_owned()),
        (CACHE_CONTROL, "private, max-age=3600".to_owned()),
    ]);
    Ok((headers, Body::from_stream(ReaderStream::new(file))))
}
