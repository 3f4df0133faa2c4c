//! Which development holds a sample of the environment that is rehearsed, and what it is worth.

use pw_model::config::Class;
use pw_model::name::EnvironmentName;
use serde_json::Value;

use crate::seeded;
use crate::session::Session;

/// An environment that was seeded from another one.
pub(super) struct Sample<'s> {
    pub(super) name: &'s EnvironmentName,
    /// As its record writes it, such as `10%`.
    pub(super) size: Option<String>,
}

/// The first environment that was seeded from `whole`, but for those of class production.
pub(super) fn of<'s>(session: &'s Session, whole: &EnvironmentName) -> Option<Sample<'s>> {
    let origins = [whole.to_string(), session.config.compose_project(whole)];
    let all = session.config.environments_in_order().into_iter();
    let others =
        all.filter(|(name, environment)| *name != whole && environment.class(name) != Class::Production);
    others.into_iter().find_map(|(name, _)| {
        let record = seeded::read(session, name)?;
        let text = |key: &str| record.get(key).and_then(Value::as_str).map(str::to_owned);
        let size = text("size");
        text("from").is_some_and(|from| origins.contains(&from)).then_some(Sample { name, size })
    })
}
