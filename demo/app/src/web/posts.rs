//! Posts as JSON. Private ones are shown to their authors only.

use axum::Json;
use axum::extract::{Path, State};
use serde::Serialize;
use tokio_postgres::Row;

use crate::app::App;
use crate::error::ApiError;
use crate::web::session::Visitor;

const NEWEST: i64 = 50;

macro_rules! select_posts {
    ($rest:literal) => {
        concat!(
            "SELECT posts.id, handle, title, visibility, storage_key, media_type, size,
                    to_char(posts.created_at AT TIME ZONE 'utc',
                            'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"'),
                    (SELECT count(*) FROM notifications WHERE post_id = posts.id)
             FROM posts
             JOIN users ON users.id = author_id
             JOIN post_files ON post_files.post_id = posts.id
             WHERE (visibility = 'public' OR author_id = $1)",
            $rest
        )
    };
}

#[derive(Serialize)]
pub struct Post {
    id: i64,
    author: String,
    title: String,
    visibility: String,
    storage_key: String,
    media_type: String,
    size: i64,
    created_at: String,
    /// How many people the worker has told.
    notifications: i64,
}

impl From<&Row> for Post {
    fn from(row: &Row) -> Self {
        Self {
            id: row.get(0),
            author: row.get(1),
            title: row.get(2),
            visibility: row.get(3),
            storage_key: row.get(4),
            media_type: row.get(5),
            size: row.get(6),
            created_at: row.get(7),
            notifications: row.get(8),
        }
    }
}

pub async fn list(State(app): State<App>, Visitor(visitor): Visitor) -> Result<Json<Vec<Post>>, ApiError> {
    let client = app.database.client().await?;
    let rows = client.query(select_posts!(" ORDER BY posts.id DESC LIMIT $2"), &[&visitor, &NEWEST]).await?;
    Ok(Json(rows.iter().map(Post::from).collect()))
}

pub async fn show(
    State(app): State<App>,
    Visitor(visitor): Visitor,
    Path(id): Path<i64>,
) -> Result<Json<Post>, ApiError> {
    find(&app, visitor, id).await.map(Json)
}

pub async fn find(app: &App, visitor: Option<i64>, id: i64) -> Result<Post, ApiError> {
    let client = app.database.client().await?;
    let row = client
        .query_opt(select_posts!(" AND posts.id = $2"), &[&visitor, &id])
        .await?
        .ok_or_else(ApiError::not_found)?;
    Ok(Post::from(&row))
}
