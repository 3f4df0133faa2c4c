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
    /// Columns besides those of type `oid` whose numbers are those of large objects.
    pub objects: Vec<(usize, usize)>,
    /// Roles of the source that have another name in the target.
    pub roles: crate::load::Roles,
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

impl Size {
    /// `10%` or `500`.
    pub fn parse(text: &str) -> Option<Self> {
        let Some(share) = text.strip_suffix('%') else { return text.parse().ok().map(Self::Count) };
        let share: f64 = share.trim().parse().ok()?;
        (share > 0.0 && share <= 100.0).then_some(Self::Share(share / 100.0))
    }
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
    /// Gives every cohort that is sampled another size, or every cohort where none is.
    pub fn resize(&mut self, size: Size) {
        let none = self.cohorts.iter().all(|cohort| cohort.size == Size::All);
        for cohort in self.cohorts.iter_mut().filter(|cohort| none || cohort.size != Size::All) {
            cohort.size = size;
        }
    }

    pub fn mask(&self, table: usize, column: usize) -> Option<&Masked> {
        self.masks.get(&(table, column))
    }
}
