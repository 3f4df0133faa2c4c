//! A new post: the file goes to the vault, the rows to the database, the news
//! to the broker.

use axum::Json;
use axum::extract::multipart::Field;
use axum::extract::{Multipart, State};
use axum::http::StatusCode;
use deadpool_postgres::Transaction;

use crate::app::App;
use crate::error::ApiError;
use crate::vault::Stored;
use crate::web::posts::{Post, find};
use crate::web::session::Member;

const LONGEST_TITLE: usize = 200;

#[derive(Default)]
struct Draft {
    title: String,
    visibility: Option<String>,
    file: Option<Stored>,
}

pub async fn create(
    State(app): State<App>,
    Member(author): Member,
    form: Multipart,
) -> Result<(StatusCode, Json<Post>), ApiError> {
    let mut draft = Draft::default();
    let outcome = match read(&app, form, &mut draft).await {
        Ok(()) => save(&app, author, &draft).await,
        Err(error) => Err(error),
    };
    match outcome {
        Ok(id) => {
            app.broker.announce_post(id);
            let post = find(&app, Some(author), id).await?;
            Ok((StatusCode::CREATED, Json(post)))
        }
        Err(error) => {
            if let Some(file) = &draft.file {
                app.vault.remove(&file.key).await;
            }
            Err(error)
        }
    }
}

async fn read(app: &App, mut form: Multipart, draft: &mut Draft) -> Result<(), ApiError> {
    while let Some(field) = form.next_field().await? {
        read_field(app, field, draft).await?;
    }
    Ok(())
}

async fn read_field(app: &App, field: Field<'_>, draft: &mut Draft) -> Result<(), ApiError> {
    let name = field.name().unwrap_or_default().to_owned();
    match name.as_str() {
        "title" => draft.title = field.text().await?,
        "visibility" => draft.visibility = Some(field.text().await?),
        "file" if draft.file.is_none() => draft.file = Some(app.vault.receive(field).await?),
        _ => {
            return Err(ApiError::invalid("fields are title, visibility and one file"));
        }
    }
    Ok(())
}

async fn save(app: &App, author: i64, draft: &Draft) -> Result<i64, ApiError> {
    let (file, visibility) = check(draft)?;
    let mut client = app.database.client().await?;
    let transaction = client.transaction().await?;
    let id = insert(&transaction, author, (&draft.title, visibility), file).await?;
    transaction.commit().await?;
    Ok(id)
}

/// The rows of a post: its title, who may see it, and its file.
pub async fn insert(
    transaction: &Transaction<'_>,
    author: i64,
    (title, visibility): (&str, &str),
    file: &Stored,
) -> Result<i64, ApiError> {
    let row = transaction
        .query_one(
            "INSERT INTO posts (author_id, title, visibility) VALUES ($1, $2, $3) RETURNING id",
            &[&author, &title, &visibility],
        )
        .await?;
    let id: i64 = row.get(0);
    transaction
        .execute(
            "INSERT INTO post_files (post_id, storage_key, media_type, size)
             VALUES ($1, $2, $3, $4)",
            &[&id, &file.key, &file.media_type, &file.size],
        )
        .await?;
    Ok(id)
}

fn check(draft: &Draft) -> Result<(&Stored, &str), ApiError> {
    if draft.title.is_empty() || draft.title.len() > LONGEST_TITLE {
        return Err(ApiError::invalid("title must have 1 to 200 bytes"));
    }
    let visibility = draft.visibility.as_deref().unwrap_or("public");
    if !["public", "private"].contains(&visibility) {
        return Err(ApiError::invalid("visibility is public or private"));
    }
    let file = draft.file.as_ref().ok_or_else(|| ApiError::invalid("a file is missing"))?;
    Ok((file, visibility))
}
