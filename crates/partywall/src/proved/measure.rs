//! One blast in rounds, and what production's visitors feel of it.

use std::net::SocketAddr;
use std::time::Duration;

use pw_host::Host;
use pw_host::prove::{Attackers, killed};
use pw_load::Load;
use pw_plan::prove::step::{Attacker, BlastRun, Site};
use pw_plan::prove::verdict::{Blasted, Felt};
use pw_run::Failure;

/// From the start of a blast until it is at its worst, and from its end until what was queued is gone.
const SETTLE: Duration = Duration::from_secs(1);
/// What attackers may take to start, on a machine at its worst.
const SLACK: Duration = Duration::from_secs(1);

/// Alone, blast, alone, blast, …, alone. Ends what was left of an earlier run first.
///
/// # Errors
/// Attackers cannot be started or ended.
pub(crate) async fn blast(host: &Host, run: &BlastRun, tell: &dyn Fn(&str)) -> Result<Blasted, Failure> {
    pw_host::prove::end(&run.group).await?;
    let time = Duration::from_secs(run.seconds.into());
    let (beside, production) = (pids(host, &run.from).await?, pids(host, &run.guarded).await?);
    let counts = || (killed(beside.iter().copied()), killed(production.iter().copied()));
    let before = counts();
    let mut found = Blasted {
        blast: run.blast.name().to_owned(),
        what: run.blast.because().to_owned(),
        ..Blasted::default()
    };
    found.alone.push(felt(&run.site, run.rate, time).await?);
    for round in 1..=run.rounds {
        tell(&format!("waiting for blast `{}`, round {round} of {}", run.blast.name(), run.rounds));
        let earlier = counts().0;
        let attackers = Attackers::start(host.engine(), run, SETTLE + time + SLACK).await?;
        tokio::time::sleep(SETTLE).await;
        found.under.push(felt(&run.site, run.rate, time).await?);
        found.done = attackers.ended(run.blast).await;
        // Gone with their groups.
        found.killed_beside += counts().0.saturating_sub(earlier);
        pw_host::prove::end(&run.group).await?;
        tokio::time::sleep(SETTLE).await;
        found.alone.push(felt(&run.site, run.rate, time).await?);
    }
    found.killed_in_production = counts().1.saturating_sub(before.1);
    Ok(found)
}

async fn pids(host: &Host, containers: &[Attacker]) -> Result<Vec<i32>, Failure> {
    let mut pids = Vec::new();
    for one in containers {
        pids.extend(host.engine().first_process(&one.id).await?);
    }
    Ok(pids)
}

/// Asks by the clock, on threads of their own, which end when this is called off.
async fn felt(site: &Site, rate: u32, time: Duration) -> Result<Felt, Failure> {
    let to = SocketAddr::new(site.address, site.port);
    let load = Load::new(to, &site.host, &site.path, rate.into());
    let running = load.start(|answer| (200..400).contains(&answer.status));
    tokio::time::sleep(time).await;
    let report = tokio::task::spawn_blocking(|| running.stop()).await;
    let report = report.map_err(|error| Failure::new("the measurement ended early").because(error))?;
    let millis = |share| report.quantile(share).as_secs_f64() * 1000.0;
    Ok(Felt {
        p50: millis(0.5),
        p99: millis(0.99),
        p999: millis(0.999),
        requests: report.requests(),
        failed: report.failures,
    })
}
