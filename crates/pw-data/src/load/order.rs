//! The order in which the rows of a table are written: as they lie in the source, or by a text key of theirs.
//!
//! To sort texts as people do is the dearest part of an index. A server looks first whether they lie in order already:
//! then it compares each with its neighbour only, instead of with a dozen others.

use std::cmp::Ordering;
use std::ops::Range;

use bytes::Bytes;
use pw_run::Failure;

use crate::catalogue::Catalogue;
use crate::server::{Source, quoted};

/// Bytes of rows that are held to be put in order. A table with more is written as it lies.
pub(super) const ROOM: usize = 48 << 20;
/// Fewer rows are sorted in no time.
const FEWEST: usize = 1000;

/// Columns that begin an index over texts, or stand in the expression that begins it, and how many such indexes there
/// are. Where texts are sorted by their bytes, it costs too little to be worth another order.
const COLUMNS: &str = "SELECT n.nspname, c.relname, a.attname, count(*) FROM pg_index i \
    JOIN pg_class x ON x.oid = i.indexrelid JOIN pg_am m ON m.oid = x.relam AND m.amname = 'btree' \
    JOIN pg_class c ON c.oid = i.indrelid AND c.relkind = 'r' JOIN pg_namespace n ON n.oid = c.relnamespace \
    JOIN pg_collation k ON k.oid = i.indcollation[0] JOIN pg_database d ON d.datname = current_database() \
    JOIN pg_attribute a ON a.attrelid = i.indrelid AND (a.attnum = i.indkey[0] OR i.indkey[0] = 0 AND EXISTS \
    (SELECT FROM pg_depend e WHERE e.classid = 'pg_class'::regclass AND e.objid = i.indexrelid AND e.refobjid = a.attrelid \
    AND e.refobjsubid = a.attnum)) \
    WHERE i.indisvalid AND CASE k.collprovider WHEN 'd' THEN d.datcollate !~ '^(C|POSIX)($|\\.)' \
    AND coalesce(to_jsonb(d) ->> 'datlocprovider', 'c') <> 'b' WHEN 'b' THEN false ELSE k.collcollate !~ '^(C|POSIX)($|\\.)' END \
    GROUP BY 1, 2, 3 ORDER BY 4 DESC, 3";

/// For each table the column by which its rows are best written, if by one at all: no two rows have the same in it, and
/// most indexes begin with it.
///
/// # Errors
/// The source cannot be asked.
pub(super) async fn keys(source: &Source, catalogue: &Catalogue) -> Result<Vec<Option<usize>>, Failure> {
    let rows = source.leader().query(COLUMNS, &[]).await;
    let rows =
        rows.map_err(|error| Failure::new("could not ask for the indexes of the source").because(error))?;
    let mut keys = vec![None; catalogue.tables.len()];
    for row in rows {
        let [schema, table, column]: [&str; 3] = [row.get(0), row.get(1), row.get(2)];
        let path = format!("{}.{}", quoted(schema), quoted(table));
        let Some(at) = catalogue.tables.iter().position(|known| known.path() == path) else { continue };
        let known = &catalogue.tables[at];
        let fits = |column: &usize| {
            let plain = known.columns[*column].is_text() && !known.columns[*column].array;
            plain && !known.partitioned && known.is_unique(*column)
        };
        keys[at] = keys[at].or(known.column(column).filter(fits));
    }
    Ok(keys)
}

/// Rows that wait until all of their table have come.
#[derive(Default)]
pub(super) struct Held {
    rows: Vec<Row>,
}

/// Where a row and its key stand in what was written.
struct Row {
    from: u32,
    key: Range<u32>,
}

fn offset(at: usize) -> u32 {
    u32::try_from(at).unwrap_or(u32::MAX)
}

impl Held {
    /// A row begins here; its key is not known yet.
    pub(super) fn begin(&mut self, at: usize) {
        self.rows.push(Row { from: offset(at), key: offset(at)..offset(at) });
    }

    /// The key of the row that began last.
    pub(super) fn key(&mut self, at: Range<usize>) {
        if let Some(row) = self.rows.last_mut() {
            row.key = offset(at.start)..offset(at.end);
        }
    }

    /// The rows one after another: by their keys, or as they came where nobody can tell in which order the server has
    /// such keys.
    pub(super) fn in_order(self, written: &Bytes) -> impl Iterator<Item = Bytes> {
        let begin = self.rows.first().map_or(written.len(), |row| row.from as usize);
        let ends = self.rows.iter().skip(1).map(|row| row.from as usize).chain([written.len()]);
        let spans: Vec<Range<usize>> =
            self.rows.iter().zip(ends).map(|(row, end)| row.from as usize..end).collect();
        let order = self.sorted(written);
        let head = written.slice(..begin);
        [head].into_iter().chain(order.into_iter().map(move |row| written.slice(spans[row as usize].clone())))
    }

    fn sorted(&self, written: &[u8]) -> Vec<u32> {
        let key = |row: u32| {
            let key = &self.rows[row as usize].key;
            &written[key.start as usize..key.end as usize]
        };
        let all = 0..offset(self.rows.len());
        let alike = all.clone().skip(1).map(|row| same(key(0), key(row))).min().unwrap_or_default();
        // What most keys are told apart by stands beside their numbers.
        let mut order: Vec<([u8; 16], u32)> = all.clone().map(|row| (first(key(row), alike), row)).collect();
        order.sort_unstable_by(|(one, this), (other, that)| {
            one.cmp(other).then_with(|| compared(key(*this), key(*that))).then(this.cmp(that))
        });
        let told = |pair: &[([u8; 16], u32)]| match pair {
            [(one, _), (other, _)] if one != other => is_order_of_all(one, other),
            [(_, one), (_, other)] => is_order_of_all(key(*one), key(*other)),
            _ => true,
        };
        if self.rows.len() >= FEWEST && order.windows(2).all(told) {
            order.into_iter().map(|(_, row)| row).collect()
        } else {
            all.collect()
        }
    }
}

/// How many bytes two keys begin with alike.
fn same(one: &[u8], other: &[u8]) -> usize {
    let pairs = one.iter().zip(other);
    pairs.take_while(|(one, other)| one.eq_ignore_ascii_case(other)).count()
}

/// The bytes of a key behind the first so many.
fn first(key: &[u8], behind: usize) -> [u8; 16] {
    let mut bytes = [0; 16];
    for (byte, of_key) in bytes.iter_mut().zip(key.iter().skip(behind)) {
        *byte = of_key.to_ascii_lowercase();
    }
    bytes
}

fn compared(one: &[u8], other: &[u8]) -> Ordering {
    let lower = |key: &'_ [u8]| key.iter().map(u8::to_ascii_lowercase).collect::<Vec<u8>>();
    lower(one).cmp(&lower(other))
}

/// Do two keys, of which the first has the lesser bytes, stand so in the order of all languages? They do where a letter
/// or digit of ASCII tells them apart, or nothing but that one goes on.
fn is_order_of_all(one: &[u8], other: &[u8]) -> bool {
    let at = same(one, other);
    match (one.get(at), other.get(at)) {
        // No text holds a zero: it stands behind the end of a short one.
        (None | Some(0), Some(_)) => true,
        (Some(one), Some(other)) => one.is_ascii_alphanumeric() && other.is_ascii_alphanumeric(),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ordered(keys: &[String]) -> Vec<u8> {
        let (mut held, mut written) = (Held::default(), b"head".to_vec());
        for key in keys {
            held.begin(written.len());
            written.push(b'<');
            let from = written.len();
            written.extend_from_slice(key.as_bytes());
            held.key(from..written.len());
            written.push(b'>');
        }
        held.in_order(&Bytes::from(written)).flatten().collect()
    }

    fn shown(keys: &[String]) -> Vec<u8> {
        keys.iter().fold(b"head".to_vec(), |text, key| [text, format!("<{key}>").into_bytes()].concat())
    }

    fn scattered(form: impl Fn(usize) -> String) -> Vec<String> {
        (0..FEWEST).map(|number| form(number * 7919 % FEWEST)).collect()
    }

    #[test]
    fn rows_are_put_in_the_order_of_their_keys() {
        for form in [|number| format!("user{number:04}@dev.local"), |number| format!("{number:030}")] {
            let keys = scattered(form);
            let mut sorted = keys.clone();
            sorted.sort();
            assert_ne!(keys, sorted);
            assert_eq!(ordered(&keys), shown(&sorted));
        }
    }

    #[test]
    fn the_case_of_a_letter_does_not_decide() {
        let keys = scattered(|number| format!("{}{number:04}", if number % 2 == 0 { "A" } else { "a" }));
        let mut sorted = keys.clone();
        sorted.sort_by_key(|key| key.to_lowercase());
        assert_eq!(ordered(&keys), shown(&sorted));
    }

    #[test]
    fn rows_stay_as_they_came_where_a_language_decides() {
        let foreign = |number| format!("{}{number:04}", if number == 7 { "é" } else { "a" });
        let dotted = |number| format!("a{}{number:04}", if number == 7 { "." } else { "b" });
        let empty = |number: usize| if number < 2 { String::new() } else { format!("{number:04}") };
        for keys in [scattered(foreign), scattered(dotted), scattered(empty)] {
            assert_eq!(ordered(&keys), shown(&keys));
        }
        assert_eq!(ordered(&["b".to_owned(), "a".to_owned()]), b"head<b><a>", "few rows");
        assert_eq!(ordered(&[]), b"head");
    }
}
