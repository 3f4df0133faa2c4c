//! The websocket: echoes text, and ticks once a second with a number that
//! shows whether a connection survived.

use std::time::Duration;

use axum::extract::State;
use axum::extract::ws::{CloseFrame, Message, Utf8Bytes, WebSocket, WebSocketUpgrade};
use axum::response::Response;
use serde_json::json;
use tokio::time::{interval, timeout};

use crate::app::App;

const SECOND: Duration = Duration::from_secs(1);
/// "Service restart", which tells clients to come back.
const RESTART: u16 = 1012;

pub async fn upgrade(State(app): State<App>, request: WebSocketUpgrade) -> Response {
    let open = app.sockets.token();
    request.on_upgrade(async move |socket| {
        converse(socket, &app).await;
        drop(open);
    })
}

async fn converse(mut socket: WebSocket, app: &App) {
    let mut clock = interval(SECOND);
    let mut sequence = 0_u64;
    loop {
        let answer = tokio::select! {
            () = app.stop.cancelled() => return say_goodbye(socket).await,
            _ = clock.tick() => {
                sequence += 1;
                tick(app, sequence)
            }
            received = socket.recv() => match received {
                Some(Ok(Message::Text(text))) => Message::Text(text),
                Some(Ok(Message::Close(_)) | Err(_)) | None => return,
                Some(Ok(_)) => continue,
            },
        };
        if socket.send(answer).await.is_err() {
            return;
        }
    }
}

fn tick(app: &App, sequence: u64) -> Message {
    let text = json!({
        "tick": sequence,
        "environment": app.config.environment,
        "release": app.config.release,
    });
    Message::Text(text.to_string().into())
}

/// Sends the close frame and waits a moment for the other side's.
async fn say_goodbye(mut socket: WebSocket) {
    let frame = CloseFrame { code: RESTART, reason: Utf8Bytes::from_static("restarting") };
    if socket.send(Message::Close(Some(frame))).await.is_ok() {
        let answered = async { while let Some(Ok(_)) = socket.recv().await {} };
        if timeout(SECOND, answered).await.is_err() {
            tracing::debug!("a websocket client did not answer the close frame");
        }
    }
}
