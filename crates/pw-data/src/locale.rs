//! How a database encodes and sorts its texts, as another one is told to.

use pw_run::Failure;
use tokio_postgres::Client;

use crate::server::literal;

/// Servers that know of several providers say which one it is.
const PROVIDERS: i32 = 150_000;
/// Columns that not every version has are asked for by their names.
const QUERY: &str = "SELECT pg_encoding_to_char(encoding), datcollate::text, datctype::text, \
    to_jsonb(d) ->> 'datlocprovider', coalesce(to_jsonb(d) ->> 'datlocale', to_jsonb(d) ->> 'daticulocale'), \
    to_jsonb(d) ->> 'daticurules' FROM pg_database d WHERE datname = $1";

/// What stands behind `CREATE DATABASE NAME`, on a server of the version, for one that sorts as `database` does.
///
/// # Errors
/// There is no such database, or the server cannot be asked.
pub(crate) async fn like(client: &Client, database: &str, version: i32) -> Result<String, Failure> {
    let row = client.query_one(QUERY, &[&database]).await;
    let row = row.map_err(|error| {
        Failure::new(format!("could not ask how `{database}` encodes and sorts")).because(error)
    })?;
    let [encoding, collate, ctype]: [String; 3] = [row.get(0), row.get(1), row.get(2)];
    let [provider, locale, rules]: [Option<String>; 3] = [row.get(3), row.get(4), row.get(5)];
    let mut text = format!(
        "TEMPLATE template0 ENCODING {} LC_COLLATE {} LC_CTYPE {}",
        literal(&encoding),
        literal(&collate),
        literal(&ctype)
    );
    let mut set = |word: &str, value: Option<&String>| {
        text.extend(value.map(|value| format!(" {word} {}", literal(value))));
    };
    match provider.as_deref() {
        Some("i") => {
            set("LOCALE_PROVIDER", Some(&"icu".to_owned()));
            set("ICU_LOCALE", locale.as_ref());
            set("ICU_RULES", rules.as_ref());
        }
        Some("b") => {
            set("LOCALE_PROVIDER", Some(&"builtin".to_owned()));
            set("BUILTIN_LOCALE", locale.as_ref());
        }
        // What the server's own databases are made with may be another.
        _ if version >= PROVIDERS => set("LOCALE_PROVIDER", Some(&"libc".to_owned())),
        _ => {}
    }
    Ok(text)
}
