//! `backups --prune`: what `backup.keep` does not keep goes, and the room that nobody needs is given back.

use pw_backup::{Repository, retain};
use pw_plan::backup::prune::{Wanted, plan};
use serde_json::json;

use crate::apply;
use crate::backing;
use crate::printer::{Printer, count};
use crate::session::Session;
use crate::stop::Stop;

pub(super) async fn run(
    session: &Session,
    environment: Option<&str>,
    only_plan: bool,
    printer: &mut Printer,
) -> Result<(), Stop> {
    let names: Vec<String> = match environment {
        Some(name) => vec![session.environment(name)?.0.to_string()],
        None => session.config.environments.keys().map(ToString::to_string).collect(),
    };
    let place = backing::place(session)?;
    let repository = Repository::new(place.clone());
    let mut wanted = Vec::new();
    for name in names {
        let project = session.config.project.to_string();
        let kept = backing::kept(session, &name)?;
        let surplus = retain::surplus(&repository, (&project, &name), &kept)?;
        let repository = place.clone();
        wanted.push(Wanted { repository, project, environment: name, kept, surplus });
    }
    if only_plan {
        return show(&wanted, printer);
    }
    let (_lock, mut journal) = session.begin()?;
    for one in &wanted {
        apply::run(&plan(one), session.host(), &mut journal, printer).await?;
    }
    answer(&wanted, printer)
}

fn show(wanted: &[Wanted], printer: &mut Printer) -> Result<(), Stop> {
    if printer.is_json() {
        let steps: Vec<_> = wanted.iter().flat_map(|one| plan(one).steps).collect();
        return printer.json(&json!({"operation": "prune", "surplus": gone(wanted), "steps": steps}));
    }
    wanted.iter().try_for_each(|one| printer.answer(plan(one).to_string()))
}

fn answer(wanted: &[Wanted], printer: &mut Printer) -> Result<(), Stop> {
    let gone = gone(wanted);
    if printer.is_json() {
        return printer.json(&json!({
            "ok": true, "operation": "prune", "changed": !gone.is_empty(), "removed": gone,
        }));
    }
    printer.note(match gone.len() {
        0 => "`backup.keep` keeps all that there are".to_owned(),
        some => format!("{} removed: {}", count(some, "backup"), gone.join(", ")),
    });
    Ok(())
}

fn gone(wanted: &[Wanted]) -> Vec<String> {
    wanted.iter().flat_map(|one| one.surplus.clone()).collect()
}
