//! `drill`: a backup is brought back in a scratch place, tried, and nothing of it is left.

use std::collections::BTreeMap;

use pw_model::config::BackupCheck;
use pw_model::diagnostic::Diagnostic;
use serde_json::{Map, Value, json};

use crate::backup::restore::Moment;
use crate::scratch::{Ground, Scratch, picked};
use crate::step::{Action, DrillRun, Plan, PlayedLog, ScratchServer, Step, Stored, Undo};

pub const OPERATION: &str = "drill";
pub const PURPOSE: &str = "drill";
/// Keys of the service whose command checks: what is run, and what it is run with.
const CHECKING: [&str; 12] = [
    "image",
    "entrypoint",
    "command",
    "working_dir",
    "user",
    "platform",
    "shm_size",
    "init",
    "environment",
    "secrets",
    "configs",
    "tmpfs",
];

/// What is drilled, and how it is tried.
#[derive(Debug, Clone, Copy)]
pub struct Wanted<'a> {
    pub stored: &'a Stored,
    pub check: Option<&'a BackupCheck>,
    /// True when the folders of the backup are brought back too.
    pub folders: bool,
    pub timeout_seconds: u64,
    /// Text of the variables that the environment's secrets are taken from.
    pub variables: Option<&'a str>,
}

/// Whose backup is drilled, and where.
#[derive(Debug, Clone, Copy)]
pub struct Place<'a> {
    pub project: &'a str,
    pub environment: &'a str,
    /// In the state of the host.
    pub folder: &'a str,
}

/// The plan: make, drill, remove. Production is not even read.
///
/// # Errors
/// It does not fit on the disk, or the service that checks is not there.
pub fn plan(ground: Ground<'_>, wanted: &Wanted<'_>) -> Result<Plan, Box<Diagnostic>> {
    let (project, environment) = (ground.project.to_owned(), ground.of.name.to_string());
    let mut scratch = Scratch::new(ground, &[])?;
    let job = wanted.check.map(|check| job(&ground, check, &mut scratch)).transpose()?;
    let mut steps = scratch.make(wanted.variables);
    // The server stays empty: its rows come from the repository.
    steps.retain(|step| !matches!(step.does, Action::CopyDatabase { .. }));
    let server = ScratchServer { job, ..scratch.server() };
    let drill = DrillRun {
        stored: wanted.stored.clone(),
        server: Some(server),
        folders: wanted.folders.then(|| format!("{}/files", ground.folder)),
        timeout_seconds: wanted.timeout_seconds,
        played: None,
    };
    let does = Action::Drill { drill: Box::new(drill) };
    steps.push(Step::new(does, Undo::Nothing, "what comes back here comes back when it must"));
    steps.extend(scratch.remove());
    let texts = [Some(scratch.text()), wanted.variables.map(str::to_owned)].into_iter().flatten();
    let texts: BTreeMap<String, String> = texts.map(|text| (crate::hash(&text), text)).collect();
    let basis = crate::hash(&steps.iter().map(ToString::to_string).collect::<String>());
    Ok(Plan { operation: OPERATION.to_owned(), project, environment, basis, steps, texts })
}

/// The same for a backup without a database: there is no server, and nothing for the application to check.
pub fn folders_only(stored: &Stored, place: &Place<'_>, timeout_seconds: u64) -> Plan {
    let folder = place.folder.to_owned();
    let drill = DrillRun {
        stored: stored.clone(),
        server: None,
        folders: Some(format!("{folder}/files")),
        timeout_seconds,
        played: None,
    };
    let remove = || Action::RemoveTree { path: folder.clone() };
    let make = Action::MakePrivateFolder { path: folder.clone() };
    let steps = vec![
        Step::new(make, Undo::by(remove()), "the scratch place has files of its own"),
        Step::new(
            Action::Drill { drill: Box::new(drill) },
            Undo::Nothing,
            "what comes back here comes back when it must",
        ),
        Step::new(remove(), Undo::Nothing, "it was only a copy"),
    ];
    let basis = crate::hash(&steps.iter().map(ToString::to_string).collect::<String>());
    let (project, environment) = (place.project.to_owned(), place.environment.to_owned());
    Plan { operation: OPERATION.to_owned(), project, environment, basis, steps, texts: BTreeMap::new() }
}

/// The same for the log of a server: its files come back, and it plays what was written since.
pub fn log(moment: Moment, stored: &Stored, place: &Place<'_>, played: (PlayedLog, u64)) -> Plan {
    let (played, timeout_seconds) = played;
    let drill = DrillRun {
        stored: stored.clone(),
        server: Some(moment.server),
        folders: None,
        timeout_seconds,
        played: Some(played),
    };
    let mut steps = moment.make;
    // What it cannot play is a finding of the drill.
    steps.retain(|step| !matches!(step.does, Action::AwaitServices { .. }));
    let does = Action::Drill { drill: Box::new(drill) };
    steps.push(Step::new(does, Undo::Nothing, "what is played here is played when it must"));
    steps.extend(moment.remove);
    let basis = crate::hash(&steps.iter().map(ToString::to_string).collect::<String>());
    let (project, environment) = (place.project.to_owned(), place.environment.to_owned());
    Plan { operation: OPERATION.to_owned(), project, environment, basis, steps, texts: moment.texts }
}

fn job(
    ground: &Ground<'_>,
    check: &BackupCheck,
    scratch: &mut Scratch<'_>,
) -> Result<String, Box<Diagnostic>> {
    let theirs = &ground.of.model["services"][check.service.as_str()];
    if theirs.is_null() {
        return Err(Box::new(
            Diagnostic::error(format!("there is no service `{}` in `{}`", check.service, ground.of.name))
                .because("`backup.check` names it")
                .hint("name a service of the environment, in `partywall.yaml`"),
        ));
    }
    let mut service: Map<String, Value> = picked(theirs, &CHECKING);
    service.insert("command".to_owned(), json!(check.command));
    let name = format!("{}-check", check.service);
    scratch.add(&name, service);
    Ok(name)
}
