//! What a database holds at one moment, counted: what a restored copy of it is measured against.

use std::collections::BTreeMap;
use std::fs::File;
use std::os::fd::AsRawFd as _;
use std::path::Path;

use pw_run::Failure;
use tokio_postgres::Client;

use crate::server::{Address, Source, literal, quoted};

/// Tables that `pg_dump` carries, with the column that notes when a row was made: the first with a default of now.
const TABLES: &str = "\
    SELECT n.nspname, c.relname, (SELECT a.attname FROM pg_attribute a \
        JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum \
        WHERE a.attrelid = c.oid AND NOT a.attisdropped \
            AND a.atttypid IN ('timestamptz'::regtype, 'timestamp'::regtype) \
            AND pg_get_expr(d.adbin, d.adrelid) ~* '(now|timestamp)' \
        ORDER BY a.attnum LIMIT 1) \
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
    WHERE c.relkind = 'r' AND c.relpersistence <> 't' AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema' \
        AND NOT EXISTS (SELECT FROM pg_depend e WHERE e.classid = 'pg_class'::regclass AND e.objid = c.oid AND e.deptype = 'e') \
    ORDER BY 1, 2";

/// Everything that has a definition, one line each, hashed. What extensions bring is theirs.
const SCHEMA: &str = "\
    WITH own AS (SELECT oid, nspname FROM pg_namespace WHERE nspname !~ '^pg_' AND nspname <> 'information_schema'), \
    theirs AS (SELECT classid, objid FROM pg_depend WHERE deptype = 'e'), \
    lines AS (\
        SELECT format('column %s.%s.%s %s %s %s', n.nspname, c.relname, a.attname, format_type(a.atttypid, a.atttypmod), \
            a.attnotnull, pg_get_expr(d.adbin, d.adrelid)) AS line \
        FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid JOIN own n ON n.oid = c.relnamespace \
            LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum \
        WHERE a.attnum > 0 AND NOT a.attisdropped AND c.relkind IN ('r', 'p', 'v', 'm', 'f') \
            AND NOT EXISTS (SELECT FROM theirs t WHERE t.classid = 'pg_class'::regclass AND t.objid = c.oid) \
        UNION ALL SELECT format('constraint %s %s %s', c.conrelid::regclass, c.conname, pg_get_constraintdef(c.oid)) \
        FROM pg_constraint c JOIN own n ON n.oid = c.connamespace WHERE c.conrelid <> 0 \
            AND NOT EXISTS (SELECT FROM theirs t WHERE t.classid = 'pg_class'::regclass AND t.objid = c.conrelid) \
        UNION ALL SELECT 'index ' || pg_get_indexdef(i.indexrelid) \
        FROM pg_index i JOIN pg_class c ON c.oid = i.indrelid JOIN own n ON n.oid = c.relnamespace \
        WHERE NOT EXISTS (SELECT FROM theirs t WHERE t.classid = 'pg_class'::regclass AND t.objid = c.oid) \
        UNION ALL SELECT format('view %s.%s %s', n.nspname, c.relname, pg_get_viewdef(c.oid)) \
        FROM pg_class c JOIN own n ON n.oid = c.relnamespace WHERE c.relkind IN ('v', 'm') \
            AND NOT EXISTS (SELECT FROM theirs t WHERE t.classid = 'pg_class'::regclass AND t.objid = c.oid) \
        UNION ALL SELECT 'function ' || pg_get_functiondef(p.oid) \
        FROM pg_proc p JOIN own n ON n.oid = p.pronamespace WHERE p.prokind IN ('f', 'p') \
            AND NOT EXISTS (SELECT FROM theirs t WHERE t.classid = 'pg_proc'::regclass AND t.objid = p.oid) \
        UNION ALL SELECT 'trigger ' || pg_get_triggerdef(g.oid) FROM pg_trigger g WHERE NOT g.tgisinternal) \
    SELECT coalesce(md5(string_agg(line, E'\\n' ORDER BY line COLLATE \"C\")), '') FROM lines";

/// One table.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rows {
    pub rows: u64,
    /// Column and time, as RFC 3339 in UTC.
    pub newest: Option<(String, String)>,
}

/// A database at one moment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Counts {
    /// `17.5 (Debian …)`.
    pub server: String,
    pub schema: String,
    pub foreign_keys: u64,
    /// Those that do not hold for every row, as far as the server knows.
    pub not_valid: u64,
    /// `schema.table`.
    pub tables: BTreeMap<String, Rows>,
}

/// Counts everything at one moment, which stays as long as the answered source does: `pg_dump` may join it.
///
/// # Errors
/// The server cannot be reached, or refuses to read a table.
pub async fn counted(address: Address) -> Result<(Source, Counts), Failure> {
    let source = Source::open(address, 1).await?;
    let counts = counts(&source).await?;
    Ok((source, counts))
}

/// The same of a server on this machine, by the folder of its socket.
///
/// # Errors
/// The server cannot be reached, or refuses to read a table.
pub async fn counted_here(folder: &Path, user: &str, database: &str) -> Result<Counts, Failure> {
    let opened = File::open(folder);
    let opened = opened
        .map_err(|error| Failure::new(format!("could not open `{}`", folder.display())).because(error))?;
    Ok(counted(Address::local(opened.as_raw_fd(), user, database)).await?.1)
}

async fn counts(source: &Source) -> Result<Counts, Failure> {
    let client = source.leader();
    let what = || Failure::new(format!("could not count what is in {}", source.address));
    let failed = |error| what().because(error);
    let set = client.batch_execute("SET search_path = ''; SET TimeZone = 'UTC'").await;
    set.map_err(failed)?;
    let row = client.query_one("SELECT current_setting('server_version')", &[]).await.map_err(failed)?;
    let server = row.get(0);
    let schema = client.query_one(SCHEMA, &[]).await.map_err(failed)?.get(0);
    let keys =
        "SELECT count(*), count(*) FILTER (WHERE NOT convalidated) FROM pg_constraint WHERE contype = 'f'";
    let row = client.query_one(keys, &[]).await.map_err(failed)?;
    let (foreign_keys, not_valid) = (positive(row.get(0)), positive(row.get(1)));
    let mut tables = BTreeMap::new();
    for row in client.query(TABLES, &[]).await.map_err(failed)? {
        let (schema, table, column): (String, String, Option<String>) = (row.get(0), row.get(1), row.get(2));
        let rows = rows(client, (&schema, &table), column).await;
        tables.insert(format!("{schema}.{table}"), rows.map_err(failed)?);
    }
    Ok(Counts { server, schema, foreign_keys, not_valid, tables })
}

async fn rows(
    client: &Client,
    (schema, table): (&str, &str),
    column: Option<String>,
) -> Result<Rows, tokio_postgres::Error> {
    let newest = match &column {
        // An infinite time is no time at which a row was made.
        Some(column) => format!(
            "to_char(max({0}) FILTER (WHERE isfinite({0})), {1})",
            quoted(column),
            literal("YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"")
        ),
        None => "NULL::text".to_owned(),
    };
    let query = format!("SELECT count(*), {newest} FROM {}.{}", quoted(schema), quoted(table));
    let row = client.query_one(&query, &[]).await?;
    let newest: Option<String> = row.get(1);
    Ok(Rows { rows: positive(row.get(0)), newest: column.zip(newest) })
}

fn positive(count: i64) -> u64 {
    u64::try_from(count).unwrap_or(0)
}
