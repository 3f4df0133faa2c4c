//! Short rows that go out as they are, of tables that nothing refers to: read with what they name in one scan, and not a
//! second time by where they lie.

use std::cell::Cell;

use crate::catalogue::Table;
use crate::copy::Rows;
use crate::mask::Kind;
use crate::rules::Rules;
use crate::server::quoted;

/// Bytes that all such rows may take. What does not fit is read again.
const ROOM: usize = 16 << 20;
/// Bytes of a row as it lies in the source, on average.
const LONGEST: f64 = 100.0;
const NULL: u8 = u8::MAX;

/// What is left of the room.
pub(super) struct Room(Cell<usize>);

impl Default for Room {
    fn default() -> Self {
        Self(Cell::new(ROOM))
    }
}

/// Fields one after another, each behind its length in one byte.
#[derive(Default)]
pub(crate) struct Short {
    bytes: Vec<u8>,
    width: usize,
}

/// The columns that go out, where the rows of a table are short and go out as they are.
pub(super) fn columns(table: &Table, rules: &Rules, index: usize) -> Option<Vec<String>> {
    #[expect(clippy::cast_precision_loss, reason = "an estimate")]
    let known = table.bytes() as f64 <= LONGEST * table.rows();
    // A table of which the server has no statistics is small or young: what it holds is tried.
    let short = known || table.rows() < 1.0;
    let sent = || table.columns.iter().enumerate().filter(|(_, column)| !column.generated);
    let as_it_is = |(at, column): (usize, &crate::catalogue::Column)| {
        !column.as_text && rules.mask(index, at).is_none_or(|masked| masked.kind == Kind::Keep)
    };
    (short && sent().all(as_it_is)).then(|| sent().map(|(_, column)| quoted(&column.name)).collect())
}

impl Short {
    pub(super) fn new(width: usize) -> Self {
        Self { bytes: Vec::new(), width }
    }

    /// False when there is no room for the row.
    pub(super) fn push(&mut self, row: &[u8], room: &Room) -> bool {
        let left = room.0.get().checked_sub(row.len());
        if let Some(left) = left {
            room.0.set(left);
            self.bytes.extend_from_slice(row);
        }
        left.is_some()
    }

    pub(super) fn shrink(&mut self) {
        self.bytes.shrink_to_fit();
    }

    /// Gives the room back.
    pub(super) fn forget(self, room: &Room) {
        room.0.set(room.0.get() + self.bytes.len());
    }

    /// The fields of the row that begins at `at`, which goes to the next one.
    pub(crate) fn row<'s>(&'s self, at: &mut usize, fields: &mut Vec<Option<&'s [u8]>>) {
        fields.clear();
        for _ in 0..self.width {
            let length = self.bytes.get(*at).copied().unwrap_or(NULL);
            let from = *at + 1;
            *at = if length == NULL { from } else { from + usize::from(length) };
            fields.push(self.bytes.get(from..*at).filter(|_| length != NULL));
        }
    }
}

/// Rows of one scan, as they are held.
#[derive(Default)]
pub(super) struct Packed {
    bytes: Vec<u8>,
    /// Where each row ends, and whether it is all there.
    ends: Vec<(u32, bool)>,
}

impl Packed {
    pub(super) fn push(&mut self, rows: &Rows, fields: &[usize]) {
        let before = self.bytes.len();
        let fits = fields.iter().all(|field| self.field(rows.field(*field)));
        if !fits {
            self.bytes.truncate(before);
        }
        self.ends.push((u32::try_from(self.bytes.len()).unwrap_or(u32::MAX), fits));
    }

    fn field(&mut self, value: Option<&[u8]>) -> bool {
        let length = value.map_or(Some(NULL), |value| u8::try_from(value.len()).ok());
        let length = length.filter(|length| value.is_none() || *length != NULL);
        self.bytes.extend(length);
        self.bytes.extend_from_slice(value.unwrap_or_default());
        length.is_some()
    }

    /// `None` where a field was too long.
    pub(super) fn row(&self, at: usize) -> Option<&[u8]> {
        let (to, fits) = self.ends.get(at)?;
        let from = at.checked_sub(1).and_then(|before| self.ends.get(before)).map_or(0, |(end, _)| *end);
        self.bytes.get(from as usize..*to as usize).filter(|_| *fits)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::copy::Writer;

    fn packed(rows: &[&[Option<&[u8]>]]) -> Packed {
        let mut packed = Packed::default();
        for values in rows {
            let (mut writer, mut rows) = (Writer::default(), Rows::default());
            writer.row(values.len());
            values.iter().for_each(|value| writer.field(*value));
            rows.push(writer.take());
            assert!(rows.advance().unwrap());
            packed.push(&rows, &(0..values.len()).collect::<Vec<_>>());
        }
        packed
    }

    #[test]
    fn rows_come_back_as_they_came() {
        let (room, longest) = (Room::default(), [7; 254]);
        let all: [&[Option<&[u8]>]; 3] = [&[Some(b"one"), None], &[Some(b""), Some(&longest)], &[None, None]];
        let (packed, mut short) = (packed(&all), Short::new(2));
        assert!((0..3).all(|row| short.push(packed.row(row).unwrap(), &room)));
        let (mut at, mut fields) = (0, Vec::new());
        for row in all {
            short.row(&mut at, &mut fields);
            assert_eq!(fields, row);
        }
    }

    #[test]
    fn what_does_not_fit_is_not_held() {
        let packed = packed(&[&[Some(b"1234567")], &[Some(&[7; 255])], &[None]]);
        assert_eq!((packed.row(1), packed.row(2), packed.row(3)), (None, Some([NULL].as_slice()), None));
        let little = Room(Cell::new(8));
        let mut short = Short::new(1);
        assert!(short.push(packed.row(0).unwrap(), &little));
        assert!(!short.push(packed.row(2).unwrap(), &little));
        short.forget(&little);
        assert_eq!(little.0.get(), 8);
    }
}
