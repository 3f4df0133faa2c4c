//! One line to the server: a connection, kept or new for each request.

use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::time::Instant;

use super::Load;

/// Whether a connection serves many requests or one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Connection {
    Kept,
    Each,
}

/// What is posted: a text in which the number of the request stands, so that no two are the same.
#[derive(Debug, Clone)]
pub struct Post {
    /// Lines of the header, each with its end.
    pub headers: String,
    pub before: String,
    pub after: String,
}

#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub body: Vec<u8>,
    /// Of the request, counted from 0.
    pub number: u32,
    /// When the request was to be sent, when it was sent, and when its answer was whole.
    pub due: Instant,
    pub sent: Instant,
    pub ended: Instant,
}

/// A request by its number, and when it is due.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Turn {
    pub(crate) number: u32,
    pub(crate) due: Instant,
}

impl Answer {
    /// The beginning of the body, for a complaint.
    pub(crate) fn excerpt(&self) -> String {
        String::from_utf8_lossy(&self.body).chars().take(80).collect()
    }
}

pub(crate) struct Line<'a> {
    load: &'a Load,
    stream: Option<BufReader<TcpStream>>,
}

impl<'a> Line<'a> {
    pub(crate) fn new(load: &'a Load) -> Self {
        Self { load, stream: None }
    }

    /// Asks once. What may be asked twice is asked again on a new connection where the server had closed the kept one
    /// meanwhile, as browsers do.
    pub(crate) fn ask(&mut self, turn: Turn) -> io::Result<Answer> {
        let kept = self.stream.take();
        let again = kept.is_some() && self.load.post.is_none();
        if let Some(kept) = kept {
            match self.exchange(kept, turn) {
                Err(error) if again && was_closed(&error) => {}
                other => return other,
            }
        }
        let fresh = TcpStream::connect_timeout(&self.load.address, self.load.patience)?;
        fresh.set_nodelay(true)?;
        fresh.set_read_timeout(Some(self.load.patience))?;
        fresh.set_write_timeout(Some(self.load.patience))?;
        self.exchange(BufReader::new(fresh), turn)
    }

    fn exchange(&mut self, mut stream: BufReader<TcpStream>, turn: Turn) -> io::Result<Answer> {
        let keep = self.load.connection == Connection::Kept;
        let sent = Instant::now();
        stream.get_mut().write_all(self.request(turn.number, keep).as_bytes())?;
        let first = line(&mut stream)?;
        let (status, body, closes) = read(&mut stream, &first).map_err(broke_off)?;
        self.stream = (keep && !closes).then_some(stream);
        Ok(Answer { status, body, number: turn.number, due: turn.due, sent, ended: Instant::now() })
    }

    fn request(&self, number: u32, keep: bool) -> String {
        let (path, host) = (&self.load.path, &self.load.host);
        let word = if keep { "keep-alive" } else { "close" };
        let common = format!("{path} HTTP/1.1\r\nHost: {host}\r\nConnection: {word}\r\n");
        let Some(Post { headers, before, after }) = &self.load.post else {
            return format!("GET {common}\r\n");
        };
        let body = format!("{before}{number}{after}");
        format!("POST {common}{headers}Content-Length: {}\r\n\r\n{body}", body.len())
    }
}

/// An answer that has begun is not asked for again.
fn broke_off(error: io::Error) -> io::Error {
    match error.kind() {
        _ if was_closed(&error) => io::Error::other("the answer broke off"),
        _ => error,
    }
}

fn was_closed(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe
    )
}

/// Status, body, and whether the server closes the connection.
fn read(stream: &mut BufReader<TcpStream>, first: &str) -> io::Result<(u16, Vec<u8>, bool)> {
    let status = first.split_whitespace().nth(1).and_then(|word| word.parse().ok());
    let status = status.ok_or_else(|| io::Error::other(format!("`{first}` is no answer of HTTP")))?;
    let (mut length, mut chunked, mut closes) = (None, false, first.starts_with("HTTP/1.0"));
    loop {
        let header = line(stream)?.to_ascii_lowercase();
        match header.split_once(':').map(|(name, value)| (name, value.trim())) {
            Some(("content-length", value)) => length = value.parse::<usize>().ok(),
            Some(("transfer-encoding", value)) => chunked = value == "chunked",
            Some(("connection", value)) => closes = value == "close",
            Some(_) => {}
            None => break,
        }
    }
    let mut body = Vec::new();
    match length {
        _ if chunked => chunks(stream, &mut body)?,
        Some(length) => exactly(stream, length, &mut body)?,
        None if matches!(status, 204 | 304) => {}
        None => {
            stream.read_to_end(&mut body)?;
            closes = true;
        }
    }
    Ok((status, body, closes))
}

fn chunks(stream: &mut BufReader<TcpStream>, body: &mut Vec<u8>) -> io::Result<()> {
    loop {
        let size = line(stream)?;
        let size = size.split(';').next().unwrap_or_default();
        let size = usize::from_str_radix(size, 16).map_err(io::Error::other)?;
        exactly(stream, size, body)?;
        line(stream)?;
        if size == 0 {
            return Ok(());
        }
    }
}

fn exactly(stream: &mut BufReader<TcpStream>, length: usize, body: &mut Vec<u8>) -> io::Result<()> {
    let before = body.len();
    stream.by_ref().take(length as u64).read_to_end(body)?;
    if body.len() - before == length { Ok(()) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
}

fn line(stream: &mut BufReader<TcpStream>) -> io::Result<String> {
    let mut text = String::new();
    match stream.read_line(&mut text)? {
        0 => Err(io::ErrorKind::UnexpectedEof.into()),
        _ => Ok(text.trim_end().to_owned()),
    }
}
