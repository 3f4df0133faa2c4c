//! Into a scratch database, and only then into the target's name. Until then the target is as it was.

mod aside;
mod fits;
mod lane;
mod learn;
mod objects;
mod order;
mod outlet;
mod owners;
mod permute;
mod row;
mod schema;
mod stage;
mod transfer;
mod work;

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::future::pending;
use std::pin::pin;
use std::time::Duration;

use futures_util::future::{Either, select};
use pw_run::Failure;
use tokio_postgres::Client;
use tokio_postgres::error::SqlState;

use crate::catalogue::Catalogue;
use crate::locale;
use crate::server::{Address, Source, literal, quoted};

pub use fits::fits;
pub use owners::Roles;
pub use schema::Schema;
pub use transfer::{Leak, Moved, Transfer};

/// Marks a scratch database as ours, so that a later run may remove what a killed one left.
const MARK: &str = "partywall: unfinished sample";
/// Marks a finished sample as ours, so that the next one may replace it, and nothing else is replaced.
const SAMPLE: &str = "partywall: sample";
/// Behind each write the server notes every page anew that it changes, also those of its other databases.
const BETWEEN_WRITES: Duration = Duration::from_secs(2);

/// A database that is being filled.
pub struct Scratch {
    /// On another database of the target's server.
    keeper: Client,
    target: Address,
    pub address: Address,
}

/// Stands in the name of every database that we make beside a target.
pub(crate) const OURS: &str = "__partywall_";

/// Second half of the locks on names of databases. Held by a connection, so that a server which still works for a
/// client that has died is waited for.
pub(crate) const LOCK: i32 = 7077;

fn scratch_name(target: &Address) -> String {
    format!("{}{OURS}new", target.database())
}

fn not(what: &str) -> impl FnOnce(tokio_postgres::Error) -> Failure {
    let what = format!("could not {what}");
    move |error| Failure::new(what).because(error)
}

impl Scratch {
    /// Makes an empty scratch database beside the target.
    ///
    /// Who gives it a name takes the target's place himself, and answers for what he replaces.
    ///
    /// # Errors
    /// The server refuses, is older than the source, is filling this target already, or the target is the source.
    pub async fn create(source: &Source, target: &Address, name: Option<&str>) -> Result<Self, Failure> {
        let keeper = target.with_database("postgres").connect().await?;
        let version: i32 = keeper
            .query_one("SELECT current_setting('server_version_num')::int", &[])
            .await
            .map_err(not("ask the target's version"))?
            .get(0);
        if version / 10_000 < source.version / 10_000 {
            let told = format!(
                "the target is PostgreSQL {}, the source {}",
                version / 10_000,
                source.version / 10_000
            );
            return Err(Failure::new(told).hint("the target must be as new as the source"));
        }
        other_database(source, &keeper, target).await?;
        if name.is_none() {
            replaceable(&keeper, target).await?;
        }
        let name = name.map_or_else(|| scratch_name(target), str::to_owned);
        if name.len() > 63 {
            return Err(Failure::new("the target's name is too long to make another beside it"));
        }
        let lock = format!("SELECT pg_try_advisory_lock(hashtext($1), {LOCK})");
        let held: bool = keeper.query_one(&lock, &[&name]).await.map_err(not("lock the target"))?.get(0);
        if !held {
            return Err(Failure::new(format!("another run is filling {target}")));
        }
        let scratch = Self { keeper, target: target.clone(), address: target.with_database(&name) };
        scratch.remove_leftover().await?;
        scratch.make(source, version).await?;
        Ok(scratch)
    }

    /// Removes what a run that was cut off left beside the target.
    ///
    /// # Errors
    /// The server cannot be reached, or refuses.
    pub async fn sweep(target: &Address) -> Result<(), Failure> {
        let keeper = target.with_database("postgres").connect().await?;
        let address = target.with_database(&scratch_name(target));
        Self { keeper, target: target.clone(), address }.remove_leftover().await
    }

    /// The database that a failed run left beside the target.
    ///
    /// # Errors
    /// The server cannot be reached.
    pub async fn left(target: &Address) -> Result<Option<String>, Failure> {
        let keeper = target.with_database("postgres").connect().await?;
        let name = scratch_name(target);
        Ok(mark_of(&keeper, &name).await?.filter(|mark| mark == MARK).map(|_| name))
    }

    async fn exists(&self, name: &str) -> Result<bool, Failure> {
        let rows = self.keeper.query("SELECT FROM pg_database WHERE datname = $1", &[&name]).await;
        Ok(!rows.map_err(not("look for a database"))?.is_empty())
    }

    async fn remove_leftover(&self) -> Result<(), Failure> {
        let name = self.address.database();
        match mark_of(&self.keeper, name).await? {
            Some(mark) if mark == MARK || mark == SAMPLE && name.contains(OURS) => self.discard().await,
            Some(_) => {
                Err(Failure::new(format!("a database `{name}` exists and is not ours"))
                    .hint("rename or drop it"))
            }
            None => Ok(()),
        }
    }

    async fn make(&self, source: &Source, version: i32) -> Result<(), Failure> {
        let name = quoted(self.address.database());
        let like = locale::like(source.leader(), source.address.database(), version).await?;
        // Creating and marking cannot be one transaction: closed until it is marked, it is known for ours in between.
        let create = format!("CREATE DATABASE {name} {like} ALLOW_CONNECTIONS false");
        self.run(&create, "create the scratch database").await?;
        let mark = literal(MARK);
        let open =
            format!("COMMENT ON DATABASE {name} IS {mark}; ALTER DATABASE {name} ALLOW_CONNECTIONS true");
        self.run(&open, "mark the scratch database").await
    }

    async fn run(&self, statement: &str, what: &str) -> Result<(), Failure> {
        self.keeper.batch_execute(statement).await.map_err(not(what))
    }

    /// Removes it, finished or not.
    ///
    /// # Errors
    /// The server refuses.
    pub async fn discard(&self) -> Result<(), Failure> {
        let drop = format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", quoted(self.address.database()));
        self.run(&drop, "drop the scratch database").await
    }

    /// Removes what a failed run made, unless it is to be looked at.
    pub async fn failed(&self, keep: bool) {
        if !keep {
            // Why it failed matters more than that its remains stay; the next run removes them.
            drop(self.discard().await);
        }
    }

    /// Gives it what the target's present database has of its own; answers what could not be given.
    ///
    /// # Errors
    /// The server refuses.
    pub async fn keep_own(&self) -> Result<BTreeSet<String>, Failure> {
        owners::keep(&self.keeper, self.target.database(), &self.address).await
    }

    /// Marks it as a finished sample.
    ///
    /// # Errors
    /// The server refuses.
    pub async fn finish(&self) -> Result<(), Failure> {
        let name = quoted(self.address.database());
        self.run(
            &format!("COMMENT ON DATABASE {name} IS {}", literal(SAMPLE)),
            "mark the database as a sample",
        )
        .await
    }

    /// Gives it the target's name, in one transaction, and drops what had the name before.
    ///
    /// # Errors
    /// The server refuses; then the target is as before.
    pub async fn swap(&self) -> Result<(), Failure> {
        let target = self.target.database();
        let (new, old) = (quoted(self.address.database()), format!("{target}__partywall_old"));
        let rename_old = if self.exists(target).await? {
            self.drop_former(&old).await?;
            let (target, mark) = (quoted(target), literal(SAMPLE));
            format!(
                "COMMENT ON DATABASE {target} IS {mark}; ALTER DATABASE {target} RENAME TO {};",
                quoted(&old)
            )
        } else {
            String::new()
        };
        self.end_connections(target).await?;
        self.end_connections(self.address.database()).await?;
        // Marked in the same moment: cut off behind it, the next run must know the target for a sample.
        let swap = format!(
            "BEGIN; {rename_old} COMMENT ON DATABASE {new} IS {}; ALTER DATABASE {new} RENAME TO {}; COMMIT",
            literal(SAMPLE),
            quoted(target)
        );
        if let Err(error) = self.run(&swap, "give the new database its name").await {
            drop(self.keeper.batch_execute("ROLLBACK").await);
            return Err(error.hint("close the programs that hold the target open, and try again"));
        }
        self.run(
            &format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", quoted(&old)),
            "drop the former database",
        )
        .await
    }

    /// What a run left that was cut off between its last two steps.
    async fn drop_former(&self, name: &str) -> Result<(), Failure> {
        match mark_of(&self.keeper, name).await?.as_deref() {
            Some(SAMPLE) => {
                self.run(&format!("DROP DATABASE {} WITH (FORCE)", quoted(name)), "drop an older copy").await
            }
            Some(_) => {
                Err(Failure::new(format!("a database `{name}` exists and is not ours"))
                    .hint("rename or drop it"))
            }
            None => Ok(()),
        }
    }

    async fn end_connections(&self, name: &str) -> Result<(), Failure> {
        let query = "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = $1 AND pid <> pg_backend_pid()";
        let query = if self.supports_wait().await? { query.to_owned() } else { query.replace(", 5000", "") };
        self.keeper.query(&query, &[&name]).await.map(drop).map_err(not("end the target's connections"))
    }

    async fn supports_wait(&self) -> Result<bool, Failure> {
        let query = "SELECT current_setting('server_version_num')::int >= 140000";
        Ok(self.keeper.query_one(query, &[]).await.map_err(not("ask the target's version"))?.get(0))
    }
}

/// The comment of a database, empty without one; `None` when there is no such database.
///
/// One without a comment that lets nobody in was cut off while it was made, and counts as unfinished.
async fn mark_of(keeper: &Client, name: &str) -> Result<Option<String>, Failure> {
    let query = "SELECT coalesce(shobj_description(oid, 'pg_database'), CASE WHEN datallowconn THEN '' ELSE $2 END) \
        FROM pg_database WHERE datname = $1";
    let rows = keeper.query(query, &[&name, &MARK]).await.map_err(not("look for a database"))?;
    Ok(rows.first().map(|row| row.get(0)))
}

/// A wrong address must not cost a database: what is replaced is a sample, empty, or not there.
async fn replaceable(keeper: &Client, target: &Address) -> Result<(), Failure> {
    let name = target.database();
    match mark_of(keeper, name).await?.as_deref() {
        None | Some(SAMPLE) => return Ok(()),
        Some(_) => {}
    }
    let query = "SELECT count(*) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
        WHERE c.relkind IN ('r', 'p') AND n.nspname NOT IN ('pg_catalog', 'information_schema') AND n.nspname !~ '^pg_toast'";
    let tables: i64 =
        target.connect().await?.query_one(query, &[]).await.map_err(not("look into the target"))?.get(0);
    if tables == 0 {
        return Ok(());
    }
    Err(Failure::new(format!(
        "the database `{name}` has {tables} tables and was not made by `partywall sample`"
    ))
    .hint(format!(
        "give `--to` another name; if it may go, say so on its server: COMMENT ON DATABASE {} IS {}",
        quoted(name),
        literal(SAMPLE)
    )))
}

/// The target must not be the source, by whatever name either was reached.
async fn other_database(source: &Source, keeper: &Client, target: &Address) -> Result<(), Failure> {
    let query = "SELECT system_identifier::text, current_database()::text FROM pg_control_system()";
    let here = source.leader().query_one(query, &[]).await.map_err(not("identify the source"))?;
    let there = keeper.query_one(query, &[]).await.map_err(not("identify the target"))?;
    if here.get::<_, String>(0) == there.get::<_, String>(0) && here.get::<_, String>(1) == target.database()
    {
        return Err(Failure::new("source and target are the same database").hint("give `--to` another name"));
    }
    Ok(())
}

/// Sequences as the source has them, views filled.
///
/// # Errors
/// The scratch database refuses.
pub async fn settle(scratch: &Address, catalogue: &Catalogue) -> Result<(), Failure> {
    let client = scratch.connect().await?;
    for sequence in &catalogue.sequences {
        if let Some(last) = sequence.last {
            let set = format!("SELECT setval({}, {last})", literal(&sequence.path));
            client.batch_execute(&set).await.map_err(not("set a sequence"))?;
        }
    }
    let query = "SELECT format('%I.%I', n.nspname, c.relname) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
        WHERE c.relkind = 'm' ORDER BY c.oid";
    for row in client.query(query, &[]).await.map_err(not("list materialized views"))? {
        let view: String = row.get(0);
        let refresh = format!("REFRESH MATERIALIZED VIEW {view}; ANALYZE {view}");
        client.batch_execute(&refresh).await.map_err(not("refresh a materialized view"))?;
    }
    written(&client).await
}

/// Does the work, and has the server put on its disk meanwhile what has come so far: at the end only the last of it is
/// waited for.
pub async fn written_meanwhile<T>(scratch: &Address, work: impl Future<Output = T>) -> T {
    match select(pin!(work), pin!(write_on(scratch))).await {
        Either::Left((done, _)) => done,
        Either::Right((never, _)) => match never {},
    }
}

async fn write_on(scratch: &Address) -> Infallible {
    if let Ok(client) = scratch.connect().await {
        // What it cannot write is told at the end.
        while client.batch_execute("CHECKPOINT").await.is_ok() {
            tokio::time::sleep(BETWEEN_WRITES).await;
        }
    }
    pending().await
}

/// Has the server put on its disk what has come so far. What it cannot write is told at the end.
pub async fn write_out(scratch: &Address) {
    if let Ok(client) = scratch.connect().await {
        client.batch_execute("CHECKPOINT").await.ok();
    }
}

/// What the server cannot put on its disk must not take the target's name. Who may not ask for it does without.
async fn written(client: &Client) -> Result<(), Failure> {
    match client.batch_execute("CHECKPOINT").await {
        Err(error) if error.code() != Some(&SqlState::INSUFFICIENT_PRIVILEGE) => {
            Err(not("write the new database to the disk")(error)
                .hint("the target's server log says why; is its disk full?"))
        }
        _ => Ok(()),
    }
}
