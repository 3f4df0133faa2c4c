//! Asking containers that no visitor meets yet, over the proxy's own path.

use std::path::Path;
use std::time::{Duration, Instant};

use futures_util::{StreamExt as _, stream};
use pw_model::config::Verify;
use pw_model::unit::Span;
use pw_plan::step::Probe;
use pw_run::Failure;
use reqwest::{Client, redirect};

use crate::files;

const PAUSE: Duration = Duration::from_millis(300);
/// Who asks while they warm up: one alone fills no pool.
const AT_ONCE: usize = 4;
/// A program that is still slow by then is slow.
const WARMING: Duration = Duration::from_secs(10);

/// Why an answer was not good.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Answered(String);

/// Asks each container until it has answered everything well as often in a row as wanted.
///
/// # Errors
/// The time is over; the last bad answer is the cause.
pub async fn probe(probe: &Probe) -> Result<(), Failure> {
    let file = Path::new(&probe.candidate);
    let port = probe.address.rsplit_once(':').map_or("80", |(_, port)| port);
    let client = client(probe)?;
    let mut result = Ok(());
    for container in &probe.containers.names {
        // By its own name: behind that of the generation, chance decides who answers.
        files::open_switch(file, &format!("{container}:{port}"))?;
        result = ask_until_good(&client, probe).await;
        if result.is_err() {
            break;
        }
        warm_up(&client, probe).await;
    }
    files::close_switch(file)?;
    result
}

fn client(probe: &Probe) -> Result<Client, Failure> {
    let socket = Path::new(&probe.folder).join("run/candidate.sock");
    let builder = Client::builder()
        .no_proxy()
        .unix_socket(socket)
        .pool_max_idle_per_host(0)
        .redirect(redirect::Policy::none());
    builder.build().map_err(|error| Failure::new("the new release cannot be asked").because(error))
}

/// What they answer does not count any more.
async fn warm_up(client: &Client, probe: &Probe) {
    let all = stream::iter(0..probe.warm_up).for_each_concurrent(AT_ONCE, async |_| {
        drop(ask_all(client, probe).await);
    });
    drop(tokio::time::timeout(WARMING, all).await);
}

async fn ask_until_good(client: &Client, probe: &Probe) -> Result<(), Failure> {
    let begun = Instant::now();
    let mut row = 0;
    loop {
        match ask_all(client, probe).await {
            Ok(()) => row += 1,
            Err(failure) if begun.elapsed() >= Duration::from_secs(probe.timeout_seconds) => {
                return Err(failure);
            }
            Err(_) => row = 0,
        }
        if row >= probe.successes {
            return Ok(());
        }
        tokio::time::sleep(PAUSE).await;
    }
}

async fn ask_all(client: &Client, probe: &Probe) -> Result<(), Failure> {
    if probe.requests.is_empty() {
        let any =
            Verify { get: "/".into(), expect: None, body: None, within: Span::seconds(5), service: None };
        return ask(client, probe, &any, |status| status < 500).await;
    }
    for verify in &probe.requests {
        ask(client, probe, verify, |status| {
            verify.expect.map_or((200..400).contains(&status), |wanted| status == wanted)
        })
        .await?;
    }
    Ok(())
}

async fn ask(
    client: &Client,
    probe: &Probe,
    verify: &Verify,
    is_good: impl Fn(u16) -> bool,
) -> Result<(), Failure> {
    let wrong = |why: String| {
        let service = &probe.containers.service;
        Failure::new(format!("the new `{service}` does not answer `{}` as wanted", verify.get))
            .because(Answered(why))
            .hint("see `promote.verify` in `partywall.yaml`, and the logs of the release where it was tried")
    };
    let request = client.get(format!("http://{}{}", probe.host, verify.get)).timeout(verify.within.0);
    let answer = request.send().await;
    let answer = answer.map_err(|error| match error.is_timeout() {
        true => wrong(format!("no answer within {}", verify.within)),
        false => wrong(error.to_string()),
    })?;
    let status = answer.status().as_u16();
    let body = answer.text().await.map_err(|error| wrong(format!("its answer broke off: {error}")))?;
    if !is_good(status) {
        let wanted = verify.expect.map_or_else(String::new, |wanted| format!(", not {wanted}"));
        return Err(wrong(format!(
            "it answers {status}{wanted}: {}",
            body.chars().take(200).collect::<String>().trim()
        )));
    }
    match verify.body.as_ref().filter(|text| !body.contains(*text)) {
        Some(text) => Err(wrong(format!("its answer does not hold `{text}`"))),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::{UnixListener, UnixStream};

    use super::*;

    #[derive(Default)]
    struct Server {
        asked: AtomicUsize,
        busy: AtomicUsize,
        busiest: AtomicUsize,
    }

    impl Server {
        async fn answer(&self, mut visitor: UnixStream) -> std::io::Result<()> {
            let busy = self.busy.fetch_add(1, Ordering::SeqCst) + 1;
            self.busiest.fetch_max(busy, Ordering::SeqCst);
            self.asked.fetch_add(1, Ordering::SeqCst);
            let _read = visitor.read(&mut [0; 4096]).await?;
            tokio::time::sleep(Duration::from_millis(50)).await;
            visitor.write_all(b"HTTP/1.1 503 No\r\ncontent-length: 0\r\nconnection: close\r\n\r\n").await?;
            self.busy.fetch_sub(1, Ordering::SeqCst);
            Ok(())
        }
    }

    /// Promise: who warms up asks as often as is said, several at once, and a bad answer counts no more.
    #[tokio::test]
    async fn who_warms_up_asks_as_often_as_is_said() {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::create_dir(folder.path().join("run")).expect("a folder");
        let listener = UnixListener::bind(folder.path().join("run/candidate.sock")).expect("a socket");
        let server = Arc::new(Server::default());
        let serving = Arc::clone(&server);
        tokio::spawn(async move {
            while let Ok((visitor, _)) = listener.accept().await {
                let serving = Arc::clone(&serving);
                tokio::spawn(async move { serving.answer(visitor).await });
            }
        });
        let probe = serde_json::json!({
            "containers": {"project": "p", "service": "web", "names": ["web-blue"]},
            "folder": folder.path(), "candidate": "", "address": "web:80", "host": "shop.localhost",
            "requests": [], "successes": 1, "warm_up": 10, "timeout_seconds": 1,
        });
        let probe: Probe = serde_json::from_value(probe).expect("a probe");
        warm_up(&client(&probe).expect("a client"), &probe).await;
        let of = |number: &AtomicUsize| number.load(Ordering::SeqCst);
        assert_eq!((of(&server.asked), of(&server.busiest)), (10, AT_ONCE));
    }
}
