//! Who is asking: the session cookie, and the user it belongs to.

use axum::extract::FromRequestParts;
use axum::http::HeaderMap;
use axum::http::header::COOKIE;
use axum::http::request::Parts;

use crate::app::App;
use crate::error::ApiError;
use crate::sessions::LIFETIME_SECONDS;

const NAME: &str = "demo_session";

/// A signed-in user; without one the request ends with 401.
pub struct Member(pub i64);

/// A user, or anybody at all.
pub struct Visitor(pub Option<i64>);

impl FromRequestParts<App> for Member {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, ApiError> {
        user_id(&parts.headers, app).await?.map(Self).ok_or_else(|| ApiError::unauthorized("log in first"))
    }
}

impl FromRequestParts<App> for Visitor {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, ApiError> {
        user_id(&parts.headers, app).await.map(Self)
    }
}

/// The cookie is kept to HTTPS wherever the proxy in front speaks it.
pub fn cookie(token: &str, headers: &HeaderMap) -> String {
    let encrypted = headers.get("x-forwarded-proto").is_some_and(|scheme| scheme == "https");
    let secure = if encrypted { "; Secure" } else { "" };
    format!("{NAME}={token}; Path=/; HttpOnly; SameSite=Lax; Max-Age={LIFETIME_SECONDS}{secure}")
}

async fn user_id(headers: &HeaderMap, app: &App) -> Result<Option<i64>, ApiError> {
    match token(headers) {
        Some(token) => Ok(app.sessions.user_id(token).await?),
        None => Ok(None),
    }
}

fn token(headers: &HeaderMap) -> Option<&str> {
    headers
        .get_all(COOKIE)
        .iter()
        .filter_map(|header| header.to_str().ok())
        .flat_map(|header| header.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .find(|(name, _)| *name == NAME)
        .map(|(_, value)| value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;

    #[test]
    fn the_token_is_found_among_other_cookies() {
        let mut headers = HeaderMap::new();
        headers.insert(COOKIE, HeaderValue::from_static("a=1; demo_session=xyz; b=2"));
        assert_eq!(token(&headers), Some("xyz"));
        assert_eq!(token(&HeaderMap::new()), None);
    }

    #[test]
    fn the_cookie_is_secure_behind_https_only() {
        let mut headers = HeaderMap::new();
        assert!(!cookie("t", &headers).contains("Secure"));
        headers.insert("x-forwarded-proto", HeaderValue::from_static("https"));
        assert!(cookie("t", &headers).contains("; Secure"));
    }
}
