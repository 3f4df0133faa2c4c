//! Short rows that go out as they are, of tables that nothing refers to: read with what they name in one scan, and not a
//! second time by where they lie.

use std::cell::Cell;

use crate::catalogue::Table;
use crate::copy::Rows;
use crate::mask::Kind;
use crate::rules::Rules;
use crate::server::quoted;

/// Bytes that all such rows may take. What does not fit is read again.
const ROOM: usize = 24 << 20;
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

    /// False when a field is too long, or the row for the room.
    pub(super) fn push(&mut self, rows: &Rows, fields: &[usize], room: &Room) -> bool {
        let before = self.bytes.len();
        let fits = fields.iter().all(|field| self.field(rows.field(*field)));
        let left = room.0.get().checked_sub(self.bytes.len() - before).filter(|_| fits);
        match left {
            Some(left) => room.0.set(left),
            None => self.bytes.truncate(before),
        }
        left.is_some()
    }

    fn field(&mut self, value: Option<&[u8]>) -> bool {
        let length = value.map_or(Some(NULL), |value| u8::try_from(value.len()).ok());
        let length = length.filter(|length| value.is_none() || *length != NULL);
        self.bytes.extend(length);
        self.bytes.extend_from_slice(value.unwrap_or_default());
        length.is_some()
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::copy::Writer;

    fn written(values: &[Option<&[u8]>]) -> Rows {
        let (mut writer, mut rows) = (Writer::default(), Rows::default());
        writer.row(values.len());
        values.iter().for_each(|value| writer.field(*value));
        rows.push(writer.take());
        assert!(rows.advance().unwrap());
        rows
    }

    #[test]
    fn rows_come_back_as_they_came() {
        let (room, longest) = (Room::default(), [7; 254]);
        let all: [[Option<&[u8]>; 2]; 3] = [[Some(b"one"), None], [Some(b""), Some(&longest)], [None, None]];
        let mut short = Short::new(2);
        assert!(all.iter().all(|row| short.push(&written(row), &[0, 1], &room)));
        let (mut at, mut fields) = (0, Vec::new());
        for row in all {
            short.row(&mut at, &mut fields);
            assert_eq!(fields, row);
        }
    }

    #[test]
    fn what_does_not_fit_is_not_held() {
        let room = Room::default();
        assert!(!Short::new(1).push(&written(&[Some(&[7; 255])]), &[0], &room));
        let little = Room(Cell::new(8));
        let mut short = Short::new(1);
        assert!(short.push(&written(&[Some(b"1234567")]), &[0], &little));
        assert!(!short.push(&written(&[None]), &[0], &little));
        short.forget(&little);
        assert_eq!(little.0.get(), 8);
    }
}
