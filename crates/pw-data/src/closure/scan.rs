//! What is read from the source to find the rows: places, keys and references; no other column.

use std::cell::RefCell;
use std::collections::{HashMap, HashSet, VecDeque};

use futures_util::future::try_join_all;
use pw_run::Failure;
use tokio_postgres::Client;

use super::Graph;
use super::keys::{Bits, Keys, NOWHERE, gather, place};
use super::walk::Walk;
use crate::catalogue::{Catalogue, Reference, Table};
use crate::copy::Rows;
use crate::rules::{Rules, Size};
use crate::server::{Source, scan};

/// A table whose rows are known by number.
#[derive(Default)]
pub(super) struct Node {
    pub(super) heaps: Vec<u32>,
    /// Ascending: scans keep the order of the heap.
    pub(super) places: Vec<u64>,
    /// One for each set of columns that references lead to.
    pub(super) keys: Vec<(Vec<usize>, Keys)>,
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
}

impl Node {
    pub(super) fn row(&self, place: u64) -> Option<u32> {
        self.places.binary_search(&place).ok().and_then(|row| u32::try_from(row).ok())
    }

    pub(super) fn count(&self) -> u32 {
        u32::try_from(self.places.len()).unwrap_or(NOWHERE)
    }

    pub(super) fn keys(&self, columns: &[usize]) -> Option<&Keys> {
        self.keys.iter().find(|(known, _)| known == columns).map(|(_, keys)| keys)
    }
}

/// Does one thing for each table, as many at once as there are connections.
async fn each_table<T>(
    source: &Source,
    tables: Vec<usize>,
    work: impl AsyncFn(&Client, usize) -> Result<T, Failure>,
) -> Result<Vec<(usize, T)>, Failure> {
    let queue = RefCell::new(VecDeque::from(tables));
    let done = RefCell::new(Vec::new());
    let next = || queue.borrow_mut().pop_front();
    try_join_all(source.clients.iter().map(async |client| {
        while let Some(table) = next() {
            let answer = work(client, table).await?;
            done.borrow_mut().push((table, answer));
        }
        Ok::<(), Failure>(())
    }))
    .await?;
    Ok(done.into_inner())
}

/// `tableoid` and `ctid` of a row, as one number.
fn here(rows: &Rows, heaps: &mut Vec<u32>) -> Result<u64, Failure> {
    let malformed = || Failure::new("a row came without its place");
    let oid = rows
        .field(0)
        .and_then(|field| field.try_into().ok())
        .map(u32::from_be_bytes)
        .ok_or_else(malformed)?;
    let heap = match heaps.last() {
        Some(last) if *last == oid => heaps.len() - 1,
        _ => heaps.iter().position(|known| *known == oid).unwrap_or_else(|| {
            heaps.push(oid);
            heaps.len() - 1
        }),
    };
    place(heap, rows.field(1).unwrap_or_default()).ok_or_else(malformed)
}

fn select(table: &Table, columns: &[String], filter: Option<&str>) -> String {
    let list: String = columns.iter().map(|column| format!(", {column}")).collect();
    let filter = filter.map(|filter| format!(" WHERE ({filter})")).unwrap_or_default();
    format!("SELECT tableoid, ctid{list} FROM {}{filter}", table.from())
}

/// Largest first, so that the last connection is not left alone with the largest.
fn by_size(catalogue: &Catalogue, wanted: impl Fn(usize) -> bool) -> Vec<usize> {
    let mut tables: Vec<usize> = (0..catalogue.tables.len()).filter(|table| wanted(*table)).collect();
    tables.sort_by_key(|table| std::cmp::Reverse(catalogue.tables[*table].bytes()));
    tables
}

pub(super) async fn nodes(
    source: &Source,
    catalogue: &Catalogue,
    graph: &Graph,
) -> Result<Vec<Option<Node>>, Failure> {
    let mut nodes: Vec<Option<Node>> = catalogue.tables.iter().map(|_| None).collect();
    let held = by_size(catalogue, |table| graph.held[table]);
    let read =
        each_table(source, held.clone(), async |client, table| own_keys(client, catalogue, table).await)
            .await?;
    for (table, node) in read {
        nodes[table] = Some(node);
    }
    let known = &nodes;
    let linked: Vec<usize> = held.into_iter().filter(|table| !graph.outgoing[*table].is_empty()).collect();
    let read = each_table(source, linked, async |client, table| {
        links(client, catalogue, known, (table, &graph.outgoing[table])).await
    })
    .await?;
    for (table, links) in read {
        if let Some(node) = &mut nodes[table] {
            node.links = links;
        }
    }
    Ok(nodes)
}

async fn own_keys(client: &Client, catalogue: &Catalogue, index: usize) -> Result<Node, Failure> {
    let table = &catalogue.tables[index];
    let mut node = Node::default();
    for reference in catalogue.references.iter().filter(|reference| reference.to == index) {
        if node.keys(&reference.to_columns).is_none() {
            node.keys.push((reference.to_columns.clone(), Keys::default()));
        }
    }
    let own = |column: &usize| table.columns[*column].as_key(&table.columns[*column]);
    let columns: Vec<String> = node.keys.iter().flat_map(|(key, _)| key.iter().map(own)).collect();
    let mut key = Vec::new();
    scan(client, &select(table, &columns, None), |rows| {
        let here = here(rows, &mut node.heaps)?;
        if node.places.last().is_some_and(|last| *last >= here) {
            return Err(Failure::new(format!("`{}` was not read in the order of its heap", table.shown())));
        }
        let row = node.count();
        node.places.push(here);
        let mut from = 2;
        for (columns, keys) in &mut node.keys {
            let whole = gather(rows, from, columns.len(), &mut key);
            keys.push(whole.then_some(key.as_slice()), row);
            from += columns.len();
        }
        Ok(())
    })
    .await?;
    Ok(node)
}

fn link_columns(catalogue: &Catalogue, outgoing: &[usize]) -> Vec<String> {
    outgoing.iter().flat_map(|reference| catalogue.references[*reference].select.clone()).collect()
}

/// The row that a reference names, whose columns begin at `from`.
fn follow(rows: &Rows, from: usize, reference: &Reference, nodes: &[Option<Node>], key: &mut Vec<u8>) -> u32 {
    if !gather(rows, from, reference.select.len(), key) {
        return NOWHERE;
    }
    let keys = nodes[reference.to].as_ref().and_then(|node| node.keys(&reference.to_columns));
    keys.map_or(NOWHERE, |keys| keys.find(key))
}

async fn links(
    client: &Client,
    catalogue: &Catalogue,
    nodes: &[Option<Node>],
    (index, outgoing): (usize, &[usize]),
) -> Result<Vec<Vec<u32>>, Failure> {
    let table = &catalogue.tables[index];
    let Some(node) = &nodes[index] else { return Ok(Vec::new()) };
    let mut links = vec![Vec::with_capacity(node.places.len()); outgoing.len()];
    let (mut heaps, mut row, mut key) = (Vec::new(), 0, Vec::new());
    scan(client, &select(table, &link_columns(catalogue, outgoing), None), |rows| {
        if node.places.get(row) != Some(&here(rows, &mut heaps)?) {
            return Err(Failure::new(format!("two scans of `{}` disagree", table.shown())));
        }
        row += 1;
        let mut from = 2;
        for (list, reference) in links.iter_mut().zip(outgoing) {
            let reference = &catalogue.references[*reference];
            list.push(follow(rows, from, reference, nodes, &mut key));
            from += reference.select.len();
        }
        Ok(())
    })
    .await?;
    Ok(links)
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
        let query = select(table, &[], Some(&exclude.filter));
        let mut found = (Vec::new(), Vec::new());
        scan(source.leader(), &query, |rows| {
            let here = here(rows, &mut found.0)?;
            found.1.push(here);
            Ok(())
        })
        .await?;
        match &mut walk.nodes[exclude.table] {
            Some(node) => {
                for place in found.1 {
                    let row = renumbered(place, &found.0, &node.heaps).and_then(|place| node.row(place));
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
        let columns: Vec<String> = table
            .primary
            .iter()
            .map(|column| table.columns[*column].as_key(&table.columns[*column]))
            .collect();
        let Some(node) = &mut walk.nodes[cohort.table] else { continue };
        let (mut heaps, mut key, mut ranked) = (Vec::new(), Vec::new(), Vec::new());
        scan(source.leader(), &select(table, &columns, cohort.filter.as_deref()), |rows| {
            let place = renumbered(here(rows, &mut heaps)?, &heaps, &node.heaps);
            gather(rows, 2, columns.len(), &mut key);
            if let Some(row) =
                place.and_then(|place| node.row(place)).filter(|row| !node.excluded.holds(*row))
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
    source: &Source,
    walk: &Walk<'_>,
    barred: &Barred,
) -> Result<Vec<(usize, Leaf)>, Failure> {
    let wanted = by_size(walk.catalogue, |table| !walk.graph.held[table] && !walk.graph.empty[table]);
    each_table(source, wanted, async |client, table| leaf(client, walk, table, barred.get(&table)).await)
        .await
}

async fn leaf(
    client: &Client,
    walk: &Walk<'_>,
    index: usize,
    barred: Option<&(Vec<u32>, HashSet<u64>)>,
) -> Result<Leaf, Failure> {
    let outgoing = &walk.graph.outgoing[index];
    let mut leaf = Leaf { needs: vec![Bits::default(); outgoing.len()], ..Leaf::default() };
    let (mut key, mut links) = (Vec::new(), vec![NOWHERE; outgoing.len()]);
    let query = select(&walk.catalogue.tables[index], &link_columns(walk.catalogue, outgoing), None);
    scan(client, &query, |rows| {
        let here = here(rows, &mut leaf.heaps)?;
        let mut from = 2;
        for (link, reference) in links.iter_mut().zip(outgoing) {
            let reference = &walk.catalogue.references[*reference];
            *link = follow(rows, from, reference, walk.nodes, &mut key);
            from += reference.select.len();
        }
        let out = barred.is_some_and(|(heaps, places)| {
            renumbered(here, &leaf.heaps, heaps).is_some_and(|place| places.contains(&place))
        });
        if !out {
            walk.judge(index, here, &links, &mut leaf);
        }
        Ok(())
    })
    .await?;
    Ok(leaf)
}
