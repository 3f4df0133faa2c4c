//! The lines that are written to a log while it is followed, also over the rolling of its file.

use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

/// Read at once.
pub(super) const PIECE: usize = 64 << 10;

/// Follows a file by its path. It is kept open: what is written just before it is rolled away is not lost.
#[derive(Debug)]
pub(super) struct Tail {
    path: PathBuf,
    file: Option<File>,
    offset: u64,
    /// A line that is not whole yet.
    rest: Vec<u8>,
    piece: Vec<u8>,
}

impl Tail {
    /// From `back` bytes before the end on.
    pub(super) fn from_end(path: &Path, back: u64) -> Self {
        let file = File::open(path).ok();
        let offset = file.as_ref().map_or(0, length).saturating_sub(back);
        Self { path: path.to_owned(), file, offset, rest: Vec::new(), piece: Vec::new() }
    }

    /// Tells every line that was written since. A file that was put in its place is read from its beginning.
    pub(super) fn read(&mut self, mut line: impl FnMut(&[u8])) {
        self.read_on(&mut line);
        let now = std::fs::metadata(&self.path).ok();
        let place = now.as_ref().map(|file| (file.dev(), file.ino()));
        let ours =
            self.file.as_ref().and_then(|file| file.metadata().ok()).map(|file| (file.dev(), file.ino()));
        if place.is_some() && place != ours {
            // Written between the reading and the rolling.
            self.read_on(&mut line);
            self.rest.clear();
            (self.file, self.offset) = (File::open(&self.path).ok(), 0);
            self.read_on(&mut line);
        }
    }

    fn read_on(&mut self, line: &mut impl FnMut(&[u8])) {
        while self.read_piece(line) {}
    }

    /// Tells the lines of the next piece; false at the end of the file.
    pub(super) fn read_piece(&mut self, line: &mut impl FnMut(&[u8])) -> bool {
        let Some(file) = &mut self.file else { return false };
        if length(file) < self.offset {
            self.offset = 0;
            self.rest.clear();
        }
        if file.seek(SeekFrom::Start(self.offset)).is_err() {
            return false;
        }
        self.piece.resize(PIECE, 0);
        let Ok(count @ 1..) = file.read(&mut self.piece) else { return false };
        self.offset += count as u64;
        take(&mut self.rest, self.piece.get(..count).unwrap_or_default(), line);
        true
    }
}

fn take(rest: &mut Vec<u8>, piece: &[u8], line: &mut impl FnMut(&[u8])) {
    for part in piece.split_inclusive(|byte| *byte == b'\n') {
        match part.strip_suffix(b"\n") {
            Some(end) if rest.is_empty() => line(end),
            Some(end) => {
                rest.extend_from_slice(end);
                line(rest);
                rest.clear();
            }
            // A line without an end is none of the proxy's.
            None if rest.len() > PIECE => rest.clear(),
            None => rest.extend_from_slice(part),
        }
    }
}

fn length(file: &File) -> u64 {
    file.metadata().map(|file| file.len()).unwrap_or(0)
}
