//! One log line per request; health checks only at debug level.

use std::time::Instant;

use axum::extract::Request;
use axum::middleware::Next;
use axum::response::Response;

pub async fn request(request: Request, next: Next) -> Response {
    let started = Instant::now();
    let method = request.method().clone();
    // Without the query, which may hold what should not be in a log.
    let path = request.uri().path().to_owned();
    let response = next.run(request).await;
    let status = response.status().as_u16();
    let elapsed = started.elapsed().as_millis();
    if path == "/health" {
        tracing::debug!("{method} {path} {status} {elapsed}ms");
    } else {
        tracing::info!("{method} {path} {status} {elapsed}ms");
    }
    response
}
