//! Rows that are read once: masked while the source is asked what must not go out, and kept beside until all of that is
//! known and they can be searched.

use std::fs::File;
use std::io::{Read as _, Result, Seek as _, Write as _};

use bytes::{Bytes, BytesMut};

use crate::copy::Writer;

/// Bytes that are written and read at once.
const BATCH: usize = 128 << 10;
/// Where such files lie: what lies in `/tmp` is memory on many machines.
const FOLDER: &str = "/var/tmp";

/// Rows in a file without a name, which nobody else can open and which is gone with us, however we end.
pub(super) struct Aside {
    file: File,
    writer: Writer,
}

impl Aside {
    /// # Errors
    /// No folder for it can be written.
    pub(super) fn new() -> Result<Self> {
        let file = tempfile::tempfile_in(FOLDER).or_else(|_no_folder| tempfile::tempfile())?;
        Ok(Self { file, writer: Writer::with_capacity(BATCH * 2) })
    }

    pub(super) fn row(&mut self, width: usize) {
        self.writer.row(width);
    }

    pub(super) fn field(&mut self, value: Option<&[u8]>) {
        self.writer.field(value);
    }

    /// Puts what has come into the file, when it is worth it.
    ///
    /// # Errors
    /// The disk is full.
    pub(super) fn pass(&mut self) -> Result<()> {
        if self.writer.len() < BATCH { Ok(()) } else { self.write() }
    }

    fn write(&mut self) -> Result<()> {
        self.file.write_all(&self.writer.take())
    }

    /// All rows have come; they are read from the first on.
    ///
    /// # Errors
    /// The disk is full.
    pub(super) fn end(mut self) -> Result<Self> {
        self.writer.end();
        self.write()?;
        self.file.rewind()?;
        self.writer = Writer::with_capacity(0);
        Ok(self)
    }

    /// The next part of what was written, as a stream of COPY has it; `None` at its end.
    ///
    /// # Errors
    /// The disk cannot be read.
    pub(super) fn read(&mut self) -> Result<Option<Bytes>> {
        let mut part = BytesMut::zeroed(BATCH);
        let count = self.file.read(&mut part)?;
        part.truncate(count);
        Ok((count > 0).then(|| part.freeze()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::copy::Rows;

    #[test]
    fn rows_come_back_as_they_were_set_aside() {
        let long = vec![b'x'; BATCH * 3];
        let value = |row: usize| match row % 3 {
            0 => None,
            1 => Some(long.get(..row * 7).unwrap_or(&long)),
            _ => Some(b"".as_slice()),
        };
        let mut aside = Aside::new().expect("a file");
        for row in 0..5000 {
            aside.row(2);
            aside.field(value(row));
            aside.field(Some(&row.to_be_bytes()));
            aside.pass().expect("room");
        }
        let mut aside = aside.end().expect("room");
        let (mut rows, mut seen) = (Rows::default(), 0);
        while let Some(part) = aside.read().expect("a file") {
            rows.push(part);
            while rows.advance().expect("rows") {
                assert_eq!((rows.width(), rows.field(0)), (2, value(seen)));
                assert_eq!(rows.field(1), Some(seen.to_be_bytes().as_slice()));
                seen += 1;
            }
        }
        assert_eq!(seen, 5000);
    }
}
