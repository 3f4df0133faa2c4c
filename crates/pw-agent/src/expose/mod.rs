//! The newest picture for Prometheus, at `/metrics` of the address that `partywall.yaml` names.

mod governed;
mod text;

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::CONTENT_TYPE;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};

use crate::collect::Picture;

pub use governed::{Governed, Squeezes};
pub use text::exposition;

/// What is shown, each as new as it is.
#[derive(Clone)]
pub(crate) struct Shown {
    pub(crate) pictures: watch::Receiver<Arc<Picture>>,
    pub(crate) governed: watch::Receiver<Governed>,
}

/// A port that is taken may be free again.
const AGAIN: Duration = Duration::from_secs(10);
/// Who has not said in this time what it wants is sent away.
const PATIENCE: Duration = Duration::from_secs(5);
/// Who asks is a collector or two.
const AT_ONCE: usize = 16;

/// Answers for as long as the agent runs; `trouble` says why it does not at the moment.
pub(crate) fn expose(address: SocketAddr, shown: Shown, trouble: Arc<Mutex<Option<String>>>) {
    tokio::spawn(async move {
        let listener = loop {
            match TcpListener::bind(address).await {
                Ok(listener) => break listener,
                Err(error) => set(&trouble, Some(format!("shows no figures at {address}: {error}"))),
            }
            tokio::time::sleep(AGAIN).await;
        };
        set(&trouble, None);
        let places = Arc::new(Semaphore::new(AT_ONCE));
        loop {
            // Never closed.
            let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
            let Ok((stream, _)) = listener.accept().await else {
                tokio::time::sleep(PATIENCE).await;
                continue;
            };
            let shown = shown.clone();
            tokio::spawn(async move {
                serve(stream, shown).await;
                drop(place);
            });
        }
    });
}

fn set(trouble: &Mutex<Option<String>>, words: Option<String>) {
    *trouble.lock().unwrap_or_else(PoisonError::into_inner) = words;
}

async fn serve(stream: TcpStream, shown: Shown) {
    let answer = service_fn(move |request: Request<Incoming>| {
        let answer = answer(&request, &shown);
        async move { Ok::<_, Infallible>(answer) }
    });
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(PATIENCE)
        // A collector that comes once a second connects once a second: nobody holds a place.
        .keep_alive(false)
        .serve_connection(TokioIo::new(stream), answer);
    // Who goes away in the middle has what it wanted.
    drop(tokio::time::timeout(PATIENCE * 2, served).await);
}

fn answer(request: &Request<Incoming>, shown: &Shown) -> Response<Full<Bytes>> {
    let (status, kind, body) = match (request.method(), request.uri().path()) {
        (&Method::GET | &Method::HEAD, "/metrics") => {
            let text = exposition(&shown.pictures.borrow(), &shown.governed.borrow());
            (StatusCode::OK, "text/plain; version=0.0.4; charset=utf-8", text)
        }
        (_, "/metrics") => (StatusCode::METHOD_NOT_ALLOWED, "text/plain", "only GET\n".to_owned()),
        _ => (StatusCode::NOT_FOUND, "text/plain", "figures are at /metrics\n".to_owned()),
    };
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, hyper::header::HeaderValue::from_static(kind));
    response
}
