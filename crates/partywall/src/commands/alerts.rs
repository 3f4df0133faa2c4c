//! `alerts`: who is told, what waits to be told, and whether telling works.

use std::path::Path;

use jiff::Timestamp;
use pw_host::deliver::deliver;
use pw_journal::{History, Waiting};
use pw_model::config::Receiver;
use pw_model::diagnostic::{Diagnostic, nearest};
use pw_plan::alert::{Alert, Book, Kind, Message};
use serde_json::{Value, json};

use crate::cli::Alerts;
use crate::printer::{GREEN, Printer, RED};
use crate::seeded::age;
use crate::session::Session;
use crate::stop::{Stop, of_failure};

pub(crate) fn run(session: &Session, asked: &Alerts, printer: &mut Printer) -> Result<(), Stop> {
    if session.config.alerts.is_empty() {
        return Err(Stop::because(
            "nobody is told of alerts",
            "partywall.yaml has no `alerts:`",
            "write for example `alerts: [{ webhook: \"https://alerts.example/hook\" }]`; docs/alerts.md has more",
        ));
    }
    match asked {
        Alerts::Test { name } => test(session, name.as_deref(), printer),
        Alerts::List => list(session, printer),
    }
}

fn test(session: &Session, name: Option<&str>, printer: &mut Printer) -> Result<(), Stop> {
    let message = trial(session);
    let (mut told, mut failed) = (Vec::new(), false);
    for (name, receiver) in wanted(session, name)? {
        let answer = deliver(receiver, &message);
        failed |= answer.is_err();
        match (&answer, printer.is_json()) {
            (_, true) => told.push(in_json(&name, &answer)),
            (Ok(said), false) => {
                printer.answer(format!(
                    "{GREEN}told{GREEN:#}    {name} ({}): it answered {said}\n",
                    receiver.way()
                ))?;
            }
            (Err(failure), false) => {
                printer.answer(format!(
                    "{RED}failed{RED:#}  {name} ({})\n{}\n",
                    receiver.way(),
                    of_failure(failure)
                ))?;
            }
        }
    }
    if printer.is_json() {
        printer.json(&json!({"ok": !failed, "operation": "alerts test", "receivers": told}))?;
    }
    if failed { Err(Stop::Code(1)) } else { Ok(()) }
}

fn in_json(name: &str, answer: &Result<String, pw_run::Failure>) -> Value {
    match answer {
        Ok(said) => json!({"name": name, "told": true, "answer": said}),
        Err(failure) => json!({"name": name, "told": false, "error": of_failure(failure)}),
    }
}

fn wanted<'s>(session: &'s Session, name: Option<&str>) -> Result<Vec<(String, &'s Receiver)>, Stop> {
    let all = session.config.receivers();
    let Some(wanted) = name else { return Ok(all) };
    let known: Vec<String> = all.iter().map(|(name, _)| name.clone()).collect();
    let found: Vec<_> = all.into_iter().filter(|(name, _)| name == wanted).collect();
    if !found.is_empty() {
        return Ok(found);
    }
    let known: Vec<&str> = known.iter().map(String::as_str).collect();
    let hint = match nearest(wanted, known.iter().copied()) {
        Some(near) => format!("did you mean `{near}`?"),
        None => "name one of them, or none for all".to_owned(),
    };
    Err(Diagnostic::error(format!("there is no receiver `{wanted}`"))
        .at(session.source.find(&["alerts"]))
        .because(format!("they are {}", known.join(", ")))
        .hint(hint)
        .into())
}

/// One that nobody takes for more than it is.
fn trial(session: &Session) -> Message {
    let mut book = Book::default();
    let now = Timestamp::now().as_millisecond();
    let words = "this is a test; nothing is wrong".to_owned();
    book.see(vec![Alert { kind: Kind::AgentCrashed, subject: "test".to_owned(), words }], now);
    let standing = book.standing().cloned().collect();
    Message { at: now, standing, ..Message::default() }.of(session.config.project.as_str())
}

fn list(session: &Session, printer: &mut Printer) -> Result<(), Stop> {
    let path = session.layout.agent_history(&session.config.project);
    let history = History::open_read_only(Path::new(&path))?;
    let waiting = history.map(|history| history.waiting()).transpose()?.unwrap_or_default();
    let receivers = session.config.receivers();
    if printer.is_json() {
        let receivers: Vec<_> =
            receivers.iter().map(|(name, one)| json!({"name": name, "way": one.way()})).collect();
        return printer.json(&json!({"receivers": receivers, "waiting": waiting}));
    }
    let lines = receivers.iter().map(|(name, receiver)| line(name, receiver, &waiting));
    printer.answer(lines.collect::<String>())
}

fn line(name: &str, receiver: &Receiver, waiting: &[Waiting]) -> String {
    let own: Vec<&Waiting> = waiting.iter().filter(|one| one.receiver == name).collect();
    let quiet = receiver.quiet.map_or_else(String::new, |hours| format!(", quiet {hours}"));
    let waits = match own.first() {
        None => "nothing waits".to_owned(),
        Some(first) => {
            let since = (Timestamp::now().as_millisecond() - first.at) / 1000;
            let why = first.failure.as_ref().map_or_else(String::new, |why| format!(": {why}"));
            format!("{RED}{} wait since {}{RED:#}{why}", own.len(), age(since))
        }
    };
    format!("{name} ({}{quiet}): {waits}\n", receiver.way())
}
