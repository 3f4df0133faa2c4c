//! The walk over row numbers: exclusion spreads to what needs it, ownership goes down, parents go up.

use std::cell::RefCell;
use std::collections::HashMap;

use super::keys::{GONE, Keys, NOWHERE};
use super::read::KeySet;
use super::scan::{Leaf, Node};
use super::{Closure, Graph, Paths, Step, Taken, Trace};
use crate::catalogue::Catalogue;
use crate::rules::Children;

pub(super) struct Walk<'a> {
    pub(super) catalogue: &'a Catalogue,
    pub(super) graph: &'a Graph,
    pub(super) nodes: &'a mut Vec<Option<Node>>,
    trace: Trace,
}

impl<'a> Walk<'a> {
    pub(super) fn new(
        catalogue: &'a Catalogue,
        graph: &'a Graph,
        nodes: &'a mut Vec<Option<Node>>,
        why: bool,
    ) -> Self {
        Self { catalogue, graph, nodes, trace: why.then(HashMap::new) }
    }

    pub(super) fn size(&self) -> usize {
        let node = |node: &Node| {
            let keys: usize = node.keys.iter().map(|set| set.keys.size()).sum();
            let links: usize = node.links.iter().map(|list| list.capacity() * 4).sum();
            keys + links + node.places.size()
        };
        self.nodes.iter().flatten().map(node).sum()
    }

    fn is_out(&self, table: usize, row: u32) -> bool {
        row == GONE
            || (row != NOWHERE && self.nodes[table].as_ref().is_some_and(|node| node.excluded.holds(row)))
    }

    /// May a reference to this table name a row that is out?
    fn loses(&self, table: usize) -> bool {
        let gone = |set: &KeySet| matches!(set.keys, Keys::Gone);
        self.nodes[table].as_ref().is_some_and(|node| !node.excluded.is_empty() || node.keys.iter().any(gone))
    }

    fn is_down(&self, table: usize, row: u32) -> bool {
        row < GONE && self.nodes[table].as_ref().is_some_and(|node| node.down.holds(row))
    }

    /// A row whose binding reference names an excluded row is excluded too.
    pub(super) fn spread_exclusion(&mut self) {
        for (table, node) in self.nodes.iter_mut().enumerate() {
            if let Some(node) = node.as_mut().filter(|_| self.graph.empty[table]) {
                for row in 0..node.places.len() {
                    node.excluded.insert(row);
                }
            }
        }
        let mut changed = true;
        while changed {
            changed = false;
            for (index, reference) in self.catalogue.references.iter().enumerate() {
                if !self.graph.binding[index] {
                    continue;
                }
                let lost = self.rows_along(index, |walk, link| walk.is_out(reference.to, link));
                if let Some(node) = &mut self.nodes[reference.from] {
                    for (row, _) in lost {
                        changed |= node.excluded.insert(row);
                    }
                }
            }
        }
    }

    /// Rows of a reference's table, with what they name, where that is as asked.
    fn rows_along(&self, index: usize, asked: impl Fn(&Self, u32) -> bool) -> Vec<(u32, u32)> {
        let reference = &self.catalogue.references[index];
        let position = self.graph.outgoing[reference.from].iter().position(|one| *one == index);
        let links =
            self.nodes[reference.from].as_ref().zip(position).and_then(|(node, at)| node.links.get(at));
        let rows = links.into_iter().flatten().zip(0_u32..);
        rows.filter(|(link, _)| asked(self, **link)).map(|(link, row)| (row, *link)).collect()
    }

    /// From the cohort along owning references, to a fixed point. A reference is gone along again when the table to
    /// which it leads has grown.
    pub(super) fn descend(&mut self) {
        let mut grown: Vec<bool> =
            self.nodes.iter().map(|node| node.as_ref().is_some_and(|node| !node.down.is_empty())).collect();
        while grown.contains(&true) {
            let before = std::mem::replace(&mut grown, vec![false; self.nodes.len()]);
            for (index, reference) in self.catalogue.references.iter().enumerate() {
                let Some(children) = self.graph.owning[index] else { continue };
                if !before[reference.to] && !grown[reference.to] {
                    continue;
                }
                let mut owned = self.rows_along(index, |walk, link| walk.is_down(reference.to, link));
                owned.retain(|(row, _)| !self.is_out(reference.from, *row));
                for (row, link) in limited(owned, children) {
                    grown[reference.from] |= self.own(index, row, link);
                }
            }
        }
    }

    fn own(&mut self, index: usize, row: u32, link: u32) -> bool {
        let reference = &self.catalogue.references[index];
        let to = self.nodes[reference.to].as_ref().and_then(|node| node.places.get(link));
        let Some(node) = &mut self.nodes[reference.from] else { return false };
        let new = node.down.insert(row);
        if let (true, Some(trace), Some(to), Some(place)) = (new, &mut self.trace, to, node.places.get(row)) {
            let here = (reference.from, place);
            trace.entry(here).or_insert(Step { reference: index, other: (reference.to, to), owned: true });
        }
        new
    }

    /// Is a row of a table that is not held in the sample, and what does it need?
    pub(super) fn judge(&self, table: usize, place: u64, links: &[u32], leaf: &mut Leaf) -> bool {
        let outgoing = &self.graph.outgoing[table];
        let mut owner = None;
        let mut cleared = Vec::new();
        for (index, link) in outgoing.iter().zip(links) {
            let to = self.catalogue.references[*index].to;
            if self.is_out(to, *link) {
                if self.graph.binding[*index] {
                    return false;
                }
                cleared.push(*index);
            } else if self.graph.owning[*index].is_some() && self.is_down(to, *link) {
                owner = owner.or(Some((*index, *link)));
            }
        }
        if owner.is_none() && !self.graph.whole[table] {
            return false;
        }
        leaf.places.push(place);
        if let (Some((index, link)), true) = (owner, self.trace.is_some()) {
            leaf.trace.push((place, index, link));
        }
        for (needs, link) in leaf.needs.iter_mut().zip(links).filter(|(_, link)| **link < GONE) {
            needs.insert(*link);
        }
        if !cleared.is_empty() {
            leaf.cleared.insert(place, cleared);
        }
        true
    }

    /// All parents, then the answer.
    pub(super) fn finish(mut self, leaves: Vec<(usize, Leaf)>, key_bytes: usize) -> Closure {
        let mut tables: Vec<Taken> = self.catalogue.tables.iter().map(|_| Taken::default()).collect();
        for table in 0..tables.len() {
            let rows = self.went_down(table);
            self.climb(rows);
        }
        for (table, leaf) in leaves {
            self.climb_from_leaf(table, &leaf);
            let count = leaf.places.len();
            let whole = self.graph.whole[table];
            let by = if whole {
                Paths { whole: count, ..Paths::default() }
            } else {
                Paths { owned: count, ..Paths::default() }
            };
            let Leaf { heaps, places, cleared, rows, .. } = leaf;
            tables[table] = Taken { heaps, places, cleared, rows: RefCell::new(rows), by };
        }
        let keys = self.nodes.iter().flatten().map(|node| node.places.len() as usize).sum();
        let losing: Vec<bool> = (0..tables.len()).map(|table| self.loses(table)).collect();
        // No key is looked for any more: what comes now takes the memory that they had.
        self.nodes.iter_mut().flatten().for_each(|node| node.keys = Vec::new());
        for (table, taken) in tables.iter_mut().enumerate() {
            if let Some(node) = &self.nodes[table] {
                *taken = self.taken((table, node), &losing);
            }
            if let Some(node) = &mut self.nodes[table] {
                (node.links, node.places) = Default::default();
            }
        }
        Closure { tables, keys, key_bytes, trace: self.trace }
    }

    /// Rows that need all that they name.
    fn went_down(&self, table: usize) -> Vec<(usize, u32)> {
        let Some(node) = &self.nodes[table] else { return Vec::new() };
        let whole = self.graph.whole[table];
        let taken = |row: &u32| (whole || node.down.holds(*row)) && !node.excluded.holds(*row);
        (0..node.places.len()).filter(taken).map(|row| (table, row)).collect()
    }

    fn climb_from_leaf(&mut self, table: usize, leaf: &Leaf) {
        let mut stack = Vec::new();
        for (index, needs) in self.graph.outgoing[table].iter().zip(&leaf.needs) {
            let to = self.catalogue.references[*index].to;
            stack.extend(needs.iter().map(|row| (to, row)));
        }
        self.climb(stack);
        let Some(trace) = &mut self.trace else { return };
        for (place, index, link) in &leaf.trace {
            let to = self.catalogue.references[*index].to;
            if let Some(its) = self.nodes[to].as_ref().and_then(|node| node.places.get(*link)) {
                trace.insert((table, *place), Step { reference: *index, other: (to, its), owned: true });
            }
        }
    }

    fn climb(&mut self, mut stack: Vec<(usize, u32)>) {
        while let Some((table, row)) = stack.pop() {
            let Some(node) = &mut self.nodes[table] else { continue };
            if node.excluded.holds(row) || !node.up.insert(row) {
                continue;
            }
            for at in 0..self.graph.outgoing[table].len() {
                let index = self.graph.outgoing[table][at];
                let link = self.link(table, at, row);
                if link < GONE {
                    let to = self.catalogue.references[index].to;
                    stack.push((to, link));
                    self.remember(index, (table, row), (to, link));
                }
            }
        }
    }

    /// What a row names by one of its table's references.
    fn link(&self, table: usize, at: usize, row: u32) -> u32 {
        let links = self.nodes[table].as_ref().and_then(|node| node.links.get(at));
        links.and_then(|links| links.get(row as usize)).copied().unwrap_or(NOWHERE)
    }

    fn remember(&mut self, index: usize, (table, row): (usize, u32), (to, link): (usize, u32)) {
        let Some(trace) = &mut self.trace else { return };
        let place =
            |table: usize, row| self.nodes[table].as_ref().and_then(|node: &Node| node.places.get(row));
        let Some(node) = &self.nodes[to] else { return };
        if let (Some(here), Some(there), false, false) =
            (place(table, row), place(to, link), node.down.holds(link), node.up.holds(link))
        {
            let step = Step { reference: index, other: (table, here), owned: false };
            trace.entry((to, there)).or_insert(step);
        }
    }

    fn taken(&self, (table, node): (usize, &Node), losing: &[bool]) -> Taken {
        let mut taken = Taken { heaps: node.heaps.clone(), ..Taken::default() };
        let outgoing = self.graph.outgoing[table].iter().zip(&node.links);
        let losing: Vec<(&usize, &Vec<u32>)> =
            outgoing.filter(|(index, _)| losing[self.catalogue.references[**index].to]).collect();
        for (row, place) in node.places.of(node.up.iter()) {
            taken.places.push(place);
            let path = if node.cohort.holds(row) {
                &mut taken.by.cohort
            } else if node.down.holds(row) {
                &mut taken.by.owned
            } else if self.graph.whole[table] {
                &mut taken.by.whole
            } else {
                &mut taken.by.parents
            };
            *path += 1;
            let lost = |(index, links): &&(&usize, &Vec<u32>)| {
                self.is_out(self.catalogue.references[**index].to, links[row as usize])
            };
            let cleared: Vec<usize> = losing.iter().filter(lost).map(|(index, _)| **index).collect();
            if !cleared.is_empty() {
                taken.cleared.insert(place, cleared);
            }
        }
        taken
    }
}

/// At most so many of each parent, the first as they lie.
fn limited(owned: Vec<(u32, u32)>, children: Children) -> Vec<(u32, u32)> {
    let Children::Limit(limit) = children else { return owned };
    let mut seen: HashMap<u32, usize> = HashMap::new();
    let mut within = |(_, parent): &(u32, u32)| {
        let count = seen.entry(*parent).or_default();
        *count += 1;
        *count <= limit
    };
    owned.into_iter().filter(|pair| within(pair)).collect()
}
