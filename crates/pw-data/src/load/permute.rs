//! Values of a column that change places among the sampled rows: every one stays, and none where it was but by chance.
//!
//! A row's number among the sampled ones is encrypted to the number of the row from which it gets its value, under
//! the project's secret: nothing is held but the values of one chunk.

use std::collections::HashMap;

use crate::mask::Secret;

/// Values by the place of the row that gets them, one for each permuted column.
pub(super) type Swapped = HashMap<u64, Vec<Option<Vec<u8>>>>;

/// A way through all rows of a table that meets each once.
pub(super) struct Permutation {
    key: [u8; 32],
    count: u64,
    /// Of each half of a number.
    bits: u32,
}

const ROUNDS: u8 = 6;

impl Permutation {
    pub(super) fn new(secret: &Secret, column: &str, count: usize) -> Self {
        let count = count as u64;
        let bits = (u64::BITS - count.saturating_sub(1).leading_zeros()).div_ceil(2).max(1);
        Self { key: secret.keyed(column), count, bits }
    }

    /// The number whose value this one gets.
    pub(super) fn of(&self, number: usize) -> usize {
        let mut at = number as u64;
        // The numbers of the two halves are up to four times as many as the rows: those beyond lead on.
        loop {
            at = self.once(at);
            if at < self.count {
                return usize::try_from(at).unwrap_or(number);
            }
        }
    }

    fn once(&self, number: u64) -> u64 {
        let mask = (1 << self.bits) - 1;
        let (mut left, mut right) = (number >> self.bits & mask, number & mask);
        for round in 0..ROUNDS {
            let mut hasher = blake3::Hasher::new_keyed(&self.key);
            hasher.update(&[round]).update(&right.to_be_bytes());
            let hash = hasher.finalize();
            let some = hash.as_bytes()[..8].iter().fold(0, |number, byte| number << 8 | u64::from(*byte));
            (left, right) = (right, left ^ (some & mask));
        }
        left << self.bits | right
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_is_met_once_and_the_secret_decides_where() {
        for count in [1, 2, 3, 10, 1000, 4097] {
            let all = |secret: &str| {
                let permutation = Permutation::new(&Secret::new(secret), "t.c", count);
                (0..count).map(|number| permutation.of(number)).collect::<Vec<_>>()
            };
            let (one, other) = (all("one"), all("other"));
            let mut sorted = one.clone();
            sorted.sort_unstable();
            assert_eq!(sorted, (0..count).collect::<Vec<_>>());
            assert_eq!(one, all("one"));
            assert!(count < 10 || one != other);
            let stay = one.iter().enumerate().filter(|(number, to)| number == *to).count();
            assert!(stay < 8, "{stay} of {count} stay where they were");
        }
    }
}
