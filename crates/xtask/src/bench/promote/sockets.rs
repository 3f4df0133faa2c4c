//! Websockets that are always open: each expects its echo and a tick every second, and comes back when it was closed.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

use super::traffic::{Clock, Front};

/// Ticks come every second; without one for so long, nobody is there.
const SILENCE: Duration = Duration::from_secs(5);
/// Between two tries to open one.
const PAUSE: Duration = Duration::from_millis(200);
const ECHO: &[u8] = b"still here";
const TEXT: u8 = 1;
const CLOSE: u8 = 8;

/// How a websocket ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum End {
    /// We had enough.
    Ours,
    /// It was never open.
    Refused(String),
    /// The other side closed it, or it broke.
    Closed(String),
    /// It said what it should not: another environment, a tick too many or too few, no echo.
    Wrong(String),
}

/// The life of one websocket.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Talk {
    /// What it told.
    pub(super) release: Option<u32>,
    pub(super) ended: f64,
    pub(super) end: End,
}

pub(super) struct Sockets {
    stopped: Arc<AtomicBool>,
    thread: JoinHandle<io::Result<Vec<Talk>>>,
}

impl Sockets {
    pub(super) fn open(front: &Front, count: usize, clock: Clock) -> Self {
        let stopped = Arc::new(AtomicBool::new(false));
        let visitor = Visitor {
            address: front.address,
            host: front.host,
            environment: front.environment,
            stopped: Arc::clone(&stopped),
            clock,
        };
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            Ok(runtime.block_on(visitor.all(count)))
        });
        Self { stopped, thread }
    }

    /// Closes all and answers how each that there was ended.
    pub(super) fn close(self) -> io::Result<Vec<Talk>> {
        self.stopped.store(true, Ordering::Relaxed);
        self.thread.join().map_err(|_| io::Error::other("the websockets' thread ended early"))?
    }
}

#[derive(Clone)]
struct Visitor {
    address: SocketAddr,
    host: &'static str,
    environment: &'static str,
    stopped: Arc<AtomicBool>,
    clock: Clock,
}

impl Visitor {
    async fn all(self, count: usize) -> Vec<Talk> {
        let tasks: Vec<_> = (0..count).map(|_| tokio::spawn(self.clone().again_and_again())).collect();
        let mut talks = Vec::new();
        for task in tasks {
            let lost = |_| {
                let end = End::Wrong("a task ended early".into());
                vec![Talk { release: None, ended: self.clock.now(), end }]
            };
            talks.extend(task.await.unwrap_or_else(lost));
        }
        talks
    }

    async fn again_and_again(self) -> Vec<Talk> {
        let mut talks = Vec::new();
        loop {
            let mut release = None;
            let end = self.talk(&mut release).await;
            let refused = matches!(end, End::Refused(_));
            talks.push(Talk { release, ended: self.clock.now(), end });
            if self.stopped.load(Ordering::Relaxed) {
                return talks;
            }
            if refused {
                sleep(PAUSE).await;
            }
        }
    }

    async fn talk(&self, release: &mut Option<u32>) -> End {
        let mut stream = match timeout(SILENCE, self.shake_hands()).await {
            Ok(Ok(stream)) => stream,
            Ok(Err(error)) => return End::Refused(error.to_string()),
            Err(_) => return End::Refused("no handshake in time".into()),
        };
        let (mut next, mut echoed) = (1, false);
        while !self.stopped.load(Ordering::Relaxed) {
            let (kind, text) = match timeout(SILENCE, frame(&mut stream)).await {
                Ok(Ok(frame)) => frame,
                Ok(Err(error)) => return End::Closed(error.to_string()),
                Err(_) => return End::Closed(format!("silent for {} s", SILENCE.as_secs())),
            };
            match kind {
                CLOSE => return End::Closed("a close frame".into()),
                TEXT if text == ECHO => echoed = true,
                // By the third tick, two seconds have passed.
                TEXT if next > 2 && !echoed => return End::Wrong("no echo".into()),
                TEXT => match tick(&text, self.environment) {
                    Some((number, told)) if number == next => (*release, next) = (Some(told), next + 1),
                    _ => return End::Wrong(String::from_utf8_lossy(&text).into_owned()),
                },
                _ => {}
            }
        }
        End::Ours
    }

    async fn shake_hands(&self) -> io::Result<BufReader<TcpStream>> {
        let mut stream = BufReader::new(TcpStream::connect(self.address).await?);
        let request = format!(
            "GET /ws HTTP/1.1\r\nHost: {}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
            self.host
        );
        stream.get_mut().write_all(request.as_bytes()).await?;
        let mut line = String::new();
        stream.read_line(&mut line).await?;
        if line.split_whitespace().nth(1) != Some("101") {
            return Err(io::Error::other(line.trim().to_owned()));
        }
        while !line.trim().is_empty() {
            line.clear();
            stream.read_line(&mut line).await?;
        }
        // A client masks what it sends; zeros are a mask.
        let length = u8::try_from(ECHO.len()).unwrap_or_default();
        stream.get_mut().write_all(&[&[0x80 | TEXT, 0x80 | length, 0, 0, 0, 0], ECHO].concat()).await?;
        Ok(stream)
    }
}

/// Kind and content of a frame of the server; ours are short.
async fn frame(stream: &mut BufReader<TcpStream>) -> io::Result<(u8, Vec<u8>)> {
    let kind = stream.read_u8().await? & 15;
    let length = match stream.read_u8().await? & 127 {
        126 => stream.read_u16().await?,
        127 => return Err(io::Error::other("a frame beyond any of ours")),
        short => short.into(),
    };
    let mut text = vec![0; length.into()];
    stream.read_exact(&mut text).await?;
    Ok((kind, text))
}

/// Number and release of a tick of the environment.
fn tick(text: &[u8], environment: &str) -> Option<(u64, u32)> {
    let value: Value = serde_json::from_slice(text).ok()?;
    let here = value.get("environment")? == environment;
    here.then_some((value.get("tick")?.as_u64()?, value.get("release")?.as_str()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::net::TcpListener;

    use super::*;

    /// How a websocket ends whose server sends these texts and closes, and which release it was on.
    fn talked(texts: &'static [&'static str]) -> (End, Option<u32>) {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        let server = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().expect("a visitor");
            let mut request = [0; 1000];
            assert!(stream.read(&mut request).expect("a request") > 0);
            stream.write_all(b"HTTP/1.1 101 Switching Protocols\r\n\r\n").expect("writes");
            for text in texts {
                let length = u8::try_from(text.len()).expect("a short text");
                stream.write_all(&[&[0x81, length], text.as_bytes()].concat()).expect("writes");
            }
            stream.write_all(&[0x88, 0]).expect("writes");
            // Dropped with something unread, the connection would be reset under what was just said.
            drop(stream.read_to_end(&mut Vec::new()));
        });
        let visitor = Visitor {
            address,
            host: "x",
            environment: "production",
            stopped: Arc::default(),
            clock: Clock::new(),
        };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let mut release = None;
        let end = runtime.block_on(visitor.talk(&mut release));
        server.join().expect("the server");
        (end, release)
    }

    const FIRST: &str = "{\"tick\":1,\"environment\":\"production\",\"release\":\"4\"}";
    const SECOND: &str = "{\"tick\":2,\"environment\":\"production\",\"release\":\"4\"}";
    const THIRD: &str = "{\"tick\":3,\"environment\":\"production\",\"release\":\"4\"}";

    #[test]
    fn a_websocket_that_is_closed_tells_which_release_it_was_on() {
        let closed = End::Closed("a close frame".into());
        assert_eq!(talked(&[FIRST, "still here", SECOND, THIRD]), (closed, Some(4)));
    }

    #[test]
    fn a_websocket_that_misses_a_tick_or_its_echo_is_wrong() {
        assert!(matches!(talked(&["still here", FIRST, THIRD]), (End::Wrong(_), Some(4))));
        assert_eq!(talked(&[FIRST, SECOND, THIRD]).0, End::Wrong("no echo".into()));
        assert!(matches!(talked(&["no json"]), (End::Wrong(_), None)));
    }

    #[test]
    fn a_server_that_is_not_there_refuses() {
        let address = TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("an address");
        let front = Front { address, host: "x", environment: "production", cookie: String::new(), word: "x" };
        let talks = Sockets::open(&front, 2, Clock::new()).close().expect("they end");
        assert!(
            talks.len() >= 2 && talks.iter().all(|talk| matches!(talk.end, End::Refused(_))),
            "{talks:?}"
        );
    }

    #[test]
    fn another_environment_does_not_tick_here() {
        assert_eq!(tick(FIRST.as_bytes(), "production"), Some((1, 4)));
        assert_eq!(tick(FIRST.as_bytes(), "development"), None);
    }
}
