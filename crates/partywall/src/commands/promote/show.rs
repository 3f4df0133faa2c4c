//! What is told of releases.

use comfy_table::{Table, presets};
use jiff::Timestamp;
use pw_model::name::EnvironmentName;
use pw_model::release::Release;
use pw_model::unit::Span;
use pw_plan::Plan;
use serde_json::json;

use super::{GREEN, Planned, Printer, Session, Stop, steps};
use crate::releases as list;

/// The steps of a plan that is not carried out.
pub(super) fn plan(plan: &Plan, printer: &mut Printer) -> Result<(), Stop> {
    if printer.is_json() {
        return printer.json(&json!({
            "operation": plan.operation, "environment": plan.environment, "basis": plan.basis, "steps": plan.steps,
        }));
    }
    match plan.steps.len() {
        0 => printer.note(format!("nothing to do: `{}` runs this already", plan.environment)),
        _ => printer.note(steps(plan)),
    }
    printer.answer(plan.to_string())
}

pub(super) fn nothing(name: &EnvironmentName, release: &Release, printer: &mut Printer) -> Result<(), Stop> {
    if printer.is_json() {
        return printer
            .json(&json!({"ok": true, "environment": name, "commit": release.commit, "changed": false}));
    }
    printer.note(format!(
        "`{name}` runs the images and the configuration of {} already: nothing is built, nothing is flipped",
        release.short()
    ));
    Ok(())
}

pub(super) fn done(
    name: &EnvironmentName,
    operation: &str,
    planned: &Planned,
    warm: Span,
    printer: &mut Printer,
) -> Result<(), Stop> {
    let release = &planned.release;
    if printer.is_json() {
        return printer.json(&json!({
            "ok": true, "operation": operation, "environment": name, "changed": true,
            "release": release.number, "commit": release.commit, "of": release.of,
        }));
    }
    let what = match release.of {
        Some(of) => format!("release {}, which is release {of} again", release.number),
        None => format!("release {}", release.number),
    };
    printer.note(format!("{GREEN}`{name}` runs {what}{GREEN:#}: {} {}", release.short(), release.subject));
    if !warm.0.is_zero() {
        // What ran before the first release came from the folder, and no release brings it back.
        let back = match release.number {
            1 => String::new(),
            _ => format!("`partywall rollback {name}` brings them back at once, "),
        };
        printer.note(format!("the containers before stay warm: {back}`partywall retire {name}` ends them"));
    }
    Ok(())
}

/// Every release of an environment, the newest first.
pub(crate) fn releases(session: &Session, name: &str, printer: &mut Printer) -> Result<(), Stop> {
    let (name, _) = session.environment(name)?;
    let mut all = list::all(session, name)?;
    all.reverse();
    let current = session.releases.get(name).map(|release| release.number);
    if printer.is_json() {
        return printer.json(&json!({"environment": name, "current": current, "releases": all}));
    }
    if all.is_empty() {
        printer.note(format!("`{name}` has no releases: it runs from the project's folder"));
        return Ok(());
    }
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_header(["", "release", "commit", "when", "schema", "what"]);
    for release in &all {
        let mark = if current == Some(release.number) { "→" } else { "" };
        let schema = if release.compatible { "as before, or compatible" } else { "changed" };
        let again = release.of.map(|of| format!("{of} again: ")).unwrap_or_default();
        let why = if release.why.is_empty() { &release.subject } else { &release.why };
        table.add_row([
            mark.to_owned(),
            release.number.to_string(),
            release.short().to_owned(),
            when(release.at),
            schema.to_owned(),
            format!("{again}{why}"),
        ]);
    }
    printer.answer(table.to_string())
}

fn when(seconds: i64) -> String {
    let at = Timestamp::from_second(seconds).unwrap_or(Timestamp::UNIX_EPOCH);
    at.strftime("%Y-%m-%d %H:%M UTC").to_string()
}
