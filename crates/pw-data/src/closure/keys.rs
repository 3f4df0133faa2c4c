//! Keys interned compactly: bytes to a row's number, and sets of rows.

use std::hash::BuildHasher;

use hashbrown::{DefaultHashBuilder, HashTable};

use crate::copy::Rows;

/// No row: the reference is null or names nothing.
pub(crate) const NOWHERE: u32 = u32::MAX;

/// The keys of one table's rows. Costs the key's own bytes and about 10 more.
#[derive(Default)]
pub(crate) struct Keys {
    bytes: Vec<u8>,
    ends: Ends,
    rows: HashTable<u32>,
    hasher: DefaultHashBuilder,
}

/// Where each key ends; most tables have keys of one length and need no list.
#[derive(Default)]
enum Ends {
    #[default]
    None,
    Every(usize, usize),
    List(Vec<usize>),
}

impl Ends {
    fn push(&mut self, end: usize, length: usize) {
        match self {
            Self::None => *self = Self::Every(length, 1),
            Self::Every(known, count) if *known == length => *count += 1,
            Self::Every(known, count) => {
                let mut list: Vec<usize> = (1..=*count).map(|nth| nth * *known).collect();
                list.push(end);
                *self = Self::List(list);
            }
            Self::List(list) => list.push(end),
        }
    }

    fn range(&self, row: usize) -> std::ops::Range<usize> {
        match self {
            Self::None => 0..0,
            Self::Every(length, _) => row * length..(row + 1) * length,
            Self::List(list) => (if row == 0 { 0 } else { list[row - 1] })..list[row],
        }
    }
}

impl Keys {
    /// Gives the next row its key; a key with a null in it names no row.
    pub(crate) fn push(&mut self, key: Option<&[u8]>, row: u32) {
        let bytes = key.unwrap_or_default();
        self.bytes.extend_from_slice(bytes);
        self.ends.push(self.bytes.len(), bytes.len());
        if key.is_some() {
            let Self { bytes: all, ends, rows, hasher } = self;
            let hash = hasher.hash_one(bytes);
            rows.insert_unique(hash, row, |row| hasher.hash_one(&all[ends.range(*row as usize)]));
        }
    }

    pub(crate) fn find(&self, key: &[u8]) -> u32 {
        let hash = self.hasher.hash_one(key);
        let same = |row: &u32| &self.bytes[self.ends.range(*row as usize)] == key;
        self.rows.find(hash, same).copied().unwrap_or(NOWHERE)
    }

    pub(crate) fn size(&self) -> usize {
        let list = if let Ends::List(list) = &self.ends { list.capacity() * 8 } else { 0 };
        self.bytes.capacity() + list + self.rows.capacity() * 5 * 8 / 7
    }
}

/// Fields `from..from + count` as one key; false when one is null.
pub(crate) fn gather(rows: &Rows, from: usize, count: usize, key: &mut Vec<u8>) -> bool {
    key.clear();
    for index in from..from + count {
        let Some(field) = rows.field(index) else { return false };
        if count > 1 {
            // The length keeps ("a", "bc") and ("ab", "c") apart.
            key.extend_from_slice(&u32::try_from(field.len()).unwrap_or(u32::MAX).to_be_bytes());
        }
        key.extend_from_slice(field);
    }
    true
}

/// A set of row numbers.
#[derive(Default, Clone)]
pub(crate) struct Bits(Vec<u64>);

impl Bits {
    pub(crate) fn holds(&self, row: u32) -> bool {
        self.0.get(row as usize / 64).is_some_and(|word| word >> (row % 64) & 1 == 1)
    }

    /// True when it was not in.
    pub(crate) fn insert(&mut self, row: u32) -> bool {
        let at = row as usize / 64;
        if self.0.len() <= at {
            self.0.resize(at + 1, 0);
        }
        let new = !self.holds(row);
        self.0[at] |= 1 << (row % 64);
        new
    }
}

/// Heap, block and line of a row in one number, in the order of a scan.
pub(crate) fn place(heap: usize, tid: &[u8]) -> Option<u64> {
    let block = u32::from_be_bytes(tid.get(..4)?.try_into().ok()?);
    let line = u16::from_be_bytes(tid.get(4..6)?.try_into().ok()?);
    Some((heap as u64) << 48 | u64::from(block) << 16 | u64::from(line))
}

/// `"(3,7)"`, as an element of a `tid[]`.
pub(crate) fn shown(place: u64) -> String {
    format!("\"({},{})\"", (place >> 16) & 0xffff_ffff, place & 0xffff)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_of_any_length_are_found() {
        let mut keys = Keys::default();
        for (row, key) in [Some("aa"), Some("bb"), None, Some("ccc"), Some("")].into_iter().enumerate() {
            keys.push(key.map(str::as_bytes), u32::try_from(row).unwrap());
        }
        let found: Vec<u32> =
            ["aa", "bb", "ccc", "", "zz"].iter().map(|key| keys.find(key.as_bytes())).collect();
        assert_eq!(found, [0, 1, 3, 4, NOWHERE]);
    }

    #[test]
    fn a_place_keeps_its_parts() {
        let tid = [0, 1, 0, 2, 0, 7];
        let packed = place(3, &tid).unwrap();
        assert_eq!((packed >> 48, shown(packed).as_str()), (3, "\"(65538,7)\""));
    }
}
