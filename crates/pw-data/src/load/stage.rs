//! Values whose binary form another database would not understand rest as texts until the server has read them.

use pw_run::Failure;
use tokio_postgres::Client;

use crate::catalogue::Table;
use crate::server::{literal, quoted};

/// In the scratch database, gone before keys between tables are checked.
const SCHEMA: &str = "__partywall_stage";

/// Both ends write and read texts alike, nothing as this or that country has it.
pub(super) const ALIKE: &str = "SET LOCAL datestyle = 'ISO, YMD'; \
    SET LOCAL intervalstyle = 'postgres'; SET LOCAL bytea_output = 'hex'; SET LOCAL lc_monetary = 'C'; \
    SET LOCAL extra_float_digits = 3; SET LOCAL timezone = 'UTC'";

/// A table of which some columns travel as text.
pub(super) struct Staged<'a> {
    pub(super) number: usize,
    pub(super) table: &'a Table,
    /// Positions of the columns that travel.
    pub(super) columns: Vec<usize>,
}

/// The column as a text that names everything in full. The path is changed while rows are read: expressions of the
/// user's in the same query were understood before.
pub(super) fn in_full(column: &str) -> String {
    format!("CASE WHEN set_config('search_path', '', true) = '' THEN {column}::text END")
}

/// Where the rows of a table rest.
pub(super) fn path(number: usize) -> String {
    format!("{SCHEMA}.\"{number}\"")
}

/// Makes the places where rows rest.
///
/// # Errors
/// The scratch database refuses.
pub(super) async fn open(client: &Client, staged: &[Staged<'_>]) -> Result<(), Failure> {
    if staged.is_empty() {
        return Ok(());
    }
    let mut text = format!("CREATE SCHEMA {SCHEMA};");
    for one in staged {
        let column = |column: &usize| {
            let (known, name) = (&one.table.columns[*column], quoted(&one.table.columns[*column].name));
            if known.as_text { format!("{name}::text AS {name}") } else { name }
        };
        let list: Vec<String> = one.columns.iter().map(column).collect();
        let (place, from, list) = (path(one.number), one.table.path(), list.join(", "));
        text += &format!("CREATE UNLOGGED TABLE {place} AS SELECT {list} FROM {from} WITH NO DATA;");
    }
    let made = client.batch_execute(&text).await;
    made.map_err(|error| Failure::new("could not prepare the scratch database").because(error))
}

/// Puts the rows of a table where they belong.
///
/// # Errors
/// The server cannot read a text: what it names is not in the scratch database.
pub(super) async fn settle(client: &Client, one: &Staged<'_>) -> Result<(), Failure> {
    client
        .batch_execute(&format!("BEGIN; SET LOCAL search_path = ''; {ALIKE}"))
        .await
        .map_err(failed("prepare to read texts"))?;
    let kinds = kinds(client, one.table).await?;
    let names: Vec<String> =
        one.columns.iter().map(|column| quoted(&one.table.columns[*column].name)).collect();
    let read = |(column, name): (&usize, &String)| {
        let (known, kind) = (&one.table.columns[*column], kinds[*column].as_str());
        match known.base.as_str() {
            _ if !known.as_text => name.clone(),
            // Its cast knows names only; its input also knows the number of what is gone.
            "regclass" => format!("regclassin(textout({name}))::{kind}"),
            _ => format!("{name}::{kind}"),
        }
    };
    let list: Vec<String> = one.columns.iter().zip(&names).map(read).collect();
    let (place, to) = (path(one.number), one.table.path());
    let insert = format!(
        "INSERT INTO {to} ({}) OVERRIDING SYSTEM VALUE SELECT {} FROM {place}; DROP TABLE {place}; COMMIT",
        names.join(", "),
        list.join(", ")
    );
    client.batch_execute(&insert).await.map_err(|error| {
        failed(&format!("copy `{}`", one.table.shown()))(error).hint(
            "a value names an object, such as a role, that the new database does not have: mask the column `null`, or leave the table out: `tables: { NAME: empty }`",
        )
    })
}

/// Removes the places, when nothing rests in them any more.
///
/// # Errors
/// The scratch database refuses.
pub(super) async fn close(client: &Client, staged: &[Staged<'_>]) -> Result<(), Failure> {
    if staged.is_empty() {
        return Ok(());
    }
    client.batch_execute(&format!("DROP SCHEMA {SCHEMA}")).await.map_err(failed("remove what rested"))
}

fn failed(what: &str) -> impl FnOnce(tokio_postgres::Error) -> Failure {
    let what = format!("could not {what}");
    move |error| Failure::new(what).because(error)
}

/// The columns' types as the scratch database calls them, in the catalogue's order.
async fn kinds(client: &Client, table: &Table) -> Result<Vec<String>, Failure> {
    let query = format!(
        "SELECT a.attname, format_type(a.atttypid, a.atttypmod) FROM pg_attribute a WHERE a.attrelid = {}::regclass AND a.attnum > 0",
        literal(&table.path())
    );
    let rows = client.query(&query, &[]).await;
    let rows =
        rows.map_err(|error| Failure::new("could not read the scratch database's types").because(error))?;
    let kind = |name: &str| rows.iter().find(|row| row.get::<_, &str>(0) == name).map(|row| row.get(1));
    Ok(table.columns.iter().map(|column| kind(&column.name).unwrap_or_default()).collect())
}
