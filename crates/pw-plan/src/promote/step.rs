//! What the steps of `promote`, `rollback` and `retire` need to know.

use std::collections::BTreeMap;
use std::fmt;

use pw_model::colour::Colour;
use pw_model::desired::Entrance;
use serde::{Deserialize, Serialize};

use crate::step::{Action, ComposeRun};

/// Containers of one service, by name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Containers {
    pub project: String,
    pub service: String,
    pub names: Vec<String>,
}

/// The commit whose files are put somewhere.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checkout {
    /// Folder of the repository.
    pub repository: String,
    pub commit: String,
    pub path: String,
}

/// Containers that are made beside those that serve.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Generation {
    pub colour: Colour,
    pub containers: Containers,
    /// By which Compose knows the containers as made from the file.
    pub config_hash: String,
    /// The network on which the proxy meets them, and their name there.
    pub edge: String,
    pub alias: String,
    /// The other networks that they are on, without a name. That of calls is joined when they are healthy.
    pub networks: Vec<String>,
}

/// What a new generation must answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Probe {
    pub containers: Containers,
    /// The proxy's.
    pub folder: String,
    /// The file by which the candidates' socket finds the generation.
    pub candidate: String,
    pub address: String,
    pub host: String,
    pub requests: Vec<pw_model::config::Verify>,
    /// Times in a row.
    pub successes: u32,
    /// How often they are asked once more, for nothing but that they have been.
    #[serde(default)]
    pub warm_up: u32,
    /// Where they are asked then: as visitors will ask, so that the proxy is warm, too.
    #[serde(default)]
    pub entrance: Option<Entrance>,
    pub timeout_seconds: u64,
}

/// A part of the visitors that is led to a generation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Canary {
    /// The file that the proxy reads.
    pub path: String,
    pub service: String,
    pub address: String,
    /// Of a million requests.
    pub share: u32,
}

impl Canary {
    /// What stands in the file: of the 2³² beginnings that a random UUID can have, those below the first word go to the second.
    pub fn text(&self) -> String {
        let threshold = (u64::from(self.share) << 32) / 1_000_000;
        format!("{threshold:08x} {}", self.address)
    }
}

/// How long the new release must hold, and against what it is measured.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Watch {
    /// The proxy's.
    pub folder: String,
    pub milliseconds: u64,
    pub routes: Vec<WatchedRoute>,
    /// Of the objective.
    pub p99_milliseconds: Option<u64>,
    /// Of the objective; of a million requests.
    pub errors_per_million: Option<u64>,
}

/// One service under watch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WatchedRoute {
    pub containers: Containers,
    /// As the log of answers names it.
    pub route: String,
    /// Addresses of the generation before and of the new one.
    pub before: String,
    pub after: String,
}

/// Which address is waited for, and how long.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Drain {
    pub service: String,
    /// The proxy's.
    pub folder: String,
    pub address: String,
    pub seconds: u64,
}

/// A command of the user's, on the host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hook {
    /// `after-flip`
    pub moment: String,
    pub command: Vec<String>,
    pub folder: String,
    /// What it is told: variable → value.
    pub variables: BTreeMap<String, String>,
}

/// A command that runs once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CommandRun {
    pub compose: ComposeRun,
    pub service: String,
    /// Name of its container, by which a second run finds the first.
    pub container: String,
    pub command: Vec<String>,
    /// How long a statement may wait for a lock, and the whole may take; 0 is no limit.
    pub lock_milliseconds: u64,
    pub total_milliseconds: u64,
    /// How often it is tried again when it was refused a lock.
    #[serde(default)]
    pub retries: u32,
    /// True for one that must not run twice: its container stays, and tells that it has run.
    #[serde(default)]
    pub once: bool,
}

impl Action {
    pub(crate) fn fmt_promote(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AwaitJobs { services, .. } => write!(f, "wait for the end of {}", services.join(", ")),
            Self::CheckOut { checkout } => {
                write!(f, "check {} out into {}", short(&checkout.commit), checkout.path)
            }
            Self::MakeGeneration { generation, .. } => write!(f, "create {}", generation.containers),
            Self::StartContainers { containers } => write!(f, "start {containers}"),
            Self::AwaitContainers { containers, .. } => write!(f, "wait for {containers}"),
            Self::RemoveContainers { containers } => write!(f, "stop and remove {containers}"),
            Self::Probe { probe } => {
                write!(f, "ask {} over the proxy, {} times in a row", probe.containers, probe.successes)?;
                if probe.warm_up > 0 {
                    write!(f, ", then {} times to warm up", probe.warm_up)
                } else {
                    Ok(())
                }
            }
            Self::OpenCanary { canary } => {
                let share = f64::from(canary.share) / 10_000.0;
                write!(f, "lead {share} % of the visitors of {} to {}", canary.service, canary.address)
            }
            Self::WithdrawContainers { containers, .. } => write!(f, "let no call meet {containers}"),
            Self::AnswerCalls { containers, aliases, .. } => {
                write!(f, "let {containers} answer calls to {}", aliases.join(", "))
            }
            Self::ReplaceServices { services, .. } => {
                let names: Vec<&str> = services.keys().map(String::as_str).collect();
                write!(f, "replace {}", names.join(", "))
            }
            Self::RunCommand { run } => write!(f, "run `{}` in {}", run.command.join(" "), run.service),
            Self::EndCommand { run } => write!(f, "end `{}` in {}", run.command.join(" "), run.service),
            Self::RunHook { hook } => write!(f, "run {} hook `{}`", hook.moment, hook.command.join(" ")),
            Self::RemoveImages { names } => write!(f, "remove images {}", names.join(", ")),
            Self::Watch { watch } => {
                write!(f, "watch the new release for {} s", watch.milliseconds as f64 / 1000.0)
            }
            Self::Drain { drain } => {
                write!(
                    f,
                    "let requests of {} at {} end, at most {} s",
                    drain.service, drain.address, drain.seconds
                )
            }
            other => other.fmt_others(f),
        }
    }
}

impl fmt::Display for Containers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.names.join(", "))
    }
}

fn short(commit: &str) -> &str {
    commit.get(..10).unwrap_or(commit)
}
