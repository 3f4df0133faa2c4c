//! What is read from the source to find the rows: places, keys and references; no other column.

use std::cell::RefCell;
use std::collections::{HashMap, HashSet, VecDeque};

use futures_util::future::try_join_all;
use pw_run::Failure;

use super::apart::{Apart, Ask, Batch};
use super::keys::{Bits, NOWHERE};
use super::owned::{Part, part};
use super::places::{Places, place};
use super::read::{KeySet, Way};
use super::short::{self, Room, Short};
use super::walk::Walk;
use crate::catalogue::{Catalogue, Table};
use crate::copy::Rows;
use crate::rules::{Rules, Size};
use crate::server::{Source, scan};

/// A table whose rows are known by number.
#[derive(Default)]
pub(super) struct Node {
    pub(super) heaps: Vec<u32>,
    pub(super) places: Places,
    /// One for each set of columns that references lead to.
    pub(super) keys: Vec<KeySet>,
    /// For each reference that leaves the table: the row it names.
    pub(super) links: Vec<Vec<u32>>,
    pub(super) excluded: Bits,
    pub(super) cohort: Bits,
    pub(super) down: Bits,
    pub(super) up: Bits,
}

/// A table that nothing refers to, after its one scan.
#[derive(Default)]
pub(super) struct Leaf {
    pub(super) heaps: Vec<u32>,
    pub(super) places: Vec<u64>,
    pub(super) cleared: HashMap<u64, Vec<usize>>,
    /// For each reference that leaves it: the rows it needs.
    pub(super) needs: Vec<Bits>,
    pub(super) trace: Vec<(u64, usize, u32)>,
    /// The rows whole, where they are short.
    pub(super) rows: Option<Short>,
}

impl Leaf {
    /// Gives back what was reserved for rows that did not come.
    fn shrink(&mut self) {
        self.places.shrink_to_fit();
        self.rows.iter_mut().for_each(Short::shrink);
    }

    /// Holds a row whole, or none of them.
    fn hold(&mut self, row: Option<&[u8]>, room: &Room) {
        if self.rows.as_mut().is_some_and(|short| !row.is_some_and(|row| short.push(row, room))) {
            self.rows.take().into_iter().for_each(|short| short.forget(room));
        }
    }
}

/// Does one thing for each table, as many at once as there are connections.
async fn each_table<T>(
    apart: &[Apart<'_>],
    tables: Vec<usize>,
    work: impl AsyncFn(&Apart<'_>, usize) -> Result<T, Failure>,
) -> Result<Vec<(usize, T)>, Failure> {
    let queue = RefCell::new(VecDeque::from(tables));
    let done = RefCell::new(Vec::new());
    let next = || queue.borrow_mut().pop_front();
    try_join_all(apart.iter().map(async |apart| {
        while let Some(table) = next() {
            let answer = work(apart, table).await?;
            done.borrow_mut().push((table, answer));
        }
        Ok::<(), Failure>(())
    }))
    .await?;
    Ok(done.into_inner())
}

/// What a scan of places begins with: only the rows of a partitioned table must say in which heap they lie.
pub(super) struct Lead {
    partitioned: bool,
    pub(super) heaps: Vec<u32>,
}

impl Lead {
    pub(super) fn new(table: &Table) -> Self {
        let heaps = if table.partitioned { Vec::new() } else { vec![table.oid] };
        Self { partitioned: table.partitioned, heaps }
    }

    /// Fields before those that were asked for.
    pub(super) fn width(&self) -> usize {
        1 + usize::from(self.partitioned)
    }

    pub(super) fn place(&mut self, rows: &Rows) -> Result<u64, Failure> {
        let malformed = || Failure::new("a row came without its place");
        let heap = if self.partitioned {
            let oid = rows.field(1).and_then(|field| field.try_into().ok()).map(u32::from_be_bytes);
            self.heap(oid.ok_or_else(malformed)?)
        } else {
            0
        };
        place(heap, rows.field(0).unwrap_or_default()).ok_or_else(malformed)
    }

    fn heap(&mut self, oid: u32) -> usize {
        match self.heaps.last() {
            Some(last) if *last == oid => self.heaps.len() - 1,
            _ => self.heaps.iter().position(|known| *known == oid).unwrap_or_else(|| {
                self.heaps.push(oid);
                self.heaps.len() - 1
            }),
        }
    }
}

/// The columns of a scan behind its lead: each is read once, for however many keys it stands.
pub(super) struct Asked {
    columns: Vec<String>,
    before: usize,
}

impl Asked {
    pub(super) fn new(lead: &Lead) -> Self {
        Self { columns: Vec::new(), before: lead.width() }
    }

    /// The fields of each row in which these stand.
    pub(super) fn fields(&mut self, wanted: impl Iterator<Item = String>) -> Vec<usize> {
        let mut field = |column: String| {
            let known = self.columns.iter().position(|known| *known == column);
            self.before
                + known.unwrap_or_else(|| {
                    self.columns.push(column);
                    self.columns.len() - 1
                })
        };
        wanted.map(&mut field).collect()
    }

    pub(super) fn select(&self, table: &Table, filter: Option<&str>) -> String {
        let list: String = self.columns.iter().map(|column| format!(", {column}")).collect();
        let filter = filter.map(|filter| format!(" WHERE ({filter})")).unwrap_or_default();
        let heap = if table.partitioned { ", tableoid" } else { "" };
        format!("SELECT ctid{heap}{list} FROM {}{filter}", table.from())
    }
}

/// Largest first, so that the last connection is not left alone with the largest.
pub(super) fn by_size(catalogue: &Catalogue, wanted: impl Fn(usize) -> bool) -> Vec<usize> {
    let mut tables: Vec<usize> = (0..catalogue.tables.len()).filter(|table| wanted(*table)).collect();
    tables.sort_by_key(|table| std::cmp::Reverse(catalogue.tables[*table].bytes()));
    tables
}

/// Rows that a predicate excludes, of tables that are not held.
pub(super) type Barred = HashMap<usize, (Vec<u32>, HashSet<u64>)>;

pub(super) async fn excluded(
    source: &Source,
    catalogue: &Catalogue,
    rules: &Rules,
    walk: &mut Walk<'_>,
) -> Result<Barred, Failure> {
    let mut barred = Barred::new();
    for exclude in &rules.excludes {
        let table = &catalogue.tables[exclude.table];
        let mut lead = Lead::new(table);
        let query = Asked::new(&lead).select(table, Some(&exclude.filter));
        let mut places = Vec::new();
        scan(source.leader(), &query, |rows| {
            places.push(lead.place(rows)?);
            Ok(())
        })
        .await?;
        let found = (lead.heaps, places);
        match &mut walk.nodes[exclude.table] {
            Some(node) => {
                for place in found.1 {
                    let row =
                        renumbered(place, &found.0, &node.heaps).and_then(|place| node.places.row(place));
                    row.map(|row| node.excluded.insert(row));
                }
            }
            None => {
                let (heaps, places) = barred.entry(exclude.table).or_default();
                let mut numbers = |place: u64| {
                    let oid = found.0.get(usize::try_from(place >> 48).ok()?)?;
                    let heap = heaps.iter().position(|known| known == oid).unwrap_or_else(|| {
                        heaps.push(*oid);
                        heaps.len() - 1
                    });
                    Some((heap as u64) << 48 | (place & 0xffff_ffff_ffff))
                };
                places.extend(found.1.into_iter().filter_map(&mut numbers));
            }
        }
    }
    Ok(barred)
}

/// A place, with its heap numbered as in another list.
fn renumbered(place: u64, from: &[u32], to: &[u32]) -> Option<u64> {
    let oid = from.get(usize::try_from(place >> 48).ok()?)?;
    let heap = to.iter().position(|known| known == oid)?;
    Some((heap as u64) << 48 | (place & 0xffff_ffff_ffff))
}

pub(super) async fn cohorts(
    source: &Source,
    catalogue: &Catalogue,
    rules: &Rules,
    walk: &mut Walk<'_>,
) -> Result<(), Failure> {
    for cohort in &rules.cohorts {
        let table = &catalogue.tables[cohort.table];
        let columns = table.primary.iter().map(|column| &table.columns[*column]);
        let Some(node) = &mut walk.nodes[cohort.table] else { continue };
        let (mut lead, mut key, mut ranked) = (Lead::new(table), Vec::new(), Vec::new());
        let mut asked = Asked::new(&lead);
        let fields = asked.fields(columns.map(|column| column.as_key(column)));
        scan(source.leader(), &asked.select(table, cohort.filter.as_deref()), |rows| {
            let place = renumbered(lead.place(rows)?, &lead.heaps, &node.heaps);
            gather(rows, &fields, &mut key);
            if let Some(row) =
                place.and_then(|place| node.places.row(place)).filter(|row| !node.excluded.holds(*row))
            {
                ranked.push((rank(&key), row));
            }
            Ok(())
        })
        .await?;
        if let Size::Count(count) = cohort.size {
            ranked.sort_unstable();
            ranked.truncate(count);
        }
        for (rank, row) in ranked {
            if within(rank, cohort.size) {
                node.cohort.insert(row);
                node.down.insert(row);
            }
        }
    }
    Ok(())
}

/// These fields as one key.
fn gather(rows: &Rows, fields: &[usize], key: &mut Vec<u8>) {
    key.clear();
    for field in fields.iter().filter_map(|index| rows.field(*index)) {
        if fields.len() > 1 {
            // The length keeps ("a", "bc") and ("ab", "c") apart.
            key.extend_from_slice(&u32::try_from(field.len()).unwrap_or(u32::MAX).to_be_bytes());
        }
        key.extend_from_slice(field);
    }
}

/// A number that only the key decides: the same rows come every time, and from every copy of the database.
fn rank(key: &[u8]) -> u32 {
    let hash = blake3::hash(key);
    let bytes = hash.as_bytes();
    u32::from_be_bytes([bytes[0], bytes[1], bytes[2], bytes[3]])
}

fn within(rank: u32, size: Size) -> bool {
    match size {
        Size::Share(share) => f64::from(rank) < share * (f64::from(u32::MAX) + 1.0),
        Size::Count(_) | Size::All => true,
    }
}

pub(super) async fn leaves(
    (source, apart): (&Source, &[Apart<'_>]),
    walk: &Walk<'_>,
    rules: &Rules,
    barred: &Barred,
) -> Result<Vec<(usize, Leaf)>, Failure> {
    let wanted = by_size(walk.catalogue, |table| !walk.graph.held[table] && !walk.graph.empty[table]);
    let room = Room::default();
    each_table(apart, wanted, async |apart, table| {
        let filter = match part(walk, source.version, table) {
            Part::Nothing => return Ok(Leaf::default()),
            Part::Whole => None,
            Part::Where(filter) => Some(filter),
        };
        let whole = short::columns(&walk.catalogue.tables[table], rules, table);
        leaf(apart, walk, (table, filter.as_deref()), (whole, &room), barred.get(&table)).await
    })
    .await
}

async fn leaf(
    apart: &Apart<'_>,
    walk: &Walk<'_>,
    (index, filter): (usize, Option<&str>),
    (whole, room): (Option<Vec<String>>, &Room),
    barred: Option<&(Vec<u32>, HashSet<u64>)>,
) -> Result<Leaf, Failure> {
    let table = &walk.catalogue.tables[index];
    let lead = Lead::new(table);
    let mut asked = Asked::new(&lead);
    let (ways, keys) = super::read::ways(walk.catalogue, walk.nodes, &walk.graph.outgoing[index], &mut asked);
    let whole = whole.map(|columns| asked.fields(columns.into_iter()));
    let rows = whole.as_ref().map(|fields| Short::new(fields.len()));
    let mut leaf = Leaf { needs: vec![Bits::default(); ways.len()], rows, ..Leaf::default() };
    let mut links = Vec::new();
    let ask = Ask { query: asked.select(table, filter), lead, keys, whole };
    let out = |place: u64, heaps: &[u32]| {
        barred.is_some_and(|(known, places)| {
            renumbered(place, heaps, known).is_some_and(|place| places.contains(&place))
        })
    };
    leaf.heaps = apart
        .scan(ask, |batch| {
            follow(&ways, batch, &mut links);
            for (row, place) in batch.places.iter().enumerate() {
                let links = &links[row * ways.len()..(row + 1) * ways.len()];
                if !out(*place, &batch.heaps) && walk.judge(index, *place, links, &mut leaf) {
                    leaf.hold(batch.whole.as_ref().and_then(|whole| whole.row(row)), room);
                }
            }
            Ok(())
        })
        .await?;
    leaf.shrink();
    Ok(leaf)
}

/// What each row of a batch names: row by row, one for each way.
fn follow(ways: &[Way<'_>], batch: &Batch, links: &mut Vec<u32>) {
    links.clear();
    links.resize(batch.places.len() * ways.len(), NOWHERE);
    for (at, (way, numbers)) in ways.iter().zip(&batch.numbers).enumerate() {
        for (link, number) in links.iter_mut().skip(at).step_by(ways.len()).zip(numbers) {
            *link = way.follow(*number);
        }
    }
}
