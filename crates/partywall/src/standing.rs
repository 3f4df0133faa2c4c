//! What is known of an environment besides what runs: whether its data would come back, and how its next release would fare.

use pw_model::config::Class;
use pw_model::name::EnvironmentName;
use serde_json::{Value, json};

use crate::backing::shown;
use crate::drifted;
use crate::rehearsed;
use crate::session::Session;

/// The newest backup and drill, the last rehearsal, the last look for drift; each with its age.
pub(crate) fn lines(session: &Session, name: &EnvironmentName) -> String {
    let backups = is_production(session, name).then(|| shown::read(session, name)).flatten();
    let backups = backups.map(|record| shown::lines(session, &record)).unwrap_or_default();
    let rehearsal = rehearsed::read(session, name).map(|record| format!("{}\n", rehearsed::line(&record)));
    let drift = drifted::read(session, name).map(|record| format!("{}\n", drifted::line(&record)));
    backups + &rehearsal.unwrap_or_default() + &drift.unwrap_or_default()
}

/// The same for programs, under the names that `status` gives them.
pub(crate) fn add(session: &Session, name: &EnvironmentName, value: &mut Value) {
    value["backups"] = json!(shown::read(session, name));
    value["drift"] = json!(drifted::read(session, name));
    value["rehearsal"] = json!(rehearsed::read(session, name));
}

fn is_production(session: &Session, name: &EnvironmentName) -> bool {
    session.class(name.as_str()).is_ok_and(|class| class == Class::Production)
}
