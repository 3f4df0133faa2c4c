//! `plan`, `up`, `down`, `destroy`: everything that changes an environment.

use std::collections::BTreeSet;
use std::io::IsTerminal;

use pw_model::config::{Class, How};
use pw_model::diagnostic::Diagnostic;
use pw_model::name::EnvironmentName;
use pw_plan::{Action, Plan};
use pw_plan::{sleep, up};
use pw_run::Observe;
use serde_json::json;

use crate::apply;
use crate::cli::{Confirm, Sleep};
use crate::front;
use crate::prepare::{self, Prepared};
use crate::printer::{GREEN, Printer, count};
use crate::session::Session;
use crate::stop::Stop;
use crate::view;

/// An operation on one environment, with both sides that it was planned from.
struct Change<'s> {
    session: &'s Session,
    name: &'s EnvironmentName,
    prepared: Prepared,
    plan: Plan,
    /// True when everything is built again, for which the host is made to look different from what it is.
    builds: bool,
}

/// What would be done.
pub(crate) async fn plan(
    session: &Session,
    name: &str,
    operation: &str,
    printer: &mut Printer,
) -> Result<(), Stop> {
    let Change { name, plan, .. } = Change::planned(session, name, operation, false).await?;
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

/// Where an environment comes from.
#[derive(Clone, Copy, Default)]
pub(crate) struct Source {
    /// Its images are built anew.
    pub(crate) build: bool,
    /// The folder's own files, also where a release stands.
    pub(crate) folder: bool,
}

pub(crate) async fn up(
    session: &Session,
    name: &str,
    source: Source,
    confirm: &Confirm,
    printer: &mut Printer,
) -> Result<(), Stop> {
    let from_folder =
        if source.folder { Some(session.without_release(session.environment(name)?.0)) } else { None };
    let change = Change::planned(from_folder.as_ref().unwrap_or(session), name, "up", source.build).await?;
    if change.prepared.warnings > 0 {
        printer.note(format!("{}; see `partywall check`", count(change.prepared.warnings, "warning")));
    }
    let lost = other_data(&change.prepared);
    change.run(lost, confirm, printer).await
}

/// Only these services and what they need, where nothing else of the environment runs yet.
pub(crate) async fn up_alone(
    session: &Session,
    name: &str,
    services: &BTreeSet<String>,
    confirm: &Confirm,
    printer: &mut Printer,
) -> Result<(), Stop> {
    let mut change = Change::planned(session, name, "up", false).await?;
    let lost = other_data(&change.prepared);
    change.prepared.desired = change.prepared.desired.only(services);
    // Less is looked at where less is wanted.
    change.prepared.observed = session.host().observe(&change.prepared.desired).await?;
    change.plan = prepare::plan("up", &change.prepared)?;
    if change.plan.is_empty() {
        return Ok(());
    }
    if let Some(lost) = lost {
        let asked = Asked { name: change.name, operation: "up", lost };
        confirmed(session, &asked, confirm, printer)?;
    }
    change.carry_out(printer).await
}

pub(crate) async fn wall(session: &Session, name: &str, printer: &mut Printer) -> Result<(), Stop> {
    let change = Change::planned(session, name, up::WALL, false).await?;
    change.run(None, &Confirm { confirm: None }, printer).await
}

pub(crate) async fn down(
    session: &Session,
    name: &str,
    confirm: &Confirm,
    printer: &mut Printer,
) -> Result<(), Stop> {
    let change = Change::planned(session, name, "down", false).await?;
    change.run(Some("it would stop answering".to_owned()), confirm, printer).await
}

pub(crate) async fn sleep(session: &Session, asked: Sleep, printer: &mut Printer) -> Result<(), Stop> {
    let mut change = Change::planned(session, &asked.environment, sleep::OPERATION, false).await?;
    change.prepared.because = asked.because;
    if asked.stop {
        change.prepared.how = How::Stop;
    }
    change.plan = prepare::plan(sleep::OPERATION, &change.prepared)?;
    if !change.plan.is_empty() && !front::is_there(session).await {
        printer.note("nobody wakes it: `partywall agent front` does, or `partywall up`");
    }
    change.run(None, &Confirm { confirm: None }, printer).await
}

pub(crate) async fn destroy(
    session: &Session,
    name: &str,
    confirm: &Confirm,
    printer: &mut Printer,
) -> Result<(), Stop> {
    let change = Change::planned(session, name, "destroy", false).await?;
    let stays = change.stays().filter(|_| !change.plan.is_empty());
    if let Some(stays) = &stays {
        printer.note(stays);
    }
    change.run(Some(what_is_lost(&change.plan)), confirm, printer).await?;
    if let Some(stays) = stays {
        printer.note(stays);
    }
    Ok(())
}

impl<'s> Change<'s> {
    async fn planned(session: &'s Session, name: &str, operation: &str, builds: bool) -> Result<Self, Stop> {
        let (name, _) = session.environment(name)?;
        let mut prepared = prepare::prepare(session, &session.host(), name, operation).await?;
        if builds {
            forget_built_images(&mut prepared);
        }
        let plan = prepare::plan(operation, &prepared)?;
        Ok(Self { session, name, prepared, plan, builds })
    }

    /// Asks where something would be lost, carries out, and says how it ended.
    async fn run(&self, lost: Option<String>, confirm: &Confirm, printer: &mut Printer) -> Result<(), Stop> {
        if !self.plan.is_empty() {
            if let Some(lost) = lost {
                let asked = Asked { name: self.name, operation: &self.plan.operation, lost };
                confirmed(self.session, &asked, confirm, printer)?;
            }
            self.carry_out(printer).await?;
        }
        self.done(printer).await
    }

    /// Takes the lock, looks again, and refuses a plan that the host has overtaken.
    async fn carry_out(&self, printer: &mut Printer) -> Result<(), Stop> {
        let (plan, desired) = (&self.plan, &self.prepared.desired);
        let (_lock, mut journal) = self.session.begin()?;
        let host = self.session.host();
        if !self.builds && pw_plan::basis(desired, &host.observe(desired).await?) != plan.basis {
            return Err(Stop::because(
                format!("`{}` changed since the plan was made", plan.environment),
                "somebody else, or a container by itself, was faster",
                format!("run `partywall {} {}` again", plan.operation, plan.environment),
            ));
        }
        apply::run(plan, host, &mut journal, printer).await
    }

    async fn done(&self, printer: &mut Printer) -> Result<(), Stop> {
        let (name, operation, unchanged) = (self.name, self.plan.operation.as_str(), self.plan.is_empty());
        if printer.is_json() {
            let mut value =
                json!({"ok": true, "operation": operation, "environment": name, "changed": !unchanged});
            if operation == "destroy" {
                value["stays"] = json!(self.prepared.desired.kept_data);
            }
            return printer.json(&value);
        }
        printer.note(match (operation, unchanged) {
            ("up", true) => format!("`{name}` is as described; nothing to do"),
            ("up", false) => format!("{GREEN}`{name}` is up{GREEN:#}{}", self.reached().await?),
            (up::WALL, true) => format!("the wall of `{name}` is as described; nothing to do"),
            (up::WALL, false) => format!("{GREEN}the wall of `{name}` stands again{GREEN:#}"),
            (_, true) => format!("`{name}` does not run; nothing to do"),
            (sleep::OPERATION, false) => format!("`{name}` sleeps; its data and containers stay"),
            ("destroy", false) => format!("`{name}` is gone, with its volumes"),
            _ => format!("`{name}` is down; its volumes are kept"),
        });
        Ok(())
    }

    /// Addresses and published ports, one a line.
    async fn reached(&self) -> Result<String, Stop> {
        let published =
            self.session.host().engine().published(&self.prepared.desired.compose_project).await?;
        let lines = view::reached(&view::addresses(&self.session.config, self.name), &published);
        Ok(format!("\n{lines}").trim_end().to_owned())
    }

    /// What `destroy` does not reach, said before and after it.
    fn stays(&self) -> Option<String> {
        let kept = &self.prepared.desired.kept_data;
        (!kept.is_empty()).then(|| format!("data outside of its own volumes stays: {}", kept.join(", ")))
    }
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

/// What production is asked before, and what it would cost.
pub(super) struct Asked<'a> {
    pub(super) name: &'a EnvironmentName,
    pub(super) operation: &'a str,
    pub(super) lost: String,
}

/// Production wants its name typed; anything else is never asked about, so that being asked keeps its meaning.
pub(super) fn confirmed(
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
        return Err(asked.not_confirmed(confirm.confirm.as_deref()));
    }
    printer.note(&asked.lost);
    let question = format!("Type `{name}` to confirm `{} {name}`:", asked.operation);
    let typed = inquire::Text::new(&question).prompt().unwrap_or_default();
    if typed.trim() == name { Ok(()) } else { Err(asked.not_confirmed(Some(typed.trim()))) }
}

impl Asked<'_> {
    fn not_confirmed(&self, typed: Option<&str>) -> Stop {
        let Self { name, operation, lost } = self;
        let mut diagnostic = Diagnostic::error(format!("`{operation} {name}` was not confirmed"));
        if let Some(typed) = typed {
            diagnostic = diagnostic.because(format!("`{typed}` was given, and the environment is `{name}`"));
        }
        diagnostic
            .because(format!("`{name}` is a production environment; {lost}"))
            .hint(format!("add `--confirm {name}`"))
            .into()
    }
}

/// Where a service would find other data than it has now.
fn other_data(prepared: &Prepared) -> Option<String> {
    let others = up::other_data(&prepared.desired, &prepared.observed);
    let lines: Vec<String> = others.iter().map(|other| format!("`{}` {other}", other.service)).collect();
    (!lines.is_empty()).then(|| format!("it would find other data: {}", lines.join("; ")))
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
