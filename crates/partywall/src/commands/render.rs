//! `render`: the final Compose file, and where each value comes from.

use std::io::{IsTerminal, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use pw_model::diagnostic::Diagnostic;
use pw_model::source::{Place, SourceFile};
use pw_plan::wall::{self, Origin};
use serde_json::{Value, json};

use crate::load;
use crate::prepare;
use crate::printer::{DIM, Printer};
use crate::session::{self, Session};
use crate::stop::Stop;

pub(crate) async fn run(
    session: &Session,
    name: &str,
    output: Option<&Path>,
    printer: &mut Printer,
) -> Result<(), Stop> {
    let (name, _) = session.environment(name)?;
    let walls = prepare::walls(session, &session.host(), Some(name)).await?;
    // What would stop `up` does not stop looking.
    printer.diagnostics(&walls.diagnostics.iter().cloned().map(Diagnostic::softened).collect::<Vec<_>>());
    let Some(rendered) = walls.rendered.iter().find(|one| one.name == *name) else { return Ok(()) };
    if let Some(path) = output {
        return write(path, &prepare::compose_text(session, rendered), printer);
    }
    if printer.is_json() {
        return printer.json(&rendered.model);
    }
    if !std::io::stdout().is_terminal() {
        return printer.answer(prepare::compose_text(session, rendered));
    }
    let mut shown = rendered.model.clone();
    let hidden = hide_secrets(&mut shown);
    printer.answer(wall::yaml(&shown))?;
    if hidden > 0 {
        printer.note(format!("{DIM}{hidden} values are hidden on the terminal; `--output FILE` writes them, readable by you only{DIM:#}"));
    }
    Ok(())
}

fn write(path: &Path, text: &str, printer: &mut Printer) -> Result<(), Stop> {
    let mut options = std::fs::OpenOptions::new();
    let file = options.write(true).create(true).truncate(true).mode(0o600).open(path);
    let written = file.and_then(|mut file| file.write_all(text.as_bytes()));
    written.map_err(|error| {
        Stop::because(
            format!("could not write `{}`", path.display()),
            error.to_string(),
            "choose another file",
        )
    })?;
    printer.note(format!("written to {}", path.display()));
    Ok(())
}

/// Replaces the values of variables that look like credentials. Answers how many.
fn hide_secrets(model: &mut Value) -> usize {
    let mut hidden = 0;
    let services = model.get_mut("services").and_then(Value::as_object_mut);
    for service in services.into_iter().flatten().map(|(_, service)| service) {
        let environment = service.get_mut("environment").and_then(Value::as_object_mut);
        for (key, value) in environment.into_iter().flatten() {
            if value.as_str().is_some_and(|text| !text.is_empty() && is_secret(key, text)) {
                *value = json!("***");
                hidden += 1;
            }
        }
    }
    hidden
}

fn is_secret(key: &str, value: &str) -> bool {
    let key = key.to_uppercase();
    let named = ["PASS", "SECRET", "TOKEN", "KEY", "CREDENTIAL", "SALT", "DSN", "PRIVATE"]
        .iter()
        .any(|word| key.contains(word));
    let in_address = value
        .split_once("://")
        .is_some_and(|(_, rest)| rest.split('/').next().is_some_and(|host| host.contains('@')));
    named && !key.ends_with("_FILE") || in_address
}

pub(crate) async fn explain(
    session: &Session,
    name: &str,
    path: &str,
    printer: &mut Printer,
) -> Result<(), Stop> {
    let (name, environment) = session.environment(name)?;
    let walls = prepare::walls(session, &session.host(), Some(name)).await?;
    let (Some(rendered), Some(loaded)) = (
        walls.rendered.iter().find(|one| one.name == *name),
        walls.loaded.iter().find(|one| one.name == *name),
    ) else {
        return Ok(());
    };
    let variables: Vec<SourceFile> = load::variable_files(session, environment)
        .into_iter()
        .filter_map(|file| {
            Some(SourceFile::new(file.clone(), session::read(&session.directory.join(file)).ok()?))
        })
        .collect();
    let Some((value, origin)) = wall::explain(rendered, loaded, &variables, path) else {
        return Err(nothing_there(path, &rendered.model));
    };
    if printer.is_json() {
        return printer.json(&as_json(path, value.as_ref(), &origin));
    }
    printer.answer(as_text(path, value.as_ref(), &origin))
}

fn nothing_there(path: &str, model: &Value) -> Stop {
    let mut at = model;
    for part in path.split('.') {
        match at.get(part) {
            Some(next) => at = next,
            None => {
                let known: Vec<&str> =
                    at.as_object().into_iter().flatten().map(|(key, _)| key.as_str()).collect();
                return Stop::because(
                    format!("nothing is set at `{path}`"),
                    format!("there is no `{part}`"),
                    format!("here are {}", known.join(", ")),
                );
            }
        }
    }
    Stop::because(
        format!("nothing is set at `{path}`"),
        "no file and no rule sets it",
        "name a path such as `services.web.image`",
    )
}

fn as_text(path: &str, value: Option<&Value>, origin: &Origin) -> String {
    let shown = match value {
        Some(Value::String(text)) if is_secret(path.rsplit('.').next().unwrap_or(path), text) => {
            "***".to_owned()
        }
        Some(Value::String(text)) => text.clone(),
        Some(value @ (Value::Object(_) | Value::Array(_))) => format!("\n{}", wall::yaml(value)),
        Some(value) => value.to_string(),
        None => "(removed)".to_owned(),
    };
    let from = match origin {
        Origin::Rule { rule } => format!("rule `{}`: {}", rule.name, rule.because),
        Origin::Written { place } => written(place),
        Origin::Variable { place } => format!("{}:{}", place.file, place.line),
        Origin::Compose => "Compose's own default".to_owned(),
    };
    format!("{path}: {shown}\n  {from}\n")
}

fn written(place: &Place) -> String {
    format!("{}:{}:{}\n  {DIM}{}{DIM:#}", place.file, place.line, place.column, place.text.trim())
}

fn as_json(path: &str, value: Option<&Value>, origin: &Origin) -> Value {
    let from = match origin {
        Origin::Rule { rule } => json!({"rule": rule.name, "because": rule.because}),
        Origin::Written { place } => json!({"file": place.file, "line": place.line, "column": place.column}),
        Origin::Variable { place } => json!({"file": place.file, "line": place.line, "variable": true}),
        Origin::Compose => json!({"compose": true}),
    };
    json!({"path": path, "value": value, "from": from})
}
