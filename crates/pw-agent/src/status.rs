//! How the agent fares, and what it left when it is gone.

use std::collections::BTreeMap;
use std::path::Path;

use jiff::Timestamp;
use pw_host::group::{self, Hands, Place};
use pw_model::config::{Class, Config, Mode};
use pw_model::host::CgroupDriver;
use pw_model::name::EnvironmentName;
use pw_plan::govern::{Found, Reading};
use pw_plan::objective::{Incident, Standing};
use pw_plan::wall::group_path;
use serde::{Deserialize, Serialize};

use crate::collect::Picture;

/// What an agent tells of itself.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Status {
    pub pid: u32,
    pub since: Timestamp,
    pub mode: Mode,
    /// What is watched, and by what.
    pub sensors: Vec<(String, String)>,
    /// The newest.
    pub reading: Reading,
    pub held: BTreeMap<EnvironmentName, Holding>,
    /// Who is to sleep, and why: the front sees to it.
    #[serde(default)]
    pub to_sleep: BTreeMap<EnvironmentName, String>,
    /// What cannot be held on this host, or shown.
    pub lacks: Vec<String>,
    /// What everything has used until now; `None` before the first look.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub picture: Option<Picture>,
    /// `None` of an agent that does not know it yet.
    #[serde(default)]
    pub objective: Option<Promised>,
}

/// What production is held to, and how it stands to it. Where neither limit is set, nothing is promised.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Promised {
    /// Seconds.
    pub p99: Option<f64>,
    /// Share of answers that may fail.
    pub errors: Option<f64>,
    /// `None` where there is no log of answers.
    pub standing: Option<Standing>,
    /// The one that goes on.
    pub incident: Option<Incident>,
}

/// What an environment is held to, in words; empty when it has its budget.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holding {
    pub to: Vec<String>,
    pub because: Option<String>,
}

/// An environment that is held although no agent runs.
#[derive(Debug, Clone, PartialEq)]
pub struct Left {
    pub environment: EnvironmentName,
    pub found: Found,
}

/// What agents that are gone have left squeezed.
pub fn left(config: &Config, driver: CgroupDriver) -> Vec<Left> {
    let hands = Hands::new(Path::new(group::ROOT), Path::new("/"));
    let others = config.environments.iter().filter(|(name, one)| one.class(name) != Class::Production);
    let found = others.map(|(name, _)| {
        let (path, compose_project) = (group_path(config, name, driver), config.compose_project(name));
        let found = hands.held(&Place { path, compose_project, ..Place::default() });
        Left { environment: name.clone(), found }
    });
    found.filter(|left| left.found != Found::default()).collect()
}
