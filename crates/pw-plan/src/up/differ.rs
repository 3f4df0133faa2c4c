//! What is not as wanted about the containers of a service, and how that is said.

use std::collections::{BTreeMap, BTreeSet};

use pw_model::desired::DesiredService;
use pw_model::observed::Container;
use pw_model::role::Role;

use super::data::other_data;
use crate::aspects::differing;
use crate::parts::{Draft, job_is_over};

/// Why a service is started.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Reason {
    Missing,
    Differs,
    CutOff,
    Uncovered,
    Stopped,
}

impl Draft<'_> {
    /// Services whose containers are missing, stopped, off their networks or made from another configuration.
    pub(crate) fn changed_services(&self) -> Vec<String> {
        let services = self.desired.services.keys();
        services.filter(|name| self.reason(name).is_some()).cloned().collect()
    }

    fn reason(&self, name: &str) -> Option<Reason> {
        let desired = &self.desired.services[name];
        let containers: Vec<_> = self.serving(name);
        if job_is_over(self.desired, self.observed, name) {
            return None;
        }
        let is_up = |one: &&Container| one.is_up() || desired.role == Role::Job && one.ended_well();
        if containers.is_empty() && desired.scale > 0 {
            Some(Reason::Missing)
        } else if containers.iter().any(|one| one.config_hash != desired.config_hash) {
            Some(Reason::Differs)
        } else if containers.iter().any(|one| !self.lost_networks(desired, one).is_empty()) {
            Some(Reason::CutOff)
        } else if containers.iter().any(|one| !one.lost_mounts.is_empty()) {
            Some(Reason::Uncovered)
        } else if containers.len() as u64 != desired.scale || !containers.iter().all(is_up) {
            Some(Reason::Stopped)
        } else {
            None
        }
    }

    /// True for a service that Compose would find unchanged, though its container is not as it was made.
    pub(super) fn is_damaged(&self, name: &str) -> bool {
        matches!(self.reason(name), Some(Reason::CutOff | Reason::Uncovered))
    }

    /// Networks that the container should be on and is not, or that are gone. A job that has ended needs none.
    pub(super) fn lost_networks<'s>(
        &self,
        service: &'s DesiredService,
        one: &Container,
    ) -> BTreeSet<&'s String> {
        if one.ended_well() {
            return BTreeSet::new();
        }
        let own = &self.desired.networks;
        let is_gone = |name: &String| own.contains(name) && !self.observed.networks.contains(name);
        service.networks.iter().filter(|name| !one.networks.contains(*name) || is_gone(name)).collect()
    }

    pub(super) fn reasons(&self, services: &[String]) -> String {
        let mut told: BTreeMap<Reason, Vec<String>> = BTreeMap::new();
        for name in services {
            let Some(reason) = self.reason(name) else { continue };
            told.entry(reason).or_default().extend(self.detail(reason, name));
        }
        let said = told.into_iter().map(|(reason, details)| match details.is_empty() {
            true => reason.text().to_owned(),
            false => format!("{} ({})", reason.text(), details.join("; ")),
        });
        said.collect::<Vec<_>>().join(", ")
    }

    fn detail(&self, reason: Reason, name: &str) -> Option<String> {
        let desired = &self.desired.services[name];
        let parts = match reason {
            Reason::Missing | Reason::Stopped => Vec::new(),
            Reason::Differs => self.differences(name, desired),
            Reason::CutOff => {
                let lost: BTreeSet<&String> =
                    self.serving(name).into_iter().flat_map(|one| self.lost_networks(desired, one)).collect();
                lost.into_iter().cloned().collect()
            }
            Reason::Uncovered => {
                let lost: BTreeSet<&String> =
                    self.serving(name).into_iter().flat_map(|one| &one.lost_mounts).collect();
                lost.into_iter().cloned().collect()
            }
        };
        (!parts.is_empty()).then(|| format!("{name}: {}", parts.join(", ")))
    }

    /// By name; where other data is mounted, from where to where.
    fn differences(&self, name: &str, desired: &DesiredService) -> Vec<String> {
        let mut parts: Vec<String> = other_data(self.desired, self.observed)
            .into_iter()
            .filter(|other| other.service == name)
            .map(|other| other.to_string())
            .collect();
        let Some(installed) = self.observed.aspects.get(name) else { return parts };
        let is_told = |aspect: &&str| {
            let target = aspect.strip_prefix("mount ").map(|target| format!("{target}: "));
            target.is_some_and(|target| parts.iter().any(|part| part.starts_with(&target)))
        };
        let rest: Vec<String> = differing(installed, &desired.aspects)
            .into_iter()
            .filter(|aspect| !is_told(aspect))
            .map(str::to_owned)
            .collect();
        parts.extend(rest);
        parts
    }
}

impl Reason {
    fn text(self) -> &'static str {
        match self {
            Self::Missing => "not there yet",
            Self::Differs => "configuration differs",
            Self::CutOff => "off its networks",
            Self::Uncovered => "a mount was lost, and what it covered shows",
            Self::Stopped => "not running as wanted",
        }
    }
}
