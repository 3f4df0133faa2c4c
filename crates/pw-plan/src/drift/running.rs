//! One environment: what its files describe against what runs.

use std::collections::{BTreeMap, BTreeSet};

use pw_model::compose::Service;
use pw_model::desired::{Desired, DesiredService};
use pw_model::observed::{Container, Observed, State};
use pw_model::role::Role;
use pw_model::unit::{Bytes, Cpus};
use serde_json::Value;

use super::{Difference, Part};
use crate::aspects::differing;
use crate::parts::job_is_over;
use crate::promote::generations::{serving, serving_address};

/// What `up` does not look at, since nothing but a hand changes it: one container, inspected.
#[derive(Clone, Default, PartialEq)]
pub struct Inspected {
    /// As in [`Container`].
    pub id: String,
    /// The image as the container names it, its id when the container was made, and what the name means now.
    pub image_name: String,
    pub image: String,
    pub image_now: Option<String>,
    /// Values too, so this is never printed.
    pub environment: BTreeMap<String, String>,
    /// Names that the image itself sets.
    pub image_environment: BTreeSet<String>,
    pub limits: Limits,
    pub restart: String,
}

/// What one container may use; zero and `None` mean no limit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Limits {
    pub memory: u64,
    pub memory_reservation: u64,
    pub cpus: Option<Cpus>,
    pub processes: Option<i64>,
}

/// Everything that the comparison needs.
#[derive(Clone, Copy)]
pub struct Sides<'a> {
    pub desired: &'a Desired,
    /// The rendered model.
    pub model: &'a Value,
    pub observed: &'a Observed,
    pub inspected: &'a [Inspected],
    /// Containers on the environment's own networks that are not its own: network, container.
    pub strangers: &'a [(String, String)],
}

/// Everything that differs, in the order of the paths. Empty for an environment that runs as described.
pub fn running(sides: Sides<'_>) -> Vec<Difference> {
    let mut found = Found { sides, all: Vec::new() };
    for (name, service) in &sides.desired.services {
        found.service(name, service);
    }
    found.orphans();
    found.strangers();
    found.files();
    found.ground();
    found.routes();
    found.all.sort();
    found.all
}

struct Found<'a> {
    sides: Sides<'a>,
    all: Vec<Difference>,
}

impl Found<'_> {
    fn note(&mut self, path: impl Into<String>, described: &str, running: &str, repair: impl Into<String>) {
        self.all.push(Difference::new(Part::Running, path, (described, running), repair));
    }

    fn up(&self) -> String {
        format!("partywall up {}", self.sides.desired.environment)
    }

    fn service(&mut self, name: &str, desired: &DesiredService) {
        let path = format!("services.{name}");
        let observed = self.sides.observed;
        let all = serving(self.sides.desired, observed, name);
        if job_is_over(self.sides.desired, observed, name) {
            return;
        }
        if all.len() as u64 != desired.scale {
            let told = |count: u64| match count {
                0 => "no container".to_owned(),
                1 => "1 container".to_owned(),
                count => format!("{count} containers"),
            };
            self.note(format!("{path}.scale"), &told(desired.scale), &told(all.len() as u64), self.up());
        }
        for one in all {
            self.container(&path, desired, one);
        }
    }

    fn container(&mut self, path: &str, desired: &DesiredService, one: &Container) {
        self.state(path, desired, one);
        self.networks(path, desired, one);
        for target in &one.lost_mounts {
            self.note(format!("{path}.volumes.{target}"), "mounted", "the mount was lost", self.up());
        }
        let inspected = self.sides.inspected.iter().find(|inspected| inspected.id == one.id);
        let before = self.all.len();
        if one.config_hash != desired.config_hash {
            self.configuration(path, desired, one, inspected);
            if self.all.len() == before {
                self.note(
                    format!("{path}.configuration"),
                    "as rendered now",
                    "made from another one",
                    self.up(),
                );
            }
        }
        if let Some(inspected) = inspected {
            self.image(path, desired, inspected);
            self.limits(path, one, inspected);
        }
    }

    fn state(&mut self, path: &str, desired: &DesiredService, one: &Container) {
        if one.throttled {
            self.note(format!("{path}.cpus"), "its own", "throttled, for it sleeps", self.up());
        }
        let is_up = one.is_up() || desired.role == Role::Job && one.ended_well();
        if is_up {
            return;
        }
        let running = match (one.state, one.exit_code) {
            (State::Running, _) => "unhealthy".to_owned(),
            (State::Exited, Some(code)) => format!("ended with exit code {code}"),
            (state, _) => format!("{state:?}").to_lowercase(),
        };
        let repair = match one.state {
            State::Paused => format!("docker unpause {}", one.name),
            State::Running | State::Restarting => {
                format!("partywall logs {} {}", self.sides.desired.environment, one.service)
            }
            _ => self.up(),
        };
        self.note(format!("{path}.state"), "running", &running, repair);
    }

    fn networks(&mut self, path: &str, desired: &DesiredService, one: &Container) {
        // A job that has ended needs none.
        if one.ended_well() {
            return;
        }
        for lost in desired.networks.difference(&one.networks) {
            self.note(format!("{path}.networks.{lost}"), "joined", "not joined", self.up());
        }
        // Without networks of its own, the engine gives it one of another service's.
        let own = !desired.networks.is_empty();
        for extra in one.networks.difference(&desired.networks).filter(|_| own) {
            let repair = format!("docker network disconnect {extra} {}", one.name);
            self.note(format!("{path}.networks.{extra}"), "not joined", "joined", repair);
        }
    }

    /// What is behind another configuration hash, by name.
    fn configuration(
        &mut self,
        path: &str,
        desired: &DesiredService,
        one: &Container,
        inspected: Option<&Inspected>,
    ) {
        if let Some(inspected) = inspected {
            self.environment(path, &one.service, inspected);
        }
        for (target, wanted) in &desired.mounts {
            let running = one.mounts.get(target);
            if running.is_some_and(|running| running == wanted) {
                continue;
            }
            let running = running.map_or("nothing", String::as_str);
            self.note(format!("{path}.volumes.{target}"), wanted, running, self.up());
        }
        if let Some(named) = inspected.map(|found| &found.image_name).filter(|named| **named != desired.image)
        {
            self.note(format!("{path}.image"), &desired.image, named, self.up());
        }
        let Some(installed) = self.sides.observed.aspects.get(&one.service) else { return };
        for aspect in differing(installed, &desired.aspects) {
            let told =
                aspect == "image" || aspect.starts_with("environment ") || aspect.starts_with("mount ");
            if !told {
                let aspect = aspect.replace(' ', ".");
                self.note(format!("{path}.{aspect}"), "as rendered now", "as rendered before", self.up());
            }
        }
    }

    fn environment(&mut self, path: &str, service: &str, inspected: &Inspected) {
        let wanted = self.sides.model["services"][service]["environment"].as_object();
        let wanted: BTreeMap<&str, Option<String>> = wanted
            .into_iter()
            .flatten()
            .map(|(name, value)| (name.as_str(), value.as_str().map(|text| text.replace("$$", "$"))))
            .collect();
        for (name, value) in &wanted {
            let (described, running) = match (value, inspected.environment.get(*name)) {
                (Some(value), Some(running)) if value != running => ("a value", "another value"),
                (Some(_), None) => ("set", "not set"),
                _ => continue,
            };
            self.note(format!("{path}.environment.{name}"), described, running, self.up());
        }
        for name in inspected.environment.keys() {
            if !wanted.contains_key(name.as_str()) && !inspected.image_environment.contains(name) {
                self.note(format!("{path}.environment.{name}"), "not set", "set", self.up());
            }
        }
    }

    fn image(&mut self, path: &str, desired: &DesiredService, inspected: &Inspected) {
        let Some(now) = &inspected.image_now else { return };
        if *now != inspected.image {
            let repair = format!(
                "docker compose -f {} up -d --no-deps {}",
                self.sides.desired.compose_file.path,
                path.trim_start_matches("services.")
            );
            let described = format!("{} is {}", desired.image, short(now));
            self.note(format!("{path}.image"), &described, &short(&inspected.image), repair);
        }
    }

    fn limits(&mut self, path: &str, one: &Container, inspected: &Inspected) {
        let service = &self.sides.model["services"][&one.service];
        let (wanted, running) = (wanted_limits(service), inspected.limits);
        let bytes = |bytes: u64| if bytes == 0 { "no limit".to_owned() } else { Bytes(bytes).to_string() };
        let update = |option: &str| format!("docker update {option} {}", one.name);
        // The engine takes no limit of memory or processors away again.
        let anew = format!("docker rm --force {} && {}", one.name, self.up());
        let set = |limited: bool, option: &str| if limited { update(option) } else { anew.clone() };
        if wanted.memory != running.memory {
            let repair = set(wanted.memory > 0, &format!("--memory {0} --memory-swap {0}", wanted.memory));
            self.note(format!("{path}.memory"), &bytes(wanted.memory), &bytes(running.memory), repair);
        }
        if wanted.memory_reservation != running.memory_reservation {
            let reserved = wanted.memory_reservation;
            let repair = set(reserved > 0, &format!("--memory-reservation {reserved}"));
            let sides = (bytes(wanted.memory_reservation), bytes(running.memory_reservation));
            self.note(format!("{path}.memory_reservation"), &sides.0, &sides.1, repair);
        }
        if !one.throttled && wanted.cpus != running.cpus {
            let told = |cpus: Option<Cpus>| cpus.map_or("no limit".into(), |cpus| cpus.to_string());
            let option = match &service["cpu_quota"] {
                Value::Null => format!("--cpus {}", told(wanted.cpus)),
                quota => format!("--cpu-quota {quota}"),
            };
            let repair = set(wanted.cpus.is_some(), &option);
            self.note(format!("{path}.cpus"), &told(wanted.cpus), &told(running.cpus), repair);
        }
        if wanted.processes != running.processes {
            let told = |limit: Option<i64>| limit.map_or("no limit".into(), |limit| limit.to_string());
            let repair = update(&format!("--pids-limit {}", wanted.processes.unwrap_or(-1)));
            self.note(format!("{path}.processes"), &told(wanted.processes), &told(running.processes), repair);
        }
        let restart = service["restart"].as_str().unwrap_or("no");
        if restart != inspected.restart {
            let repair = update(&format!("--restart {restart}"));
            self.note(format!("{path}.restart"), restart, &inspected.restart, repair);
        }
    }

    fn orphans(&mut self) {
        let desired = self.sides.desired;
        let known = |one: &&Container| !desired.services.contains_key(&one.service);
        let gone: BTreeSet<&String> =
            self.sides.observed.containers.iter().filter(known).map(|one| &one.service).collect();
        for name in gone {
            self.note(format!("services.{name}"), "not described", "has a container", self.up());
        }
        let sections = [
            ("networks", &desired.networks, &self.sides.observed.networks),
            ("volumes", &desired.volumes, &self.sides.observed.volumes),
        ];
        for (section, wanted, there) in sections {
            let remove = format!("docker {} rm", section.trim_end_matches('s'));
            for missing in wanted.iter().filter(|name| !there.contains(*name)) {
                self.note(format!("{section}.{missing}"), "described", "not there", self.up());
            }
            for left in there.iter().filter(|name| !wanted.contains(name)) {
                let repair = format!("describe it, or `{remove} {left}` when nobody needs it");
                self.note(format!("{section}.{left}"), "not described", "there", repair);
            }
        }
    }

    fn strangers(&mut self) {
        for (network, container) in self.sides.strangers {
            let repair = format!("docker network disconnect {network} {container}");
            let told = format!("`{container}` joined by hand");
            self.note(format!("networks.{network}.{container}"), "this environment's own", &told, repair);
        }
    }

    fn files(&mut self) {
        let desired = self.sides.desired;
        let files = [Some(&desired.compose_file), desired.variable_file.as_ref(), Some(&desired.folder_file)];
        for file in files.into_iter().flatten() {
            let name = file.path.rsplit('/').next().unwrap_or(&file.path);
            match self.sides.observed.files.get(&file.path) {
                Some(hash) if *hash == crate::hash(&file.text) => {}
                Some(_) => {
                    self.note(format!("files.{name}"), "as rendered now", "another text", self.up());
                }
                None => self.note(format!("files.{name}"), "rendered", "not there", self.up()),
            }
        }
        for path in &desired.generated_secrets {
            if !self.sides.observed.files.contains_key(path) {
                let name = path.rsplit('/').next().unwrap_or(path);
                self.note(format!("files.secrets.{name}"), "a random secret", "not there", self.up());
            }
        }
    }

    /// Control group, firewall, proxy.
    fn ground(&mut self) {
        let (desired, observed) = (self.sides.desired, self.sides.observed);
        if desired.group != observed.group {
            let told = if observed.group.is_none() { "not there" } else { "other limits" };
            self.note("budget", "the environment's limits", told, self.up());
        }
        if desired.firewall != observed.firewall {
            let told = if observed.firewall.is_none() { "not there" } else { "other rules" };
            self.note("firewall", "the environment's rules", told, self.up());
        }
        let Some(proxy) = &desired.proxy else { return };
        if !observed.proxy.running {
            self.note("proxy", "running", "not running", self.up());
            return;
        }
        if !observed.proxy.current {
            self.note("proxy.configuration", "the project's routes", "other routes", self.up());
        }
        if proxy.external_admin.is_none() {
            for network in proxy.networks.iter().filter(|name| !observed.proxy.networks.contains(*name)) {
                self.note(format!("proxy.networks.{network}"), "joined", "not joined", self.up());
            }
        }
    }

    fn routes(&mut self) {
        let (desired, observed) = (self.sides.desired, self.sides.observed);
        for route in &desired.routes {
            let path = format!("routes.{}", route.service);
            let described = serving_address(desired, observed, route);
            match observed.open_switches.get(&route.switch) {
                Some(address) if *address == described => {}
                Some(address) => self.note(path, &described, address, self.up()),
                None => self.note(path, &described, "closed", self.up()),
            }
        }
        let own = desired.routes.iter().flat_map(|route| [&route.switch, &route.before, &route.canary]);
        let described: BTreeSet<&String> = own.collect();
        for switch in observed.open_switches.keys().filter(|switch| !described.contains(switch)) {
            let service = switch.rsplit('/').next().unwrap_or(switch);
            self.note(format!("routes.{service}"), "not described", "open", self.up());
        }
    }
}

/// `sha256:0123456789ab`
fn short(id: &str) -> String {
    id.chars().take(19).collect()
}

/// What Compose asks of the engine; a plain key and its place under `deploy` mean the same.
fn wanted_limits(service: &Value) -> Limits {
    let deployed = |kind: &str, key: &str| service["deploy"]["resources"][kind][key].clone();
    let first = |values: [Value; 2]| values.into_iter().find(|value| !value.is_null()).unwrap_or_default();
    let processes = first([service["pids_limit"].clone(), deployed("limits", "pids")]);
    Limits {
        memory: bytes_of(&first([service["mem_limit"].clone(), deployed("limits", "memory")])),
        memory_reservation: bytes_of(&first([
            service["mem_reservation"].clone(),
            deployed("reservations", "memory"),
        ])),
        cpus: Service::new("", service).cpus(),
        processes: processes.as_i64().filter(|limit| *limit > 0),
    }
}

fn bytes_of(value: &Value) -> u64 {
    value.as_u64().or_else(|| value.as_str()?.parse().ok()).unwrap_or(0)
}
