//! What the agent is doing, for `status` and `agent status`.

use std::path::Path;

use pw_agent::{Holding, Left, Status};
use pw_model::host::CgroupDriver;

use crate::session::Session;

/// What the agent that runs tells; `None` when none does.
pub(crate) fn read(session: &Session) -> Option<Status> {
    pw_agent::ask(Path::new(&session.layout.agent_socket(&session.config.project)))
}

/// What is still squeezed although no agent runs. Asks no engine: a slice and a folder are told apart by looking.
pub(crate) fn left(session: &Session) -> Vec<Left> {
    let drivers = [CgroupDriver::Cgroupfs, CgroupDriver::Systemd];
    drivers.into_iter().flat_map(|driver| pw_agent::left(&session.config, driver)).collect()
}

/// One line for each that is squeezed; one in all where nobody is.
pub(crate) fn line(session: &Session) -> String {
    match read(session) {
        Some(status) => format!("\n{}", lines(&status)),
        None => left(session).iter().map(|left| format!("\n{}\n", left_line(left))).collect(),
    }
}

pub(crate) fn lines(status: &Status) -> String {
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
