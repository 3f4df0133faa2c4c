//! `check`: is the configuration sound, and does it fit the host?

use pw_model::config;
use pw_model::diagnostic::Diagnostic;
use serde_json::json;

use crate::prepare;
use crate::printer::{GREEN, Printer, count};
use crate::session::Session;
use crate::stop::Stop;

pub(crate) async fn run(session: &Session, printer: &mut Printer) -> Result<(), Stop> {
    let mut found = config::check(&session.config, &session.source);
    if !found.iter().any(Diagnostic::is_error) {
        let host = session.host();
        let walls = prepare::walls(session, &host, None).await?;
        found.extend(walls.diagnostics.iter().cloned());
        found.extend(prepare::fit(session, &host, &walls).await?);
    }
    let errors = found.iter().filter(|diagnostic| diagnostic.is_error()).count();
    if printer.is_json() {
        printer.json(&json!({"ok": errors == 0, "findings": found}))?;
        return if errors == 0 { Ok(()) } else { Err(Stop::Code(1)) };
    }
    printer.diagnostics(&found);
    let warnings = found.len() - errors;
    match errors {
        0 => {
            printer.note(format!(
                "{GREEN}sound{GREEN:#}: {}, {}",
                count(session.config.environments.len(), "environment"),
                count(warnings, "warning")
            ));
            Ok(())
        }
        _ => {
            printer.note(format!("{}, {}", count(errors, "error"), count(warnings, "warning")));
            Err(Stop::Code(1))
        }
    }
}
