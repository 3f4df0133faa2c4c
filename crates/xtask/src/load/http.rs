//! One line to the server: a connection, kept or new for each request.

use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;

use super::Load;

/// Whether a connection serves many requests or one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Connection {
    Kept,
    Each,
}

#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: Vec<u8>,
    closes: bool,
}

impl Answer {
    /// The beginning of the body, for a complaint.
    pub(super) fn excerpt(&self) -> String {
        String::from_utf8_lossy(&self.body).chars().take(80).collect()
    }
}

pub(super) struct Line<'a> {
    load: &'a Load,
    stream: Option<BufReader<TcpStream>>,
}

impl<'a> Line<'a> {
    pub(super) fn new(load: &'a Load) -> Self {
        Self { load, stream: None }
    }

    /// Asks once; again on a new connection where the server had closed the kept one meanwhile, as browsers do.
    pub(super) fn ask(&mut self) -> io::Result<Answer> {
        if let Some(kept) = self.stream.take() {
            match self.exchange(kept) {
                Err(error) if was_closed(&error) => {}
                other => return other,
            }
        }
        let fresh = TcpStream::connect_timeout(&self.load.address, self.load.patience)?;
        fresh.set_nodelay(true)?;
        fresh.set_read_timeout(Some(self.load.patience))?;
        fresh.set_write_timeout(Some(self.load.patience))?;
        self.exchange(BufReader::new(fresh))
    }

    fn exchange(&mut self, mut stream: BufReader<TcpStream>) -> io::Result<Answer> {
        let keep = self.load.connection == Connection::Kept;
        let (path, host) = (&self.load.path, &self.load.host);
        let word = if keep { "keep-alive" } else { "close" };
        let request = format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: {word}\r\n\r\n");
        stream.get_mut().write_all(request.as_bytes())?;
        let answer = read(&mut stream)?;
        self.stream = (keep && !answer.closes).then_some(stream);
        Ok(answer)
    }
}

fn was_closed(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe
    )
}

fn read(stream: &mut BufReader<TcpStream>) -> io::Result<Answer> {
    let first = line(stream)?;
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
    Ok(Answer { status, body, closes })
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
