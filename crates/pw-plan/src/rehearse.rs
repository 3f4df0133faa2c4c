//! `rehearse`: the project's own migration on a full-size copy, measured, and nothing left of it.

use std::collections::BTreeMap;

use pw_model::config::{Limits, Migrate};
use pw_model::diagnostic::Diagnostic;
use pw_model::unit::Span;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::scratch::{Ground, Scratch, picked};
use crate::step::{Action, ComposeRun, Plan, Step, Stored, Undo};
use crate::wall::Rendered;

pub const OPERATION: &str = "rehearse";
pub const PURPOSE: &str = "rehearsal";
/// The log of the copy, in its socket's folder.
pub const LOG: &str = "server.csv";
/// What the copy's server writes down: every statement with its time, every error, every wait for a lock. Values
/// that are sent apart from their statement stay out.
pub const MEASURING: [&str; 19] = [
    "logging_collector=on",
    "log_destination=csvlog",
    "log_directory=/run/partywall",
    "log_filename=server",
    "log_file_mode=0644",
    "log_rotation_age=0",
    "log_rotation_size=0",
    "log_min_duration_statement=0",
    "log_statement=none",
    "log_duration=off",
    "log_parameter_max_length=0",
    "log_parameter_max_length_on_error=0",
    "log_connections=on",
    "log_disconnections=on",
    "log_lock_waits=on",
    "log_autovacuum_min_duration=-1",
    "log_checkpoints=off",
    "log_timezone=UTC",
    "lc_messages=C",
];
/// Keys of the service that say what is run; they come with the code.
const CODE: [&str; 8] =
    ["image", "entrypoint", "command", "working_dir", "user", "platform", "shm_size", "init"];
/// Keys that say what it is run with; they come with the data.
const DATA: [&str; 5] = ["environment", "secrets", "configs", "extra_hosts", "tmpfs"];

/// Which jobs run against which copy, and what they may cost.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rehearsal {
    pub compose: ComposeRun,
    /// One after the other.
    pub services: Vec<String>,
    pub user: String,
    pub database: String,
    /// On the host: the copy's socket and its log.
    pub folder: String,
    pub log: String,
    /// How long reads or writes may be kept waiting.
    pub lock_milliseconds: u64,
    /// Where each job is stopped.
    pub total_milliseconds: u64,
}

/// The migration, from where its code comes, and what it may cost.
#[derive(Debug, Clone, Copy)]
pub struct Wanted<'a> {
    pub migrate: &'a Migrate,
    pub code: &'a Rendered,
    pub limits: &'a Limits,
    /// Text of the variables that the environment's secrets are taken from.
    pub variables: Option<&'a str>,
    /// The dump that the copy is made from, in place of the database that runs.
    pub dump: Option<&'a Stored>,
}

/// The plan: make, rehearse, remove. Production is only read.
///
/// # Errors
/// The copy does not fit, or there is no such service.
pub fn plan(ground: Ground<'_>, wanted: &Wanted<'_>) -> Result<Plan, Box<Diagnostic>> {
    let (project, environment) = (ground.project.to_owned(), ground.of.name.to_string());
    let mut scratch = Scratch::new(ground, &MEASURING)?;
    let services = jobs(&ground, wanted, &mut scratch)?;
    let mut steps = match wanted.dump {
        Some(stored) => scratch.make_from(stored, wanted.variables),
        None => scratch.make(wanted.variables),
    };
    let milliseconds = |span: Span| u64::try_from(span.0.as_millis()).unwrap_or(u64::MAX);
    let rehearsal = Rehearsal {
        compose: scratch.compose_run().clone(),
        services,
        user: ground.source.user.clone(),
        database: ground.source.database.clone(),
        folder: format!("{}/run", ground.folder),
        log: LOG.to_owned(),
        lock_milliseconds: milliseconds(wanted.limits.lock),
        total_milliseconds: milliseconds(wanted.limits.total),
    };
    let does = Action::Rehearse { rehearsal };
    steps.push(Step::new(does, Undo::Nothing, "what it does to the copy it would do to the original"));
    steps.extend(scratch.remove());
    let texts = [Some(scratch.text()), wanted.variables.map(str::to_owned)].into_iter().flatten();
    let texts: BTreeMap<String, String> = texts.map(|text| (crate::hash(&text), text)).collect();
    let basis = crate::hash(&steps.iter().map(ToString::to_string).collect::<String>());
    Ok(Plan { operation: OPERATION.to_owned(), project, environment, basis, steps, texts })
}

/// Adds the way there and, when configured, the way back; answers their names in order.
fn jobs(
    ground: &Ground<'_>,
    wanted: &Wanted<'_>,
    scratch: &mut Scratch<'_>,
) -> Result<Vec<String>, Box<Diagnostic>> {
    let name = wanted.migrate.service.as_str();
    let of = |rendered: &'_ Rendered| rendered.model["services"].get(name).cloned();
    let (Some(code), Some(data)) = (of(wanted.code), of(ground.of)) else {
        return Err(Box::new(
            Diagnostic::error(format!(
                "there is no service `{name}` in `{}` and `{}`",
                ground.of.name, wanted.code.name
            ))
            .because("`promote.migrate` names it")
            .hint("name a service that both have, in `partywall.yaml`"),
        ));
    };
    let mut names = vec![name.to_owned()];
    scratch.add(name, job(&code, &data, &wanted.migrate.command));
    if !wanted.migrate.down.is_empty() {
        names.push(format!("{name}-down"));
        scratch.add(&names[1], job(&code, &data, &wanted.migrate.down));
    }
    Ok(names)
}

fn job(code: &Value, data: &Value, command: &[String]) -> Map<String, Value> {
    let mut service = picked(code, &CODE);
    service.extend(picked(data, &DATA));
    if !command.is_empty() {
        service.insert("command".to_owned(), json!(command));
    }
    service.insert("volumes".to_owned(), json!(sources(code)));
    service
}

/// Folders of the host that hold the code, all read-only here: a rehearsal changes nothing but the copy.
fn sources(code: &Value) -> Vec<Value> {
    let binds = code["volumes"].as_array().into_iter().flatten().filter(|mount| mount["type"] == "bind");
    let read_only = |mount: &Value| {
        let mut mount = mount.clone();
        mount["read_only"] = json!(true);
        mount
    };
    binds.map(read_only).collect()
}
