//! What everything used, for two years, in bounded space: seconds for an hour, minutes for a month, hours for two years.
//!
//! Every second is added to the block of its minute, its hour and its day at once, so that a minute's sum is that of its
//! seconds and nothing else. Blocks that still grow stand apart from those that never change again, which therefore lie
//! close together.
//!
//! A power cut loses the last minute: figures are not worth waiting for a disk.

mod block;

use std::collections::BTreeMap;
use std::path::Path;

use pw_run::JournalFailure;
use rusqlite::{Connection, OptionalExtension as _, Transaction, params};

use crate::failure::At;
use crate::file;
use block::Block;

pub use block::Figure;

/// Bytes of the file beyond which the oldest minutes go before their month is over. Twenty containers, all of them busy in
/// every second of two years, need less than three quarters of that.
pub const MOST: u64 = 256 << 20;
/// Several blocks of an hour's minutes lie on one page.
const PAGE: u32 = 8192;
/// SQLite's log beside the file is cut to this.
const LOG: u32 = 16 << 20;

const TABLES: &str = "
    CREATE TABLE IF NOT EXISTS subjects (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE) STRICT;
    CREATE TABLE IF NOT EXISTS growing (
        tier INTEGER NOT NULL, start INTEGER NOT NULL, subject INTEGER NOT NULL, data BLOB NOT NULL,
        PRIMARY KEY (tier, start, subject)
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE IF NOT EXISTS blocks (
        id INTEGER PRIMARY KEY, tier INTEGER NOT NULL, start INTEGER NOT NULL, subject INTEGER NOT NULL,
        data BLOB NOT NULL
    ) STRICT;
    CREATE UNIQUE INDEX IF NOT EXISTS blocks_in_order ON blocks (tier, start, subject);
";

/// How finely the past is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Tier {
    Second,
    Minute,
    Hour,
}

/// What one subject was in one second; the figures stand where they always stand, and new ones come at the end.
#[derive(Debug, Clone, PartialEq)]
pub struct Sample {
    /// Seconds since 1970.
    pub at: i64,
    pub subject: String,
    pub values: Vec<Option<u64>>,
}

/// The past of all subjects.
#[derive(Debug)]
pub struct Metrics {
    connection: Connection,
    at: At,
    most: u64,
}

type Key = (Tier, i64, i64);

impl Tier {
    pub const ALL: [Self; 3] = [Self::Second, Self::Minute, Self::Hour];

    /// Seconds of one slot.
    pub fn step(self) -> i64 {
        match self {
            Self::Second => 1,
            Self::Minute => 60,
            Self::Hour => 3600,
        }
    }

    /// Seconds of one block.
    fn span(self) -> i64 {
        match self {
            Self::Second => 60,
            Self::Minute => 3600,
            Self::Hour => 24 * 3600,
        }
    }

    /// Seconds after which it is forgotten.
    pub fn kept(self) -> i64 {
        match self {
            Self::Second => 3600,
            Self::Minute => 31 * 24 * 3600,
            Self::Hour => 2 * 366 * 24 * 3600,
        }
    }

    fn number(self) -> i64 {
        match self {
            Self::Second => 0,
            Self::Minute => 1,
            Self::Hour => 2,
        }
    }
}

impl Metrics {
    /// Opens the file and makes what is missing.
    pub fn open(path: &Path) -> Result<Self, JournalFailure> {
        let at = At::new(path);
        file::prepare(path).map_err(at.failed("open"))?;
        let connection = Connection::open(path).map_err(at.failed("open"))?;
        let prepared = connection
            .pragma_update(None, "page_size", PAGE)
            .and_then(|()| connection.pragma_update(None, "journal_mode", "WAL"))
            .and_then(|()| connection.pragma_update(None, "synchronous", "NORMAL"))
            .and_then(|()| connection.pragma_update(None, "journal_size_limit", LOG))
            .and_then(|()| connection.execute_batch(TABLES));
        prepared.map_err(at.failed("prepare"))?;
        Ok(Self { connection, at, most: MOST })
    }

    /// Opens the file for reading only; `None` when there is none, or nothing in it yet.
    pub fn open_read_only(path: &Path) -> Result<Option<Self>, JournalFailure> {
        let at = At::new(path);
        if !path.try_exists().map_err(at.failed("open"))? {
            return Ok(None);
        }
        let connection = file::read_only(path).map_err(at.failed("open"))?;
        let query = "SELECT count(*) FROM sqlite_master WHERE type = 'table' AND name = 'blocks'";
        let tables =
            connection.query_row(query, [], |row| row.get::<_, i64>(0)).map_err(at.failed("read"))?;
        Ok((tables > 0).then_some(Self { connection, at, most: MOST }))
    }

    /// Writes all of these in one go, and forgets what is old.
    ///
    /// # Errors
    /// The disk is full, for example. Then nothing of it is written, and it may be tried again.
    pub fn write(&mut self, samples: &[Sample]) -> Result<(), JournalFailure> {
        let Some(newest) = samples.iter().map(|sample| sample.at).max() else { return Ok(()) };
        let written = self.connection.transaction().and_then(|transaction| {
            let ids = subjects(&transaction, samples)?;
            for ((tier, start, subject), block) in grown(&transaction, samples, &ids)? {
                save(&transaction, (tier, start, subject), &block)?;
            }
            settle(&transaction, newest)?;
            forget(&transaction)?;
            transaction.commit()
        });
        written.and_then(|()| self.shrink()).map_err(self.at.failed("write"))
    }

    /// What a subject was from `from` on and before `to`, slot by slot: when each begins, and its figures.
    pub fn read(
        &self,
        tier: Tier,
        subject: &str,
        (from, to): (i64, i64),
    ) -> Result<Vec<(i64, Vec<Figure>)>, JournalFailure> {
        self.blocks(tier, subject, (from, to)).map_err(self.at.failed("read")).map(|blocks| {
            let points = blocks.into_iter().flat_map(|(start, block)| {
                let time =
                    move |slot: u64| start.saturating_add(slot.cast_signed().saturating_mul(tier.step()));
                block.points.into_iter().map(move |(slot, figures)| (time(slot), figures))
            });
            points.filter(|(time, _)| (from..to).contains(time)).collect()
        })
    }

    fn blocks(
        &self,
        tier: Tier,
        subject: &str,
        (from, to): (i64, i64),
    ) -> rusqlite::Result<BTreeMap<i64, Block>> {
        let query = "SELECT start, data FROM (
                SELECT tier, start, subject, data FROM blocks UNION ALL SELECT tier, start, subject, data FROM growing
            ) WHERE tier = ? AND start > ? AND start < ? AND subject = (SELECT id FROM subjects WHERE name = ?)";
        let mut query = self.connection.prepare_cached(query)?;
        let rows = query.query_map(params![tier.number(), from - tier.span(), to, subject], |row| {
            Ok((row.get(0)?, Block::decode(&row.get::<_, Vec<u8>>(1)?).unwrap_or_default()))
        })?;
        rows.collect()
    }

    /// Bytes in use, of the file as a whole.
    pub fn size(&self) -> Result<u64, JournalFailure> {
        self.used().map_err(self.at.failed("read"))
    }

    fn used(&self) -> rusqlite::Result<u64> {
        let pragma = |name: &str| self.connection.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
        let pages = pragma("page_count")? - pragma("freelist_count")?;
        Ok(pages.unsigned_abs() * pragma("page_size")?.unsigned_abs())
    }

    /// The oldest days of minutes go until there is room.
    fn shrink(&self) -> rusqlite::Result<()> {
        while self.used()? > self.most {
            let query = "SELECT min(start) FROM blocks WHERE tier = ?";
            let minutes = [Tier::Minute.number()];
            let oldest: Option<i64> = self.connection.query_row(query, minutes, |row| row.get(0))?;
            let Some(oldest) = oldest else { return Ok(()) };
            let end = oldest + Tier::Hour.span();
            let query = "DELETE FROM blocks WHERE tier = ? AND start < ?";
            self.connection.execute(query, params![Tier::Minute.number(), end])?;
        }
        Ok(())
    }
}

fn subjects(transaction: &Transaction<'_>, samples: &[Sample]) -> rusqlite::Result<BTreeMap<String, i64>> {
    let mut ids = BTreeMap::new();
    for Sample { subject, .. } in samples {
        if ids.contains_key(subject) {
            continue;
        }
        let query = "INSERT INTO subjects (name) VALUES (?) ON CONFLICT (name) DO NOTHING";
        transaction.prepare_cached(query)?.execute([subject])?;
        let query = "SELECT id FROM subjects WHERE name = ?";
        let id = transaction.prepare_cached(query)?.query_row([subject], |row| row.get(0))?;
        ids.insert(subject.clone(), id);
    }
    Ok(ids)
}

/// The blocks that these samples belong to, with them.
fn grown(
    transaction: &Transaction<'_>,
    samples: &[Sample],
    ids: &BTreeMap<String, i64>,
) -> rusqlite::Result<BTreeMap<Key, Block>> {
    let mut blocks: BTreeMap<Key, Block> = BTreeMap::new();
    for Sample { at, subject, values } in samples {
        let id = ids.get(subject).copied().unwrap_or_default();
        for tier in Tier::ALL {
            let start = at - at.rem_euclid(tier.span());
            let key = (tier, start, id);
            let block = match blocks.entry(key) {
                std::collections::btree_map::Entry::Occupied(block) => block.into_mut(),
                std::collections::btree_map::Entry::Vacant(place) => place.insert(load(transaction, key)?),
            };
            block.add(((at - start) / tier.step()).unsigned_abs(), values);
        }
    }
    Ok(blocks)
}

/// Empty where there is none. A clock that was set back comes to blocks that were thought to be whole.
fn load(transaction: &Transaction<'_>, (tier, start, subject): Key) -> rusqlite::Result<Block> {
    let key = params![tier.number(), start, subject];
    for table in ["growing", "blocks"] {
        let query = format!("SELECT data FROM {table} WHERE tier = ? AND start = ? AND subject = ?");
        let data: Option<Vec<u8>> =
            transaction.prepare_cached(&query)?.query_row(key, |row| row.get(0)).optional()?;
        if let Some(data) = data {
            return Ok(Block::decode(&data).unwrap_or_default());
        }
    }
    Ok(Block::default())
}

fn save(transaction: &Transaction<'_>, (tier, start, subject): Key, block: &Block) -> rusqlite::Result<()> {
    let query = "REPLACE INTO growing (tier, start, subject, data) VALUES (?, ?, ?, ?)";
    transaction.prepare_cached(query)?.execute(params![tier.number(), start, subject, block.encode()])?;
    let query = "DELETE FROM blocks WHERE tier = ? AND start = ? AND subject = ?";
    transaction.prepare_cached(query)?.execute(params![tier.number(), start, subject])?;
    Ok(())
}

/// What is over does not grow any more.
fn settle(transaction: &Transaction<'_>, newest: i64) -> rusqlite::Result<()> {
    for tier in Tier::ALL {
        let over = params![tier.number(), newest - tier.span()];
        let query = "INSERT INTO blocks (tier, start, subject, data)
            SELECT tier, start, subject, data FROM growing WHERE tier = ? AND start <= ?";
        if transaction.prepare_cached(query)?.execute(over)? > 0 {
            transaction.prepare_cached("DELETE FROM growing WHERE tier = ? AND start <= ?")?.execute(over)?;
        }
    }
    Ok(())
}

/// Blocks are counted, for the clock may be wrong: one from the future must not make all that was forgotten.
fn forget(transaction: &Transaction<'_>) -> rusqlite::Result<()> {
    let mut gone = 0;
    for tier in Tier::ALL {
        let query = "SELECT start FROM blocks WHERE tier = ?1 UNION SELECT start FROM growing WHERE tier = ?1
            ORDER BY start DESC LIMIT 1 OFFSET ?2";
        let counted = params![tier.number(), tier.kept() / tier.span() + 1];
        let old: Option<i64> =
            transaction.prepare_cached(query)?.query_row(counted, |row| row.get(0)).optional()?;
        let Some(old) = old else { continue };
        for table in ["blocks", "growing"] {
            let query = format!("DELETE FROM {table} WHERE tier = ? AND start <= ?");
            gone += transaction.prepare_cached(&query)?.execute(params![tier.number(), old])?;
        }
    }
    if gone > 0 {
        let query = "DELETE FROM subjects WHERE id NOT IN (SELECT subject FROM blocks UNION SELECT subject FROM growing)";
        transaction.prepare_cached(query)?.execute([])?;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
