//! A request that takes as long as asked, to try draining with.

use std::time::Duration;

use axum::Json;
use axum::extract::{Query, State};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::app::App;

const LONGEST_MS: u64 = 60_000;

#[derive(Deserialize)]
pub struct Wish {
    ms: u64,
}

pub async fn slow(State(app): State<App>, Query(wish): Query<Wish>) -> Json<Value> {
    let ms = wish.ms.min(LONGEST_MS);
    tokio::time::sleep(Duration::from_millis(ms)).await;
    Json(json!({ "slept_ms": ms, "release": app.config.release }))
}
