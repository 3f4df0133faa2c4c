//! `demo healthcheck`: asks this container's own `/health`, so that the image
//! needs no HTTP client of its own.

use std::time::Duration;

use anyhow::{Context, bail};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

const LIMIT: Duration = Duration::from_secs(5);
const REQUEST: &[u8] = b"GET /health HTTP/1.0\r\nHost: localhost\r\n\r\n";

pub async fn run(port: u16) -> anyhow::Result<()> {
    let answer = timeout(LIMIT, ask(port)).await.context("no answer in time")?.context("no answer")?;
    let status = answer.split_whitespace().nth(1).unwrap_or_default();
    if status != "200" {
        bail!("/health answered {status:?}");
    }
    Ok(())
}

async fn ask(port: u16) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await?;
    stream.write_all(REQUEST).await?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}
