//! How actions read.

use std::fmt;

use pw_model::desired::GroupLimits;
use pw_model::observed::THROTTLED;
use pw_model::unit::Cpus;

use crate::step::Action;

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InstallFile { path, hash } => write!(f, "write {path} ({})", short(hash)),
            Self::KeepFile { path, .. } => write!(f, "keep a copy of {path}"),
            Self::RemoveFile { path } | Self::RemoveFolder { path } => write!(f, "remove {path}"),
            Self::RemoveTree { path } => write!(f, "remove {path} with all in it"),
            Self::MakeFolder { path } => write!(f, "make folder {path}"),
            Self::MakePrivateFolder { path } => write!(f, "make private folder {path}"),
            Self::MakeSharedFolder { path } => write!(f, "make shared folder {path}"),
            Self::GenerateSecret { path } => write!(f, "generate secret {path}"),
            Self::LimitGroup { limits } => {
                write!(f, "limit control group {}{}", limits.path, ceilings(limits))
            }
            Self::RemoveGroup { path } => write!(f, "remove control group {path}"),
            Self::SetFirewall { chain } => {
                write!(f, "set firewall chain {} ({} rules)", chain.name, chain.rules.len())
            }
            Self::RemoveFirewall { name } => write!(f, "remove firewall chain {name}"),
            Self::PullImages { services, .. } => write!(f, "pull images of {}", services.join(", ")),
            Self::BuildImages { services, .. } => write!(f, "build images of {}", services.join(", ")),
            Self::StartServices { services, .. } => write!(f, "start {}", services.join(", ")),
            Self::RecreateServices { services, .. } => write!(f, "make anew {}", services.join(", ")),
            Self::AwaitServices { services, .. } => write!(f, "wait for {}", services.join(", ")),
            Self::RemoveServices { services, .. } => write!(f, "stop and remove {}", services.join(", ")),
            Self::RemoveNetworks { names, .. } => write!(f, "remove networks {}", names.join(", ")),
            Self::RemoveVolumes { names, .. } => {
                write!(f, "remove volumes {} with their data", names.join(", "))
            }
            Self::JoinNetwork { container, network } => write!(f, "join {container} to {network}"),
            Self::LeaveNetwork { container, network } => write!(f, "take {container} off {network}"),
            Self::LoadProxy { .. } => f.write_str("load the proxy's configuration"),
            Self::OpenSwitch { path, service, address } => f.write_str(&opened(path, service, address)),
            Self::CloseSwitch { path, service } => f.write_str(&closed(path, service)),
            Self::StopServices { services, .. } => write!(f, "stop {}", services.join(", ")),
            Self::MakeKey { path } => write!(f, "make key {path}"),
            Self::CopyDatabase { copy } => {
                write!(f, "copy database {} of {} ({})", copy.database, copy.from, copy.method)
            }
            Self::EndCopy { copy } => write!(f, "end what reads {} of {}", copy.database, copy.from),
            Self::Rehearse { rehearsal } => write!(f, "rehearse {}", rehearsal.services.join(", ")),
            Self::ProbeWall { run } => run.fmt(f),
            Self::Blast { run } => run.fmt(f),
            Self::EndAttack { .. } => f.write_str("end what probes and blasts"),
            Self::MakeRepository { .. }
            | Self::MakeBackup { .. }
            | Self::RemoveBackup { .. }
            | Self::ForgetBackups { .. }
            | Self::RestoreDatabase { .. }
            | Self::RestoreFolder { .. }
            | Self::RestoreFiles { .. }
            | Self::HoldLog { .. }
            | Self::ReleaseLog { .. }
            | Self::TakeLog { .. }
            | Self::RestoreBase { .. }
            | Self::CopyRestored { .. }
            | Self::CopyKey { .. }
            | Self::RemoveRestored { .. }
            | Self::SwapFolders { .. }
            | Self::Drill { .. } => self.fmt_backup(f),
            seed => seed.fmt_seed(f),
        }
    }
}

impl Action {
    /// What is left when every subject has looked for its own.
    pub(crate) fn fmt_others(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::FreezeServices { services, .. } => write!(f, "freeze {}", services.join(", ")),
            Self::ThawServices { services, .. } => write!(f, "thaw {}", services.join(", ")),
            Self::ThrottleServices { services, .. } => {
                write!(f, "throttle {} to {THROTTLED} CPUs each", services.join(", "))
            }
            Self::UnthrottleServices { ceilings, .. } => {
                let told = |(name, ceiling): (&String, &Option<Cpus>)| match ceiling {
                    Some(cpus) => format!("{name} its {cpus} CPUs"),
                    None => format!("{name} all CPUs"),
                };
                write!(f, "give {}", ceilings.iter().map(told).collect::<Vec<_>>().join(", "))
            }
            Self::RemoveUnnamedImages { identities } => {
                let short = |one: &String| one.trim_start_matches("sha256:").chars().take(12).collect();
                let all: Vec<String> = identities.iter().map(short).collect();
                write!(f, "remove unnamed images {}", all.join(", "))
            }
            Self::ClearBuildCache { unused_seconds } => {
                write!(f, "remove build cache that was not used for {} h", unused_seconds / 3600)
            }
            _ => f.write_str("something"),
        }
    }
}

/// One after the other.
pub(crate) fn list(actions: &[Action], between: &str) -> String {
    actions.iter().map(ToString::to_string).collect::<Vec<_>>().join(between)
}

fn short(hash: &str) -> &str {
    &hash[..hash.len().min(8)]
}

fn ceilings(limits: &GroupLimits) -> String {
    let mut parts = Vec::new();
    parts.push(if limits.cpu_idle { "idle class".into() } else { format!("weight {}", limits.cpu_weight) });
    parts.extend(limits.cpu_ceiling.map(|cpus| format!("{cpus} CPUs")));
    parts.extend(limits.memory_ceiling.map(|memory| format!("{memory}")));
    parts.extend(limits.memory_protection.map(|memory| format!("{memory} protected")));
    parts.extend(limits.process_ceiling.map(|count| format!("{count} processes")));
    format!(": {}", parts.join(", "))
}

fn opened(path: &str, service: &str, address: &str) -> String {
    match Beside::of(path) {
        None => format!("open route to {service} at {address}"),
        Some(_) => format!("fetch assets that {service} lacks from {address}"),
    }
}

fn closed(path: &str, service: &str) -> String {
    match Beside::of(path) {
        None => format!("close route to {service}"),
        Some(Beside::Assets) => format!("fetch assets that {service} lacks from nowhere else"),
        Some(Beside::Canary) => format!("lead no part of the visitors of {service} elsewhere"),
    }
}

/// A switch that leads only some requests, which its folder says.
enum Beside {
    Assets,
    Canary,
}

impl Beside {
    fn of(path: &str) -> Option<Self> {
        match (path.contains("/switch/.before/"), path.contains("/switch/.canary/")) {
            (true, _) => Some(Self::Assets),
            (_, true) => Some(Self::Canary),
            _ => None,
        }
    }
}
