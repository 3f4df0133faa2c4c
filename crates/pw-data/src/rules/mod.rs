//! What the user wants of a sample: the `seed:` section of partywall.yaml, or a file that holds the same keys.

mod check;

use std::collections::HashMap;

use crate::mask::Kind;

pub use check::check;

/// Rules that fit the catalogue. Tables, columns and references are positions in it.
pub struct Rules {
    pub cohorts: Vec<Cohort>,
    pub excludes: Vec<Predicate>,
    pub masks: HashMap<(usize, usize), Masked>,
    pub whole: Vec<usize>,
    pub empty: Vec<usize>,
    /// References whose children were spoken of.
    pub children: HashMap<usize, Children>,
    /// References that no row may lose: what they name is excluded, so is the row.
    pub held: Vec<usize>,
}

pub struct Masked {
    pub kind: Kind,
    /// Its values are searched for in all that goes out.
    pub proved: bool,
}

/// Root rows.
pub struct Cohort {
    pub table: usize,
    pub size: Size,
    pub filter: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Size {
    /// By a stable hash of the key: the same rows every time.
    Share(f64),
    /// So many, those with the smallest hashes.
    Count(usize),
    All,
}

/// Rows of a table, by an expression of the user's.
pub struct Predicate {
    pub table: usize,
    pub filter: String,
}

/// Which children come along a reference.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Children {
    All,
    None,
    /// So many for each parent, in the order in which they lie.
    Limit(usize),
}

impl Rules {
    pub fn mask(&self, table: usize, column: usize) -> Option<&Masked> {
        self.masks.get(&(table, column))
    }
}
