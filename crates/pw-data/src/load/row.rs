//! One row on its way: cleared, masked, searched, written.

use super::outlet::Outlet;
use super::permute::Swapped;
use super::transfer::{Leak, Piece, Transfer};
use crate::copy::Rows;

/// What is known of a row.
pub(super) struct Given<'s, F> {
    /// Its columns, in the order of the lanes.
    pub(super) field: F,
    pub(super) swapped: &'s Swapped,
    /// True where the masks were applied when it was read.
    pub(super) is_masked: bool,
}

impl Transfer<'_> {
    /// Writes the row of a table that lies at `place`.
    pub(super) fn row<'r, F: Fn(usize) -> Option<&'r [u8]>>(
        &self,
        (table, place): (usize, Option<u64>),
        Given { field, swapped, is_masked }: Given<'_, F>,
        outlet: &mut Outlet<'_>,
        scratch: &mut Vec<u8>,
    ) {
        let lanes = &self.lanes[table];
        let cleared = self.cleared(table, place);
        let mut gets = place.and_then(|place| swapped.get(&place)).into_iter().flatten();
        outlet.row(lanes.len());
        self.moved.row(table);
        for (index, lane) in lanes.iter().enumerate() {
            let value = match &lane.permutation {
                // What is named by the row from which it comes decides there whether it is cleared.
                Some(_) => gets.next().and_then(Option::as_deref),
                None => field(index).filter(|_| !cleared.contains(&lane.column)),
            };
            let value = if is_masked { value } else { lane.masked(value, scratch) };
            if let Some(value) = value.filter(|_| lane.searched)
                && self.values.find(value).is_some()
            {
                self.leaked(Leak { table, column: lane.column });
            }
            if lane.names_object {
                self.noted(value, Leak { table, column: lane.column });
            }
            match (value, lane.element) {
                (Some(value), Some(element)) if value.len() >= 12 => {
                    let mut patched = value.to_vec();
                    patched[8..12].copy_from_slice(&element.to_be_bytes());
                    outlet.field(Some(&patched));
                }
                (value, _) if lane.orders => outlet.key(value),
                (value, _) => outlet.field(value),
            }
        }
    }

    fn noted(&self, value: Option<&[u8]>, column: Leak) {
        if let Some(number) = value.and_then(number) {
            self.numbers.borrow_mut().entry(number).or_insert(column);
        }
    }

    pub(super) fn leaked(&self, leak: Leak) {
        let mut leaks = self.leaks.borrow_mut();
        if !leaks.contains(&leak) {
            leaks.push(leak);
        }
    }

    pub(super) fn place(&self, piece: &Piece, rows: &Rows) -> Option<u64> {
        let heaps = &self.closure.tables[piece.table].heaps;
        let heap = heaps.iter().position(|oid| *oid == piece.heap).unwrap_or_default();
        rows.field(0).and_then(|tid| crate::closure::place(heap, tid))
    }

    /// Columns to be cleared in this row, for what they name does not come along.
    pub(super) fn cleared(&self, table: usize, place: Option<u64>) -> Vec<usize> {
        let taken = &self.closure.tables[table];
        if taken.cleared.is_empty() {
            return Vec::new();
        }
        let references = place.and_then(|place| taken.cleared.get(&place)).into_iter().flatten();
        let columns = &self.catalogue.tables[table].columns;
        references
            .flat_map(|index| self.catalogue.references[*index].columns.iter().copied())
            .filter(|column| !columns[*column].not_null)
            .collect()
    }
}

/// Of four or eight bytes.
fn number(value: &[u8]) -> Option<u32> {
    match value.len() {
        4 => value.try_into().ok().map(u32::from_be_bytes),
        8 => value.try_into().ok().and_then(|bytes| u32::try_from(u64::from_be_bytes(bytes)).ok()),
        _ => None,
    }
}
