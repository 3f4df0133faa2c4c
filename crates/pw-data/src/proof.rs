//! Searches what goes out for masked production values, in any column, JSON or text.
//!
//! A value is known by a hash: 8 bytes each, however long it is. A stream is read once; at every place where
//! the first eight bytes of some value stand, the hash of what follows is looked up for each length that begins so.

use std::hash::BuildHasher;

use hashbrown::{DefaultHashBuilder, HashSet, HashTable};

/// Shorter values would be found by chance everywhere. They are not searched for.
pub const SHORTEST: usize = 8;
/// Of a longer value, its beginning is searched for.
const LONGEST: usize = 256;

/// The values that must not go out.
#[derive(Default)]
pub struct Values {
    hasher: DefaultHashBuilder,
    /// First eight bytes, and a length that begins so.
    begins: HashTable<(u64, u16)>,
    wholes: HashSet<u64>,
    /// One bit for each hash of a beginning: most places are passed by with one look.
    filter: Vec<u64>,
    /// One bit for each two bytes that a beginning begins with: most places in what is no text are passed by with a look
    /// at what every core has at hand.
    pairs: Vec<u64>,
    /// One bit for each number of bytes before the first space of a beginning: most places in prose are passed by with
    /// no look at all.
    spaces: u16,
}

const FILTER_BITS: u64 = 1 << 22;
const PAIRS: usize = 1 << 16;

impl Values {
    /// Adds a value; the case of ASCII letters does not matter.
    pub fn add(&mut self, value: &[u8]) {
        let folded = value[..value.len().min(LONGEST)].to_ascii_lowercase();
        let Some(begin) = beginning(&folded) else { return };
        if !self.wholes.insert(self.hasher.hash_one(folded.as_slice())) {
            return;
        }
        let entry = (begin, u16::try_from(folded.len()).unwrap_or(u16::MAX));
        let hash = |(begin, _): &(u64, u16)| self.hasher.hash_one(begin);
        if self.begins.find(hash(&entry), |known| *known == entry).is_none() {
            self.begins.insert_unique(hash(&entry), entry, hash);
        }
        if self.filter.is_empty() {
            self.filter.resize(usize::try_from(FILTER_BITS / 64).unwrap_or_default(), 0);
            self.pairs.resize(PAIRS / 64, 0);
        }
        let pair = pair(begin);
        self.pairs[pair / 64] |= 1 << (pair % 64);
        let bit = mixed(begin);
        self.filter[(bit / 64) as usize] |= 1 << (bit % 64);
        self.spaces |= 1 << before_space(begin);
    }

    pub fn len(&self) -> usize {
        self.wholes.len()
    }

    pub fn is_empty(&self) -> bool {
        self.wholes.is_empty()
    }

    /// The place of the first value that stands in `text`, whole: not as a part of a longer word.
    pub fn find(&self, text: &[u8]) -> Option<std::ops::Range<usize>> {
        if self.is_empty() {
            return None;
        }
        let last = text.len().checked_sub(SHORTEST)?;
        let mut inside = false;
        for (block, from) in text[..=last].chunks(64).zip((0..).step_by(64)) {
            let words = letters(block);
            let mut begins = !(words << 1 | u64::from(inside));
            inside = words >> 63 == 1;
            while begins.trailing_zeros() < u32::try_from(block.len()).unwrap_or(64) {
                let at = from + begins.trailing_zeros() as usize;
                begins &= begins - 1;
                if let Some(found) = self.at(text, at) {
                    return Some(found);
                }
            }
        }
        None
    }

    fn at(&self, text: &[u8], from: usize) -> Option<std::ops::Range<usize>> {
        let window = beginning(&text[from..])?;
        if self.spaces >> before_space(window) & 1 == 0 {
            return None;
        }
        let window = lowered(window);
        let pair = pair(window);
        if self.pairs[pair / 64] >> (pair % 64) & 1 == 0 {
            return None;
        }
        let bit = mixed(window);
        let perhaps = self.filter[(bit / 64) as usize] >> (bit % 64) & 1 == 1;
        if perhaps { self.look(text, from, window) } else { None }
    }

    fn look(&self, text: &[u8], from: usize, window: u64) -> Option<std::ops::Range<usize>> {
        let same = self.begins.iter_hash(self.hasher.hash_one(window)).filter(|(begin, _)| *begin == window);
        same.map(|(_, length)| usize::from(*length)).find_map(|length| {
            let to = from + length;
            let whole = text.get(from..to)?.to_ascii_lowercase();
            let alone = length == LONGEST || !text.get(to).is_some_and(u8::is_ascii_alphanumeric);
            let known = alone && self.wholes.contains(&self.hasher.hash_one(whole.as_slice()));
            known.then_some(from..to)
        })
    }
}

fn beginning(value: &[u8]) -> Option<u64> {
    Some(u64::from_be_bytes(value.get(..SHORTEST)?.try_into().ok()?))
}

/// One bit for each of at most 64 bytes, the first lowest: is it an ASCII letter or digit? Without a branch, so that
/// the compiler takes many bytes at once.
fn letters(block: &[u8]) -> u64 {
    let bit = |byte: &u8| {
        u64::from((byte | 0x20).wrapping_sub(b'a') < 26) | u64::from(byte.wrapping_sub(b'0') < 10)
    };
    block.iter().rev().fold(0, |bits, byte| bits << 1 | bit(byte))
}

/// Eight bytes with their ASCII letters in lower case, all at once.
fn lowered(bytes: u64) -> u64 {
    const EACH: u64 = 0x0101_0101_0101_0101;
    let seven = bytes & (EACH * 0x7f);
    let from_a = seven + EACH * (0x80 - b'A' as u64);
    let past_z = seven + EACH * (0x7f - b'Z' as u64);
    let upper = (from_a & !past_z & !bytes) & (EACH * 0x80);
    bytes | upper >> 2
}

/// How many of eight bytes stand before the first space; 8 without one.
fn before_space(bytes: u64) -> u32 {
    const EACH: u64 = 0x0101_0101_0101_0101;
    let other = bytes ^ (EACH * 0x20);
    // The highest bit of each byte that is zero: exact for every byte, whatever its neighbours hold.
    let zero = !(((other & (EACH * 0x7f)) + EACH * 0x7f) | other) & (EACH * 0x80);
    zero.leading_zeros() / 8
}

/// The first two of eight bytes.
fn pair(window: u64) -> usize {
    (window >> 48) as usize
}

fn mixed(window: u64) -> u64 {
    window.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> (64 - FILTER_BITS.trailing_zeros())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_are_lowered_and_nothing_else() {
        for byte in 0..=u8::MAX {
            let word = [byte, b'A', b'@', b'[', b'Z', 0xc1, b'z', byte];
            let told = u64::from_be_bytes(word.to_ascii_lowercase().try_into().unwrap());
            assert_eq!(lowered(u64::from_be_bytes(word)), told, "{word:?}");
        }
    }

    #[test]
    fn a_space_is_found_where_it_is() {
        let before = |text: &[u8; 8]| before_space(u64::from_be_bytes(*text));
        assert_eq!([b" a b c d", b"abc def ", b"abcdefg ", b"abcdefgh"].map(before), [0, 3, 7, 8]);
        assert_eq!([*b"\x21\x1f\xa0\0\x01!! ", [0xff; 8]].map(|text| before(&text)), [7, 8]);
    }

    #[test]
    fn a_letter_is_known_by_its_bit() {
        for first in 0..=u8::MAX {
            let block: Vec<u8> = (0..64).map(|at: u8| first.wrapping_add(at)).collect();
            for (at, byte) in block.iter().enumerate() {
                assert_eq!(letters(&block) >> at & 1 == 1, byte.is_ascii_alphanumeric(), "{byte}");
            }
        }
        assert_eq!(letters(b"a-"), 1);
    }

    #[test]
    fn a_value_is_found_at_any_distance_from_the_beginning() {
        let mut values = Values::default();
        values.add(b"ann.lee@example.org");
        for before in 0..200 {
            let apart = [vec![b'-'; before], b"ann.lee@example.org".to_vec()].concat();
            assert_eq!(values.find(&apart), Some(before..before + 19));
            let inside = [vec![b'x'; before], b"ann.lee@example.org".to_vec()].concat();
            assert_eq!(values.find(&inside), (before == 0).then_some(0..19));
        }
    }

    #[test]
    fn a_value_is_found_anywhere_but_inside_a_longer_word() {
        let mut values = Values::default();
        values.add(b"Ann.Lee@example.org");
        values.add(b"short");
        assert_eq!(values.len(), 1);
        let found = |text: &str| values.find(text.as_bytes()).map(|at| text[at].to_owned());
        assert_eq!(found("write to <ann.lee@EXAMPLE.org>!"), Some("ann.lee@EXAMPLE.org".into()));
        assert_eq!(found(r#"{"to":"ann.lee@example.org"}"#), Some("ann.lee@example.org".into()));
        assert_eq!(found("joann.lee@example.org"), None);
        assert_eq!(found("ann.lee@example.organic"), None);
        assert_eq!(found("short"), None);
    }
}
