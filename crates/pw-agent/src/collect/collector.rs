//! Reads the meters.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use pw_host::caddy::Answered;
use pw_host::docker::Running;
use pw_host::eyes::Eyes;
use pw_host::group;
use pw_host::meter::{GroupMeter, MachineMeter, Used, sum};
use pw_model::config::{Class, Config};
use pw_model::host::CgroupDriver;
use pw_model::layout::Layout;
use pw_model::name::EnvironmentName;
use pw_plan::proxy::{SiteRoute, site};
use pw_plan::wall::group_path;

use super::picture::{Answers, Container, EnvironmentPicture, Picture};

/// The meters of one project, kept open.
#[derive(Debug)]
pub struct Collector {
    root: PathBuf,
    machine: MachineMeter,
    environments: BTreeMap<EnvironmentName, Meters>,
    answered: Answered,
    routes: Vec<SiteRoute>,
}

#[derive(Debug)]
struct Meters {
    class: Class,
    /// Its group, as either driver names it.
    parents: Vec<String>,
    group: Option<GroupMeter>,
    containers: Vec<Metered>,
}

#[derive(Debug)]
struct Metered {
    running: Running,
    meter: Option<GroupMeter>,
}

impl Collector {
    /// Counts answers from now on.
    pub fn new(config: &Config, layout: &Layout, disks: Vec<PathBuf>) -> Self {
        let meters = |name: &EnvironmentName, class| {
            let drivers = [CgroupDriver::Cgroupfs, CgroupDriver::Systemd];
            let parents = drivers.map(|driver| group_path(config, name, driver)).to_vec();
            Meters { class, parents, group: None, containers: Vec::new() }
        };
        let environments =
            config.environments.iter().map(|(name, one)| (name.clone(), meters(name, one.class(name))));
        let routes = site(config).routes;
        let log = PathBuf::from(layout.proxy(&config.proxy.name)).join("log/traffic.log");
        let asked = routes.iter().map(|route| (route.switch.clone(), None));
        Self {
            root: group::ROOT.into(),
            machine: MachineMeter::new(disks),
            environments: environments.collect(),
            answered: Answered::following(&log, asked),
            routes,
        }
    }

    /// Which containers there are. Meters of those that stay are kept.
    pub fn know(&mut self, running: Vec<Running>) {
        let mut old: BTreeMap<String, Option<GroupMeter>> = BTreeMap::new();
        for meters in self.environments.values_mut() {
            old.extend(meters.containers.drain(..).map(|one| (one.running.id, one.meter)));
        }
        for running in running {
            let own = self.environments.iter_mut().find(|(name, _)| name.as_str() == running.environment);
            if let Some((_, meters)) = own {
                let meter = old.remove(&running.id).flatten();
                meters.containers.push(Metered { running, meter });
            }
        }
    }

    /// Looks at everything.
    pub fn look(&mut self) -> Picture {
        self.answered.read();
        let Self { root, machine, environments, answered, routes } = self;
        let environments = environments.iter_mut().map(|(name, meters)| {
            let own = routes.iter().filter(|route| route.environment == name.as_str());
            let answers = own.flat_map(|route| answers(answered, route)).collect();
            (name.clone(), meters.look(root, answers))
        });
        let environments = environments.collect();
        Picture {
            at: Timestamp::now(),
            seconds: Eyes::now().as_secs_f64(),
            machine: machine.read(),
            environments,
        }
    }
}

impl Meters {
    fn look(&mut self, root: &Path, answers: Vec<Answers>) -> EnvironmentPicture {
        let Self { class, parents, group, containers } = self;
        let containers = containers.iter_mut().filter_map(|one| {
            let used = read(&mut one.meter, || GroupMeter::container(root, parents, &one.running.id))?;
            let Running { service, name, .. } = &one.running;
            Some(Container { service: service.clone(), name: name.clone(), used })
        });
        let containers: Vec<Container> = containers.collect();
        let all = sum(containers.iter().map(|one| &one.used));
        let own = read(group, || parents.iter().find_map(|parent| GroupMeter::group(root, parent)));
        let used = own.map_or(all, |own| Used {
            // A group has no interfaces, and version 1 counts these of a group's own processes only.
            throttled_seconds: all.throttled_seconds,
            killed: all.killed,
            received_bytes: all.received_bytes,
            sent_bytes: all.sent_bytes,
            ..own
        });
        EnvironmentPicture {
            class: *class,
            used,
            containers,
            answers,
            disk: None,
            databases: BTreeMap::new(),
        }
    }
}

/// A group that was made anew is opened anew, at the next look.
fn read(meter: &mut Option<GroupMeter>, open: impl FnOnce() -> Option<GroupMeter>) -> Option<Used> {
    let open_meter = match meter {
        Some(meter) => meter,
        None => meter.insert(open()?),
    };
    let used = open_meter.read();
    if used.is_none() {
        *meter = None;
    }
    used
}

fn answers(answered: &Answered, route: &SiteRoute) -> Vec<Answers> {
    let own = answered.tallies().iter().filter(|(series, _)| series.route == route.switch);
    own.map(|(series, tally)| Answers {
        service: route.service.clone(),
        generation: series.generation,
        tally: tally.clone(),
    })
    .collect()
}
