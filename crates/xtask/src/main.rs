//! Chores with logic: the demo and the benchmarks. `./x` calls them after setting the machine up.

mod bench;
mod demo;
mod run;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

#[derive(Parser)]
struct Arguments {
    #[command(subcommand)]
    chore: Chore,
}

#[derive(Subcommand)]
enum Chore {
    /// Bring both environments of the demo up and show that they answer
    Demo,
    /// Run ours and the alternatives side by side
    Bench {
        /// `govern`, `keep`, `promote`, `rehearse`, `seed` or `speed`
        name: String,
    },
}

fn main() -> ExitCode {
    let result = match Arguments::parse().chore {
        Chore::Demo => demo::run(),
        Chore::Bench { name } => bench::run(&name),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            run::say(&format!("error: {error}"));
            ExitCode::FAILURE
        }
    }
}
