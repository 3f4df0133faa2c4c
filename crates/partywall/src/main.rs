//! Partywall: production and development of one application, side by side on one server.
//!
//! Route: [`cli`] says what may be typed; `main` finds the command in [`commands`]; every command
//! works on a [`session`]; all output goes through [`printer`]; a command that cannot go on answers a
//! [`stop::Stop`], which decides the exit code.

mod apply;
mod backing;
mod chores;
mod cli;
mod commands;
mod complete;
mod databases;
mod drifted;
mod fallen;
mod front;
mod governed;
mod hands;
mod load;
mod look;
mod masks;
mod measure;
mod moving;
mod prepare;
mod printer;
mod priority;
mod proved;
mod reach;
mod rehearsed;
mod releases;
mod renew;
mod room;
#[cfg(test)]
mod runbooks;
mod seeded;
mod session;
mod standing;
mod stop;
mod trouble;
mod view;

use std::process::ExitCode;

use clap::{CommandFactory, Parser};

use crate::cli::{Cli, Command};
use crate::printer::Printer;

fn main() -> ExitCode {
    // Answers the shell and ends, when it is the shell that asks.
    clap_complete::CompleteEnv::with_factory(Cli::command).var(complete::VARIABLE).complete();
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return printer::usage(&error),
    };
    if let Command::Attack = cli.command {
        return attack();
    }
    priority::of(&cli.command);
    let mut printer = Printer::new(cli.common.json, cli.common.quiet);
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            let failure = pw_run::Failure::new("could not start").because(error);
            return printer.stop(&stop::Stop::Failure(failure));
        }
    };
    match runtime.block_on(commands::run(cli, &mut printer)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(stop) => printer.stop(&stop),
    }
}

/// Before any thread is started: the kernel lets only a single one into another mount namespace.
fn attack() -> ExitCode {
    use std::io::Write as _;
    match pw_host::prove::obey() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            drop(writeln!(std::io::stderr(), "{error}"));
            ExitCode::from(2)
        }
    }
}
