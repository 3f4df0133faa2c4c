//! `agent`: the process that protects production while everybody sleeps.

use std::cell::RefCell;
use std::path::Path;

use jiff::Timestamp;
use pw_agent::unit::Unit;
use pw_agent::{Ended, Notice, Settings, Status};
use pw_host::facts;
use pw_journal::{Decision, History};
use pw_model::config::{Class, Config};
use pw_plan::objective::{Event, Incident};
use pw_run::Failure;
use serde_json::json;

use crate::chores;
use crate::cli::Agent;
use crate::databases;
use crate::governed;
use crate::printer::{DIM, Printer};
use crate::renew;
use crate::room;
use crate::session::Session;
use crate::stop::{Stop, of_failure};

pub(crate) async fn run(session: &Session, asked: &Agent, printer: &mut Printer) -> Result<(), Stop> {
    match asked {
        Agent::Run { dry_run } => watch(session, *dry_run, printer).await,
        Agent::Front => crate::front::run(session, printer).await,
        Agent::Chores { plan } => do_chores(session, *plan, printer).await,
        Agent::Status { decisions } => status(session, *decisions, printer),
        Agent::Install { print } => install(session, *print, printer),
    }
}

async fn watch(session: &Session, dry_run: bool, printer: &mut Printer) -> Result<(), Stop> {
    someone_to_protect(&session.config)?;
    if !dry_run {
        pw_host::identity::keep_identity(Path::new(session.layout.root()), session.layout.identity())?;
    }
    let settings = Settings {
        config: session.config.clone(),
        layout: session.layout.clone(),
        disks: facts::disks(session.host().engine(), Path::new(session.layout.root())).await,
        dry_run,
        databases: databases::ask(session),
    };
    // A reader that is gone ends nothing: production is protected whoever listens.
    let printer = RefCell::new(printer);
    let tell = |notice: Notice<'_>| drop(tell(&notice, &mut printer.borrow_mut()));
    let outdated = renew::changed(session, someone_to_protect, |failure| tell(Notice::Trouble(failure)));
    match pw_agent::run(settings, outdated, tell).await? {
        Ended::Told => Ok(()),
        Ended::Outdated => Err(renew::again().into()),
    }
}

/// One after the other, each whether the one before succeeded or not.
async fn do_chores(session: &Session, plan: bool, printer: &mut Printer) -> Result<(), Stop> {
    let due = chores::due(session).await?;
    if plan && printer.is_json() {
        let due: Vec<_> = due.iter().map(|one| json!({"words": one.words, "because": one.because})).collect();
        return printer.json(&json!({"due": due}));
    }
    if plan {
        let lines = due.iter().map(|one| format!("partywall {} | {}\n", one.words.join(" "), one.because));
        return printer.answer(lines.collect::<String>());
    }
    let flags: &[&str] = if printer.is_json() { &["--json"] } else { &[] };
    let mut failed = false;
    for chore in &due {
        failed |= !chores::carry_out(session, chore, flags).await?;
    }
    if failed { Err(Stop::Code(1)) } else { Ok(()) }
}

fn someone_to_protect(config: &Config) -> Result<(), Stop> {
    let of = |production: bool| {
        let mut all = config.environments.iter();
        all.any(|(name, one)| (one.class(name) == Class::Production) == production)
    };
    if of(true) && of(false) {
        return Ok(());
    }
    Err(Stop::because(
        "there is nobody to protect, or nobody to protect from",
        "the agent squeezes other environments for those of class production",
        "describe both under `environments:` in partywall.yaml",
    ))
}

fn tell(notice: &Notice<'_>, printer: &mut Printer) -> Result<(), Stop> {
    if printer.is_json() {
        return printer.json(&in_json(notice));
    }
    let now = Timestamp::now().strftime("%Y-%m-%d %H:%M:%S");
    let text = match notice {
        Notice::Started(status) => format!("watches {}", watched(status)),
        Notice::Ordered { order, dry_run: true } => format!("would hold {order}"),
        Notice::Ordered { order, dry_run: false } => order.to_string(),
        Notice::Incident(event) => incident(event),
        Notice::Trouble(failure) => of_failure(failure).softened().to_string(),
        Notice::Stopped(why) => format!("ends: {why}"),
        Notice::Outdated => "begins anew: `partywall.yaml` has changed".to_owned(),
    };
    printer.answer(format!("{now} {text}\n"))
}

fn in_json(notice: &Notice<'_>) -> serde_json::Value {
    let at = Timestamp::now();
    match notice {
        Notice::Started(status) => json!({"at": at, "event": "started", "status": status}),
        Notice::Ordered { order, dry_run } => {
            json!({"at": at, "event": "ordered", "dry_run": dry_run, "order": order})
        }
        Notice::Incident(event) => {
            let (word, incident) = of_incident(event);
            json!({"at": at, "event": word, "incident": incident})
        }
        Notice::Trouble(failure) => json!({"at": at, "event": "trouble", "error": of_failure(failure)}),
        Notice::Stopped(why) => json!({"at": at, "event": "stopped", "because": why}),
        Notice::Outdated => json!({"at": at, "event": "outdated"}),
    }
}

fn incident(event: &Event) -> String {
    let (word, incident) = of_incident(event);
    format!("{}: {incident}", word.replace('-', " "))
}

fn of_incident(event: &Event) -> (&'static str, &Incident) {
    match event {
        Event::Opened(incident) => ("incident-opened", incident),
        Event::Closed(incident) => ("incident-closed", incident),
    }
}

fn watched(status: &Status) -> String {
    let each: Vec<String> = status.sensors.iter().map(|(what, by)| format!("{what} by {by}")).collect();
    each.join("; ")
}

fn status(session: &Session, count: u32, printer: &mut Printer) -> Result<(), Stop> {
    let (status, left) = (governed::read(session), governed::left(session));
    let path = session.layout.agent_history(&session.config.project);
    let decisions = match History::open_read_only(Path::new(&path))? {
        Some(history) => history.newest(count)?,
        None => Vec::new(),
    };
    if printer.is_json() {
        let left: Vec<_> = left.iter().map(|left| &left.environment).collect();
        let running = status.is_some();
        return printer.json(
            &json!({"running": running, "status": status, "left_squeezed": if running { Vec::new() } else { left }, "decisions": decisions, "room": room::read(session)}),
        );
    }
    let mut text = match &status {
        Some(status) => page(status),
        None => {
            "no agent runs: `partywall agent run` starts one, `partywall agent install` for good\n".to_owned()
        }
    };
    if status.is_none() {
        text.extend(left.iter().map(|left| format!("{}\n", governed::left_line(left))));
    }
    text.push_str(&room::line(session));
    text.extend(decisions.iter().map(decided));
    printer.answer(text)
}

fn page(status: &Status) -> String {
    let mut text = format!(
        "agent     process {} since {}, mode {}\n",
        status.pid,
        status.since.strftime("%Y-%m-%d %H:%M:%S UTC"),
        serde_json::to_value(status.mode)
            .ok()
            .and_then(|mode| mode.as_str().map(str::to_owned))
            .unwrap_or_default(),
    );
    text.push_str(&governed::lines(status));
    text.push_str(&governed::pressure(&status.reading));
    for (name, used) in &status.reading.uses {
        let cpus = |cpus: Option<f64>| cpus.map_or_else(|| "-".into(), |cpus| format!("{cpus:.2}"));
        let megabytes = |bytes: Option<f64>| {
            bytes.map_or_else(|| "-".into(), |bytes| format!("{:.0} MB", bytes / 1048576.0))
        };
        text.push_str(&format!(
            "uses      {name}: {} CPUs ({} unyielding), {}, {}/s of disk, {}/s over the network, {} kept on disk\n",
            cpus(used.cpus),
            cpus(used.unyielding),
            megabytes(used.memory),
            megabytes(used.io),
            megabytes(used.network),
            megabytes(used.kept)
        ));
    }
    for (what, by) in &status.sensors {
        text.push_str(&format!("watched   {what}: {by}\n"));
    }
    text.extend(status.lacks.iter().map(|lack| format!("cannot    {lack}\n")));
    text
}

fn decided(decision: &Decision) -> String {
    let at = Timestamp::from_millisecond(decision.at)
        .map_or_else(|_| "?".into(), |at| at.strftime("%Y-%m-%d %H:%M:%S").to_string());
    let Decision { environment, what, because, outcome, .. } = decision;
    let failed = if outcome == "done" { String::new() } else { format!(": {outcome}") };
    format!("{DIM}{at}{DIM:#}  {environment}: {what}, because {because}{failed}\n")
}

fn install(session: &Session, print: bool, printer: &mut Printer) -> Result<(), Stop> {
    let program = std::env::current_exe()
        .map_err(|error| Failure::new("could not find out where this program lies").because(error))?;
    let unit = Unit {
        project: &session.config.project,
        program: &program,
        folder: &session.directory,
        state: Path::new(session.layout.root()),
    };
    if print {
        let all = [
            (unit.name(), unit.text()),
            (unit.chores_name(), unit.chores()),
            (unit.timer_name(), unit.timer()),
            (unit.front_name(), unit.front()),
        ];
        return printer.answer(all.map(|(name, text)| format!("# {name}\n{text}")).join("\n"));
    }
    let (name, folder) = (unit.name(), Path::new("/etc/systemd/system"));
    if !folder.is_dir() {
        return Err(Stop::because(
            "systemd is not installed on this host",
            format!("there is no {}", folder.display()),
            "have `partywall agent run` started by what starts programs here",
        ));
    }
    let file = folder.join(&name);
    pw_host::files::write(&file, unit.text().as_bytes(), 0o644)?;
    let timer = unit.timer_name();
    pw_host::files::write(&folder.join(unit.chores_name()), unit.chores().as_bytes(), 0o644)?;
    pw_host::files::write(&folder.join(&timer), unit.timer().as_bytes(), 0o644)?;
    let front = unit.front_name();
    pw_host::files::write(&folder.join(&front), unit.front().as_bytes(), 0o644)?;
    if printer.is_json() {
        return printer
            .json(&json!({"ok": true, "file": file, "unit": name, "timer": timer, "front": front}));
    }
    // The front, too, where nothing sleeps by itself: the governor asks it for sleep when nothing less helps.
    printer.note(format!(
        "wrote {}; start it with `systemctl daemon-reload && systemctl enable --now {name} {timer} {front}`",
        file.display()
    ));
    Ok(())
}
