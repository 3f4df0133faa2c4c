//! `resume` and `abandon`: an operation that was cut off is finished or taken back.

use std::path::Path;
use std::time::Duration;

use pw_host::lock;
use pw_journal::SqliteJournal;
use pw_run::Journal;
use serde_json::json;

use crate::apply;
use crate::printer::Printer;
use crate::session::Session;
use crate::stop::Stop;

/// How long a `docker compose` that a killed run left behind may still take.
const PATIENCE: Duration = Duration::from_secs(120);

pub(crate) async fn run(session: &Session, forward: bool, printer: &mut Printer) -> Result<(), Stop> {
    if session.unfinished()?.is_none() {
        printer.note("nothing was left unfinished");
        return if printer.is_json() { printer.json(&json!({"ok": true, "changed": false})) } else { Ok(()) };
    }
    let path = session.layout.lock(&session.config.project);
    let word = if forward { "resume" } else { "abandon" };
    let waiting = |holder: Option<&lock::Holder>| {
        let who = holder.map_or_else(
            || "somebody".into(),
            |holder| format!("`{}` (process {}) or what it started", holder.command, holder.pid),
        );
        printer.note(format!("waiting for {who} to end"));
    };
    let _lock =
        lock::acquire_waiting(Path::new(&path), &format!("partywall {word}"), PATIENCE, waiting).await?;
    let mut journal = SqliteJournal::open(Path::new(&session.layout.journal(&session.config.project)))?;
    // Whoever held the lock may have finished it meanwhile.
    let Some(left) = journal.unfinished()? else {
        printer.note("nothing was left unfinished");
        return Ok(());
    };
    let ended = apply::recover(&left, forward, session.host(), &mut journal, printer).await?;
    if !printer.is_json() {
        return Ok(());
    }
    let (operation, environment) = (&left.plan.operation, &left.plan.environment);
    printer.json(&json!({"ok": true, "changed": true, "operation": operation, "environment": environment, "ended": ended}))
}
