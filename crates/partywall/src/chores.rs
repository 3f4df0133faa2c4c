//! What is done when it is due: the end of what was cut off and only reads, walls that a reboot took away, backups,
//! drills, the end of containers that were kept warm, room on a full disk.
//!
//! Each is a command of this program in a process of its own, with a plan, a journal and a lock like any other. What
//! is due follows from the records alone, so that nothing is remembered between two looks. Not in the governor's
//! process: that one may touch little, and waits for nobody.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use jiff::Timestamp;
use pw_host::caddy;
use pw_model::colour::Colour;
use pw_model::config::Class;
use pw_model::name::EnvironmentName;
use pw_model::observed::Container;
use pw_model::release::Release;
use pw_plan::promote;
use pw_run::{Failure, Observe as _};
use serde_json::Value;
use tokio::process::Command;

use crate::apply;
use crate::backing::shown;
use crate::fallen;
use crate::prepare;
use crate::room;
use crate::session::Session;
use crate::stop::Stop;

/// A backup or drill that failed is not tried again before, in seconds.
const AGAIN: u64 = 900;

/// A command that is due, with its words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Chore {
    pub(crate) words: Vec<String>,
    pub(crate) because: String,
}

/// Runs it to its end; it says itself, on our own output, what became of it.
pub(crate) async fn carry_out(session: &Session, chore: &Chore, flags: &[&str]) -> Result<bool, Failure> {
    let failed =
        |error| Failure::new(format!("could not start `partywall {}`", chore.words.join(" "))).because(error);
    let program = std::env::current_exe().map_err(failed)?;
    let mut command = Command::new(program);
    command.args(&chore.words).args(flags).current_dir(&session.directory).stdin(Stdio::null());
    Ok(command.status().await.map_err(failed)?.success())
}

/// What is due now, in the order in which it is to be done.
pub(crate) async fn due(session: &Session) -> Result<Vec<Chore>, Stop> {
    let mut all: Vec<Chore> = cut_off(session)?.into_iter().collect();
    let now = Timestamp::now().as_second();
    all.extend(fallen::walls(session).await?);
    for (name, environment) in &session.config.environments {
        let class = environment.class(name);
        if let Some(release) = session.releases.get(name).filter(|_| class != Class::Development) {
            let project = session.config.compose_project(name);
            let containers = session.host().engine().containers(&project).await?;
            let promote = session.config.promote.clone().unwrap_or_default();
            let kept = promote.watch.0 + promote.warm.0;
            let since = release.at.max(flipped(session, &project));
            let due = retire(name, (release, since), kept, now)
                .filter(|_| has_two_generations(&project, &containers));
            // What still ends there does not have to end under the project's lock.
            let is_over = retire(name, (release, since), kept + promote.streams.0, now).is_some();
            if due.is_some() && (is_over || !is_busy(session, name).await?) {
                all.extend(due);
            }
        }
        if class == Class::Production
            && let (Some(section), Some(record)) = (&session.config.backup, shown::read(session, name))
        {
            all.extend(backup(name, &record, section.every_seconds()));
            all.extend(drill(&record, section.drill_seconds()));
        }
    }
    if let Some(because) = room::due(session).await {
        all.push(Chore { words: vec!["prune".to_owned()], because });
    }
    Ok(all)
}

/// Nothing else can be done before, and whoever made a backup when the machine lost its power does not come back for it. Going on
/// is right for all of them: what fails is taken back, what was only tried is never gone on with, and past a step that cannot be
/// undone there is no other way.
fn cut_off(session: &Session) -> Result<Option<Chore>, Stop> {
    let left = session.unfinished()?.filter(|left| apply::only_reads(&left.plan) && !session.is_at_work());
    Ok(left.map(|left| Chore {
        words: vec!["resume".to_owned()],
        because: format!(
            "`{} {}` was cut off, and it only reads",
            left.plan.operation, left.plan.environment
        ),
    }))
}

/// True while somebody is in the containers that serve no new visitor: mostly streams and websockets.
async fn is_busy(session: &Session, name: &EnvironmentName) -> Result<bool, Stop> {
    let host = session.host();
    let walls = prepare::walls(session, &host, Some(name)).await?;
    let desired = prepare::desired(session, &walls, name).await?;
    let observed = host.observe(&desired).await?;
    let Some(proxy) = &desired.proxy else { return Ok(false) };
    for address in promote::left_addresses(&desired, &observed) {
        if caddy::in_flight(Path::new(&proxy.folder), &address).await != Some(0) {
            return Ok(true);
        }
    }
    Ok(false)
}

fn has_two_generations(project: &str, containers: &[Container]) -> bool {
    let generation =
        |one: &Container| (one.service.clone(), Colour::of_container(project, &one.service, &one.name));
    let all: BTreeSet<_> = containers.iter().map(generation).collect();
    let services: BTreeSet<&String> = all.iter().map(|(service, _)| service).collect();
    all.len() > services.len()
}

/// When visitors were last led somewhere else, in seconds since 1970; a migration before it may have taken long. 0 where nobody was.
fn flipped(session: &Session, project: &str) -> i64 {
    let switches = Path::new(&session.layout.switches(&session.config.proxy.name)).join(project);
    let files = std::fs::read_dir(switches).into_iter().flatten().flatten();
    let written = files.filter_map(|file| Timestamp::try_from(file.metadata().ok()?.modified().ok()?).ok());
    written.map(|at| at.as_second()).max().unwrap_or(0)
}

fn retire(
    name: &EnvironmentName,
    (release, since): (&Release, i64),
    kept: Duration,
    now: i64,
) -> Option<Chore> {
    let until = since + i64::try_from(kept.as_secs()).ok()?;
    let words = vec!["retire".to_owned(), name.to_string()];
    let because = format!("release {} was kept warm long enough for the one before", release.number);
    (now > until).then_some(Chore { words, because })
}

fn backup(name: &EnvironmentName, record: &Value, every: Option<u64>) -> Option<Chore> {
    let failed = &record["failed"];
    let waits = !shown::is_of_log(failed) && failed["age_seconds"].as_u64().is_some_and(|age| age < AGAIN);
    let words = vec!["backup".to_owned(), name.to_string()];
    let because = format!("the newest is {}", record["backup"]["name"].as_str().unwrap_or("none"));
    (is_old(&record["backup"], every?) && !waits).then_some(Chore { words, because })
}

/// Of the newest backup, once there is one. One that could not be carried out is tried again as a backup is; what one found out is
/// there for somebody to look at.
fn drill(record: &Value, every: Option<u64>) -> Option<Chore> {
    let newest = record["backup"]["name"].as_str()?;
    let words = vec!["drill".to_owned(), newest.to_owned()];
    let because = format!("the newest was of {}", record["drill"]["backup"].as_str().unwrap_or("none"));
    let (last, every) = (&record["drill"], every?);
    let after = match (last["cause"].is_string(), last["passed"] == false) {
        (true, _) => AGAIN,
        (false, true) => every.max(AGAIN),
        (false, false) => every,
    };
    is_old(last, after).then_some(Chore { words, because })
}

/// True for what never was, too.
fn is_old(record: &Value, seconds: u64) -> bool {
    record["age_seconds"].as_u64().is_none_or(|age| age >= seconds)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn production() -> EnvironmentName {
        EnvironmentName::parse("production").expect("a name")
    }

    fn words(chore: Option<Chore>) -> String {
        chore.map(|chore| chore.words.join(" ")).unwrap_or_default()
    }

    #[test]
    fn what_is_overdue_or_never_was_is_due() {
        let name = production();
        let none = json!({"backup": null, "drill": null});
        assert_eq!(words(backup(&name, &none, Some(60))), "backup production");
        assert_eq!(words(backup(&name, &none, None)), "", "nobody asked for it");
        assert_eq!(words(drill(&none, Some(60))), "", "there is nothing to drill");
        let young = json!({"backup": {"name": "b1", "age_seconds": 59}, "drill": null});
        assert_eq!(words(backup(&name, &young, Some(60))), "");
        assert_eq!(words(drill(&young, Some(60))), "drill b1");
        let failed = json!({"backup": {"name": "b1", "age_seconds": 60}, "failed": {"age_seconds": 899}});
        assert_eq!(words(backup(&name, &failed, Some(60))), "", "it was tried a moment ago");
        let log =
            json!({"backup": {"name": "b1", "age_seconds": 60}, "failed": {"age_seconds": 1, "log": true}});
        assert_eq!(words(backup(&name, &log, Some(60))), "backup production", "a log holds up no backup");
        let old = json!({"backup": {"name": "b1", "age_seconds": 60}, "drill": {"backup": "b0", "age_seconds": 60}});
        assert_eq!(words(backup(&name, &old, Some(60))), "backup production");
        assert_eq!(words(drill(&old, Some(60))), "drill b1");
    }

    #[test]
    fn a_drill_that_failed_is_not_tried_again_at_once() {
        let after = |mut last: Value, age: u64, every| {
            last["age_seconds"] = age.into();
            words(drill(&json!({"backup": {"name": "b1"}, "drill": last}), Some(every)))
        };
        let (hour, again) = (3600, "drill b1");
        let cut_off = json!({"backup": "b1", "passed": false, "cause": "no room"});
        assert_eq!(
            (after(cut_off.clone(), 899, 60).as_str(), after(cut_off.clone(), 899, hour).as_str()),
            ("", "")
        );
        assert_eq!(after(cut_off, 900, hour), again);
        let found = json!({"backup": "b1", "passed": false});
        assert_eq!(
            (after(found.clone(), 899, 60).as_str(), after(found.clone(), 900, 60).as_str()),
            ("", again)
        );
        assert_eq!(
            (after(found.clone(), 3599, hour).as_str(), after(found, hour, hour).as_str()),
            ("", again)
        );
    }

    #[test]
    fn containers_are_kept_warm_as_long_as_is_said() {
        let release = Release { number: 3, at: 1000, ..Release::default() };
        let at = |now| words(retire(&production(), (&release, release.at), Duration::from_secs(60), now));
        assert_eq!((at(1060), at(1061)), (String::new(), "retire production".to_owned()));
    }
}
