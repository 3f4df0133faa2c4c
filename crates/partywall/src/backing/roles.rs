//! Roles out of a backup: those that a server lacks are made as they were, before a database that needs them comes back.

use std::collections::BTreeSet;

use pw_backup::Repository;
use pw_backup::take::Taking;
use pw_data::roles::{self, Around};
use pw_host::Host;
use pw_plan::step::{DatabasePlace, Stored};
use pw_run::Failure;
use serde_json::Value;

use super::perform::blocking;
use crate::reach::reach;

/// As it is put into the backup.
pub(super) fn kept(around: &Around) -> Result<Value, Failure> {
    serde_json::to_value(around)
        .map_err(|error| Failure::new("could not write the roles down").because(error))
}

/// What is around a database of a backup; `None` where the backup holds nothing of it.
pub(super) async fn around(stored: &Stored) -> Result<Option<Around>, Failure> {
    let stored = stored.clone();
    blocking(move || {
        let taking = Taking::open(&Repository::new(stored.repository), &stored.backup)?;
        let Some(value) = taking.roles(&stored.part)? else { return Ok(None) };
        let what = || format!("could not understand the roles of `{}`", stored.backup);
        serde_json::from_value(value).map(Some).map_err(|error| Failure::new(what()).because(error))
    })
    .await
}

pub(super) async fn make(
    host: &Host,
    (stored, server): (&Stored, &DatabasePlace),
    names: &BTreeSet<String>,
) -> Result<(), Failure> {
    let around = around(stored).await?.unwrap_or_default();
    roles::make(&reach(host.engine(), server).await?.address, &around, names).await
}
