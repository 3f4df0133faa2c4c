//! Asking containers that no visitor meets yet, over the proxy's own path.

use std::path::Path;
use std::time::{Duration, Instant};

use pw_model::config::Verify;
use pw_model::unit::Span;
use pw_plan::step::Probe;
use pw_run::Failure;
use reqwest::{Client, redirect};

use super::warm_up::warm_up;
use crate::files;

const PAUSE: Duration = Duration::from_millis(300);

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
    }
    files::close_switch(file)?;
    if result.is_ok() {
        warm_up(probe).await;
    }
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
