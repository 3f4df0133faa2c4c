//! One file per command: understand, call, answer.

mod agent;
mod alerts;
mod backup;
mod change;
mod check;
mod drift;
mod drill;
mod enter;
mod home;
mod incidents;
mod init;
mod moment;
mod part;
mod promote;
mod prove;
mod prune;
mod recover;
mod rehearse;
mod render;
mod restore;
mod room;
mod sample;
mod seed;
mod shell;
mod status;
mod top;

use clap::CommandFactory;
use serde_json::json;

use crate::cli::{Cli, Command};
use crate::complete;
use crate::printer::Printer;
use crate::session::Session;
use crate::stop::Stop;

pub(crate) async fn run(cli: Cli, printer: &mut Printer) -> Result<(), Stop> {
    let common = cli.common;
    match cli.command {
        Command::Init(arguments) => return init::run(&common, &arguments, printer).await,
        Command::Sample(asked) => return sample::run(&asked, printer).await,
        Command::Restore(asked) if asked.from.is_some() => return home::run(&common, &asked, printer).await,
        Command::Completions { shell } => return completions(shell, printer),
        Command::Man { folder } => return man(&folder, printer),
        _ => {}
    }
    let session = Session::open(&common, printer)?;
    if let Command::Check = cli.command {
        return check::run(&session, printer).await;
    }
    on_project(&session.checked(printer)?, cli.command, printer).await
}

/// Commands that need a project whose configuration is sound.
async fn on_project(session: &Session, command: Command, printer: &mut Printer) -> Result<(), Stop> {
    match command {
        Command::Plan { environment, operation } => {
            change::plan(session, &environment, &operation, printer).await
        }
        Command::Up { environment, build, folder, confirm } => {
            change::up(session, &environment, change::Source { build, folder }, &confirm, printer).await
        }
        Command::Wall { environment } => change::wall(session, &environment, printer).await,
        Command::Down { environment: one, confirm } => change::down(session, &one, &confirm, printer).await,
        Command::Sleep(asked) => change::sleep(session, asked, printer).await,
        Command::Destroy { environment, confirm } => {
            change::destroy(session, &environment, &confirm, printer).await
        }
        Command::Status { environment } => status::run(session, environment.as_deref(), printer).await,
        Command::Top { environment, once } => top::run(session, environment.as_deref(), once, printer).await,
        Command::Logs { environment, service, follow, tail } => {
            enter::logs(session, &environment, &enter::Logs { service, follow, tail }, printer).await
        }
        Command::Exec { environment, service, command } => {
            enter::exec(session, &environment, &service, &command).await
        }
        Command::Shell { environment } => shell::run(session, &environment, printer).await,
        Command::Render { environment, explain, output } => match explain {
            Some(path) => render::explain(session, &environment, &path, printer).await,
            None => render::run(session, &environment, output.as_deref(), printer).await,
        },
        Command::Seed(asked) => seed::run(session, &asked, printer).await,
        Command::Rehearse(asked) => rehearse::run(session, &asked, printer).await,
        Command::Push(asked) => promote::push(session, &asked, printer).await,
        Command::Promote(asked) => promote::run(session, &asked, printer).await,
        Command::Rollback(asked) => promote::rollback(session, &asked, printer).await,
        Command::Releases { environment } => promote::releases(session, &environment, printer),
        Command::Retire(asked) => promote::retire(session, &asked, printer).await,
        Command::Backup(asked) => backup::run(session, &asked, printer).await,
        Command::Backups { environment, prune: true, plan, .. } => {
            prune::run(session, environment.as_deref(), plan, printer).await
        }
        Command::Backups { environment, show, .. } => {
            backup::list(session, environment.as_deref(), show.as_deref(), printer)
        }
        Command::Prune { plan } => room::run(session, plan, printer).await,
        Command::Drift(asked) => drift::run(session, &asked, printer).await,
        Command::Drill(asked) => drill::run(session, &asked, printer).await,
        Command::Prove(asked) => prove::run(session, &asked, printer).await,
        Command::Restore(asked) => restore::run(session, &asked, printer).await,
        Command::Agent(asked) => agent::run(session, &asked, printer).await,
        Command::Alerts(asked) => alerts::run(session, &asked, printer),
        Command::Incidents { number } => incidents::run(session, number, printer),
        Command::Resume => recover::run(session, true, printer).await,
        Command::Abandon => recover::run(session, false, printer).await,
        Command::Init(_)
        | Command::Check
        | Command::Attack
        | Command::Sample(_)
        | Command::Completions { .. }
        | Command::Man { .. } => Ok(()),
    }
}

fn completions(shell: clap_complete::Shell, printer: &mut Printer) -> Result<(), Stop> {
    let text = complete::registration(&shell.to_string())?;
    printer.answer(String::from_utf8_lossy(&text))
}

fn man(folder: &std::path::Path, printer: &mut Printer) -> Result<(), Stop> {
    std::fs::create_dir_all(folder)?;
    clap_mangen::generate_to(Cli::command(), folder)?;
    if printer.is_json() {
        return printer.json(&json!({"ok": true, "folder": folder}));
    }
    printer.note(format!("man pages are in {}", folder.display()));
    Ok(())
}
