//! A server in this process: it answers its name and by which connection it was asked, has one asset of that name, and echoes what comes over an upgraded connection.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::time::Duration;

use pw_plan::proxy::WARMING;

/// Starts it on a free port of all addresses, so that containers reach it too; it ends with the process.
pub(crate) fn start(name: &'static str) -> u16 {
    let listener = TcpListener::bind("0.0.0.0:0").expect("a port");
    let port = listener.local_addr().expect("an address").port();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            std::thread::spawn(move || serve(stream, name));
        }
    });
    port
}

fn serve(mut stream: TcpStream, name: &str) -> Option<()> {
    let connection = stream.peer_addr().ok()?.port();
    let mut reader = BufReader::new(stream.try_clone().ok()?);
    loop {
        let head = head(&mut reader)?;
        if head.to_lowercase().contains("upgrade: websocket") {
            stream
                .write_all(
                    b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
                )
                .ok()?;
            let mut byte = [0];
            while reader.read_exact(&mut byte).is_ok() {
                stream.write_all(&byte).ok()?;
            }
            return None;
        }
        let path = head.split(' ').nth(1)?;
        let is_there = !path.starts_with("/static/") || path == format!("/static/{name}.js");
        let status = if is_there { "200 OK" } else { "404 Not Found" };
        let answer = format!(
            "HTTP/1.1 {status}\r\nServer: x\r\nX-Frame-Options: DENY\r\nX-Connection: {connection}\r\nX-Knows: {}\r\nContent-Length: {}\r\n\r\n{name}",
            head.contains(WARMING),
            name.len()
        );
        stream.write_all(answer.as_bytes()).ok()?;
    }
}

fn head(reader: &mut BufReader<TcpStream>) -> Option<String> {
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if reader.read_line(&mut head).ok()? == 0 {
            return None;
        }
    }
    Some(head)
}

/// A connection on which one byte comes back.
pub(crate) struct Websocket(TcpStream);

impl Websocket {
    pub(crate) fn open(port: u16, host: &str) -> Self {
        let mut stream = connect(port);
        let head = format!(
            "GET / HTTP/1.1\r\nHost: {host}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
        );
        stream.write_all(head.as_bytes()).expect("sent");
        let mut reader = BufReader::new(stream.try_clone().expect("a copy"));
        let answer = self::head(&mut reader).expect("an answer");
        assert!(answer.starts_with("HTTP/1.1 101 "), "{answer}");
        Self(stream)
    }

    pub(crate) fn echoes(&mut self) -> bool {
        let mut byte = [0];
        self.0.write_all(b"x").is_ok() && self.0.read_exact(&mut byte).is_ok() && byte == *b"x"
    }
}

/// Status and body.
pub(crate) fn get(port: u16, host: &str) -> String {
    status_and_body(&answer(port, host))
}

/// Status and body of an asset.
pub(crate) fn asset(port: u16, host: &str, name: &str) -> String {
    status_and_body(&ask(port, host, &format!("/static/{name}.js"), ""))
}

/// The whole answer, as it comes.
pub(crate) fn answer(port: u16, host: &str) -> String {
    ask(port, host, "/", "")
}

/// The same for a browser that asks for a page, with what it keeps.
pub(crate) fn page(port: u16, host: &str, cookie: Option<&str>) -> String {
    let cookie = cookie.map_or_else(String::new, |cookie| format!("Cookie: {cookie}\r\n"));
    ask(port, host, "/", &format!("Accept: text/html,*/*\r\n{cookie}"))
}

/// The whole answer for who knows a word.
pub(crate) fn knowing(port: u16, host: &str, word: &str) -> String {
    ask(port, host, "/", &format!("{WARMING}: {word}\r\n"))
}

/// A header of an answer.
pub(crate) fn header<'a>(answer: &'a str, name: &str) -> Option<&'a str> {
    answer.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
}

pub(crate) fn status_and_body(answer: &str) -> String {
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head");
    format!("{} {body}", head.split(' ').nth(1).unwrap_or_default())
}

fn ask(port: u16, host: &str, path: &str, lines: &str) -> String {
    let mut stream = connect(port);
    let head = format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n{lines}\r\n");
    stream.write_all(head.as_bytes()).expect("sent");
    let mut text = String::new();
    stream.read_to_string(&mut text).expect("an answer");
    text
}

fn connect(port: u16) -> TcpStream {
    let stream = TcpStream::connect(("127.0.0.1", port)).expect("the proxy listens");
    stream.set_read_timeout(Some(Duration::from_secs(5))).expect("a time limit");
    stream
}
