//! Rows on their way into the scratch database.

use std::pin::Pin;

use bytes::{Bytes, BytesMut};
use futures_util::SinkExt;
use tokio_postgres::{CopyInSink, Error};

use super::order::{Held, ROOM};
use super::transfer::Moved;
use crate::copy::Writer;

/// Bytes that are gathered before they are sent.
const BATCH: usize = 64 << 10;

pub(super) struct Outlet<'a> {
    writer: Writer,
    sink: Pin<Box<CopyInSink<Bytes>>>,
    /// Rows that are written in another order than they come.
    held: Option<Held>,
    moved: &'a Moved,
}

impl<'a> Outlet<'a> {
    pub(super) fn new(sink: CopyInSink<Bytes>, held: Option<Held>, moved: &'a Moved) -> Self {
        // Memory that is reserved and never written to is none.
        let capacity = if held.is_some() { ROOM + BATCH } else { BATCH * 2 };
        Self { writer: Writer::with_capacity(capacity), sink: Box::pin(sink), held, moved }
    }

    pub(super) fn row(&mut self, width: usize) {
        if let Some(held) = &mut self.held {
            held.begin(self.writer.len());
        }
        self.writer.row(width);
    }

    pub(super) fn field(&mut self, value: Option<&[u8]>) {
        self.writer.field(value);
    }

    /// A field that decides the order.
    pub(super) fn key(&mut self, value: Option<&[u8]>) {
        self.writer.field(value);
        if let (Some(held), Some(value)) = (&mut self.held, value) {
            let to = self.writer.len();
            held.key(to - value.len()..to);
        }
    }

    /// Sends what has come, when it is worth it.
    pub(super) async fn pass(&mut self) -> Result<(), Error> {
        match self.held {
            Some(_) if self.writer.len() < ROOM => return Ok(()),
            // They do not fit: they go as they came.
            Some(_) => self.held = None,
            None if self.writer.len() < BATCH => return Ok(()),
            None => {}
        }
        let full = self.writer.take();
        self.send(full).await
    }

    async fn send(&mut self, bytes: Bytes) -> Result<(), Error> {
        self.moved.bytes.set(self.moved.bytes.get() + bytes.len() as u64);
        self.sink.send(bytes).await
    }

    /// Answers how many rows the scratch database took.
    pub(super) async fn end(mut self) -> Result<u64, Error> {
        if let Some(held) = self.held.take() {
            let written = self.writer.take();
            let mut batch = BytesMut::with_capacity(BATCH * 2);
            for row in held.in_order(&written) {
                batch.extend_from_slice(&row);
                if batch.len() >= BATCH {
                    self.send(batch.split().freeze()).await?;
                }
            }
            self.send(batch.freeze()).await?;
        }
        self.writer.end();
        let last = self.writer.take();
        self.send(last).await?;
        self.sink.as_mut().finish().await
    }
}
