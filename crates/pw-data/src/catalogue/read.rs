//! The questions to `pg_catalog`.

use std::collections::HashMap;

use pw_run::Failure;
use tokio_postgres::{Client, Row};

use super::{Catalogue, Column, Heap, Reference, Sequence, Table};
use crate::server::quoted;

const TABLES: &str = "SELECT c.oid, n.nspname, c.relname, c.relkind = 'p', c.relispartition, \
    coalesce(pg_partition_root(c.oid)::oid, c.oid) AS root, c.reltuples::float8, pg_table_size(c.oid) \
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
    WHERE c.relkind IN ('r', 'p') AND c.relpersistence <> 't' AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema' \
    AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e') \
    ORDER BY n.nspname, c.relname";

const COLUMNS: &str = "SELECT a.attrelid, a.attnum, a.attname, format_type(a.atttypid, a.atttypmod), a.atttypid, \
    a.atttypmod, a.attnotnull, a.attgenerated <> '' FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid \
    WHERE a.attnum > 0 AND NOT a.attisdropped AND c.relkind IN ('r', 'p') ORDER BY a.attrelid, a.attnum";

const TYPES: &str = "SELECT oid, typname, typtype::text, typbasetype, typtypmod, typelem, typcategory = 'A', \
    typsend <> 0, coalesce(r.rngsubtype, 0) FROM pg_type LEFT JOIN pg_range r \
    ON oid::text IN (r.rngtypid::text, to_jsonb(r) ->> 'rngmultitypid')";

const REFERENCES: &str = "SELECT conname, conrelid, conkey, confrelid, confkey FROM pg_constraint \
    WHERE contype = 'f' AND conparentid = 0 ORDER BY conrelid, conname";

const KEYS: &str = "SELECT indrelid, indisprimary, (indkey::int2[])[0:indnkeyatts - 1] FROM pg_index \
    WHERE indisunique AND indisvalid AND indpred IS NULL AND indexprs IS NULL ORDER BY indexrelid";

const SEQUENCES: &str = "SELECT schemaname, sequencename, last_value FROM pg_sequences ORDER BY 1, 2";

/// Reads the catalogue.
///
/// # Errors
/// A query fails, or a key names a column that is not there.
pub async fn read(client: &Client) -> Result<Catalogue, Failure> {
    let types = types(&ask(client, TYPES).await?);
    let mut columns = columns(&ask(client, COLUMNS).await?, &types);
    let rows = ask(client, TABLES).await?;
    let tables = tables(&rows, &mut columns);
    let sequences = ask(client, SEQUENCES).await?.iter().map(sequence).collect();
    let large_objects: i64 = ask(client, "SELECT count(*) FROM pg_largeobject_metadata").await?[0].get(0);
    let large_objects = large_objects.unsigned_abs();
    let mut catalogue = Catalogue { tables, references: Vec::new(), sequences, large_objects };
    let finder = Finder { by_oid: catalogue.by_oid(), numbers: columns.numbers };
    for row in ask(client, KEYS).await? {
        finder.key(&mut catalogue, &row);
    }
    for row in ask(client, REFERENCES).await? {
        let found = finder.reference(&catalogue, &row);
        catalogue.references.extend(found);
    }
    Ok(catalogue)
}

async fn ask(client: &Client, query: &str) -> Result<Vec<Row>, Failure> {
    client
        .query(query, &[])
        .await
        .map_err(|error| Failure::new("could not read the catalogue of the source").because(error))
}

fn sequence(row: &Row) -> Sequence {
    let (schema, name): (&str, &str) = (row.get(0), row.get(1));
    Sequence { path: format!("{}.{}", quoted(schema), quoted(name)), last: row.get(2) }
}

struct Type {
    name: String,
    class: String,
    base: u32,
    modifier: i32,
    element: u32,
    array: bool,
    sends: bool,
    /// What a range is made of, else 0.
    range_of: u32,
}

fn types(rows: &[Row]) -> HashMap<u32, Type> {
    let read = |row: &Row| Type {
        name: row.get(1),
        class: row.get(2),
        base: row.get(3),
        modifier: row.get(4),
        element: row.get(5),
        array: row.get(6),
        sends: row.get(7),
        range_of: row.get(8),
    };
    rows.iter().map(|row| (row.get(0), read(row))).collect()
}

struct Columns {
    of: HashMap<u32, Vec<Column>>,
    /// Table and attribute number to name: partitions number their columns by themselves.
    numbers: HashMap<(u32, i16), String>,
}

fn columns(rows: &[Row], types: &HashMap<u32, Type>) -> Columns {
    let mut columns = Columns { of: HashMap::new(), numbers: HashMap::new() };
    for row in rows {
        let (table, name): (u32, String) = (row.get(0), row.get(2));
        columns.numbers.insert((table, row.get(1)), name);
        columns.of.entry(table).or_default().push(column(row, types));
    }
    columns
}

fn column(row: &Row, types: &HashMap<u32, Type>) -> Column {
    let (mut oid, mut modifier): (u32, i32) = (row.get(4), row.get(5));
    while let Some(domain) = types.get(&oid).filter(|known| known.class == "d") {
        oid = domain.base;
        modifier = if modifier < 0 { domain.modifier } else { modifier };
    }
    let base = types.get(&oid).map_or("", |known| known.name.as_str());
    let array = types.get(&oid).filter(|known| known.array);
    let (item, limited_by) = array.map_or(("", modifier), |known| item(known.element, modifier, types));
    let limited = matches!(base, "varchar" | "bpchar") || matches!(item, "varchar" | "bpchar");
    let limited = limited && limited_by > 4;
    Column {
        name: row.get(2),
        kind: row.get(3),
        base: base.to_owned(),
        type_oid: row.get(4),
        max_length: limited.then(|| usize::try_from(limited_by - 4).unwrap_or(usize::MAX)),
        not_null: row.get(6),
        generated: row.get(7),
        array: array.is_some(),
        item: item.to_owned(),
        as_text: as_text(oid, types),
        names_object: base == "oid",
    }
}

/// The name of an element's type under all domains, and the limit that holds for it.
fn item(mut oid: u32, mut modifier: i32, types: &HashMap<u32, Type>) -> (&str, i32) {
    while let Some(domain) = types.get(&oid).filter(|known| known.class == "d") {
        oid = domain.base;
        modifier = if modifier < 0 { domain.modifier } else { modifier };
    }
    (types.get(&oid).map_or("", |known| known.name.as_str()), modifier)
}

/// Numbers below this are the same in every database.
const FIRST_NORMAL: u32 = 16_384;

/// True for a type whose binary form another database would not understand, or would understand otherwise. The
/// element's number of an array alone is ours to correct.
fn as_text(oid: u32, types: &HashMap<u32, Type>) -> bool {
    match types.get(&oid) {
        Some(known) if known.array => known.element != 0 && holds_numbers(known.element, types),
        _ => holds_numbers(oid, types),
    }
}

fn holds_numbers(oid: u32, types: &HashMap<u32, Type>) -> bool {
    let Some(known) = types.get(&oid) else { return true };
    match known.class.as_str() {
        "c" => true,
        "d" => holds_numbers(known.base, types),
        _ if !known.sends => true,
        _ if known.range_of != 0 => holds_numbers(known.range_of, types),
        _ if known.array && known.element != 0 => {
            known.element >= FIRST_NORMAL || holds_numbers(known.element, types)
        }
        _ => oid < FIRST_NORMAL && known.name.starts_with("reg"),
    }
}

fn tables(rows: &[Row], columns: &mut Columns) -> Vec<Table> {
    let mut tables: Vec<Table> = Vec::new();
    let mut at = HashMap::new();
    for row in rows.iter().filter(|row| !row.get::<_, bool>(4)) {
        let oid: u32 = row.get(0);
        at.insert(oid, tables.len());
        tables.push(Table {
            oid,
            schema: row.get(1),
            name: row.get(2),
            partitioned: row.get(3),
            columns: columns.of.remove(&oid).unwrap_or_default(),
            primary: Vec::new(),
            uniques: Vec::new(),
            heaps: Vec::new(),
        });
    }
    for row in rows.iter().filter(|row| !row.get::<_, bool>(3)) {
        let (schema, name): (&str, &str) = (row.get(1), row.get(2));
        let path = format!("{}.{}", quoted(schema), quoted(name));
        let heap = Heap { oid: row.get(0), path, rows: row.get(6), bytes: row.get(7) };
        if let Some(table) = at.get(&row.get::<_, u32>(5)) {
            tables[*table].heaps.push(heap);
        }
    }
    tables
}

/// From numbers of the catalogue to positions of ours.
struct Finder {
    by_oid: HashMap<u32, usize>,
    numbers: HashMap<(u32, i16), String>,
}

impl Finder {
    fn positions(&self, catalogue: &Catalogue, oid: u32, numbers: &[i16]) -> Option<Vec<usize>> {
        let table = &catalogue.tables[*self.by_oid.get(&oid)?];
        numbers.iter().map(|number| table.column(self.numbers.get(&(oid, *number))?)).collect()
    }

    fn key(&self, catalogue: &mut Catalogue, row: &Row) {
        let (oid, primary): (u32, bool) = (row.get(0), row.get(1));
        let Some(columns) = self.positions(catalogue, oid, &row.get::<_, Vec<i16>>(2)) else { return };
        let Some(table) = catalogue.tables.iter_mut().find(|table| table.oid == oid) else { return };
        if primary {
            table.primary.clone_from(&columns);
        }
        table.uniques.push(columns);
    }

    fn reference(&self, catalogue: &Catalogue, row: &Row) -> Option<Reference> {
        let (from, to): (u32, u32) = (row.get(1), row.get(3));
        let columns = self.positions(catalogue, from, &row.get::<_, Vec<i16>>(2))?;
        let to_columns = self.positions(catalogue, to, &row.get::<_, Vec<i16>>(4))?;
        let (from, to) = (*self.by_oid.get(&from)?, *self.by_oid.get(&to)?);
        let table = &catalogue.tables[from];
        let target = &catalogue.tables[to];
        let pairs = columns.iter().zip(&to_columns);
        let select = pairs.map(|(own, its)| table.columns[*own].as_key(&target.columns[*its])).collect();
        let required = columns.iter().all(|column| table.columns[*column].not_null);
        let name = row.get(0);
        Some(Reference { name, from, columns, to, to_columns, select, required, declared: false })
    }
}
