//! Keys as numbers, and from a number to the row that has it.

use std::hash::{BuildHasher, Hasher, RandomState};

use pw_run::Failure;

use crate::copy::Rows;

/// No row: the reference is null or names nothing.
pub(crate) const NOWHERE: u32 = u32::MAX;
/// A row of a table that stays behind whole, so that none of its keys was read.
pub(crate) const GONE: u32 = u32::MAX - 1;

/// How a key becomes one number.
#[derive(Clone)]
pub(crate) enum Form {
    /// It is one integer: the number is the key.
    Integer,
    /// Anything else: a keyed hash of 64 bits, that differs on every run. Two keys of a table with one hash are
    /// found and refused; a key that is not there passes for one that is once in 10^13 tries on a million rows.
    Hashed(RandomState),
}

impl Form {
    /// These fields as one number; `None` when one is null.
    pub(crate) fn number(&self, rows: &Rows, fields: &[usize]) -> Option<u64> {
        match self {
            Self::Integer => rows.field(*fields.first()?).map(integer),
            Self::Hashed(state) => {
                let mut hasher = state.build_hasher();
                for index in fields {
                    let field = rows.field(*index)?;
                    // The length keeps ("a", "bc") and ("ab", "c") apart.
                    hasher.write_usize(field.len());
                    hasher.write(field);
                }
                Some(hasher.finish())
            }
        }
    }
}

/// Big-endian, of two, four or eight bytes, with its sign.
fn integer(field: &[u8]) -> u64 {
    let sign = if field.first().is_some_and(|byte| byte & 0x80 != 0) { u64::MAX } else { 0 };
    field.iter().fold(sign, |number, byte| number << 8 | u64::from(*byte))
}

/// The keys of one table while they are read: one for each row, in the order of the scan.
pub(crate) struct Gathered {
    numbers: Vec<u64>,
    nulls: Bits,
}

impl Gathered {
    pub(crate) fn with_capacity(rows: usize) -> Self {
        Self { numbers: Vec::with_capacity(rows), nulls: Bits::default() }
    }

    pub(crate) fn push(&mut self, number: Option<u64>) {
        if number.is_none() {
            self.nulls.insert(u32::try_from(self.numbers.len()).unwrap_or(NOWHERE));
        }
        self.numbers.push(number.unwrap_or_default());
    }

    fn iter(&self) -> impl Iterator<Item = (u64, u32)> {
        self.numbers.iter().copied().zip(0_u32..).filter(|(_, row)| !self.nulls.holds(*row))
    }

    /// The row of each, in the order of the scan.
    pub(crate) fn followed(self, keys: &Keys) -> Vec<u32> {
        let find = |(number, row): (&u64, u32)| {
            if self.nulls.holds(row) { NOWHERE } else { keys.find(*number) }
        };
        self.numbers.iter().zip(0_u32..).map(find).collect()
    }
}

/// From keys to rows. Numbers that lie close cost 4 bytes for each in their span, others about 14 each; those that count
/// the rows as they lie cost nothing.
pub(crate) enum Keys {
    Straight {
        least: u64,
        count: u32,
    },
    Dense {
        least: u64,
        rows: Vec<u32>,
    },
    Spread {
        numbers: Vec<u64>,
        rows: Vec<u32>,
        starts: Vec<u32>,
    },
    /// Every key that is asked for is one of a table that stays behind.
    Gone,
}

/// Spreads numbers evenly over all of 64 bits, each to its own place.
fn spread(number: u64) -> u64 {
    number.wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

impl Keys {
    /// # Errors
    /// Two rows have one number.
    pub(crate) fn new(gathered: &Gathered) -> Result<Self, Failure> {
        #[expect(clippy::cast_possible_wrap, reason = "integers were made numbers by their bits")]
        let signed = || gathered.iter().map(|(number, _)| number as i64);
        let least = signed().min().unwrap_or_default();
        let span = signed().max().unwrap_or_default().abs_diff(least);
        #[expect(clippy::cast_sign_loss, reason = "by its bits")]
        let least = least as u64;
        match usize::try_from(span) {
            Ok(span) if span / 4 <= gathered.numbers.len() + 1024 => Self::dense(gathered, least, span),
            _ => Self::spread(gathered),
        }
    }

    fn dense(gathered: &Gathered, least: u64, span: usize) -> Result<Self, Failure> {
        let mut rows = vec![NOWHERE; span + 1];
        for (number, row) in gathered.iter() {
            let at = usize::try_from(number.wrapping_sub(least)).unwrap_or(span);
            if std::mem::replace(&mut rows[at], row) != NOWHERE {
                return Err(ambiguous());
            }
        }
        if rows.iter().zip(0_u32..).all(|(row, at)| *row == at) {
            let count = u32::try_from(rows.len()).unwrap_or(GONE);
            return Ok(Self::Straight { least, count });
        }
        Ok(Self::Dense { least, rows })
    }

    /// By the first bits of each number into short runs.
    fn spread(gathered: &Gathered) -> Result<Self, Failure> {
        let count = gathered.iter().count();
        let bits = (count / 4).next_power_of_two().trailing_zeros().max(1);
        let mut starts = vec![0_u32; (1 << bits) + 1];
        for (number, _) in gathered.iter() {
            starts[run(number, bits) + 1] += 1;
        }
        (1..starts.len()).for_each(|at| starts[at] += starts[at - 1]);
        let (mut numbers, mut rows, mut next) = (vec![0; count], vec![0; count], starts.clone());
        for (number, row) in gathered.iter() {
            let run = run(number, bits);
            let at = next[run] as usize;
            if numbers[starts[run] as usize..at].contains(&number) {
                return Err(ambiguous());
            }
            (numbers[at], rows[at]) = (number, row);
            next[run] += 1;
        }
        Ok(Self::Spread { numbers, rows, starts })
    }

    pub(crate) fn find(&self, number: u64) -> u32 {
        match self {
            Self::Gone => GONE,
            Self::Straight { least, count } => {
                let at = u32::try_from(number.wrapping_sub(*least));
                at.ok().filter(|at| at < count).unwrap_or(NOWHERE)
            }
            Self::Dense { least, rows } => {
                let at = usize::try_from(number.wrapping_sub(*least)).ok();
                at.and_then(|at| rows.get(at)).copied().unwrap_or(NOWHERE)
            }
            Self::Spread { numbers, rows, starts } => {
                let run = run(number, (starts.len() - 1).trailing_zeros());
                let (from, to) = (starts[run] as usize, starts[run + 1] as usize);
                let at = numbers[from..to].iter().position(|known| *known == number);
                at.map_or(NOWHERE, |at| rows[from + at])
            }
        }
    }

    /// The numbers of these rows.
    pub(crate) fn of(&self, wanted: &Bits) -> Vec<u64> {
        match self {
            Self::Gone => Vec::new(),
            Self::Straight { least, .. } => {
                wanted.iter().map(|row| least.wrapping_add(u64::from(row))).collect()
            }
            Self::Dense { least, rows } => {
                let all = rows.iter().zip(0_u64..).filter(|(row, _)| wanted.holds(**row));
                all.map(|(_, at)| least.wrapping_add(at)).collect()
            }
            Self::Spread { numbers, rows, .. } => {
                let all = numbers.iter().zip(rows).filter(|(_, row)| wanted.holds(**row));
                all.map(|(number, _)| *number).collect()
            }
        }
    }

    /// In bytes.
    pub(crate) fn size(&self) -> usize {
        match self {
            Self::Gone | Self::Straight { .. } => 0,
            Self::Dense { rows, .. } => rows.len() * 4,
            Self::Spread { numbers, starts, .. } => numbers.len() * 12 + starts.len() * 4,
        }
    }
}

fn run(number: u64, bits: u32) -> usize {
    usize::try_from(spread(number) >> (64 - bits)).unwrap_or_default()
}

fn ambiguous() -> Failure {
    Failure::new("two rows of one table look alike by their keys").hint("run it again")
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

    pub(crate) fn is_empty(&self) -> bool {
        self.0.iter().all(|word| *word == 0)
    }

    pub(crate) fn count(&self) -> usize {
        self.0.iter().map(|word| word.count_ones() as usize).sum()
    }

    /// Ascending.
    pub(crate) fn iter(&self) -> impl Iterator<Item = u32> {
        let words = self.0.iter().zip((0_u32..).step_by(64));
        words.flat_map(|(word, from)| {
            (0..64).filter(move |bit| word >> bit & 1 == 1).map(move |bit| from + bit)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(numbers: &[Option<u64>]) -> Keys {
        let mut gathered = Gathered::with_capacity(numbers.len());
        numbers.iter().for_each(|number| gathered.push(*number));
        Keys::new(&gathered).unwrap()
    }

    #[test]
    fn keys_are_found_close_or_spread() {
        let close = keys(&[Some(7), None, Some(integer(&[0xff, 0xfe])), Some(9)]);
        assert!(matches!(close, Keys::Dense { .. }));
        assert_eq!(
            [7, 0, u64::MAX - 1, 9, 10, u64::MAX].map(|key| close.find(key)),
            [0, NOWHERE, 2, 3, NOWHERE, NOWHERE]
        );
        let wide: Vec<Option<u64>> = (0..1000).map(|row| (row != 500).then_some(row << 50 | 5)).collect();
        let wide = keys(&wide);
        assert!(matches!(wide, Keys::Spread { .. }));
        let found: Vec<u32> = (0..1000).map(|row| wide.find(row << 50 | 5)).collect();
        assert!(
            found.iter().zip(0_u32..).all(|(found, row)| *found == if row == 500 { NOWHERE } else { row })
        );
        assert_eq!(wide.find(6), NOWHERE);
        let mut wanted = Bits::default();
        assert!(wanted.insert(2) && wanted.insert(3));
        assert_eq!(close.of(&wanted), [u64::MAX - 1, 9]);
        let mut spread = wide.of(&wanted);
        spread.sort_unstable();
        assert_eq!(spread, [2 << 50 | 5, 3 << 50 | 5]);
        assert_eq!(keys(&[]).find(0), NOWHERE);
    }

    #[test]
    fn keys_that_count_the_rows_are_found_without_a_list() {
        let straight = keys(&[Some(u64::MAX - 1), Some(u64::MAX), Some(0), Some(1)]);
        assert!(matches!(straight, Keys::Straight { .. }));
        assert_eq!(straight.size(), 0);
        assert_eq!(
            [u64::MAX - 2, u64::MAX - 1, 0, 1, 2].map(|key| straight.find(key)),
            [NOWHERE, 0, 2, 3, NOWHERE]
        );
        let mut wanted = Bits::default();
        assert!(wanted.insert(0) && wanted.insert(3));
        assert_eq!(straight.of(&wanted), [u64::MAX - 1, 1]);
        for other in [[Some(2), Some(1)], [Some(1), Some(3)], [None, Some(1)]] {
            assert!(matches!(keys(&other), Keys::Dense { .. }), "{other:?}");
        }
    }

    #[test]
    fn two_rows_with_one_key_are_refused() {
        for second in [1, u64::MAX >> 1] {
            let mut gathered = Gathered::with_capacity(3);
            [1, second, 1].iter().for_each(|number| gathered.push(Some(*number)));
            assert!(Keys::new(&gathered).is_err());
        }
    }

    #[test]
    fn a_set_tells_its_rows() {
        let mut bits = Bits::default();
        assert!(bits.insert(70) && bits.insert(3) && !bits.insert(70));
        assert_eq!(bits.iter().collect::<Vec<_>>(), [3, 70]);
    }
}
