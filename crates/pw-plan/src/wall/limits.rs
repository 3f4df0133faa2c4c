//! What an environment may use: parent control group, ceilings, processes, logs, order of death, restarts.

use pw_model::config::{Class, Config};
use pw_model::desired::{GroupLimits, IDLE_GROUP, PRODUCTION_GROUP, STAGING_GROUP};
use pw_model::host::{CgroupDriver, HostFacts};
use pw_model::name::EnvironmentName;
use pw_model::role::Role;
use pw_model::unit::Bytes;
use serde_json::{Value, json};

use super::Wall;

/// Processes of one container. A fork bomb ends here; the busiest ordinary service stays far below.
const PROCESSES_PRODUCTION: u64 = 16_384;
const PROCESSES_BESIDE: u64 = 2_048;
/// Linux kills the highest score first; 0 is the default, 1000 the end.
const OOM_STAGING: i64 = 300;
const OOM_DEVELOPMENT: i64 = 600;

/// The parent control group of an environment, as Docker's `cgroup_parent` wants it written.
pub fn group_path(config: &Config, environment: &EnvironmentName, driver: CgroupDriver) -> String {
    let class = config.environments.get(environment).map_or(Class::Development, |one| one.class(environment));
    let top = match class {
        Class::Production => PRODUCTION_GROUP,
        Class::Staging => STAGING_GROUP,
        Class::Development => IDLE_GROUP,
    };
    match driver {
        CgroupDriver::Cgroupfs => format!("{top}/{}/{environment}", config.project),
        // systemd reads `a-b.slice` as a child of `a.slice`, so dashes of names are written as underscores.
        CgroupDriver::Systemd => {
            let flat = |text: &str| text.trim_start_matches('/').replace('-', "_");
            format!("{}-{}-{}.slice", flat(top), flat(config.project.as_str()), flat(environment.as_str()))
        }
    }
}

/// The group of the proxy, which is as heavy as production: every visitor of production waits for both.
pub fn proxy_group(driver: CgroupDriver) -> String {
    match driver {
        CgroupDriver::Cgroupfs => format!("{PRODUCTION_GROUP}/.proxy"),
        CgroupDriver::Systemd => "partywall-proxy.slice".to_owned(),
    }
}

/// Who gets the processors that nobody else asks for.
fn is_idle(class: Class) -> bool {
    class == Class::Development
}

/// What the parent group of an environment is held to; `memory` is the host's.
pub fn group_limits(config: &Config, name: &EnvironmentName, path: String, memory: Bytes) -> GroupLimits {
    let Some(environment) = config.environments.get(name) else { return unlimited(path) };
    let budget = &environment.budget;
    let class = environment.class(name);
    let production = class == Class::Production;
    GroupLimits {
        path,
        cpu_weight: match class {
            Class::Production => 1000,
            Class::Staging => 50,
            Class::Development => 10,
        },
        cpu_idle: is_idle(class),
        cpu_ceiling: budget.cpus,
        memory_ceiling: budget.memory,
        // Half of the host: enough that production's working set is not reclaimed for development's cache.
        memory_protection: production.then(|| budget.memory.unwrap_or_else(|| memory.times(0.5))),
        process_ceiling: budget.processes.or((!production).then_some(PROCESSES_BESIDE * 4)),
    }
}

/// What holds the builds of all environments: they get processors that nobody else asks for, and no memory of production's.
///
/// One group for the whole host, since BuildKit takes the group for a part of what it builds: in each environment's own,
/// nothing that one has built would be there for the other. A build for production is held too: nobody waits for it as
/// visitors wait for an answer.
pub fn build_limits(config: &Config, facts: &HostFacts) -> GroupLimits {
    let path = match facts.cgroup_driver {
        CgroupDriver::Cgroupfs => "/partywall-build",
        CgroupDriver::Systemd => "partywall_build.slice",
    };
    let all = config.environments_in_order().into_iter();
    let production = all.filter(|(name, environment)| environment.class(name) == Class::Production);
    let promised: u64 =
        production.filter_map(|(_, environment)| environment.budget.memory).map(|memory| memory.0).sum();
    let half = facts.memory.times(0.5);
    GroupLimits {
        cpu_weight: 10,
        // What production is promised is taken off; half of the host where nothing is promised in numbers.
        memory_ceiling: Some(if promised == 0 {
            half
        } else {
            half.max(Bytes(facts.memory.0.saturating_sub(promised)))
        }),
        ..unlimited(path.to_owned())
    }
}

fn unlimited(path: String) -> GroupLimits {
    GroupLimits {
        path,
        cpu_weight: 100,
        cpu_idle: false,
        cpu_ceiling: None,
        memory_ceiling: None,
        memory_protection: None,
        process_ceiling: None,
    }
}

impl Wall<'_> {
    pub(super) fn limits(&mut self) {
        for name in self.service_names() {
            self.group(&name);
            self.ceilings(&name);
            self.processes(&name);
            self.order_of_death(&name);
            self.logs(&name);
            self.restarts(&name);
            self.weight(&name);
        }
    }

    fn has(&self, name: &str, path: &[&str]) -> bool {
        let service = self.loaded.model.service(name);
        let value = service.and_then(|service| {
            path.iter().skip(1).try_fold(service.get(path[0])?, |value, key| value.get(key))
        });
        value.is_some_and(|value| !value.is_null())
    }

    fn group(&mut self, name: &str) {
        let group = self.out.group.clone();
        self.set(
            name,
            "cgroup_parent",
            json!(group),
            ("group", format!("all of environment `{}` is weighed and limited together", self.out.name)),
        );
    }

    /// The environment's ceiling on every service too: it still holds when the parent group is gone, as after a reboot.
    fn ceilings(&mut self, name: &str) {
        let because = format!("`budget` of environment `{}` in partywall.yaml", self.out.name);
        let budget = &self.environment.budget;
        if let Some(memory) = budget.memory {
            let limit = json!(self.memory_limit(name, memory.0).to_string());
            self.limit(name, ("mem_limit", "memory"), limit, ("budget", because.clone()));
        }
        // The engine refuses both a number of CPUs and a quota.
        let quota = ["cpu_quota", "cpu_period"].iter().any(|key| self.has(name, &[key]));
        if let Some(cpus) = budget.cpus.filter(|_| !quota) {
            self.limit(name, ("cpus", "cpus"), json!(cpus.count()), ("budget", because));
        }
    }

    /// The budget, as near as the engine takes it: not below what is reserved, not above what swap allows.
    fn memory_limit(&self, name: &str, budget: u64) -> u64 {
        let reserved = self
            .bytes(name, &["mem_reservation"])
            .or_else(|| self.bytes(name, &["deploy", "resources", "reservations", "memory"]));
        let swap = self.bytes(name, &["memswap_limit"]).filter(|swap| *swap > 0);
        budget.min(swap.unwrap_or(budget)).max(reserved.unwrap_or(0))
    }

    /// An amount of memory that Compose has already brought to bytes.
    fn bytes(&self, name: &str, path: &[&str]) -> Option<u64> {
        let service = self.loaded.model.service(name)?;
        let value = path.iter().skip(1).try_fold(service.get(path[0])?, |value, key| value.get(key))?;
        value.as_u64().or_else(|| value.as_str()?.parse().ok())
    }

    fn processes(&mut self, name: &str) {
        let limit = if self.is_production() { PROCESSES_PRODUCTION } else { PROCESSES_BESIDE };
        let because = "a runaway fork must not fill the host's process table".into();
        self.limit(name, ("pids_limit", "pids"), json!(limit), ("processes", because));
    }

    /// Sets a limit that is not written yet, in the form that the file uses: Compose refuses a service that uses both.
    fn limit(
        &mut self,
        name: &str,
        (plain, deployed): (&str, &str),
        value: Value,
        rule: (&'static str, String),
    ) {
        if self.has(name, &[plain]) || self.has(name, &["deploy", "resources", "limits", deployed]) {
            return;
        }
        if !self.has(name, &["deploy", "resources", "limits"]) {
            return self.set(name, plain, value, rule);
        }
        let limits = self
            .service(name)
            .and_then(|service| service.get_mut("deploy")?.get_mut("resources")?.get_mut("limits"));
        if let Some(limits) = limits {
            limits[deployed] = value;
            self.note(&["services", name, "deploy", "resources", "limits", deployed], rule.0, rule.1);
        }
    }

    fn order_of_death(&mut self, name: &str) {
        let score = match self.out.class {
            Class::Production => return,
            Class::Staging => OOM_STAGING,
            Class::Development => OOM_DEVELOPMENT,
        };
        let written = self
            .loaded
            .model
            .service(name)
            .and_then(|service| service.get("oom_score_adj")?.as_i64())
            .unwrap_or(0);
        if written < score {
            self.set(
                name,
                "oom_score_adj",
                json!(score),
                ("order-of-death", "when memory ends, development goes before production".into()),
            );
        }
    }

    fn logs(&mut self, name: &str) {
        let service = self.loaded.model.service(name);
        let logging = service.and_then(|service| service.get("logging").cloned()).unwrap_or(json!({}));
        let mut options = logging.get("options").cloned().filter(Value::is_object).unwrap_or(json!({}));
        // Only `json-file`, the engine's default, grows without end; `local` and the rest have a cap or no file.
        let grows = matches!(logging.get("driver").and_then(Value::as_str), None | Some("json-file" | ""));
        if !grows || options.get("max-size").is_some() {
            return;
        }
        let size = if self.is_production() { "50m" } else { "10m" };
        options["max-size"] = json!(size);
        if options.get("max-file").is_none() {
            options["max-file"] = json!("3");
        }
        let because = "logs without a cap fill the disk that production needs".to_owned();
        let capped = json!({"driver": "json-file", "options": options});
        self.set(name, "logging", capped, ("log-cap", because));
    }

    /// Production comes back after a crash or reboot; a one-shot job must not.
    fn restarts(&mut self, name: &str) {
        let role = self.out.roles.get(name).copied();
        let known = self
            .loaded
            .model
            .service(name)
            .is_some_and(|service| service.has_healthcheck() || service.publishes());
        let long_lived =
            role.is_some_and(|role| role != Role::Job) && (known || role.is_some_and(Role::is_stateful));
        if !self.is_production()
            || !long_lived
            || self.has(name, &["restart"])
            || self.has(name, &["deploy", "restart_policy"])
        {
            return;
        }
        self.set(
            name,
            "restart",
            json!("unless-stopped"),
            ("restart", "production comes back after a crash or a reboot".into()),
        );
    }

    /// `deploy.resources.reservations.cpus` does nothing under `docker compose up`; a weight is what it means.
    fn weight(&mut self, name: &str) {
        if self.has(name, &["cpu_shares"]) {
            return;
        }
        let service = self.loaded.model.service(name);
        let reserved = service.and_then(|service| {
            service.get("deploy")?.get("resources")?.get("reservations")?.get("cpus").cloned()
        });
        let cpus = reserved.and_then(|value| value.as_f64().or_else(|| value.as_str()?.parse().ok()));
        if let Some(cpus) = cpus.filter(|cpus| *cpus > 0.0) {
            let shares = ((cpus * 1024.0) as u64).clamp(2, 262_144);
            self.set(
                name,
                "cpu_shares",
                json!(shares),
                (
                    "weight",
                    "Compose ignores a reservation of CPUs outside Swarm; as a weight it binds".into(),
                ),
            );
        }
    }
}
