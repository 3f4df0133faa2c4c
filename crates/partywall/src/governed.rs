//! What the agent is doing, for `status` and `agent status`.

use std::path::Path;

use jiff::Timestamp;
use pw_agent::{Holding, Left, Promised, Status};
use pw_model::host::CgroupDriver;
use pw_plan::govern::Reading;
use pw_plan::objective::Measure;

use crate::printer::RED;
use crate::seeded::{age, grouped};
use crate::session::Session;

/// What the agent that runs tells; `None` when none does.
pub(crate) fn read(session: &Session) -> Option<Status> {
    pw_agent::ask(Path::new(&session.layout.agent_socket(&session.config.project)))
}

/// What is still squeezed although no agent runs. Asks no engine: a slice and a folder are told apart by looking.
pub(crate) fn left(session: &Session) -> Vec<Left> {
    let drivers = [CgroupDriver::Cgroupfs, CgroupDriver::Systemd];
    let mut all: Vec<Left> =
        drivers.into_iter().flat_map(|driver| pw_agent::left(&session.config, driver)).collect();
    // The network is held whatever the driver.
    all.sort_by(|one, other| one.environment.cmp(&other.environment));
    all.dedup_by(|one, other| one.environment == other.environment);
    all
}

/// One line for each that is squeezed; one in all where nobody is.
pub(crate) fn line(session: &Session) -> String {
    match read(session) {
        Some(status) => format!("\n{}{}", lines(&status), pressure(&status.reading)),
        None => left(session).iter().map(|left| format!("\n{}\n", left_line(left))).collect(),
    }
}

/// The objective, an incident that goes on, and who is squeezed.
pub(crate) fn lines(status: &Status) -> String {
    let promised = status.objective.as_ref().map(promised).unwrap_or_default();
    format!("{promised}{}", squeezed(status))
}

/// What production waits for.
pub(crate) fn pressure(reading: &Reading) -> String {
    let share =
        |share: Option<f64>| share.map_or_else(|| "?".into(), |share| format!("{:.0} %", share * 100.0));
    format!(
        "pressure  production waits {} for a processor, {} for memory, {} for a disk\n\
         machine   {} busy; {} of memory and {} of disk are free\n",
        share(reading.cpu),
        share(reading.memory),
        share(reading.io),
        share(reading.busy),
        share(reading.memory_free),
        share(reading.disk_free)
    )
}

fn promised(promised: &Promised) -> String {
    if promised.p99.is_none() && promised.errors.is_none() {
        return "objective not set: `objective: { p99: 250ms, errors: 0.1% }` in partywall.yaml\n".to_owned();
    }
    let mut text = match &promised.standing {
        None => "objective unknown: the proxy has written no log of answers\n".to_owned(),
        Some(standing) if !standing.long.is_known() => {
            format!("objective unknown: {} answers in five minutes are too few\n", standing.long.answers)
        }
        Some(standing) => format!(
            "objective {}, of {} answers in five minutes\n",
            stands(promised, &standing.long),
            grouped(standing.long.answers)
        ),
    };
    if let Some(incident) = &promised.incident {
        let lasts = (Timestamp::now().as_millisecond() - incident.start) / 1000;
        text.push_str(&format!("{RED}incident  since {}{RED:#}: {incident}\n", age(lasts)));
    }
    text
}

/// Each limit that is set, beside what is.
fn stands(promised: &Promised, measure: &Measure) -> String {
    let milliseconds = |seconds: f64| format!("{:.0} ms", seconds * 1000.0);
    let p99 = promised
        .p99
        .zip(measure.p99)
        .map(|(limit, p99)| format!("p99 {} of {}", milliseconds(p99), milliseconds(limit)));
    let errors = promised.errors.map(|limit| {
        format!("{:.2} % of {} % failed", measure.errors() * 100.0, (limit * 1e6).round() / 1e4)
    });
    p99.into_iter().chain(errors).collect::<Vec<_>>().join(", ")
}

/// Bad answers of all, in words.
pub(crate) fn share(bad: u64, answers: u64) -> String {
    if answers == 0 {
        return "no answers".into();
    }
    format!("{:.2} % of {} answers bad", bad as f64 / answers as f64 * 100.0, grouped(answers))
}

fn squeezed(status: &Status) -> String {
    let squeezed: Vec<String> = status
        .held
        .iter()
        .filter(|(_, holding)| !holding.to.is_empty())
        .map(|(name, holding)| format!("governor  {name}: {}\n", words(holding)))
        .collect();
    if squeezed.is_empty() { "governor  watches; nobody is squeezed\n".to_owned() } else { squeezed.concat() }
}

fn words(holding: &Holding) -> String {
    let because = holding.because.as_ref().map_or(String::new(), |because| format!(", because {because}"));
    format!("{}{because}", holding.to.join(", "))
}

pub(crate) fn left_line(left: &Left) -> String {
    format!(
        "governor  {} is still squeezed by an agent that is gone; `partywall agent run` goes on from there",
        left.environment
    )
}
