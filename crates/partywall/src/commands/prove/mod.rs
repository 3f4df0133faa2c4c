//! `prove`: the wall is attacked from inside, and what production's visitors feel of its neighbours is measured.

mod scene;

use std::path::{Path, PathBuf};
use std::sync::PoisonError;
use std::time::Instant;

use pw_journal::Proof;
use pw_model::config::Class;
use pw_model::diagnostic::Diagnostic;
use pw_model::name::EnvironmentName;
use pw_plan::Plan;
use pw_plan::prove::step::Blast;
use pw_plan::prove::verdict::Held;
use pw_plan::prove::{OPERATION, Wanted};
use pw_run::Failure;
use serde_json::json;

use super::change::{Asked, confirmed};
use crate::apply;
use crate::cli::{self, Part};
use crate::hands::Hands;
use crate::printer::{Printer, count};
use crate::proved::{Certificate, Shared, page, told};
use crate::session::Session;
use crate::stop::Stop;
use scene::Ground;

pub(crate) async fn run(session: &Session, asked: &cli::Prove, printer: &mut Printer) -> Result<(), Stop> {
    let name = production(session)?;
    is_root()?;
    let ground = scene::look(session, name).await?;
    let plan = plan(session, name, &ground, asked);
    can_be_measured(&plan, &ground, asked, printer)?;
    if asked.plan {
        return show(&plan, asked, printer);
    }
    let lost = "what runs beside it is attacked, which its visitors may feel, and may stumble".to_owned();
    confirmed(session, &Asked { name, operation: OPERATION, lost }, &asked.confirm, printer)?;
    let begun = jiff::Timestamp::now();
    let paths = paths(session, asked, begun)?;
    let (_lock, mut journal) = session.begin_after_trials(printer).await?;
    let (clock, proved) = (Instant::now(), Shared::default());
    let hands = Hands::with_proved(session.host(), proved.clone());
    apply::run(&plan, hands, &mut journal, printer).await?;
    let certificate = Certificate {
        project: session.config.project.to_string(),
        environment: name.to_string(),
        at: begun.strftime("%Y-%m-%d %H:%M:%S UTC").to_string(),
        seconds: clock.elapsed().as_secs(),
        facts: ground.facts,
        walls: ground.walls,
        held: held(session, asked),
        proved: std::mem::take(&mut *proved.lock().unwrap_or_else(PoisonError::into_inner)),
    };
    keep(&certificate, &paths)?;
    journal.prove(&Proof {
        kind: OPERATION.to_owned(),
        environment: name.to_string(),
        passed: certificate.passed(),
        summary: json!({"verdict": certificate.verdict(), "certificate": paths[0]}).to_string(),
    })?;
    answer(&certificate, &paths, printer)
}

fn production(session: &Session) -> Result<&EnvironmentName, Stop> {
    let ordered = session.config.environments_in_order();
    let found = ordered.into_iter().find(|(name, one)| one.class(name) == Class::Production);
    found.map(|(name, _)| name).ok_or_else(|| {
        Stop::because(
            "there is nothing to protect",
            "no environment is of class production",
            "name one `production`, or give it `class: production`",
        )
    })
}

fn is_root() -> Result<(), Stop> {
    if rustix::process::geteuid().is_root() {
        return Ok(());
    }
    Err(Stop::because(
        "only root can prove the wall",
        "the attack comes from inside the containers' own namespaces, which the kernel opens to nobody else",
        "run it with `sudo`",
    ))
}

/// What was asked for and cannot be had is told; a certificate about nothing is none.
fn can_be_measured(
    plan: &Plan,
    ground: &Ground,
    asked: &cli::Prove,
    printer: &mut Printer,
) -> Result<(), Stop> {
    let why = match (&ground.scene.site, &ground.scene.own_site) {
        (None, _) => "no service of production has a route, so that no page can be asked for",
        (_, None) => "nothing of development is behind the same proxy, so that its link cannot be filled",
        _ => return Ok(()),
    };
    if plan.is_empty() {
        let hint = "give a service a host name under `routes:` of the environment";
        return Err(Stop::because("no blast can be measured", why, hint));
    }
    if asked.only != Some(Part::Probes) {
        printer.note(format!("not every blast is measured: {why}"));
    }
    Ok(())
}

fn plan(session: &Session, name: &EnvironmentName, ground: &Ground, asked: &cli::Prove) -> Plan {
    let blasts: &[Blast] = match (asked.only, asked.blasts.is_empty()) {
        (Some(Part::Probes), _) => &[],
        (_, true) => &Blast::ALL,
        (_, false) => &asked.blasts,
    };
    let wanted = Wanted {
        project: session.config.project.as_str(),
        environment: name.as_str(),
        probes: asked.only != Some(Part::Blasts),
        blasts,
        rounds: asked.rounds,
        seconds: asked.seconds,
        rate: asked.rate,
        bounds: ground.bounds,
    };
    pw_plan::prove::plan(&ground.scene, &wanted)
}

fn show(plan: &Plan, asked: &cli::Prove, printer: &mut Printer) -> Result<(), Stop> {
    if printer.is_json() {
        return printer.json(&json!({
            "operation": plan.operation, "environment": plan.environment, "steps": plan.steps,
        }));
    }
    printer.note(format!("{}; `partywall prove` does it", count(plan.steps.len(), "step")));
    let probes = plan.steps.iter().find_map(|step| match &step.does {
        pw_plan::Action::ProbeWall { run } => Some(&run.probes),
        _ => None,
    });
    let lines = probes.into_iter().flatten().map(|probe| format!("   {probe}\n"));
    let lines = if asked.only == Some(Part::Blasts) { String::new() } else { lines.collect() };
    printer.answer(format!("{plan}{lines}"))
}

fn held(session: &Session, asked: &cli::Prove) -> Held {
    let goals = session.config.objective.as_ref().map(pw_model::config::Objective::goals).unwrap_or_default();
    Held { p99: goals.p99.map(|p99| p99.0.as_secs_f64() * 1000.0), errors: goals.errors, ratio: asked.limit }
}

/// The page, and the figures beside it; where they cannot be written, nobody is attacked.
fn paths(session: &Session, asked: &cli::Prove, at: jiff::Timestamp) -> Result<[PathBuf; 2], Stop> {
    let page = asked.out.clone().unwrap_or_else(|| {
        let folder = session.layout.certificates(&session.config.project);
        Path::new(&folder).join(format!("{}.html", at.strftime("%Y-%m-%dT%H-%M-%SZ")))
    });
    let folder = page.parent().filter(|folder| !folder.as_os_str().is_empty());
    let made = folder.map_or(Ok(()), |folder| match asked.out {
        Some(_) => std::fs::metadata(folder).map(drop),
        None => std::fs::create_dir_all(folder),
    });
    made.map_err(|error| {
        Stop::because(
            format!("the certificate `{}` cannot be written", page.display()),
            error.to_string(),
            "name another file with `--out`",
        )
    })?;
    let figures = page.with_extension("json");
    Ok([page.with_extension("html"), figures])
}

fn keep(certificate: &Certificate, paths: &[PathBuf; 2]) -> Result<(), Stop> {
    let figures = serde_json::to_string_pretty(&certificate.json())
        .map_err(|error| Failure::new("could not write down the figures").because(error))?;
    for (path, text) in paths.iter().zip([page(certificate), figures]) {
        pw_host::files::write(path, text.as_bytes(), 0o600)?;
    }
    Ok(())
}

fn answer(certificate: &Certificate, paths: &[PathBuf; 2], printer: &mut Printer) -> Result<(), Stop> {
    let [page, figures] = paths;
    if printer.is_json() {
        let mut value = certificate.json();
        value["ok"] = json!(certificate.passed());
        value["operation"] = json!(OPERATION);
        value["certificate"] = json!({"html": page, "json": figures});
        printer.json(&value)?;
    } else {
        printer.answer(told(certificate))?;
        printer.note(format!("certificate: {}, figures: {}", page.display(), figures.display()));
    }
    if certificate.passed() {
        return Ok(());
    }
    if printer.is_json() {
        return Err(Stop::Code(1));
    }
    Err(Diagnostic::error(format!("the wall around `{}` does not hold", certificate.environment))
        .because(certificate.verdict())
        .hint("`partywall drift` says what was changed by hand, `partywall up ENVIRONMENT` builds the wall again")
        .into())
}
