//! What somebody hears who asks for an environment that sleeps.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::{Duration, Instant};

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{
    ACCEPT, CACHE_CONTROL, CONTENT_TYPE, HOST, HeaderName, HeaderValue, LOCATION, RETRY_AFTER,
};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::UnixStream;

use super::wake::{Place, Waker};

/// A program waits so long for what wakes; a person is shown a page at once.
const PATIENCE: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_millis(100);
/// Who has not said in this time what it wants is sent away.
const SAYS: Duration = Duration::from_secs(5);
const PAGE: &str = include_str!("waking.html");

type Answer = Response<Full<Bytes>>;

pub(super) async fn serve(stream: UnixStream, waker: Arc<Waker>) {
    let answer = service_fn(move |request: Request<Incoming>| {
        let waker = Arc::clone(&waker);
        async move { Ok::<_, Infallible>(answer(&request, &waker).await) }
    });
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(SAYS)
        // The next request is the service's own.
        .keep_alive(false)
        .serve_connection(TokioIo::new(stream), answer);
    // Who goes away in the middle does not want to know.
    drop(served.await);
}

async fn answer(request: &Request<Incoming>, waker: &Waker) -> Answer {
    let host = header(request, &HOST);
    let Some(place) = waker.place(host) else {
        return text(StatusCode::NOT_FOUND, "nobody of that name sleeps here\n".to_owned());
    };
    if place.is_awake() {
        return again(request);
    }
    waker.wake(&place.environment);
    if header(request, &ACCEPT).contains("text/html") {
        return page(place, waker);
    }
    let name = &place.environment;
    if waker.is_kept_asleep(name) {
        let words =
            format!("{name} sleeps until production is calm; `partywall up {name}` wakes it all the same\n");
        return text(StatusCode::SERVICE_UNAVAILABLE, words);
    }
    let begun = Instant::now();
    while begun.elapsed() < PATIENCE && !waker.has_failed(name) {
        if place.is_awake() {
            return again(request);
        }
        tokio::time::sleep(POLL).await;
    }
    let words = match waker.waits_for(name) {
        Some(command) => format!("{name} wakes up when `{command}` has ended\n"),
        None => format!("{name} sleeps and could not be woken; `partywall up {name}` says why\n"),
    };
    text(StatusCode::SERVICE_UNAVAILABLE, words)
}

/// The same request once more: now the service itself answers.
fn again(request: &Request<Incoming>) -> Answer {
    let path = request.uri().path_and_query().map_or("/", |path| path.as_str());
    // Two slashes at its beginning would be the name of somebody else.
    let path = format!("/{}", path.trim_start_matches('/'));
    let mut answer = text(StatusCode::TEMPORARY_REDIRECT, String::new());
    if let Ok(path) = HeaderValue::from_str(&path) {
        answer.headers_mut().insert(LOCATION, path);
    }
    answer
}

fn page(place: &Place, waker: &Waker) -> Answer {
    let name = place.environment.as_str();
    let has_failed = waker.has_failed(&place.environment);
    let (title, words) = match has_failed {
        _ if waker.is_kept_asleep(&place.environment) => (
            format!("{name} sleeps"),
            "Production needs what it had. This page comes back by itself when production is calm."
                .to_owned(),
        ),
        false => (format!("{name} wakes up"), waking(waker.waits_for(&place.environment))),
        true => (
            format!("{name} does not wake up"),
            format!("It is tried again. <code>partywall up {name}</code> says what is wrong."),
        ),
    };
    let body = PAGE.replace("TITLE", &title).replace("WORDS", &words);
    let mut answer = text(StatusCode::SERVICE_UNAVAILABLE, body);
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
    answer.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("1"));
    answer
}

fn waking(first: Option<String>) -> String {
    let first = first.map(|command| command.replace('&', "&amp;").replace('<', "&lt;"));
    match first {
        Some(command) => {
            format!("First <code>{command}</code> has to end. This page comes back by itself.")
        }
        None => "It slept because nobody used it. This page comes back by itself.".to_owned(),
    }
}

fn text(status: StatusCode, words: String) -> Answer {
    let mut answer = Response::new(Full::new(Bytes::from(words)));
    *answer.status_mut() = status;
    let headers = answer.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    answer
}

fn header<'r>(request: &'r Request<Incoming>, name: &HeaderName) -> &'r str {
    request.headers().get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
}
