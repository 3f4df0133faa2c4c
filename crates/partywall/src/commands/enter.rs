//! `logs` and `exec`: looking into containers, after their labels were checked.

use std::io::IsTerminal;
use std::process::Stdio;

use pw_model::diagnostic::{Diagnostic, nearest};
use pw_model::observed::{Container, State};
use serde_json::json;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Command;

use crate::printer::Printer;
use crate::session::Session;
use crate::stop::{Stop, passed_on};

pub(crate) struct Logs {
    pub(crate) service: Option<String>,
    pub(crate) follow: bool,
    pub(crate) tail: String,
}

pub(crate) async fn logs(
    session: &Session,
    name: &str,
    wanted: &Logs,
    printer: &mut Printer,
) -> Result<(), Stop> {
    let containers = containers(session, name).await?;
    if let Some(service) = &wanted.service {
        of_service(&containers, name, service)?;
    }
    let mut command = compose(session, name)?;
    command.args(["logs", "--tail", &wanted.tail]);
    if wanted.follow {
        command.arg("--follow");
    }
    command.args(&wanted.service);
    if printer.is_json() || !std::io::stdout().is_terminal() {
        return plain_lines(command, printer).await;
    }
    passed_on(command.status().await.map_err(not_run)?)
}

/// Line by line without the terminal's codes, which Compose writes into pipes too; with `--json` `{"container": …, "line": …}`.
async fn plain_lines(mut command: Command, printer: &mut Printer) -> Result<(), Stop> {
    command.arg("--no-color").stdout(Stdio::piped());
    let mut child = command.spawn().map_err(not_run)?;
    if let Some(out) = child.stdout.take() {
        let mut lines = BufReader::new(out).lines();
        while let Some(line) = lines.next_line().await? {
            let line = anstream::adapter::strip_str(&line).to_string();
            if !printer.is_json() {
                printer.answer(line + "\n")?;
                continue;
            }
            let (container, text) = line.split_once(" | ").unwrap_or(("", &line));
            printer.json(&json!({"container": container.trim(), "line": text}))?;
        }
    }
    passed_on(child.wait().await.map_err(not_run)?)
}

pub(crate) async fn exec(session: &Session, name: &str, service: &str, words: &[String]) -> Result<(), Stop> {
    let containers = containers(session, name).await?;
    session.runs_from_here(session.environment(name)?.0, &containers)?;
    let container = of_service(&containers, name, service)?;
    if container.state != State::Running {
        return Err(Stop::because(
            format!("`{service}` of environment `{name}` does not run"),
            format!("container `{}` is {:?}", container.name, container.state).to_lowercase(),
            format!("start it with `partywall up {name}`"),
        ));
    }
    let mut command = Command::new("docker");
    command.args(["exec", "-i"]);
    if std::io::stdin().is_terminal() && std::io::stdout().is_terminal() {
        command.arg("-t");
    }
    command.arg(&container.id).args(words);
    passed_on(command.status().await.map_err(not_run)?)
}

/// The environment's containers; one whose labels disagree is refused.
async fn containers(session: &Session, name: &str) -> Result<Vec<Container>, Stop> {
    let (name, _) = session.environment(name)?;
    let containers = session.host().engine().containers(&session.config.compose_project(name)).await?;
    let ours = (session.config.project.to_string(), name.to_string());
    match containers.iter().find(|container| container.owner.as_ref() != Some(&ours)) {
        Some(foreign) => Err(Stop::because(
            format!("container `{}` is not of environment `{name}`", foreign.name),
            "its labels disagree; containers whose labels disagree are never touched",
            format!("look at it with `docker inspect {}`", foreign.name),
        )),
        None if containers.is_empty() => Err(Stop::because(
            format!("environment `{name}` does not run"),
            "it has no container",
            format!("start it with `partywall up {name}`"),
        )),
        None => Ok(containers),
    }
}

fn of_service<'c>(containers: &'c [Container], name: &str, service: &str) -> Result<&'c Container, Stop> {
    let running = containers.iter().filter(|container| container.service == service);
    running
        .clone()
        .find(|container| container.state == State::Running)
        .or_else(|| running.clone().next())
        .ok_or_else(|| {
            let mut known: Vec<&str> =
                containers.iter().map(|container| container.service.as_str()).collect();
            known.dedup();
            let diagnostic = Diagnostic::error(format!("environment `{name}` has no service `{service}`"))
                .because(format!("services are {}", known.join(", ")));
            match nearest(service, known.iter().copied()) {
                Some(near) => diagnostic.hint(format!("did you mean `{near}`?")).into(),
                None => diagnostic.hint(format!("see `partywall status {name}`")).into(),
            }
        })
}

/// `docker compose` for an environment, from its rendered file.
fn compose(session: &Session, name: &str) -> Result<Command, Stop> {
    let (name, _) = session.environment(name)?;
    let file = session.rendered_file(name)?;
    let mut command = Command::new("docker");
    command.args(["compose", "-p", &session.config.compose_project(name), "-f", &file]);
    Ok(command)
}

fn not_run(error: std::io::Error) -> Stop {
    Stop::Failure(
        pw_run::Failure::new("could not run `docker`")
            .because(error)
            .hint("install Docker Engine and its command line"),
    )
}
