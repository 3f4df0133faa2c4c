//! `plan`, `up`, `down`, `destroy`: everything that changes an environment.

use std::io::IsTerminal;

use pw_model::config::Class;
use pw_model::diagnostic::Diagnostic;
use pw_model::name::EnvironmentName;
use pw_plan::{Action, Plan};
use pw_run::Observe;
use serde_json::json;

use crate::apply;
use crate::cli::Confirm;
use crate::prepare::{self, Prepared};
use crate::printer::{GREEN, Printer, count};
use crate::session::{Session, left_unfinished};
use crate::stop::Stop;
use crate::view;

/// What would be done.
pub(crate) async fn plan(
    session: &Session,
    name: &str,
    operation: &str,
    printer: &mut Printer,
) -> Result<(), Stop> {
    let (name, _) = session.environment(name)?;
    let host = session.host();
    let prepared = prepare::prepare(session, &host, name, operation).await?;
    let plan = prepare::plan(operation, &prepared)?;
    if printer.is_json() {
        return printer.json(&json!({"operation": plan.operation, "environment": name, "basis": plan.basis, "steps": plan.steps}));
    }
    match plan.steps.len() {
        0 if operation == "up" => printer.note(format!("nothing to do: `{name}` is as described")),
        0 => printer.note(format!("nothing to do: `{name}` does not run")),
        steps => {
            let steps = count(steps, "step");
            printer.note(format!("{steps}; `partywall {operation} {name}` does it"));
        }
    }
    printer.answer(plan.to_string())
}

pub(crate) async fn up(
    session: &Session,
    name: &str,
    build: bool,
    confirm: &Confirm,
    printer: &mut Printer,
) -> Result<(), Stop> {
    let (name, _) = session.environment(name)?;
    let host = session.host();
    let mut prepared = prepare::prepare(session, &host, name, "up").await?;
    if build {
        forget_built_images(&mut prepared);
    }
    let plan = prepare::plan("up", &prepared)?;
    if prepared.warnings > 0 {
        printer.note(format!("{}; see `partywall check`", count(prepared.warnings, "warning")));
    }
    if plan.is_empty() {
        return done(session, name, "up", printer, true);
    }
    if let Some(lost) = other_data(&prepared) {
        confirmed(session, &Asked { name, operation: "up", lost }, confirm, printer)?;
    }
    if !build {
        carry_out(session, &plan, &prepared, printer).await?;
    } else {
        let (_lock, mut journal) = locked(session)?;
        apply::run(&plan, session.host(), &mut journal, printer).await?;
    }
    done(session, name, "up", printer, false)
}

/// Makes the plan build every image again and start what was made from the old ones.
fn forget_built_images(prepared: &mut Prepared) {
    for (name, service) in prepared.desired.services.iter().filter(|(_, service)| service.built) {
        prepared.observed.images.remove(&service.image);
        for container in
            prepared.observed.containers.iter_mut().filter(|container| container.service == *name)
        {
            container.config_hash.clear();
        }
    }
}

pub(crate) async fn down(
    session: &Session,
    name: &str,
    confirm: &Confirm,
    printer: &mut Printer,
) -> Result<(), Stop> {
    change(session, name, "down", confirm, printer).await
}

pub(crate) async fn destroy(
    session: &Session,
    name: &str,
    confirm: &Confirm,
    printer: &mut Printer,
) -> Result<(), Stop> {
    change(session, name, "destroy", confirm, printer).await
}

async fn change(
    session: &Session,
    name: &str,
    operation: &str,
    confirm: &Confirm,
    printer: &mut Printer,
) -> Result<(), Stop> {
    let (name, _) = session.environment(name)?;
    let host = session.host();
    let prepared = prepare::prepare(session, &host, name, operation).await?;
    let plan = prepare::plan(operation, &prepared)?;
    if plan.is_empty() {
        return done(session, name, operation, printer, true);
    }
    let stays = stays(operation, &prepared);
    if let Some(stays) = &stays {
        printer.note(stays);
    }
    let asked = Asked { name, operation, lost: what_is_lost(&plan) };
    confirmed(session, &asked, confirm, printer)?;
    carry_out(session, &plan, &prepared, printer).await?;
    done(session, name, operation, printer, false)?;
    if let Some(stays) = &stays {
        printer.note(stays);
    }
    Ok(())
}

/// Takes the lock, looks again, and refuses a plan that the host has overtaken.
async fn carry_out(
    session: &Session,
    plan: &Plan,
    prepared: &Prepared,
    printer: &mut Printer,
) -> Result<(), Stop> {
    let (_lock, mut journal) = locked(session)?;
    let host = session.host();
    let now = host.observe(&prepared.desired).await?;
    if pw_plan::basis(&prepared.desired, &now) != plan.basis {
        return Err(Stop::because(
            format!("`{}` changed since the plan was made", plan.environment),
            "somebody else, or a container by itself, was faster",
            format!("run `partywall {} {}` again", plan.operation, plan.environment),
        ));
    }
    apply::run(plan, host, &mut journal, printer).await
}

fn locked(session: &Session) -> Result<(pw_host::ProjectLock, pw_journal::SqliteJournal), Stop> {
    let (lock, journal) = session.lock()?;
    match session.unfinished()? {
        Some(left) => Err(unfinished(&left)),
        None => Ok((lock, journal)),
    }
}

fn unfinished(left: &pw_run::Unfinished) -> Stop {
    let text = left_unfinished(left);
    let because =
        text.lines().find_map(|line| line.trim().strip_prefix("because: ")).unwrap_or_default().to_owned();
    Stop::because(
        format!("`{} {}` was left unfinished", left.plan.operation, left.plan.environment),
        because,
        "finish it with `partywall resume`, or take it back with `partywall abandon`",
    )
}

/// What production is asked before, and what it would cost.
struct Asked<'a> {
    name: &'a EnvironmentName,
    operation: &'a str,
    lost: String,
}

/// Production wants its name typed; anything else is never asked about, so that being asked keeps its meaning.
fn confirmed(
    session: &Session,
    asked: &Asked<'_>,
    confirm: &Confirm,
    printer: &mut Printer,
) -> Result<(), Stop> {
    let name = asked.name.as_str();
    if session.class(name)? != Class::Production || confirm.confirm.as_deref() == Some(name) {
        return Ok(());
    }
    if confirm.confirm.is_some() || session.yes || !std::io::stdin().is_terminal() || printer.is_json() {
        return Err(asked.not_confirmed());
    }
    printer.note(&asked.lost);
    let question = format!("Type `{name}` to {} it:", asked.operation);
    let typed = inquire::Text::new(&question).prompt().unwrap_or_default();
    if typed.trim() == name { Ok(()) } else { Err(asked.not_confirmed()) }
}

impl Asked<'_> {
    fn not_confirmed(&self) -> Stop {
        let Self { name, operation, lost } = self;
        Diagnostic::error(format!("`{operation} {name}` was not confirmed"))
            .because(format!("`{name}` is a production environment; {lost}"))
            .hint(format!("add `--confirm {name}`"))
            .into()
    }
}

/// Where a service would find other data than it has now.
fn other_data(prepared: &Prepared) -> Option<String> {
    let others = pw_plan::up::other_data(&prepared.desired, &prepared.observed);
    let lines: Vec<String> = others.iter().map(|other| format!("`{}` {other}", other.service)).collect();
    (!lines.is_empty()).then(|| format!("it would find other data: {}", lines.join("; ")))
}

/// What `destroy` does not reach, said before and after it.
fn stays(operation: &str, prepared: &Prepared) -> Option<String> {
    let kept = &prepared.desired.kept_data;
    let some = operation == "destroy" && !kept.is_empty();
    some.then(|| format!("data outside of its own volumes stays: {}", kept.join(", ")))
}

fn what_is_lost(plan: &Plan) -> String {
    let volumes = plan.steps.iter().find_map(|step| match &step.does {
        Action::RemoveVolumes { names, .. } => Some(names.join(", ")),
        _ => None,
    });
    match volumes {
        Some(names) => format!("its volumes {names} and all data in them would be gone for good"),
        None => "it would stop answering".to_owned(),
    }
}

fn done(
    session: &Session,
    name: &EnvironmentName,
    operation: &str,
    printer: &mut Printer,
    unchanged: bool,
) -> Result<(), Stop> {
    if printer.is_json() {
        return printer
            .json(&json!({"ok": true, "operation": operation, "environment": name, "changed": !unchanged}));
    }
    let text = match (operation, unchanged) {
        ("up", true) => format!("`{name}` is as described; nothing to do"),
        ("up", false) => {
            format!("{GREEN}`{name}` is up{GREEN:#}  {}", view::addresses(&session.config, name).join(" "))
        }
        (_, true) => format!("`{name}` does not run; nothing to do"),
        ("destroy", false) => format!("`{name}` is gone, with its volumes"),
        _ => format!("`{name}` is down; its volumes are kept"),
    };
    printer.note(text);
    Ok(())
}
