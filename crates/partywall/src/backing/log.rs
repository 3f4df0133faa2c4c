//! The log of an environment's servers: held back, taken, let go; and the files that it is played onto.

use std::collections::BTreeMap;

use jiff::Timestamp;
use pw_backup::log::{Log, Programs, Server, keep};
use pw_backup::make::Program;
use pw_backup::manifest::{Base, Measure};
use pw_data::log::{Limit, Segments, segments};
use pw_host::Host;
use pw_model::config::Backup;
use pw_plan::step::{BackupRun, DatabasePlace, LogHold, LogRun};
use pw_run::Failure;

use super::perform::{blocking, inside};
use crate::reach::reach;

const MEGABYTE: u64 = 1 << 20;

/// Which servers are to hold their log back, and which no longer.
pub(crate) async fn changes(
    host: &Host,
    section: &Backup,
    run: &BackupRun,
) -> Result<(Vec<LogHold>, Vec<LogHold>), Failure> {
    let slot = slot(&run.environment);
    let (mut hold, mut release) = (Vec::new(), Vec::new());
    let servers: BTreeMap<&String, &DatabasePlace> =
        run.databases.values().map(|place| (&place.service, place)).collect();
    for place in servers.into_values() {
        let held = pw_data::log::held(&reach(host.engine(), place).await?.address, &slot).await?;
        let megabytes = section.log.map(|log| log.hold.0 / MEGABYTE);
        let one = LogHold {
            server: place.clone(),
            slot: slot.clone(),
            megabytes,
            // One that is written in the server's own configuration is its owner's decision.
            sets_limit: section.log.is_some()
                && (held.limit.is_none() || held.altered && held.limit != megabytes),
            before: held.limit.filter(|_| held.altered),
            is_held: held.whole,
        };
        match section.log {
            Some(_) if !held.whole || one.sets_limit => hold.push(one),
            None if held.there => release.push(one),
            _ => {}
        }
    }
    Ok((hold, release))
}

/// What is taken with a backup, or by itself.
pub(crate) fn run(run: &BackupRun) -> Option<LogRun> {
    (!run.bases.is_empty()).then(|| LogRun {
        repository: run.repository.clone(),
        name: run.name.clone(),
        project: run.project.clone(),
        environment: run.environment.clone(),
        servers: run.bases.clone(),
        slot: slot(&run.environment),
    })
}

/// Slots have no dashes in their names.
fn slot(environment: &str) -> String {
    format!("partywall_{}", environment.replace('-', "_"))
}

pub(super) async fn hold(host: &Host, hold: &LogHold) -> Result<(), Failure> {
    let reached = reach(host.engine(), &hold.server).await?;
    pw_data::log::hold(&reached.address, &hold.slot, limit(hold)).await
}

pub(super) async fn release(host: &Host, hold: &LogHold) -> Result<(), Failure> {
    let reached = reach(host.engine(), &hold.server).await?;
    pw_data::log::release(&reached.address, &hold.slot, limit(hold)).await
}

fn limit(hold: &LogHold) -> Limit {
    if hold.sets_limit { Limit::Becomes(hold.megabytes) } else { Limit::Stays }
}

/// Only what the repository has is let go.
pub(super) async fn take(host: &Host, run: &LogRun) -> Result<(), Failure> {
    let mut log = Log { name: run.name.clone(), at: Timestamp::now(), servers: BTreeMap::new() };
    let (mut programs, mut ends) = (Programs::new(), Vec::new());
    for (service, place) in &run.servers {
        let reached = reach(host.engine(), place).await?;
        let found = segments(&reached.address, &run.slot).await?;
        for name in &found.names {
            let path = format!("{}/{name}", found.folder);
            programs.insert((service.clone(), name.clone()), inside(&reached, &["cat", &path]));
        }
        log.servers.insert(service.clone(), server(&found));
        ends.push((reached.address, found.end));
    }
    let kept = run.clone();
    if blocking(move || keep(&kept, log, programs)).await? {
        for (address, end) in ends {
            pw_data::log::let_go(&address, &run.slot, &end).await?;
        }
    }
    Ok(())
}

fn server(found: &Segments) -> Server {
    let names = found.names.iter().map(|name| (name.clone(), Measure::default()));
    Server { system: found.system.clone(), segment_bytes: found.segment_bytes, segments: names.collect() }
}

/// A server's files, and the program that prints them.
pub(super) async fn base(host: &Host, place: &DatabasePlace) -> Result<(Base, Program), Failure> {
    let reached = reach(host.engine(), place).await?;
    let look = host.engine().look_at_database(&reached.id, &place.user, &place.name).await?;
    if let Some(why) = look.only_logical {
        return Err(Failure::new(format!("the files of `{}` cannot be backed up", place.service))
            .because(std::io::Error::other(why))
            .hint("`backup.log` needs them: mend it, or take `log` out of `backup:`"));
    }
    let writing = pw_data::log::writing(&reached.address).await?;
    let base = Base {
        user: look.user.clone(),
        image: look.image,
        server: writing.server,
        data: look.data,
        size: look.bytes.0,
        system: writing.system,
        segment_bytes: writing.segment_bytes,
        first: writing.segment,
        ended: Timestamp::now(),
        tar: Measure::default(),
    };
    let who = format!("user={} application_name=partywall-backup", look.user);
    let words = ["pg_basebackup", "-D", "-", "-Ft", "-X", "fetch", "-c", "fast", "-w", "-d", &who];
    Ok((base, inside(&reached, &words)))
}
