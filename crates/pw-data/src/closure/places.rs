//! Where rows lie: heap, block and line.

use std::fmt::Write;

/// Heap, block and line of a row in one number, in the order of a scan.
pub(crate) fn place(heap: usize, tid: &[u8]) -> Option<u64> {
    let block = u32::from_be_bytes(tid.get(..4)?.try_into().ok()?);
    let line = u16::from_be_bytes(tid.get(4..6)?.try_into().ok()?);
    Some((heap as u64) << 48 | u64::from(block) << 16 | u64::from(line))
}

/// `"(3,7)"`, as an element of a `tid[]`.
pub(crate) fn shown(place: u64) -> String {
    let mut text = String::new();
    write(place, &mut text);
    text
}

/// The same at the end of a text.
pub(crate) fn write(place: u64, text: &mut String) {
    // Nothing can go wrong when a text is written to.
    let _ = write!(text, "\"({},{})\"", (place >> 16) & 0xffff_ffff, place & 0xffff);
}

/// The places of a table's rows, ascending. Costs two bytes a row and sixteen a block.
#[derive(Default)]
pub(crate) struct Places {
    /// Heap and block, and the first row in it.
    blocks: Vec<(u64, u32)>,
    lines: Vec<u16>,
}

fn line(place: u64) -> u16 {
    u16::try_from(place & 0xffff).unwrap_or_default()
}

impl Places {
    /// False when it does not come after the last.
    pub(crate) fn push(&mut self, place: u64) -> bool {
        let (block, row) = (place >> 16, self.len());
        match self.blocks.last() {
            Some((last, _)) if *last > block => return false,
            Some((last, _)) if *last == block => {
                if self.lines.last().is_some_and(|last| *last >= line(place)) {
                    return false;
                }
            }
            _ => self.blocks.push((block, row)),
        }
        self.lines.push(line(place));
        true
    }

    pub(crate) fn len(&self) -> u32 {
        u32::try_from(self.lines.len()).unwrap_or(super::keys::GONE)
    }

    pub(crate) fn get(&self, row: u32) -> Option<u64> {
        let line = self.lines.get(row as usize)?;
        let at = self.blocks.partition_point(|(_, first)| *first <= row).checked_sub(1)?;
        Some(self.blocks[at].0 << 16 | u64::from(*line))
    }

    /// The places of these rows, which ascend.
    pub(crate) fn of(&self, rows: impl Iterator<Item = u32>) -> impl Iterator<Item = (u32, u64)> {
        let mut block = 0;
        rows.map_while(move |row| {
            let line = self.lines.get(row as usize)?;
            while self.blocks.get(block + 1).is_some_and(|(_, first)| *first <= row) {
                block += 1;
            }
            Some((row, self.blocks.get(block)?.0 << 16 | u64::from(*line)))
        })
    }

    pub(crate) fn row(&self, place: u64) -> Option<u32> {
        let at = self.blocks.binary_search_by_key(&(place >> 16), |(block, _)| *block).ok()?;
        let from = self.blocks[at].1 as usize;
        let to = self.blocks.get(at + 1).map_or(self.lines.len(), |(_, first)| *first as usize);
        let found = self.lines[from..to].binary_search(&line(place)).ok()?;
        u32::try_from(from + found).ok()
    }

    /// In bytes.
    pub(crate) fn size(&self) -> usize {
        self.lines.capacity() * 2 + self.blocks.capacity() * 16
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_keeps_its_parts() {
        let tid = [0, 1, 0, 2, 0, 7];
        let packed = place(3, &tid).unwrap();
        assert_eq!((packed >> 48, shown(packed).as_str()), (3, "\"(65538,7)\""));
    }

    #[test]
    fn rows_and_places_find_each_other() {
        let all: Vec<u64> = [(0, 0, 1), (0, 0, 3), (0, 9, 2), (1, 0, 1), (1, 5, 65535)]
            .map(|(heap, block, line): (u64, u64, u64)| heap << 48 | block << 16 | line)
            .to_vec();
        let mut places = Places::default();
        assert!(all.iter().all(|place| places.push(*place)));
        assert!(!places.push(all[4]) && !places.push(all[0]), "only ascending");
        for (place, row) in all.iter().zip(0..) {
            assert_eq!((places.get(row), places.row(*place)), (Some(*place), Some(row)));
        }
        let some: Vec<(u32, u64)> = places.of([1, 3, 4, 9].into_iter()).collect();
        assert_eq!(some, [(1, all[1]), (3, all[3]), (4, all[4])]);
        assert_eq!((places.len(), places.get(5), places.row(2)), (5, None, None));
    }
}
