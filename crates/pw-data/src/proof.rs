//! Searches what goes out for masked production values, in any column, JSON or text.
//!
//! A value is known by a hash: 8 bytes each, however long it is. A stream is read once; at every place where
//! the first eight bytes of some value stand, the hash of what follows is looked up for each length that begins so.

use std::hash::BuildHasher;

use hashbrown::{DefaultHashBuilder, HashMap, HashSet};

/// Shorter values would be found by chance everywhere. They are not searched for.
pub const SHORTEST: usize = 8;
/// Of a longer value, its beginning is searched for.
const LONGEST: usize = 256;

/// The values that must not go out.
#[derive(Default)]
pub struct Values {
    hasher: DefaultHashBuilder,
    /// First eight bytes to the lengths that begin so.
    begins: HashMap<u64, Vec<u16>>,
    wholes: HashSet<u64>,
    /// One bit for each hash of a beginning: most places are passed by with one look.
    filter: Vec<u64>,
}

const FILTER_BITS: u64 = 1 << 22;

impl Values {
    /// Adds a value; the case of ASCII letters does not matter.
    pub fn add(&mut self, value: &[u8]) {
        let folded = value[..value.len().min(LONGEST)].to_ascii_lowercase();
        let Some(begin) = beginning(&folded) else { return };
        if !self.wholes.insert(self.hasher.hash_one(folded.as_slice())) {
            return;
        }
        let lengths = self.begins.entry(begin).or_default();
        let length = u16::try_from(folded.len()).unwrap_or(u16::MAX);
        if !lengths.contains(&length) {
            lengths.push(length);
        }
        if self.filter.is_empty() {
            self.filter.resize(usize::try_from(FILTER_BITS / 64).unwrap_or_default(), 0);
        }
        let bit = mixed(begin);
        self.filter[(bit / 64) as usize] |= 1 << (bit % 64);
    }

    pub fn len(&self) -> usize {
        self.wholes.len()
    }

    pub fn is_empty(&self) -> bool {
        self.wholes.is_empty()
    }

    /// The place of the first value that stands in `text`, whole: not as a part of a longer word.
    pub fn find(&self, text: &[u8]) -> Option<std::ops::Range<usize>> {
        if self.is_empty() || text.len() < SHORTEST {
            return None;
        }
        let mut window = 0_u64;
        for (at, byte) in text.iter().enumerate() {
            window = window << 8 | u64::from(byte.to_ascii_lowercase());
            if at + 1 < SHORTEST {
                continue;
            }
            let bit = mixed(window);
            if self.filter[(bit / 64) as usize] >> (bit % 64) & 1 == 1
                && let Some(found) = self.look(text, at + 1 - SHORTEST, window)
            {
                return Some(found);
            }
        }
        None
    }

    fn look(&self, text: &[u8], from: usize, window: u64) -> Option<std::ops::Range<usize>> {
        if from > 0 && text[from - 1].is_ascii_alphanumeric() {
            return None;
        }
        self.begins.get(&window)?.iter().find_map(|length| {
            let to = from + usize::from(*length);
            let whole = text.get(from..to)?.to_ascii_lowercase();
            let alone =
                usize::from(*length) == LONGEST || !text.get(to).is_some_and(u8::is_ascii_alphanumeric);
            let known = alone && self.wholes.contains(&self.hasher.hash_one(whole.as_slice()));
            known.then_some(from..to)
        })
    }
}

fn beginning(value: &[u8]) -> Option<u64> {
    Some(u64::from_be_bytes(value.get(..SHORTEST)?.try_into().ok()?))
}

fn mixed(window: u64) -> u64 {
    window.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> (64 - FILTER_BITS.trailing_zeros())
}

#[cfg(test)]
mod tests {
    use super::*;

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
