//! `prune`: room on the disk is given back, of what is surely nobody's.

use pw_plan::Action;
use serde_json::json;

use crate::apply;
use crate::printer::Printer;
use crate::priority;
use crate::room;
use crate::session::Session;
use crate::stop::Stop;

pub(super) async fn run(session: &Session, only_plan: bool, printer: &mut Printer) -> Result<(), Stop> {
    if only_plan {
        let plan = room::look(session).await?.plan(session);
        return match printer.is_json() {
            true => printer.json(&json!({"operation": plan.operation, "steps": plan.steps})),
            false => printer.answer(plan.to_string()),
        };
    }
    // It waits for nobody, and nobody is to wait for it.
    priority::step_back();
    let because = room::due(session).await.unwrap_or_else(|| "somebody asked for it".to_owned());
    let (_lock, mut journal) = session.begin_after_trials(printer).await?;
    let plan = room::look(session).await?.plan(session);
    let before = room::free(session).await;
    apply::run(&plan, session.host(), &mut journal, printer).await?;
    // Others write and remove at the same time: it is what the disk has more, not a sum of sizes.
    let bytes = room::free(session).await.saturating_sub(before);
    let images = plan.steps.iter().map(|step| match &step.does {
        Action::RemoveUnnamedImages { identities } => identities.len(),
        _ => 0,
    });
    let trees = plan.steps.iter().filter(|step| matches!(step.does, Action::RemoveTree { .. })).count();
    let done = json!({"because": because, "bytes": bytes, "images": images.sum::<usize>(), "trees": trees});
    room::remember(&mut journal, &done)?;
    if printer.is_json() {
        return printer.json(&json!({"ok": true, "operation": plan.operation, "done": done}));
    }
    printer.note(room::summary(&done));
    Ok(())
}
