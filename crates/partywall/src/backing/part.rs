//! One file or one table out of a backup.

use std::io;
use std::path::Path;

use pw_backup::Repository;
use pw_backup::take::Taking;
use pw_data::placed;
use pw_host::Host;
use pw_plan::step::{DatabasePlace, Stored, TableName};
use pw_run::Failure;

use super::moment::piped;
use super::perform::{blocking, inside};
use super::restore::{Receiver, made_anew, received, remove_restored};
use crate::reach::{Reached, reach};

pub(super) async fn path(stored: &Stored, path: &str, into: &str) -> Result<(), Failure> {
    let (stored, path, into) = (stored.clone(), path.to_owned(), into.to_owned());
    blocking(move || {
        remove_restored(&into)?;
        let above = Path::new(&into).parent().unwrap_or(Path::new("/"));
        if !above.is_dir() {
            return Err(Failure::new(format!("there is no folder `{}`", above.display()))
                .hint("bring that folder back, it holds what is asked for: name it with `--path`"));
        }
        let taking = Taking::open(&Repository::new(stored.repository.clone()), &stored.backup)?;
        taking.path(&stored.part, &path, Path::new(&into)).map(drop)
    })
    .await
}

/// What it was owned by and who had rights on it may be gone, and nobody needs either to take rows out of it.
const NOBODYS: [&str; 2] = ["--no-owner", "--no-privileges"];

/// Definitions of everything, rows of one table.
pub(super) async fn table(
    host: &Host,
    (stored, table): (&Stored, &TableName),
    like: &str,
    to: &DatabasePlace,
) -> Result<(), Failure> {
    let reached = made_anew(host, like, to).await?;
    let words = |words: &[&str]| NOBODYS.iter().chain(words).map(|word| (*word).to_owned()).collect();
    received(stored, receiver(&reached, to, words(&["--section=pre-data"]))).await?;
    let rows = words(&["--section=data", "-n", &table.schema, "-t", &table.name]);
    let known = received(stored, receiver(&reached, to, rows)).await?;
    let wanted = known.tables.get(&table.to_string()).map_or(0, |table| table.rows);
    let address = reached.address.with_database(&to.name);
    same(table, placed::rows(&address, (&table.schema, &table.name)).await?, wanted)
}

/// From the database beside into a schema of the one that is in use.
pub(super) async fn place(
    host: &Host,
    (from, table): (&DatabasePlace, &TableName),
    to: &DatabasePlace,
    schema: &str,
) -> Result<(), Failure> {
    let reached = reach(host.engine(), to).await?;
    let beside = reached.address.with_database(&from.name);
    placed::remove(&reached.address, schema).await?;
    placed::set_apart(&beside, (&table.schema, &table.name), schema).await?;
    let dump =
        inside(&reached, &["pg_dump", "-w", "-Fc", "-Z0", "-n", schema, "-U", &from.user, "-d", &from.name]);
    let receiver = receiver(&reached, to, Vec::new());
    blocking(move || piped(&dump, &receiver, "could not put the table beside the present one")).await?;
    let there = (schema, table.name.as_str());
    same(table, placed::rows(&reached.address, there).await?, placed::rows(&beside, there).await?)
}

pub(super) async fn remove(host: &Host, from: &DatabasePlace, schema: &str) -> Result<(), Failure> {
    placed::remove(&reach(host.engine(), from).await?.address, schema).await
}

fn receiver(reached: &Reached, to: &DatabasePlace, words: Vec<String>) -> Receiver {
    Receiver {
        container: reached.id.clone(),
        password: reached.password.clone(),
        user: to.user.clone(),
        database: to.name.clone(),
        words,
    }
}

fn same(table: &TableName, found: u64, wanted: u64) -> Result<(), Failure> {
    if found == wanted {
        return Ok(());
    }
    Err(Failure::new(format!("`{table}` came back other than it was backed up"))
        .because(io::Error::other(format!("it has {found} rows of {wanted}"))))
}
