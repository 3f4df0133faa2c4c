//! One look at everything.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use pw_host::meter::{MachineFigures, Used, rates, sum};
use pw_model::colour::Colour;
use pw_model::config::Class;
use pw_model::name::EnvironmentName;
use pw_plan::latency::Tally;
use serde::{Deserialize, Serialize};

/// What everything has used until a moment; or, after [`Picture::since`], what it used in each second between two.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Picture {
    pub at: Timestamp,
    /// Seconds since the machine started, or those between two pictures: the clock may be set meanwhile.
    pub seconds: f64,
    pub machine: MachineFigures,
    pub environments: BTreeMap<EnvironmentName, EnvironmentPicture>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EnvironmentPicture {
    pub class: Class,
    /// Of its group, with what no container counts any more.
    pub used: Used,
    pub containers: Vec<Container>,
    pub answers: Vec<Answers>,
    /// Absent until the first has been taken.
    pub disk: Option<Disk>,
    /// By the name in `partywall.yaml`.
    pub databases: BTreeMap<String, DatabaseFigures>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Container {
    pub service: String,
    pub name: String,
    pub used: Used,
}

/// What one generation of a service answered through the proxy.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Answers {
    pub service: String,
    /// `None` for what Compose started.
    pub generation: Option<Colour>,
    pub tally: Tally,
}

/// What an environment keeps on disk, in bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Disk {
    pub volumes: f64,
    /// Written by containers outside of volumes.
    pub layers: f64,
}

impl Disk {
    pub fn all(&self) -> f64 {
        self.volumes + self.layers
    }
}

/// A PostgreSQL database, as it tells itself.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct DatabaseFigures {
    pub bytes: f64,
    pub connections: f64,
    /// `max_connections` of its server.
    pub most_connections: f64,
}

impl Picture {
    /// What happened between two pictures, in each second of that time.
    #[must_use]
    pub fn since(&self, before: &Self) -> Self {
        let seconds = self.seconds - before.seconds;
        let environments = self.environments.iter().map(|(name, now)| {
            let then = before.environments.get(name);
            (name.clone(), now.since(then, seconds))
        });
        Self {
            at: self.at,
            seconds,
            machine: rates(&before.machine, &self.machine, seconds),
            environments: environments.collect(),
        }
    }
}

impl EnvironmentPicture {
    fn since(&self, before: Option<&Self>, seconds: f64) -> Self {
        let containers = self.containers.iter().map(|now| {
            let then = before.and_then(|before| before.containers.iter().find(|one| one.name == now.name));
            // One that is new has nothing to compare with.
            let used = rates(&then.map(|then| then.used).unwrap_or_default(), &now.used, seconds);
            Container { used, ..now.clone() }
        });
        let answers = self.answers.iter().map(|now| {
            let of = |one: &&Answers| (&one.service, one.generation) == (&now.service, now.generation);
            let then = before.and_then(|before| before.answers.iter().find(of));
            let tally = then.map_or_else(|| now.tally.clone(), |then| now.tally.since(&then.tally));
            Answers { tally, ..now.clone() }
        });
        Self {
            used: rates(&before.map(|before| before.used).unwrap_or_default(), &self.used, seconds),
            containers: containers.collect(),
            answers: answers.collect(),
            ..self.clone()
        }
    }

    /// Services that run or were asked.
    pub fn services(&self) -> BTreeSet<&str> {
        let containers = self.containers.iter().map(|one| one.service.as_str());
        containers.chain(self.answers.iter().map(|one| one.service.as_str())).collect()
    }

    /// True where one container is all of its service.
    pub fn is_alone(&self, service: &str) -> bool {
        self.containers.iter().filter(|one| one.service == service).count() == 1
    }

    /// All containers of a service together.
    pub fn service(&self, service: &str) -> Used {
        sum(self.containers.iter().filter(|one| one.service == service).map(|one| &one.used))
    }

    /// All generations of a service together; of all services without a name.
    pub fn answered(&self, service: Option<&str>) -> Tally {
        let mut all = Tally::default();
        let own = self.answers.iter().filter(|one| service.is_none_or(|service| service == one.service));
        own.for_each(|one| all.add(&one.tally));
        all
    }
}
