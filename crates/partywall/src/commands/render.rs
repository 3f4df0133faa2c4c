//! `render`: the final Compose file, and where each value comes from.

use std::io::{IsTerminal, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use pw_model::diagnostic::Diagnostic;
use pw_model::source::Place;
use pw_plan::wall::{self, Explained, Origin};
use serde_json::{Value, json};

use crate::masks::{self, Masks};
use crate::prepare;
use crate::printer::{DIM, Printer};
use crate::session::Session;
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
    let hidden = Masks::of(&rendered.model).hide("", &mut shown);
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

pub(crate) async fn explain(
    session: &Session,
    name: &str,
    path: &str,
    printer: &mut Printer,
) -> Result<(), Stop> {
    let (name, _) = session.environment(name)?;
    let walls = prepare::walls(session, &session.host(), Some(name)).await?;
    let (Some(rendered), Some(loaded)) = (
        walls.rendered.iter().find(|one| one.name == *name),
        walls.loaded.iter().find(|one| one.name == *name),
    ) else {
        return Ok(());
    };
    let Some(mut explained) = wall::explain(rendered, loaded, path) else {
        return Err(nothing_there(path, &rendered.model));
    };
    let masks = Masks::of(&rendered.model);
    hide(&masks, path, &mut explained);
    if printer.is_json() {
        return printer.json(&as_json(path, &explained));
    }
    printer.answer(as_text(path, &explained))
}

/// Neither the value nor the line that it was written on shows a secret.
fn hide(masks: &Masks, path: &str, explained: &mut Explained) {
    let key = path.rsplit('.').next().unwrap_or(path);
    let before = explained.value.clone();
    if let Some(value) = &mut explained.value {
        masks.hide(key, value);
    }
    if let Origin::Written { place } | Origin::Variable { place } = &mut explained.origin {
        place.text = masks.in_text(&place.text);
        let secret = before.as_ref().and_then(Value::as_str).filter(|_| before != explained.value);
        if let Some(secret) = secret {
            place.text = place.text.replace(secret, masks::HIDDEN);
        }
    }
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

fn as_text(path: &str, explained: &Explained) -> String {
    let shown = match &explained.value {
        Some(Value::String(text)) => text.clone(),
        Some(value @ (Value::Object(_) | Value::Array(_))) => format!("\n{}", wall::yaml(value)),
        Some(value) => value.to_string(),
        None => "(removed)".to_owned(),
    };
    let from = match &explained.origin {
        Origin::Rule { rule } => Some(format!("rule `{}`: {}", rule.name, rule.because)),
        Origin::Written { place } => Some(written(place)),
        Origin::Variable { place } => Some(format!("{}:{}", place.file, place.line)),
        Origin::Compose => Some("Compose's own default".to_owned()),
        Origin::Parts => None,
    };
    let inside = explained
        .inside
        .iter()
        .map(|rule| format!("in it `{}`: rule `{}`: {}", rule.path.join("."), rule.name, rule.because));
    let lines: Vec<String> = from.into_iter().chain(inside).collect();
    format!("{path}: {shown}\n  {}\n", lines.join("\n  "))
}

fn written(place: &Place) -> String {
    format!("{}:{}:{}\n  {DIM}{}{DIM:#}", place.file, place.line, place.column, place.text.trim())
}

fn as_json(path: &str, explained: &Explained) -> Value {
    let from = match &explained.origin {
        Origin::Rule { rule } => json!({"rule": rule.name, "because": rule.because}),
        Origin::Written { place } => json!({"file": place.file, "line": place.line, "column": place.column}),
        Origin::Variable { place } => json!({"file": place.file, "line": place.line, "variable": true}),
        Origin::Compose => json!({"compose": true}),
        Origin::Parts => Value::Null,
    };
    let inside: Vec<Value> = explained
        .inside
        .iter()
        .map(|rule| json!({"path": rule.path.join("."), "rule": rule.name, "because": rule.because}))
        .collect();
    json!({"path": path, "value": explained.value, "from": from, "inside": inside})
}
