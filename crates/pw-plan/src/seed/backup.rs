//! A backup as the source of a seed: its dump is loaded into a scratch server, which is gone before development rests.

use std::collections::BTreeMap;

use pw_model::diagnostic::Diagnostic;

use crate::scratch::{Ground, Scratch};
use crate::step::{Action, BackupOrigin, DatabasePlace, Plan, Step, Stored, Undo};

pub const PURPOSE: &str = "source";
/// What only looks at the scratch server, and is not finished when it was cut off.
pub const LOOK: &str = "look";

/// A scratch server that stands in for the environment that was backed up.
#[derive(Debug, Clone, PartialEq)]
pub struct FromBackup {
    pub origin: BackupOrigin,
    /// Its part is the database.
    pub stored: Stored,
    /// The database of the scratch server.
    pub place: DatabasePlace,
    pub make: Vec<Step>,
    pub remove: Vec<Step>,
    pub texts: BTreeMap<String, String>,
}

/// What the scratch server is filled with.
#[derive(Debug, Clone, Copy)]
pub struct Wanted<'a> {
    pub origin: &'a BackupOrigin,
    pub stored: &'a Stored,
    /// Text of the variables that the environment's secrets are taken from.
    pub variables: Option<&'a str>,
}

/// Steps to the scratch server, and those that remove it.
///
/// # Errors
/// It does not fit on the disk.
pub fn stand_in(ground: Ground<'_>, wanted: &Wanted<'_>) -> Result<FromBackup, Box<Diagnostic>> {
    let scratch = Scratch::new(ground, &[])?;
    let source = ground.source;
    let place = DatabasePlace {
        project: scratch.compose_run().project.clone(),
        service: ground.service.to_owned(),
        name: source.database.clone(),
        user: source.user.clone(),
        password: None,
    };
    let texts = [Some(scratch.text()), wanted.variables.map(str::to_owned)].into_iter().flatten();
    Ok(FromBackup {
        origin: wanted.origin.clone(),
        stored: wanted.stored.clone(),
        place,
        make: scratch.make_from(wanted.stored, wanted.variables),
        remove: scratch.remove(),
        texts: texts.map(|text| (crate::hash(&text), text)).collect(),
    })
}

/// The plan of a look at the backup: make, look, remove.
pub fn look(
    (project, environment): (&str, &str),
    backup: &FromBackup,
    (rules, size): (&str, Option<&str>),
) -> Plan {
    let look = Action::LookAtSample {
        from: backup.place.clone(),
        rules: crate::hash(rules),
        size: size.map(str::to_owned),
    };
    let mut steps = backup.make.clone();
    steps.push(Step::new(look, Undo::Nothing, "what it answers is all that stays"));
    steps.extend(backup.remove.iter().cloned());
    let mut texts = backup.texts.clone();
    texts.insert(crate::hash(rules), rules.to_owned());
    let basis = crate::hash(&steps.iter().map(ToString::to_string).collect::<String>());
    let (project, environment) = (project.to_owned(), environment.to_owned());
    Plan { operation: LOOK.to_owned(), project, environment, basis, steps, texts }
}
