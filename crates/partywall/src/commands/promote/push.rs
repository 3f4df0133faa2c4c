//! `push`: a commit runs in a development environment.

use pw_model::config::Class;
use pw_model::observed::Observed;
use pw_model::role::Role;
use pw_plan::Plan;
use pw_plan::up::with_release;

use super::{Planned, show, source};
use crate::apply;
use crate::cli;
use crate::prepare;
use crate::printer::Printer;
use crate::releases as list;
use crate::session::Session;
use crate::stop::Stop;

pub(crate) async fn run(session: &Session, asked: &cli::Push, printer: &mut Printer) -> Result<(), Stop> {
    let (name, _) = session.environment(&asked.environment)?;
    if session.class(name.as_str())? == Class::Production {
        return Err(Stop::because(
            format!("`{name}` is a production environment"),
            "visitors would wait while it is replaced",
            format!("`partywall promote --to {name}` flips it without a lost request"),
        ));
    }
    let commit = source::commit(session, asked.reference.as_deref(), None).await?;
    let tree = source::check_out(session, name, &commit, printer).await?;
    let (mut release, builds) = source::release(session, name, &commit, tree).await?;
    release.why = asked.why.clone().unwrap_or_default();
    release.at = jiff::Timestamp::now().as_second();
    let (_lock, mut journal) = session.begin()?;
    if !asked.plan {
        release = source::built(session, name, (release, builds), &mut journal, printer).await?;
    }
    let pushed = session.with_release(name, release.clone());
    let host = session.host();
    let prepared = prepare::prepare(&pushed, &host, name, "up").await?;
    let entry = list::entry(session, name, &release);
    let plan = with_release(&prepared.desired, &run_again(&prepared), &entry)?;
    if asked.plan {
        return show::plan(&plan, printer);
    }
    if !is_new(session.releases.get(name), &plan) {
        return show::nothing(name, &release, printer);
    }
    apply::run(&plan, host, &mut journal, printer).await?;
    let planned = Planned { prepared, plan, release };
    show::done(name, "push", &planned, pw_model::unit::Span::seconds(0), printer)
}

/// The files that say which release runs are written with every push; alone they are nothing new.
fn is_new(before: Option<&pw_model::release::Release>, plan: &Plan) -> bool {
    let writes = |step: &pw_plan::Step| {
        matches!(step.does, pw_plan::Action::InstallFile { .. } | pw_plan::Action::KeepFile { .. })
    };
    before.is_none() || !plan.steps.iter().all(writes)
}

/// A new release runs its jobs, though they have ended well before.
fn run_again(prepared: &prepare::Prepared) -> Observed {
    let mut observed = prepared.observed.clone();
    for one in &mut observed.containers {
        let described = prepared.desired.services.get(&one.service);
        if described.is_some_and(|job| job.role == Role::Job && job.config_hash != one.config_hash) {
            one.exit_code = None;
        }
    }
    observed
}
