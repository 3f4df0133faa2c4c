//! Large objects that sampled rows name: their bytes go beside the rows, under the same numbers.

use std::collections::BTreeSet;

use pw_run::Failure;
use tokio_postgres::Client;

use crate::proof::Values;
use crate::server::{Address, Reader, Source};

/// Bytes that one question asks for.
const CHUNK: i32 = 1 << 20;
/// What of a chunk is searched again with the next one: longer than anything that is searched for.
const OVERLAP: usize = 512;

/// What became of them.
#[derive(Default)]
pub(super) struct Carried {
    pub(super) objects: u64,
    pub(super) bytes: u64,
    /// The number of the first in which a masked production value stood.
    pub(super) leak: Option<u32>,
}

/// Copies those of `numbers` that are large objects of the source; the others mean something else.
///
/// # Errors
/// Either side refuses.
pub(super) async fn carry(
    source: &Source,
    scratch: &Address,
    numbers: &BTreeSet<u32>,
    values: &Values,
) -> Result<Carried, Failure> {
    let mut carried = Carried::default();
    let (from, list) = (source.leader(), numbers.iter().copied().collect::<Vec<u32>>());
    let query = "SELECT oid FROM pg_largeobject_metadata WHERE oid = ANY ($1) ORDER BY oid";
    let rows = from.query(query, &[&list]).await;
    let rows = rows
        .map_err(|error| Failure::new("could not look for the large objects of the rows").because(error))?;
    if rows.is_empty() {
        return Ok(carried);
    }
    let to = scratch.connect().await?;
    for number in rows.iter().map(|row| row.get::<_, u32>(0)) {
        let copied = copy(from, &to, number, values).await;
        let (bytes, leaks) = copied.map_err(|error| {
            Failure::new(format!("could not copy the large object {number}")).because(error)
        })?;
        carried.objects += 1;
        carried.bytes += bytes;
        carried.leak = carried.leak.or_else(|| leaks.then_some(number));
    }
    Ok(carried)
}

async fn copy(
    from: &Reader,
    to: &Client,
    number: u32,
    values: &Values,
) -> Result<(u64, bool), tokio_postgres::Error> {
    to.batch_execute(&format!("BEGIN; SET LOCAL synchronous_commit = off; SELECT lo_create({number})"))
        .await?;
    let (mut at, mut leaks, mut searched) = (0_i64, false, Vec::new());
    loop {
        let row = from.query_one("SELECT lo_get($1, $2, $3)", &[&number, &at, &CHUNK]).await?;
        let bytes: &[u8] = row.get(0);
        if bytes.is_empty() {
            break;
        }
        from.pace.spend(bytes.len()).await;
        searched.drain(..searched.len().saturating_sub(OVERLAP));
        searched.extend_from_slice(bytes);
        leaks |= values.find(&searched).is_some();
        to.query_one("SELECT lo_put($1, $2, $3)", &[&number, &at, &bytes]).await?;
        at += bytes.len() as i64;
    }
    to.batch_execute("COMMIT").await?;
    Ok((at.unsigned_abs(), leaks))
}
