//! A file of the kernel that is kept open.

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

/// Enough for every file but those of the largest machines, which are cut: what is wanted stands first.
const SIZE: usize = 16 << 10;

/// Where files are read into, one after the other.
#[derive(Debug)]
pub(super) struct Page(Vec<u8>);

impl Page {
    pub(super) fn new() -> Self {
        Self(vec![0; SIZE])
    }
}

/// `None` where there is no such file.
#[derive(Debug)]
pub(super) struct Kept(Option<File>);

impl Kept {
    pub(super) fn open(path: &Path) -> Self {
        Self(File::open(path).ok())
    }

    /// What it says now; `None` when its group is gone.
    pub(super) fn read<'page>(&self, page: &'page mut Page) -> Option<&'page str> {
        let mut length = 0;
        while let Some(rest) = page.0.get_mut(length..).filter(|rest| !rest.is_empty()) {
            match self.0.as_ref()?.read_at(rest, length as u64) {
                Ok(0) => break,
                Ok(count) => length += count,
                Err(_) => return None,
            }
        }
        let text = page.0.get(..length)?;
        match std::str::from_utf8(text) {
            Ok(text) => Some(text),
            // Cut in the middle of a letter.
            Err(error) => std::str::from_utf8(text.get(..error.valid_up_to())?).ok(),
        }
    }

    /// A file that holds one number.
    pub(super) fn number(&self, page: &mut Page) -> Option<f64> {
        self.read(page)?.trim().parse().ok()
    }

    /// `some avg10=0.00 avg60=0.00 avg300=0.00 total=1234`: how long something waited, in seconds.
    pub(super) fn waited(&self, page: &mut Page) -> Option<f64> {
        let text = self.read(page)?;
        let some = text.lines().find(|line| line.starts_with("some "))?;
        let total = some.split_whitespace().find_map(|word| word.strip_prefix("total="))?;
        total.parse::<f64>().ok().map(|microseconds| microseconds / 1e6)
    }
}

/// The number after `key` on a line of its own.
pub(super) fn entry(text: &str, key: &str) -> Option<f64> {
    text.lines().find_map(|line| {
        line.strip_prefix(key)?.strip_prefix([' ', ':'])?.split_whitespace().next()?.parse().ok()
    })
}
