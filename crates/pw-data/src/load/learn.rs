//! What the masks replace is read before the first row goes out, so that each is searched for all of it.

use std::cell::RefCell;
use std::collections::VecDeque;

use futures_util::future::try_join_all;
use pw_run::Failure;

use super::aside::Aside;
use super::lane::Lane;
use super::transfer::{Piece, Transfer, pieces};
use crate::copy::Rows;
use crate::mask::Mask;
use crate::proof::Values;
use crate::server::Reader;

/// Bytes of all rows that are set aside while they are read for what must not go out. Others are read a second time.
const ROOM: f64 = 512.0 * 1024.0 * 1024.0;

impl Transfer<'_> {
    /// Reads what the masks will replace. Where there is room for them, rows with masks are read
    /// whole, masked, and set aside.
    ///
    /// # Errors
    /// The source cannot be read.
    pub async fn learn(&mut self) -> Result<(), Failure> {
        let values = RefCell::new(std::mem::take(&mut self.values));
        let proved = |table: &usize| self.lanes[*table].iter().any(|lane| lane.proved && lane.mask.is_some());
        let mut room = ROOM;
        let mut queue = VecDeque::new();
        for table in (0..self.lanes.len()).filter(proved) {
            let bytes = self.bytes(table);
            let whole = self.can_rest_aside(table) && bytes <= room;
            room -= if whole { bytes } else { 0.0 };
            queue.extend(pieces(table, &self.closure.tables[table]).into_iter().map(|piece| (piece, whole)));
        }
        let queue = RefCell::new(queue);
        let next = || queue.borrow_mut().pop_front();
        try_join_all(self.source.clients.iter().map(async |client| {
            while let Some((piece, whole)) = next() {
                match whole.then(Aside::new).and_then(Result::ok) {
                    Some(aside) => self.learn_whole(client, &piece, aside, &values).await?,
                    None => self.learn_columns(client, &piece, &values).await?,
                }
            }
            Ok::<(), Failure>(())
        }))
        .await?;
        self.values = values.into_inner();
        self.orders().await
    }

    /// As the source's statistics say.
    pub(super) fn bytes(&self, table: usize) -> f64 {
        let (known, rows) = (&self.catalogue.tables[table], self.closure.tables[table].places.len());
        #[expect(clippy::cast_precision_loss, reason = "an estimate")]
        let rows = rows as f64;
        known.bytes() as f64 / known.rows().max(1.0) * rows
    }

    /// Rows that need nothing but themselves on their way: neither where they lie nor values of others.
    fn can_rest_aside(&self, table: usize) -> bool {
        !self.is_placed(table) && !self.rests(table) && self.closure.tables[table].rows.borrow().is_none()
    }

    async fn learn_whole(
        &self,
        client: &Reader,
        piece: &Piece,
        aside: Aside,
        values: &RefCell<Values>,
    ) -> Result<(), Failure> {
        let lanes = &self.lanes[piece.table];
        let columns: Vec<&str> = lanes.iter().map(|lane| lane.select.as_str()).collect();
        let (mut aside, mut scratch) = (Some(aside), Vec::new());
        self.read(client, piece, &columns, &mut |rows: &Rows| {
            let mut values = values.borrow_mut();
            aside.iter_mut().for_each(|aside| aside.row(lanes.len()));
            for (index, lane) in lanes.iter().enumerate() {
                let value = rows.field(index);
                if let (Some(value), Some(mask), true) = (value, &lane.mask, lane.proved) {
                    mask.secrets(value, &mut |secret| values.add(secret));
                }
                if let Some(aside) = &mut aside {
                    aside.field(lane.masked(value, &mut scratch));
                }
            }
            // Where there is no room for them they are read again.
            aside.take_if(|aside| aside.pass().is_err());
        })
        .await?;
        if let Some(aside) = aside.and_then(|aside| aside.end().ok()) {
            self.aside.borrow_mut().insert((piece.table, piece.from), aside);
        }
        Ok(())
    }

    async fn learn_columns(
        &self,
        client: &Reader,
        piece: &Piece,
        values: &RefCell<Values>,
    ) -> Result<(), Failure> {
        let lanes = self.lanes[piece.table].iter().filter(|lane| lane.proved);
        let proved: Vec<(&Lane, &Mask)> =
            lanes.filter_map(|lane| Some((lane, lane.mask.as_ref()?))).collect();
        let columns: Vec<&str> = proved.iter().map(|(lane, _)| lane.name.as_str()).collect();
        self.read(client, piece, &columns, &mut |rows: &Rows| {
            let mut values = values.borrow_mut();
            for (index, (_, mask)) in proved.iter().enumerate() {
                if let Some(value) = rows.field(index) {
                    mask.secrets(value, &mut |secret| values.add(secret));
                }
            }
        })
        .await
    }
}
