//! Which rows make the sample: the cohort, what it owns, and every parent of these to a fixed point.
//!
//! Keys and references of tables that are referred to are held in memory, as row numbers; tables that
//! nothing refers to are streamed. Nothing is written to the source. A row is known by where it lies
//! (`ctid`), which one snapshot keeps still.

mod apart;
mod keys;
mod owned;
mod places;
mod read;
mod scan;
mod short;
mod walk;

use std::cell::RefCell;
use std::collections::HashMap;

use futures_util::future::try_join_all;
use pw_run::Failure;

use crate::catalogue::{Catalogue, Reference};
use crate::rules::{Children, Rules};
use crate::server::Source;

pub(crate) use places::{place, shown as place_shown, write as write_place};
pub(crate) use short::Short;

/// The rows of the sample.
pub struct Closure {
    /// One for each table of the catalogue.
    pub tables: Vec<Taken>,
    /// Rows whose keys were held in memory, and what they took.
    pub keys: usize,
    pub key_bytes: usize,
    pub(crate) trace: Trace,
}

/// The rows of one table.
#[derive(Default)]
pub struct Taken {
    /// Numbers of the heaps, in the order of the scan; a place names one by its position here.
    pub heaps: Vec<u32>,
    /// Where the rows lie, in the order of the scan.
    pub places: Vec<u64>,
    /// Rows whose reference to an excluded row is to be cleared; positions in the catalogue's references.
    pub cleared: HashMap<u64, Vec<usize>>,
    /// The rows themselves, until they are copied, where they were read whole.
    pub(crate) rows: RefCell<Option<Short>>,
    pub by: Paths,
}

/// By which path rows came.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, serde::Serialize)]
pub struct Paths {
    pub cohort: usize,
    pub owned: usize,
    pub parents: usize,
    pub whole: usize,
}

/// Row to the reference by which it came and the row at its other end. Kept only where somebody asks why.
pub(crate) type Trace = Option<HashMap<(usize, u64), Step>>;

/// How a row came.
#[derive(Clone, Copy)]
pub(crate) struct Step {
    pub(crate) reference: usize,
    pub(crate) other: (usize, u64),
    /// It is owned by the other; else the other needs it.
    pub(crate) owned: bool,
}

/// Finds the rows. With `why`, remembers how each came.
///
/// # Errors
/// The source cannot be read.
pub async fn find(
    source: &Source,
    catalogue: &Catalogue,
    rules: &Rules,
    why: bool,
) -> Result<Closure, Failure> {
    let graph = Graph::new(catalogue, rules);
    let apart = try_join_all(source.clients.iter().map(|_| apart::Apart::open(source))).await?;
    let mut nodes = read::nodes(&apart, catalogue, &graph).await?;
    let mut walk = walk::Walk::new(catalogue, &graph, &mut nodes, why);
    let barred = scan::excluded(source, catalogue, rules, &mut walk).await?;
    walk.spread_exclusion();
    scan::cohorts(source, catalogue, rules, &mut walk).await?;
    walk.descend();
    let leaves = scan::leaves((source, &apart), &walk, rules, &barred).await?;
    let key_bytes = walk.size();
    Ok(walk.finish(leaves, key_bytes))
}

/// The references, and what they mean for this sample.
pub(crate) struct Graph {
    /// References that leave each table.
    pub(crate) outgoing: Vec<Vec<usize>>,
    /// Tables that are held in memory.
    pub(crate) held: Vec<bool>,
    pub(crate) owning: Vec<Option<Children>>,
    /// A row goes where what this names goes.
    pub(crate) binding: Vec<bool>,
    pub(crate) whole: Vec<bool>,
    pub(crate) empty: Vec<bool>,
    pub(crate) cohort: Vec<bool>,
}

impl Graph {
    fn new(catalogue: &Catalogue, rules: &Rules) -> Self {
        let count = catalogue.tables.len();
        let mut graph = Self {
            outgoing: vec![Vec::new(); count],
            held: vec![false; count],
            owning: Vec::new(),
            binding: Vec::new(),
            whole: vec![true; count],
            empty: vec![false; count],
            cohort: vec![false; count],
        };
        for (index, reference) in catalogue.references.iter().enumerate() {
            graph.outgoing[reference.from].push(index);
            graph.held[reference.to] = true;
            // A table that stands alone cannot be reached: it comes whole.
            graph.whole[reference.from] = false;
            graph.whole[reference.to] = false;
            let owning = owning(catalogue, rules, index);
            graph.held[reference.from] |= matches!(owning, Some(Children::Limit(_)));
            graph.owning.push(owning);
            graph.binding.push(reference.required || rules.held.contains(&index));
        }
        for cohort in &rules.cohorts {
            graph.held[cohort.table] = true;
            graph.cohort[cohort.table] = true;
            graph.whole[cohort.table] = false;
        }
        rules.whole.iter().for_each(|table| graph.whole[*table] = true);
        rules.empty.iter().for_each(|table| graph.empty[*table] = true);
        graph.leave_what_needs_the_empty(catalogue);
        graph
    }

    /// Each row of a table that cannot be without one of an empty table stays behind: nobody has to read it.
    fn leave_what_needs_the_empty(&mut self, catalogue: &Catalogue) {
        let needs = |reference: &&Reference| reference.required && !reference.declared;
        while let Some(reference) = catalogue
            .references
            .iter()
            .filter(needs)
            .find(|reference| self.empty[reference.to] && !self.empty[reference.from])
        {
            self.empty[reference.from] = true;
        }
    }
}

/// By default a row is owned by what it cannot be without, and by the cohort; the cohort itself is owned by nobody.
fn owning(catalogue: &Catalogue, rules: &Rules, index: usize) -> Option<Children> {
    if let Some(said) = rules.children.get(&index) {
        return Some(*said).filter(|said| *said != Children::None);
    }
    let reference = &catalogue.references[index];
    let root = |table: usize| rules.cohorts.iter().any(|cohort| cohort.table == table);
    let owns = !reference.declared
        && !root(reference.from)
        && reference.from != reference.to
        && (reference.required || root(reference.to));
    owns.then_some(Children::All)
}
