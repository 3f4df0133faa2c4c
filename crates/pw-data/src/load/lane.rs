//! What happens to one column on its way.

use super::permute::Permutation;
use super::stage;
use crate::catalogue::{Catalogue, Column};
use crate::mask::{Kind, Mask, Secret};
use crate::rules::Rules;
use crate::server::{literal, quoted};

/// One column.
pub(super) struct Lane {
    pub(super) column: usize,
    pub(super) name: String,
    pub(super) select: String,
    pub(super) mask: Option<Mask>,
    pub(super) proved: bool,
    pub(super) searched: bool,
    /// Its numbers may be those of large objects.
    pub(super) names_object: bool,
    /// Its values change places.
    pub(super) permutation: Option<Permutation>,
    /// The number of the element's type in the scratch database.
    pub(super) element: Option<u32>,
    /// The rows are written in the order of what goes out here.
    pub(super) orders: bool,
}

impl Lane {
    /// What goes out instead of a value, which may be written to `scratch`.
    pub(super) fn masked<'v>(&self, value: Option<&'v [u8]>, scratch: &'v mut Vec<u8>) -> Option<&'v [u8]> {
        match (value, &self.mask) {
            (Some(value), Some(mask)) => mask.apply(value, scratch).then_some(scratch.as_slice()),
            (value, _) => value,
        }
    }
}

pub(super) fn lane(
    catalogue: &Catalogue,
    rules: &Rules,
    secret: &Secret,
    (table, column): (usize, usize),
) -> Lane {
    let known = &catalogue.tables[table].columns[column];
    let masked = rules.mask(table, column);
    let name = quoted(&known.name);
    let select = match masked.map(|masked| &masked.kind) {
        Some(Kind::Sql(expression)) => format!("({expression})::{}", known.kind),
        Some(Kind::Constant(text)) => format!("{}::{}", literal(text), known.kind),
        Some(Kind::Null) => format!("NULL::{}", known.kind),
        _ => name.clone(),
    };
    let select = if known.as_text { stage::in_full(&format!("({select})")) } else { select };
    let streamed = masked.filter(|masked| {
        !matches!(masked.kind, Kind::Sql(_) | Kind::Constant(_) | Kind::Null | Kind::Keep | Kind::Permute)
    });
    Lane {
        column,
        name,
        select,
        mask: streamed.map(|masked| Mask::new(masked.kind.clone(), secret, &catalogue.tables[table], column)),
        proved: masked.is_some_and(|masked| masked.proved),
        searched: is_searched(known),
        names_object: known.names_object || rules.objects.contains(&(table, column)),
        permutation: None,
        element: None,
        orders: false,
    }
}

/// Types of which no value can hold a text.
const NO_TEXT: [&str; 20] = [
    "bool",
    "int2",
    "int4",
    "int8",
    "float4",
    "float8",
    "numeric",
    "money",
    "oid",
    "date",
    "time",
    "timetz",
    "timestamp",
    "timestamptz",
    "interval",
    "uuid",
    "inet",
    "cidr",
    "macaddr",
    "point",
];

fn is_searched(column: &Column) -> bool {
    !NO_TEXT.contains(&column.base.as_str())
}
