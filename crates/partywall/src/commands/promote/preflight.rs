//! What is looked at before anything is built: room for two generations, changes made by hand, and what makes a flip blind.

use std::path::Path;

use pw_model::Bytes;
use pw_model::desired::Desired;
use pw_model::name::EnvironmentName;
use pw_model::observed::{Container, Observed};
use pw_plan::promote::serving;
use pw_run::Observe as _;

use super::super::drift;
use super::{Printer, Session, Stop};
use crate::measure;
use crate::prepare;

/// Free disk that a build and a second set of containers need at least.
const DISK: Bytes = Bytes(1 << 30);
/// What the new generation may need beyond what the present one uses now.
const MARGIN: f64 = 1.25;

/// Refuses where two generations would not fit, and where somebody changed what runs by hand; notes what a healthcheck would have told.
pub(super) async fn check(
    session: &Session,
    name: &EnvironmentName,
    accepts_drift: bool,
    printer: &mut Printer,
) -> Result<(), Stop> {
    let host = session.host();
    let walls = prepare::walls(session, &host, Some(name)).await?;
    let desired = prepare::desired(session, &walls, name).await?;
    let observed = host.observe(&desired).await?;
    let free = walls.facts.disk_free;
    if free < DISK {
        return Err(Stop::because(
            "there is no room for a new release",
            format!("{free} are free where the state folder is, and a build needs {DISK}"),
            "make room: `docker system df` says what images and caches take",
        ));
    }
    pw_plan::promote::check_ways(&desired, &observed).map_err(|why| Stop::Complaints(vec![*why]))?;
    fits(session, name, (&desired, &observed))?;
    if !accepts_drift {
        drift::gate(session, &walls, (&desired, &observed)).await?;
    }
    for route in &desired.routes {
        let service = desired.services.get(&route.service);
        if service.is_some_and(|service| !service.has_healthcheck) {
            printer.note(format!(
                "`{}` has no healthcheck: a new container counts as healthy after a second; `promote.verify` is all that asks it",
                route.service
            ));
        }
    }
    for one in desired
        .routes
        .iter()
        .filter_map(|route| serving(&desired, &observed, &route.service).first().copied())
    {
        if let Some(signal) = host.engine().unheard_signal(&one.name).await? {
            printer.note(format!(
                "`{}` does not hear {signal}: its containers are killed when their `stop_grace_period` is over, with what they still answer; start the program with `exec`, or set `init: true`",
                one.service
            ));
        }
    }
    Ok(())
}

/// The memory that routed services use now is what a second generation of them needs.
fn fits(
    session: &Session,
    name: &EnvironmentName,
    (desired, observed): (&Desired, &Observed),
) -> Result<(), Stop> {
    let routed = |one: &&Container| desired.routes.iter().any(|route| route.service == one.service);
    let used: u64 = observed
        .containers
        .iter()
        .filter(routed)
        .filter_map(|one| measure::usage(&session.config, name, one))
        .map(|usage| usage.memory.0)
        .sum();
    let need = Bytes(used).times(MARGIN);
    match available(Path::new("/proc/meminfo")).filter(|available| *available < need) {
        None => Ok(()),
        Some(available) => Err(Stop::because(
            "there is no memory for a second generation",
            format!("the routed services use {}, and {available} are available", Bytes(used)),
            "give memory back first: `partywall down development`, or `partywall retire` what an earlier release left",
        )),
    }
}

/// What the kernel says can be had without swapping.
fn available(file: &Path) -> Option<Bytes> {
    let text = std::fs::read_to_string(file).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    let kilobytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(Bytes(kilobytes * 1024))
}
