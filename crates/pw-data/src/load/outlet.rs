//! Rows on their way into the scratch database.

use std::pin::Pin;

use bytes::Bytes;
use futures_util::SinkExt;
use tokio_postgres::{CopyInSink, Error};

use super::transfer::Moved;
use crate::copy::Writer;

/// Bytes that are gathered before they are sent.
const BATCH: usize = 64 << 10;

pub(super) struct Outlet<'a> {
    writer: Writer,
    sink: Pin<Box<CopyInSink<Bytes>>>,
    moved: &'a Moved,
}

impl<'a> Outlet<'a> {
    pub(super) fn new(sink: CopyInSink<Bytes>, moved: &'a Moved) -> Self {
        Self { writer: Writer::default(), sink: Box::pin(sink), moved }
    }

    pub(super) fn row(&mut self, width: usize) {
        self.writer.row(width);
    }

    pub(super) fn field(&mut self, value: Option<&[u8]>) {
        self.writer.field(value);
    }

    /// Sends what has come, when it is worth it.
    pub(super) async fn pass(&mut self) -> Result<(), Error> {
        if self.writer.len() < BATCH {
            return Ok(());
        }
        self.send().await
    }

    async fn send(&mut self) -> Result<(), Error> {
        let bytes = self.writer.take();
        self.moved.bytes.set(self.moved.bytes.get() + bytes.len() as u64);
        self.sink.send(bytes).await
    }

    /// Answers how many rows the scratch database took.
    pub(super) async fn end(mut self) -> Result<u64, Error> {
        self.writer.end();
        self.send().await?;
        self.sink.as_mut().finish().await
    }
}
