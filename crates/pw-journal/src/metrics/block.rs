//! Figures of one subject over a stretch of time, as small as they can be told.
//!
//! Column by column, since a figure is like itself a moment ago: sums as differences, what stays zero as one byte.

use std::collections::BTreeMap;

/// One figure over some seconds: the sum of what it was in each, and the most. No value is rounded on the way from
/// seconds to hours.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Figure {
    pub sum: u64,
    pub max: u64,
    /// In which it was known.
    pub seconds: u64,
}

/// Slots of time, with all figures of each.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Block {
    pub(super) points: BTreeMap<u64, Vec<Figure>>,
}

const UNKNOWN: u64 = 0;
const ZERO: u64 = 1;
const VALUES: u64 = 2;
/// The same, where some seconds were not known.
const HOLES: u64 = 3;

impl Figure {
    pub(super) fn of(value: Option<u64>) -> Self {
        value.map_or_else(Self::default, |value| Self { sum: value, max: value, seconds: 1 })
    }

    fn add(&mut self, other: Self) {
        self.sum = self.sum.saturating_add(other.sum);
        self.max = self.max.max(other.max);
        self.seconds = self.seconds.saturating_add(other.seconds);
    }

    /// `None` where it was never known.
    pub fn mean(self) -> Option<f64> {
        (self.seconds > 0).then(|| self.sum as f64 / self.seconds as f64)
    }

    /// The least that the most can be.
    fn floor(self) -> u64 {
        self.sum.div_ceil(self.seconds.max(1))
    }
}

impl Block {
    /// Adds what was in one second to its slot.
    pub(super) fn add(&mut self, slot: u64, values: &[Option<u64>]) {
        let figures = self.points.entry(slot).or_default();
        figures.resize(figures.len().max(values.len()), Figure::default());
        figures.iter_mut().zip(values).for_each(|(figure, value)| figure.add(Figure::of(*value)));
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        let columns = self.points.values().map(Vec::len).max().unwrap_or(0);
        let mut bytes = Vec::new();
        put(&mut bytes, self.points.len() as u64);
        put(&mut bytes, columns as u64);
        let mut last = 0;
        for (slot, figures) in &self.points {
            put(&mut bytes, slot - last);
            put(&mut bytes, seen(figures));
            last = *slot;
        }
        for column in 0..columns {
            let of = |figures: &Vec<Figure>| figures.get(column).copied().unwrap_or_default();
            let column: Vec<(Figure, u64)> =
                self.points.values().map(|figures| (of(figures), seen(figures))).collect();
            encode_column(&mut bytes, &column);
        }
        bytes
    }

    /// `None` for what nobody of us wrote.
    pub(super) fn decode(mut bytes: &[u8]) -> Option<Self> {
        let bytes = &mut bytes;
        let (points, columns) = (take(bytes)?, take(bytes)?);
        // Each point and each column takes a byte at least.
        if points > bytes.len() as u64 || columns > bytes.len() as u64 {
            return None;
        }
        let (mut slot, mut slots) = (0_u64, Vec::new());
        for _ in 0..points {
            slot = slot.checked_add(take(bytes)?)?;
            slots.push((slot, take(bytes)?));
        }
        let mut all = vec![Vec::new(); slots.len()];
        for _ in 0..columns {
            decode_column(bytes, &slots, &mut all)?;
        }
        Some(Self { points: slots.into_iter().map(|(slot, _)| slot).zip(all).collect() })
    }
}

/// Seconds in which anything was known.
fn seen(figures: &[Figure]) -> u64 {
    figures.iter().map(|figure| figure.seconds).max().unwrap_or(0)
}

fn encode_column(bytes: &mut Vec<u8>, column: &[(Figure, u64)]) {
    let kind = match column {
        all if all.iter().all(|(figure, _)| figure.seconds == 0) => UNKNOWN,
        all if all.iter().any(|(figure, seen)| figure.seconds != *seen) => HOLES,
        all if all.iter().all(|(figure, _)| figure.max == 0) => ZERO,
        _ => VALUES,
    };
    put(bytes, kind);
    if kind == UNKNOWN || kind == ZERO {
        return;
    }
    let mut before = 0;
    for (figure, seen) in column {
        if kind == HOLES {
            put(bytes, seen - figure.seconds);
        }
        put(bytes, zigzag(figure.sum.wrapping_sub(before)));
        before = figure.sum;
        // Of a single second the most is the sum.
        if figure.seconds > 1 {
            put(bytes, figure.max.saturating_sub(figure.floor()));
        }
    }
}

fn decode_column(bytes: &mut &[u8], slots: &[(u64, u64)], all: &mut [Vec<Figure>]) -> Option<()> {
    let kind = take(bytes)?;
    let mut before = 0_u64;
    for ((_, seen), figures) in slots.iter().zip(all) {
        figures.push(match kind {
            UNKNOWN => Figure::default(),
            ZERO => Figure { seconds: *seen, ..Figure::default() },
            VALUES | HOLES => {
                let missing = if kind == HOLES { take(bytes)? } else { 0 };
                let seconds = seen.checked_sub(missing)?;
                before = before.wrapping_add(unzigzag(take(bytes)?));
                let figure = Figure { sum: before, max: before, seconds };
                let more = if seconds > 1 { Some(take(bytes)?) } else { None };
                let max = more.map_or(before, |more| figure.floor().saturating_add(more));
                Figure { max, ..figure }
            }
            _ => return None,
        });
    }
    Some(())
}

/// Small differences of either sign become small numbers.
fn zigzag(difference: u64) -> u64 {
    let signed = difference.cast_signed();
    ((signed << 1) ^ (signed >> 63)).cast_unsigned()
}

fn unzigzag(number: u64) -> u64 {
    (number >> 1) ^ (number & 1).wrapping_neg()
}

/// Seven bits a byte, the lowest first.
fn put(bytes: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        bytes.push((number & 0x7f) as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
}

fn take(bytes: &mut &[u8]) -> Option<u64> {
    let mut number = 0_u64;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        number |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_and_damage_is_answered() {
        let mut block = Block::default();
        for second in 0..600_u64 {
            let values = [
                Some(0),
                None,
                Some(second * 1_000_003 % 77_777),
                (second % 3 != 0).then_some(second),
                Some(if second == 5 { u64::MAX } else { 0 }),
            ];
            block.add(second / 60, &values);
        }
        block.add(30, &[Some(7)]);
        let bytes = block.encode();
        let again = Block::decode(&bytes).expect("reads");
        assert_eq!(again.points.len(), 11);
        for (slot, figures) in &block.points {
            for (at, figure) in figures.iter().enumerate() {
                assert_eq!(again.points[slot][at], *figure, "slot {slot}, figure {at}");
            }
        }
        assert_eq!(again.points[&0][3], Figure { sum: 1200, max: 59, seconds: 40 });
        for end in 0..bytes.len() {
            assert!(Block::decode(&bytes[..end]).is_none(), "a block that was cut at {end} is read");
        }
        for at in 0..bytes.len() {
            let mut damaged = bytes.clone();
            damaged[at] ^= 0x55;
            drop(Block::decode(&damaged));
        }
    }
}
