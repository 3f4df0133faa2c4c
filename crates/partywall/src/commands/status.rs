//! `status`: what runs, how it fares, what it uses.

use pw_model::name::EnvironmentName;
use serde_json::{Value, json};

use crate::governed;
use crate::measure;
use crate::printer::{BOLD, Printer, columns};
use crate::room;
use crate::seeded;
use crate::session::Session;
use crate::standing;
use crate::stop::Stop;
use crate::view;

pub(crate) async fn run(session: &Session, wanted: Option<&str>, printer: &mut Printer) -> Result<(), Stop> {
    let names = names(session, wanted)?;
    let readings = measure::read(session, &session.host(), &names, measure::INTERVAL).await?;
    if printer.is_json() {
        let environments: Vec<_> = readings.iter().map(|reading| with_records(session, reading)).collect();
        let governor = governed::read(session);
        return printer.json(
            &json!({"project": session.config.project, "environments": environments, "governor": governor, "room": room::read(session)}),
        );
    }
    printer.answer(format!("{}{}{}", page(session, &readings), governed::line(session), room::line(session)))
}

fn names<'s>(session: &'s Session, wanted: Option<&str>) -> Result<Vec<&'s EnvironmentName>, Stop> {
    match wanted {
        Some(name) => Ok(vec![session.environment(name)?.0]),
        None => Ok(session.config.environments_in_order().into_iter().map(|(name, _)| name).collect()),
    }
}

fn with_records(session: &Session, reading: &measure::Reading) -> Value {
    let mut value = view::to_json(&session.config, reading);
    value["release"] = json!(session.releases.get(&reading.name));
    value["seed"] = seeded::read(session, &reading.name).unwrap_or(Value::Null);
    standing::add(session, &reading.name, &mut value);
    value
}

fn page(session: &Session, readings: &[measure::Reading]) -> String {
    let width = columns().unwrap_or(100);
    let mut text = format!("{BOLD}{}{BOLD:#}\n", session.config.project);
    for reading in readings {
        text.push('\n');
        text.push_str(&view::block(&session.config, reading, width));
        if let Some(release) = session.releases.get(&reading.name) {
            text.push_str(&format!("release {}: {} {}\n", release.number, release.short(), release.subject));
        }
        if let Some(record) = seeded::read(session, &reading.name) {
            text.push_str(&format!("{}\n", seeded::line(&record)));
        }
        text.push_str(&standing::lines(session, &reading.name));
    }
    text
}
