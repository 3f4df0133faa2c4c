//! How many requests, streams and websockets Caddy has open to an address.

use std::path::Path;
use std::time::{Duration, Instant};

use pw_plan::step::Drain;
use pw_run::Failure;
use serde_json::Value;

use super::ours::socket;

const POLL: Duration = Duration::from_millis(200);
/// A request that read the switch before the flip may be counted a moment after it.
const QUIET_LOOKS: u32 = 3;
/// A proxy that ends answers no more, and lets requests end for 30 seconds yet; one that says nothing for longer is gone.
const SILENT: Duration = Duration::from_secs(35);

/// Waits until nothing is open to the address, or its time is over. Answers how many were still open.
///
/// # Errors
/// Never: a proxy that is gone has nothing open.
pub async fn drain(drain: &Drain, tell: &(dyn Fn(&str) + Sync)) -> Result<u64, Failure> {
    let (begun, mut heard, mut quiet, mut told) = (Instant::now(), Instant::now(), 0, None);
    loop {
        let open = in_flight(Path::new(&drain.folder), &drain.address).await;
        quiet = if open == Some(0) { quiet + 1 } else { 0 };
        if open.is_some() {
            heard = Instant::now();
        }
        let is_over = begun.elapsed() >= Duration::from_secs(drain.seconds) || heard.elapsed() >= SILENT;
        if quiet >= QUIET_LOOKS || is_over {
            return Ok(open.unwrap_or(0));
        }
        if let Some(open) = open.filter(|open| *open > 0 && told != Some(*open)) {
            tell(&format!("waiting for {open} open to {}", drain.address));
            told = Some(open);
        }
        tokio::time::sleep(POLL).await;
    }
}

/// `None` where Caddy does not answer.
pub async fn in_flight(folder: &Path, address: &str) -> Option<u64> {
    let answer = socket(folder).get("/reverse_proxy/upstreams").await;
    let Ok((Value::Array(upstreams), _)) = answer else { return None };
    let own = upstreams.iter().find(|one| one.get("address").and_then(Value::as_str) == Some(address));
    Some(own.and_then(|one| one.get("num_requests")?.as_u64()).unwrap_or(0))
}
