//! Users and their sessions.

use axum::Json;
use axum::extract::State;
use axum::http::header::SET_COOKIE;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{AppendHeaders, IntoResponse};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::app::App;
use crate::error::ApiError;
use crate::passwords;
use crate::web::session::{Member, cookie};

const SHORTEST_PASSWORD: usize = 8;
const LONGEST_TEXT: usize = 200;

#[derive(Deserialize)]
pub struct NewUser {
    email: String,
    handle: String,
    password: String,
}

#[derive(Deserialize)]
pub struct Login {
    email: String,
    password: String,
}

pub async fn create(
    State(app): State<App>,
    Json(user): Json<NewUser>,
) -> Result<(StatusCode, Json<Value>), ApiError> {
    check(&user)?;
    let hash = passwords::hash(user.password).await?;
    let client = app.database.client().await?;
    let row = client
        .query_one(
            "INSERT INTO users (email, handle, password_hash) VALUES ($1, $2, $3) RETURNING id",
            &[&user.email, &user.handle, &hash],
        )
        .await?;
    let id: i64 = row.get(0);
    let created = json!({ "id": id, "email": user.email, "handle": user.handle });
    Ok((StatusCode::CREATED, Json(created)))
}

pub async fn login(
    State(app): State<App>,
    headers: HeaderMap,
    Json(login): Json<Login>,
) -> Result<impl IntoResponse, ApiError> {
    let refused = || ApiError::unauthorized("email or password is wrong");
    let client = app.database.client().await?;
    let row = client
        .query_opt(
            "SELECT id, password_hash, handle FROM users
             WHERE email = $1 AND deactivated_at IS NULL",
            &[&login.email],
        )
        .await?
        .ok_or_else(refused)?;
    if !passwords::matches(login.password, row.get(1)).await? {
        return Err(refused());
    }
    let token = app.sessions.open(row.get(0)).await?;
    let header = AppendHeaders([(SET_COOKIE, cookie(&token, &headers))]);
    Ok((header, Json(json!({ "handle": row.get::<_, String>(2) }))))
}

pub async fn me(State(app): State<App>, Member(id): Member) -> Result<Json<Value>, ApiError> {
    let client = app.database.client().await?;
    let row = client
        .query_opt(
            "SELECT email, handle,
                    (SELECT count(*) FROM notifications WHERE user_id = users.id)
             FROM users WHERE id = $1 AND deactivated_at IS NULL",
            &[&id],
        )
        .await?
        .ok_or_else(|| ApiError::unauthorized("log in first"))?;
    Ok(Json(json!({
        "id": id,
        "email": row.get::<_, String>(0),
        "handle": row.get::<_, String>(1),
        "notifications": row.get::<_, i64>(2),
    })))
}

fn check(user: &NewUser) -> Result<(), ApiError> {
    if !user.email.contains('@') || user.email.len() > LONGEST_TEXT {
        return Err(ApiError::invalid("email is not usable"));
    }
    if user.handle.is_empty() || user.handle.len() > LONGEST_TEXT {
        return Err(ApiError::invalid("handle is not usable"));
    }
    if user.password.len() < SHORTEST_PASSWORD || user.password.len() > LONGEST_TEXT {
        return Err(ApiError::invalid("password must have 8 to 200 bytes"));
    }
    Ok(())
}
