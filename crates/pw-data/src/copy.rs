//! The binary COPY format: fields out of a stream, fields into a stream. Memory holds one row and one chunk.

use std::ops::Range;

use bytes::{BufMut, Bytes, BytesMut};

const SIGNATURE: &[u8] = b"PGCOPY\n\xff\r\n\0";
/// Signature, flags, length of the header's extension.
const HEADER: usize = 19;

/// The stream is not what PostgreSQL writes.
#[derive(Debug, PartialEq, Eq)]
pub struct Malformed(pub &'static str);

impl std::fmt::Display for Malformed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "the COPY stream is malformed: {}", self.0)
    }
}

impl std::error::Error for Malformed {}

/// Rows out of a stream that may be cut anywhere.
#[derive(Default)]
pub struct Rows {
    buffer: Bytes,
    at: usize,
    begun: bool,
    ended: bool,
    fields: Vec<Option<Range<usize>>>,
}

impl Rows {
    /// A server sends each row by itself: then nothing is left of the chunk before, and this one is not copied.
    pub fn push(&mut self, chunk: Bytes) {
        self.buffer = match self.buffer.get(self.at..) {
            Some(left) if !left.is_empty() => [left, &chunk].concat().into(),
            _ => chunk,
        };
        self.at = 0;
        self.fields.clear();
    }

    /// Goes to the next row; false when it has not wholly arrived yet.
    ///
    /// # Errors
    /// What arrived is no COPY stream.
    pub fn advance(&mut self) -> Result<bool, Malformed> {
        if !self.begun && !self.header()? {
            return Ok(false);
        }
        if self.ended {
            return self.nothing_more();
        }
        let Some(count) = self.int16(self.at) else { return Ok(false) };
        if count == -1 {
            self.ended = true;
            self.at += 2;
            return self.nothing_more();
        }
        let count = usize::try_from(count).map_err(|_negative| Malformed("a negative number of fields"))?;
        self.fields.clear();
        let mut at = self.at + 2;
        for _ in 0..count {
            let Some(length) = self.int32(at) else { return Ok(false) };
            at += 4;
            if length == -1 {
                self.fields.push(None);
                continue;
            }
            let length = usize::try_from(length).map_err(|_negative| Malformed("a negative length"))?;
            if self.buffer.len() < at + length {
                return Ok(false);
            }
            self.fields.push(Some(at..at + length));
            at += length;
        }
        self.at = at;
        Ok(true)
    }

    /// Whatever follows the end, it is refused wherever the stream is cut.
    fn nothing_more(&self) -> Result<bool, Malformed> {
        if self.buffer.len() > self.at { Err(Malformed("data after the end")) } else { Ok(false) }
    }

    fn header(&mut self) -> Result<bool, Malformed> {
        let known = self.buffer.len().min(SIGNATURE.len());
        if self.buffer[..known] != SIGNATURE[..known] {
            return Err(Malformed("no signature"));
        }
        let Some(extension) = self.int32(HEADER - 4) else { return Ok(false) };
        let extension = usize::try_from(extension).map_err(|_negative| Malformed("a negative header"))?;
        if self.buffer.len() < HEADER + extension {
            return Ok(false);
        }
        self.at = HEADER + extension;
        self.begun = true;
        Ok(true)
    }

    fn int16(&self, at: usize) -> Option<i16> {
        Some(i16::from_be_bytes(self.buffer.get(at..at + 2)?.try_into().ok()?))
    }

    fn int32(&self, at: usize) -> Option<i32> {
        Some(i32::from_be_bytes(self.buffer.get(at..at + 4)?.try_into().ok()?))
    }

    /// A field of the present row; `None` is null.
    pub fn field(&self, index: usize) -> Option<&[u8]> {
        self.fields.get(index)?.clone().map(|range| &self.buffer[range])
    }

    pub fn width(&self) -> usize {
        self.fields.len()
    }
}

/// Fields into a stream.
pub struct Writer {
    buffer: BytesMut,
}

impl Default for Writer {
    fn default() -> Self {
        Self::with_capacity(1 << 17)
    }
}

impl Writer {
    /// For as many bytes before they are taken.
    pub fn with_capacity(bytes: usize) -> Self {
        let mut buffer = BytesMut::with_capacity(bytes);
        buffer.put_slice(SIGNATURE);
        buffer.put_slice(&[0; 8]);
        Self { buffer }
    }

    pub fn row(&mut self, width: usize) {
        // A table has at most 1,600 columns.
        self.buffer.put_i16(i16::try_from(width).unwrap_or(i16::MAX));
    }

    pub fn field(&mut self, value: Option<&[u8]>) {
        match value {
            None => self.buffer.put_i32(-1),
            Some(bytes) => {
                // A field is at most 1 GB.
                self.buffer.put_i32(i32::try_from(bytes.len()).unwrap_or(i32::MAX));
                self.buffer.put_slice(bytes);
            }
        }
    }

    pub fn end(&mut self) {
        self.buffer.put_i16(-1);
    }

    pub fn len(&self) -> usize {
        self.buffer.len()
    }

    pub fn is_empty(&self) -> bool {
        self.buffer.is_empty()
    }

    pub fn take(&mut self) -> Bytes {
        self.buffer.split().freeze()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written() -> Vec<u8> {
        let mut writer = Writer::default();
        for value in [Some(b"one".as_slice()), None, Some(b"")] {
            writer.row(2);
            writer.field(value);
            writer.field(Some(b"x"));
        }
        writer.end();
        writer.take().to_vec()
    }

    #[test]
    fn what_is_written_is_read_wherever_the_stream_is_cut() {
        let stream = written();
        for size in 1..stream.len() {
            let mut rows = Rows::default();
            let mut seen = Vec::new();
            for chunk in stream.chunks(size) {
                rows.push(Bytes::copy_from_slice(chunk));
                while rows.advance().unwrap() {
                    assert_eq!(rows.width(), 2);
                    seen.push(rows.field(0).map(<[u8]>::to_vec));
                }
            }
            assert_eq!(seen, [Some(b"one".to_vec()), None, Some(Vec::new())], "cut every {size} bytes");
        }
    }

    #[test]
    fn what_follows_the_end_is_refused_wherever_the_stream_is_cut() {
        let stream = [written(), vec![0]].concat();
        for size in 1..=stream.len() {
            let mut rows = Rows::default();
            let read = stream.chunks(size).try_for_each(|chunk| {
                rows.push(Bytes::copy_from_slice(chunk));
                while rows.advance()? {}
                Ok(())
            });
            assert_eq!(read, Err(Malformed("data after the end")), "cut every {size} bytes");
        }
    }

    #[test]
    fn nonsense_is_refused() {
        let mut rows = Rows::default();
        rows.push(Bytes::from_static(b"PGDUMP"));
        assert_eq!(rows.advance(), Err(Malformed("no signature")));
        let mut stream = written();
        stream[HEADER + 2] = 0x80;
        let mut rows = Rows::default();
        rows.push(stream.into());
        assert_eq!(rows.advance(), Err(Malformed("a negative length")));
    }
}
