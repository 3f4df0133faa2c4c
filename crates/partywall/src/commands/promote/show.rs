//! What is told of releases.

use comfy_table::{ContentArrangement, Table, presets};
use jiff::Timestamp;
use pw_journal::{PlanSummary, SqliteJournal};
use pw_model::name::EnvironmentName;
use pw_model::release::Release;
use pw_model::unit::Span;
use pw_plan::{Plan, promote};
use serde_json::json;

use super::{GREEN, Planned, Printer, Session, Stop, steps};
use crate::printer::columns;
use crate::releases as list;
use crate::standing;

/// How far back the journal is read.
const PLANS_READ: u32 = 1000;
/// Attempts without a release that are told.
const TAKEN_BACK_SHOWN: usize = 5;

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
    let attempts = attempts(session, name);
    if printer.is_json() {
        let attempts: Vec<_> = attempts.iter().map(to_json).collect();
        let mut value =
            json!({"environment": name, "current": current, "releases": all, "attempts": attempts});
        standing::add(session, name, &mut value);
        return printer.json(&value);
    }
    if all.is_empty() {
        printer.note(format!("`{name}` has no releases: it runs from the project's folder"));
        return Ok(());
    }
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    if let Some(width) = columns() {
        table.set_width(width).set_content_arrangement(ContentArrangement::Dynamic);
    }
    table.set_header(["", "RELEASE", "COMMIT", "WHEN", "TOOK", "BY", "SCHEMA", "WHAT"]);
    for release in &all {
        let mark = if current == Some(release.number) { "→" } else { "" };
        let schema = if release.compatible { "fits the code before" } else { "changed" };
        let made = attempts.iter().rev().find(|plan| plan.begun >= release.at && is_applied(plan));
        let again = release.of.map(|of| format!("{of} again: ")).unwrap_or_default();
        let why = if release.why.is_empty() { &release.subject } else { &release.why };
        table.add_row([
            mark.to_owned(),
            release.number.to_string(),
            release.short().to_owned(),
            when(release.at),
            made.and_then(took).unwrap_or_default(),
            made.map(|plan| plan.by.clone()).unwrap_or_default(),
            schema.to_owned(),
            format!("{again}{why}"),
        ]);
    }
    let mut text = table.to_string();
    for plan in attempts.iter().filter(|plan| !is_applied(plan)).take(TAKEN_BACK_SHOWN) {
        let outcome = plan.outcome.as_deref().unwrap_or("unfinished").replace('-', " ");
        text.push_str(&format!("\n{} of {} by {}: {outcome}", plan.operation, when(plan.begun), plan.by));
    }
    text.push('\n');
    let standing = standing::lines(session, name);
    if !standing.is_empty() {
        text.push_str(&format!("\n{standing}"));
    }
    printer.answer(text)
}

/// Every plan that was to bring a release, the newest first.
fn attempts(session: &Session, name: &EnvironmentName) -> Vec<PlanSummary> {
    let path = session.layout.journal(&session.config.project);
    let journal = SqliteJournal::open_read_only(path.as_ref()).ok().flatten();
    let plans = journal.and_then(|journal| journal.plans(PLANS_READ).ok()).unwrap_or_default();
    let brings = ["push", promote::OPERATION, promote::ROLLBACK];
    let is_one =
        |plan: &PlanSummary| plan.environment == name.as_str() && brings.contains(&plan.operation.as_str());
    plans.into_iter().filter(is_one).collect()
}

fn is_applied(plan: &PlanSummary) -> bool {
    plan.outcome.as_deref() == Some("applied")
}

fn took(plan: &PlanSummary) -> Option<String> {
    let seconds = u64::try_from(plan.ended? - plan.begun).ok()?;
    Some(Span::seconds(seconds).to_string())
}

fn to_json(plan: &PlanSummary) -> serde_json::Value {
    json!({
        "operation": plan.operation, "begun": plan.begun, "ended": plan.ended, "by": plan.by,
        "outcome": plan.outcome,
    })
}

fn when(seconds: i64) -> String {
    let at = Timestamp::from_second(seconds).unwrap_or(Timestamp::UNIX_EPOCH);
    at.strftime("%Y-%m-%d %H:%M UTC").to_string()
}
