//! What the source holds: tables, columns, keys, references, sequences. Read once.

mod read;

use std::collections::HashMap;

pub use read::read;

use crate::server::quoted;

/// A database as far as sampling needs to know it. Everything else travels by `pg_dump`.
pub struct Catalogue {
    pub tables: Vec<Table>,
    pub references: Vec<Reference>,
    pub sequences: Vec<Sequence>,
    /// Large objects in the database.
    pub large_objects: u64,
}

/// A plain table, or the root of a partitioned one; its partitions are its heaps.
pub struct Table {
    pub oid: u32,
    pub schema: String,
    pub name: String,
    pub partitioned: bool,
    pub columns: Vec<Column>,
    /// Positions in `columns`; empty for a table without a primary key.
    pub primary: Vec<usize>,
    /// Every unique key that holds for all rows, the primary one too.
    pub uniques: Vec<Vec<usize>>,
    pub heaps: Vec<Heap>,
}

/// Where rows lie.
pub struct Heap {
    pub oid: u32,
    /// Schema and name, quoted.
    pub path: String,
    /// By the server's statistics.
    pub rows: f64,
    pub bytes: i64,
}

pub struct Column {
    pub name: String,
    /// As PostgreSQL writes it: `character varying(32)`.
    pub kind: String,
    /// The name of the type under all domains: `varchar`.
    pub base: String,
    pub type_oid: u32,
    /// In characters.
    pub max_length: Option<usize>,
    pub not_null: bool,
    pub generated: bool,
    pub array: bool,
    /// The name of the type of an array's elements, under all domains.
    pub item: String,
    /// Its binary form holds numbers of this database's types or objects, or there is none: it travels as text.
    pub as_text: bool,
    /// Its number may name a large object.
    pub names_object: bool,
}

/// Rows of `from` that name rows of `to`.
#[derive(Clone)]
pub struct Reference {
    pub name: String,
    pub from: usize,
    /// Columns of `from`; empty for one that an expression declares.
    pub columns: Vec<usize>,
    pub to: usize,
    pub to_columns: Vec<usize>,
    /// What to select from `from`, one for each of `to_columns`.
    pub select: Vec<String>,
    /// No column of it can be null: a row is nothing without what it names.
    pub required: bool,
    /// Declared in the rules, not in the database.
    pub declared: bool,
}

pub struct Sequence {
    /// Schema and name, quoted.
    pub path: String,
    pub last: Option<i64>,
}

impl Table {
    /// Schema and name, quoted.
    pub fn path(&self) -> String {
        format!("{}.{}", quoted(&self.schema), quoted(&self.name))
    }

    /// As the user writes it.
    pub fn shown(&self) -> String {
        if self.schema == "public" { self.name.clone() } else { format!("{}.{}", self.schema, self.name) }
    }

    pub fn column(&self, name: &str) -> Option<usize> {
        self.columns.iter().position(|column| column.name == name)
    }

    pub fn rows(&self) -> f64 {
        self.heaps.iter().map(|heap| heap.rows.max(0.0)).sum()
    }

    pub fn bytes(&self) -> i64 {
        self.heaps.iter().map(|heap| heap.bytes).sum()
    }

    /// True when no two rows can hold the same value in this column.
    pub fn is_unique(&self, column: usize) -> bool {
        self.uniques.iter().any(|key| key == &[column])
    }

    /// `FROM` of a scan that meets every row once.
    pub(crate) fn from(&self) -> String {
        if self.partitioned { self.path() } else { format!("ONLY {}", self.path()) }
    }
}

impl Column {
    /// The type of what a mask replaces: of each element, where an array travels in its binary form.
    pub fn masked_type(&self) -> &str {
        if self.array && !self.as_text { &self.item } else { &self.base }
    }

    /// A text, or a list of such.
    pub fn is_text(&self) -> bool {
        matches!(self.masked_type(), "text" | "varchar" | "bpchar" | "citext" | "name")
    }

    /// The column such that equal keys are equal bytes.
    pub(crate) fn as_key(&self, as_type_of: &Self) -> String {
        let name = quoted(&self.name);
        match as_type_of.base.as_str() {
            "citext" => format!("lower({name}::text)"),
            "bpchar" => format!("rtrim({name}::text)"),
            "varchar" | "name" | "text" => format!("{name}::text"),
            "numeric" => format!("trim_scale({name}::numeric)"),
            _ if as_type_of.as_text => format!("{name}::text"),
            base @ ("int2" | "int4" | "int8" | "float4" | "float8") if base != self.base => {
                format!("{name}::{base}")
            }
            _ => name,
        }
    }
}

impl Catalogue {
    /// Finds a table as written: `users` or `billing.invoices`.
    pub fn table(&self, written: &str) -> Option<usize> {
        let exact =
            |table: &Table| table.shown() == written || format!("{}.{}", table.schema, table.name) == written;
        self.tables.iter().position(exact).or_else(|| {
            let mut named = self.tables.iter().enumerate().filter(|(_, table)| table.name == written);
            named.next().filter(|_| named.next().is_none()).map(|(index, _)| index)
        })
    }

    /// Finds a column as written: `users.email`.
    pub fn column(&self, written: &str) -> Option<(usize, usize)> {
        let (table, column) = written.rsplit_once('.')?;
        let table = self.table(table)?;
        Some((table, self.tables[table].column(column)?))
    }

    pub fn shown(&self, table: usize, column: usize) -> String {
        format!("{}.{}", self.tables[table].shown(), self.tables[table].columns[column].name)
    }

    pub(crate) fn by_oid(&self) -> HashMap<u32, usize> {
        self.tables
            .iter()
            .enumerate()
            .flat_map(|(index, table)| {
                table.heaps.iter().map(|heap| heap.oid).chain([table.oid]).map(move |oid| (oid, index))
            })
            .collect()
    }
}
