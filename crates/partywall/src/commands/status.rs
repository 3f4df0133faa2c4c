//! `status`: what runs, how it fares, what it uses.

use pw_model::config::Class;
use pw_model::name::EnvironmentName;
use serde_json::{Value, json};

use crate::backing::shown;
use crate::drifted;
use crate::governed;
use crate::measure;
use crate::printer::{BOLD, Printer};
use crate::rehearsed;
use crate::seeded;
use crate::session::Session;
use crate::stop::Stop;
use crate::view;

pub(crate) async fn run(session: &Session, wanted: Option<&str>, printer: &mut Printer) -> Result<(), Stop> {
    let names = names(session, wanted)?;
    let readings = measure::read(session, &session.host(), &names, measure::INTERVAL).await?;
    if printer.is_json() {
        let environments: Vec<_> = readings.iter().map(|reading| with_records(session, reading)).collect();
        let governor = governed::read(session);
        return printer.json(
            &json!({"project": session.config.project, "environments": environments, "governor": governor}),
        );
    }
    printer.answer(format!("{}{}", page(session, &readings), governed::line(session)))
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
    value["backups"] = shown::read(session, &reading.name).unwrap_or(Value::Null);
    value["drift"] = drifted::read(session, &reading.name).unwrap_or(Value::Null);
    value["rehearsal"] = rehearsed::read(session, &reading.name).unwrap_or(Value::Null);
    value
}

fn is_production(session: &Session, name: &EnvironmentName) -> bool {
    session.class(name.as_str()).is_ok_and(|class| class == Class::Production)
}

fn page(session: &Session, readings: &[measure::Reading]) -> String {
    let width = terminal_width();
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
        if is_production(session, &reading.name)
            && let Some(record) = shown::read(session, &reading.name)
        {
            text.push_str(&shown::lines(session, &record));
        }
        if let Some(record) = rehearsed::read(session, &reading.name) {
            text.push_str(&format!("{}\n", rehearsed::line(&record)));
        }
        if let Some(record) = drifted::read(session, &reading.name) {
            text.push_str(&format!("{}\n", drifted::line(&record)));
        }
    }
    text
}

fn terminal_width() -> u16 {
    let size = rustix::termios::tcgetwinsize(std::io::stdout()).map(|size| size.ws_col);
    size.ok().filter(|columns| *columns > 0).unwrap_or(100)
}
