//! What the server may leave out of the scan of a table that nothing refers to: rows that no owner takes along.

use std::fmt::Write;

use super::read::set_of;
use super::walk::Walk;
use crate::server::quoted;

/// Older servers compare a value with each of a list in turn.
const LISTS: i32 = 140_000;
/// To read a list costs the server for each value what some rows cost us that it leaves out.
const ROWS_FOR_ONE: usize = 3;
/// Values of a list, all in one query.
const LONGEST: usize = 500_000;

/// What of a table is scanned.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Part {
    Whole,
    Where(String),
    Nothing,
}

/// The part of a table in which rows may be that somebody owns.
pub(super) fn part(walk: &Walk<'_>, version: i32, table: usize) -> Part {
    if walk.graph.whole[table] {
        return Part::Whole;
    }
    let owning: Vec<usize> = walk.graph.outgoing[table]
        .iter()
        .copied()
        .filter(|reference| walk.graph.owning[*reference].is_some())
        .collect();
    if owning.is_empty() {
        return Part::Nothing;
    }
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "an estimate")]
    let rows = walk.catalogue.tables[table].rows() as usize;
    let owners = |reference: &usize| {
        let to = walk.catalogue.references[*reference].to;
        walk.nodes[to].as_ref().map_or(0, |node| node.down.count())
    };
    let listed: usize = owning.iter().map(owners).sum();
    if version < LISTS || listed > LONGEST || listed * ROWS_FOR_ONE > rows {
        return Part::Whole;
    }
    let terms: Option<Vec<String>> = owning.iter().map(|reference| term(walk, *reference)).collect();
    // The planner looks at each value of a condition, and into none of a choice.
    let choice = |terms: Vec<String>| format!("CASE WHEN {} THEN true ELSE false END", terms.join(" OR "));
    terms.map_or(Part::Whole, |terms| Part::Where(choice(terms)))
}

/// The reference names a row that is taken along with what it owns; `None` where its key is not one integer.
fn term(walk: &Walk<'_>, index: usize) -> Option<String> {
    let reference = &walk.catalogue.references[index];
    let [select] = reference.select.as_slice() else { return None };
    let column = &walk.catalogue.tables[reference.to].columns[*reference.to_columns.first()?];
    let node = walk.nodes[reference.to].as_ref()?;
    let keys = set_of(&node.keys, reference)?.integers(&node.down)?;
    // The list has the column's own type, or the server would not hash it.
    let kind = quoted(&column.base);
    let mut text = format!("({select})::pg_catalog.{kind} = ANY ('{{");
    for (at, key) in keys.iter().enumerate() {
        let comma = if at == 0 { "" } else { "," };
        let _ = write!(text, "{comma}{key}");
    }
    let _ = write!(text, "}}'::pg_catalog.{kind}[])");
    Some(text)
}
