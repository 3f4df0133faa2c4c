//! `rollback` and `retire`: the release before comes back, or its containers go for good.

use pw_model::desired::Desired;
use pw_model::name::EnvironmentName;
use pw_model::release::Release;
use pw_model::role::Role;
use pw_plan::promote::{self, Schema};
use pw_run::Observe as _;
use serde_json::json;

use super::{Promotion, show};
use crate::apply;
use crate::cli;
use crate::prepare;
use crate::printer::Printer;
use crate::releases as list;
use crate::session::Session;
use crate::stop::Stop;

pub(crate) async fn rollback(
    session: &Session,
    asked: &cli::Rollback,
    printer: &mut Printer,
) -> Result<(), Stop> {
    let (name, _) = session.environment(&asked.environment)?;
    let all = list::all(session, name)?;
    let Some(current) = session.releases.get(name) else {
        return Err(Stop::because(
            format!("`{name}` runs no release"),
            "it runs from the project's folder",
            format!("`partywall releases {name}` lists what could come back"),
        ));
    };
    let wanted = chosen(name, &all, current, asked.release)?;
    if !asked.accept_schema {
        knows_schema(session, name, &all, (current, wanted, asked.migrate_down))?;
    }
    let mut release = wanted.clone();
    release.of = Some(wanted.of.unwrap_or(wanted.number));
    release.number = all.last().map_or(1, |last| last.number + 1);
    release.why = asked.why.clone().unwrap_or_default();
    release.undid = asked.migrate_down.then_some(current.number);
    let schema = if asked.migrate_down { Schema::Back } else { Schema::Stays };
    let mut promotion = Promotion { session, name, release, operation: promote::ROLLBACK, schema };
    let described = promotion.planned().await?.prepared.desired;
    // A job that has run is not run again by an older release: it stays as it is.
    for job in described.services.iter().filter(|(_, one)| one.role == Role::Job).map(|(name, _)| name) {
        let image = current.images.get(job).cloned();
        promotion.release.images.extend(image.map(|image| (job.clone(), image)));
    }
    let planned = promotion.planned().await?;
    if asked.plan {
        return show::plan(&planned.plan, printer);
    }
    if planned.plan.is_empty() {
        return show::nothing(name, wanted, printer);
    }
    promotion.carry_out(planned, printer).await
}

/// The release named, else the newest before the present one that is another.
fn chosen<'r>(
    name: &EnvironmentName,
    all: &'r [Release],
    current: &Release,
    wanted: Option<u64>,
) -> Result<&'r Release, Stop> {
    let found = match wanted {
        Some(number) => all.iter().find(|one| one.number == number),
        None => all.iter().rev().find(|one| one.number < current.number && is_other(one, current)),
    };
    found.ok_or_else(|| {
        let what = wanted.map_or_else(
            || format!("`{name}` has no earlier release"),
            |number| format!("`{name}` has no release {number}"),
        );
        let known: Vec<String> = all.iter().map(|one| one.number.to_string()).collect();
        Stop::because(
            what,
            format!("its releases are {}", known.join(", ")),
            match wanted {
                Some(_) => format!("see `partywall releases {name}`"),
                None => format!("`partywall up {name} --folder` runs the project's folder again"),
            },
        )
    })
}

/// Jobs aside: they stay when a release comes back.
fn is_other(one: &Release, current: &Release) -> bool {
    let base = |release: &Release| release.of.unwrap_or(release.number);
    base(one) != base(current)
}

/// Refuses to go over a migration that the code may not understand.
fn knows_schema(
    session: &Session,
    name: &EnvironmentName,
    all: &[Release],
    (current, wanted, goes_back): (&Release, &Release, bool),
) -> Result<(), Stop> {
    let base = wanted.of.unwrap_or(wanted.number);
    let undone = |number: u64| all.iter().rev().find(|one| one.undid == Some(number));
    if let Some(back) =
        all.iter().rev().find(|one| one.undid.is_some_and(|undid| undid <= base) && one.number > base)
    {
        return Err(Stop::because(
            format!("release {} may not run with the schema of today", wanted.number),
            format!("release {} took a migration back that it needs", back.number),
            format!("`partywall promote --ref {}` runs the migration again", wanted.short()),
        ));
    }
    let over = all.iter().filter(|one| one.number > base && one.number <= current.number && one.of.is_none());
    let over: Vec<&Release> = over.filter(|one| !one.compatible && undone(one.number).is_none()).collect();
    let migrate = session.config.promote.as_ref().and_then(|promote| promote.migrate.as_ref());
    let knows_back = migrate.is_some_and(|migrate| !migrate.down.is_empty());
    match (goes_back, over.as_slice()) {
        (false, []) => Ok(()),
        (true, [one]) if knows_back && one.number == current.number => Ok(()),
        (true, _) if !knows_back => Err(Stop::because(
            "there is no way back of the schema",
            "`promote.migrate.down` is not set",
            "write the command that takes the last migration back: `down: [./migrate, down]`",
        )),
        (true, []) => Err(Stop::because(
            format!("nothing of the schema lies between release {} and today", wanted.number),
            "its migrations are marked as compatible, or it had none",
            format!("`partywall rollback {name}` without `--migrate-down`"),
        )),
        (true, _) => Err(Stop::because(
            format!("`--migrate-down` takes one migration back, that of release {}", current.number),
            format!("on the way to release {} there are those of {}", wanted.number, numbers(&over)),
            format!("go back one release at a time: `partywall rollback {name} --migrate-down`"),
        )),
        (false, [first, ..]) => Err(may_not_run(name, (wanted, first), &over, knows_back)),
    }
}

fn numbers(releases: &[&Release]) -> String {
    releases.iter().map(|one| one.number.to_string()).collect::<Vec<_>>().join(", ")
}

fn may_not_run(
    name: &EnvironmentName,
    (wanted, first): (&Release, &Release),
    over: &[&Release],
    knows_back: bool,
) -> Stop {
    let back = match &first.restore_point {
        Some(backup) => format!(
            "`partywall restore {name} {backup}` brings the data back as it was before release {}; what was written since is lost",
            first.number
        ),
        None => "no backup was made before it".to_owned(),
    };
    let down = if knows_back { "`--migrate-down` runs `promote.migrate.down` first; " } else { "" };
    Stop::because(
        format!("release {} may not run with the schema of today", wanted.number),
        format!(
            "release {} migrated the database, and nothing says that the code before runs with its schema; {back}",
            numbers(over)
        ),
        format!(
            "{down}if it does run: `--accept-schema`, and `promote.migrate.compatible: true` for the next time"
        ),
    )
}

pub(crate) async fn retire(
    session: &Session,
    asked: &cli::Retire,
    printer: &mut Printer,
) -> Result<(), Stop> {
    let (name, _) = session.environment(&asked.environment)?;
    let gone = retire_now(session, name, printer).await?;
    if printer.is_json() {
        return printer
            .json(&json!({"ok": true, "operation": "retire", "environment": name, "removed": gone}));
    }
    printer.note(match gone.as_slice() {
        [] => format!("nothing of an earlier release runs in `{name}`"),
        gone => format!("removed {}", gone.join(", ")),
    });
    Ok(())
}

/// Ends the generations that serve nobody; answers the names of their containers.
async fn retire_now(
    session: &Session,
    name: &EnvironmentName,
    printer: &mut Printer,
) -> Result<Vec<String>, Stop> {
    let walls = prepare::walls(session, &session.host(), Some(name)).await?;
    let desired = prepare::desired(session, &walls, name).await?;
    retire_all(session, &desired, printer).await
}

/// The same, where it is known what the environment should be: finding that out again takes a second of the
/// processor, beside visitors who have just met a new release.
pub(super) async fn retire_all(
    session: &Session,
    desired: &Desired,
    printer: &mut Printer,
) -> Result<Vec<String>, Stop> {
    let host = session.host();
    let (_lock, mut journal) = session.begin()?;
    let observed = host.observe(desired).await?;
    let plan = promote::retire(desired, &observed, desired.promote.drain.0.as_secs())?;
    if !plan.is_empty() {
        apply::run(&plan, host, &mut journal, printer).await?;
    }
    Ok(promote::left(desired, &observed))
}
