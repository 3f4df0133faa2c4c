//! A scratch place: a copy of one database in a container of the same image, on a network that leads nowhere,
//! within development's budget. What it is for (a rehearsal, a drill) is the caller's; making and removing is here.

use std::fmt;

use pw_model::desired::GroupLimits;
use pw_model::diagnostic::Diagnostic;
use pw_model::unit::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::seed::backup::PURPOSE as SOURCE;
use crate::step::{Action, ComposeRun, Plan, ScratchServer, Step, Stored, Undo};
use crate::wall::{Rendered, yaml};

/// Where the socket and the log of the copy are, inside its container; outside it is `run` of the folder.
pub const SOCKET: &str = "/run/partywall";
/// Receives the files before the server starts.
const RECEIVER: &str = "partywall-copy";
/// Keys that say what a service may use, taken from the environment in whose budget the copy runs.
const LIMITS: [&str; 11] = [
    "cgroup_parent",
    "mem_limit",
    "memswap_limit",
    "cpus",
    "cpu_shares",
    "cpu_quota",
    "cpu_period",
    "pids_limit",
    "oom_score_adj",
    "logging",
    "deploy",
];
/// Keys that make a server what it is.
const SERVER: [&str; 10] = [
    "command",
    "entrypoint",
    "environment",
    "shm_size",
    "secrets",
    "configs",
    "user",
    "ulimits",
    "tmpfs",
    "platform",
];
/// What a copy must not do that its original does: archive, wait for standbys, subscribe, run scheduled jobs.
const HARMLESS: [&str; 5] = [
    "archive_mode=off",
    "synchronous_standby_names=",
    "max_logical_replication_workers=0",
    "cron.launch_active_jobs=off",
    "listen_addresses=*",
];

/// Which database is copied, from where to where, and how.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DatabaseCopy {
    /// Name of the container that is read.
    pub from: String,
    /// A role that may read everything.
    pub user: String,
    pub database: String,
    /// Compose project and service that receive it.
    pub project: String,
    pub service: String,
    /// Where the receiver keeps its files.
    pub data: String,
    /// Where the receiver's socket and log are, inside.
    pub socket: String,
    pub method: CopyMethod,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CopyMethod {
    /// The files as they are: the same layout, the same empty space in them, the same size.
    Physical,
    /// A dump that is loaded: the same rows, packed afresh.
    Logical,
}

impl fmt::Display for CopyMethod {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Physical => "physical",
            Self::Logical => "logical",
        })
    }
}

/// A database that runs, as it was found.
#[derive(Debug, Clone, PartialEq)]
pub struct Source {
    pub container: String,
    /// The very image that it runs, by id.
    pub image: String,
    pub database: String,
    /// A role that may read everything.
    pub user: String,
    pub data: String,
    /// All databases of the server together.
    pub bytes: Bytes,
    /// Why its files cannot be streamed; `None` when they can.
    pub only_logical: Option<String>,
}

/// What a scratch place is made from.
#[derive(Debug, Clone, Copy)]
pub struct Ground<'a> {
    pub purpose: &'static str,
    pub project: &'a str,
    /// The environment whose database is copied.
    pub of: &'a Rendered,
    /// The environment in whose budget the copy runs.
    pub beside: &'a Rendered,
    pub service: &'a str,
    pub source: &'a Source,
    /// In the state of the host.
    pub folder: &'a str,
    pub state: &'a str,
    pub group: Option<&'a GroupLimits>,
    /// Of the place where Docker keeps its volumes.
    pub disk_free: Bytes,
}

/// A scratch place, ready to be put into a plan.
pub struct Scratch<'a> {
    ground: Ground<'a>,
    run: ComposeRun,
    model: Value,
}

impl<'a> Scratch<'a> {
    /// Refuses where the copy would not fit.
    ///
    /// # Errors
    /// Less than 1.2 times the size of the databases is free.
    pub fn new(ground: Ground<'a>, settings: &[&str]) -> Result<Self, Box<Diagnostic>> {
        fits(&ground)?;
        let run = ComposeRun {
            project: format!("{}-{}", ground.of.compose_project, ground.purpose),
            file: format!("{}/compose.yaml", ground.folder),
        };
        let mut scratch = Self { model: json!({}), ground, run };
        scratch.model = scratch.compose(settings);
        Ok(scratch)
    }

    pub fn compose_run(&self) -> &ComposeRun {
        &self.run
    }

    /// The server that the copy becomes.
    pub fn server(&self) -> ScratchServer {
        let (ground, source) = (&self.ground, self.ground.source);
        ScratchServer {
            compose: self.run.clone(),
            service: ground.service.to_owned(),
            user: source.user.clone(),
            database: source.database.clone(),
            socket: format!("{}/run", ground.folder),
            job: None,
        }
    }

    /// Adds a service to the place; it gets its network, its budget and its labels.
    pub fn add(&mut self, name: &str, mut service: Map<String, Value>) {
        self.settle(&mut service);
        self.model["services"][name] = Value::Object(service);
    }

    /// The Compose file, readable by nobody else: it holds the database's password.
    pub fn text(&self) -> String {
        format!("# A scratch copy; Partywall removes it.\n{}", yaml(&self.model))
    }

    /// From nothing to a server that answers.
    pub fn make(&self, variables: Option<&str>) -> Vec<Step> {
        let folder = self.ground.folder.to_owned();
        let mut steps = vec![Step::new(
            Action::MakePrivateFolder { path: folder.clone() },
            Undo::by(Action::RemoveTree { path: folder.clone() }),
            "the scratch place has files of its own",
        )];
        steps.push(self.install(&self.run.file, &self.text()));
        steps.extend(variables.map(|text| self.install(&format!("{folder}/.env"), text)));
        let path = format!("{folder}/run");
        steps.push(Step::new(
            Action::MakeSharedFolder { path: path.clone() },
            Undo::by(Action::RemoveTree { path }),
            "the copy is talked to through a socket in it",
        ));
        if let Some(limits) = self.ground.group {
            let does = Action::LimitGroup { limits: limits.clone() };
            steps.push(Step::new(
                does,
                Undo::Nothing,
                format!("the copy runs in the budget of {}", self.ground.beside.name),
            ));
        }
        steps.extend(self.fill());
        steps
    }

    /// The same from the dump of a backup; the source must be one that is only logical.
    pub fn make_from(&self, stored: &Stored, variables: Option<&str>) -> Vec<Step> {
        let mut steps = self.make(variables);
        for step in steps.iter_mut().filter(|step| matches!(step.does, Action::CopyDatabase { .. })) {
            let (stored, server) = (stored.clone(), Box::new(self.server()));
            *step = Step::new(
                Action::LoadDump { stored, server },
                Undo::Nothing,
                "production is not read; counted against the manifest",
            );
        }
        steps
    }

    fn fill(&self) -> Vec<Step> {
        let (physical, undo) = (self.method() == CopyMethod::Physical, Undo::By { actions: self.removals() });
        let start = |name: &str, undo: Undo, because: &str| {
            Step::new(
                Action::StartServices { compose: self.run.clone(), services: vec![name.to_owned()] },
                undo,
                because,
            )
        };
        let database = self.ground.service;
        let alone = Undo::by(Action::RemoveServices {
            project: self.run.project.clone(),
            services: vec![database.to_owned()],
        });
        let copy = Step::new(
            Action::CopyDatabase { copy: self.copy() },
            Undo::by(Action::EndCopy { copy: self.copy() }),
            self.ground.source.only_logical.as_ref().map_or_else(
                || "all of it, as it is on the disk".to_owned(),
                |why| format!("its rows, not its files: {why}"),
            ),
        );
        let wait = Step::new(
            Action::AwaitServices {
                project: self.run.project.clone(),
                services: vec![database.to_owned()],
                timeout_seconds: 600,
            },
            Undo::Nothing,
            "the copy answers",
        );
        if physical {
            let receive = start(RECEIVER, undo, "something must receive the files");
            return vec![receive, copy, start(database, alone, "the same server on the copied files"), wait];
        }
        vec![start(database, undo, "a fresh server of the same image"), wait, copy]
    }

    /// All of it goes, data included: it was only a copy.
    pub fn remove(&self) -> Vec<Step> {
        let tree = Action::RemoveTree { path: self.ground.folder.to_owned() };
        let all = self.removals().into_iter().chain([tree]);
        all.map(|action| Step::new(action, Undo::Nothing, "it was only a copy")).collect()
    }

    fn removals(&self) -> Vec<Action> {
        let project = || self.run.project.clone();
        let services = self.model["services"].as_object().into_iter().flatten().map(|(name, _)| name.clone());
        vec![
            Action::RemoveServices { project: project(), services: services.collect() },
            Action::RemoveNetworks { project: project(), names: vec![format!("{}_default", project())] },
            Action::RemoveVolumes { project: project(), names: vec![format!("{}_data", project())] },
        ]
    }

    fn method(&self) -> CopyMethod {
        if self.ground.source.only_logical.is_some() { CopyMethod::Logical } else { CopyMethod::Physical }
    }

    fn copy(&self) -> DatabaseCopy {
        let (ground, method) = (&self.ground, self.method());
        let receiver = if method == CopyMethod::Physical { RECEIVER } else { ground.service };
        DatabaseCopy {
            from: ground.source.container.clone(),
            user: ground.source.user.clone(),
            database: ground.source.database.clone(),
            project: self.run.project.clone(),
            service: receiver.to_owned(),
            data: ground.source.data.clone(),
            socket: SOCKET.to_owned(),
            method,
        }
    }

    fn install(&self, path: &str, text: &str) -> Step {
        let path = path.to_owned();
        let does = Action::InstallFile { path: path.clone(), hash: crate::hash(text) };
        Step::new(does, Undo::by(Action::RemoveFile { path }), "what the copy is made of")
    }

    fn compose(&self, settings: &[&str]) -> Value {
        let labels = self.labels();
        let mut services = Map::new();
        services.insert(self.ground.service.to_owned(), Value::Object(self.service(settings)));
        if self.method() == CopyMethod::Physical {
            services.insert(RECEIVER.to_owned(), Value::Object(self.receiver()));
        }
        let of = &self.ground.of.model;
        // Internal networks lead to no other, but to the host: without an address there, to that neither. Only what a seed
        // reads is reached by its address, and nothing of the project's runs beside it.
        let hidden = if self.ground.purpose == SOURCE { "false" } else { "true" };
        let network = json!({
            "name": format!("{}_default", self.run.project),
            "internal": true,
            "driver_opts": {"com.docker.network.bridge.inhibit_ipv4": hidden},
            "labels": labels,
        });
        json!({
            "name": self.run.project,
            "services": services,
            "networks": {"default": network},
            "volumes": {"data": {"name": format!("{}_data", self.run.project), "labels": labels}},
            "secrets": of.get("secrets").cloned().unwrap_or_else(|| json!({})),
            "configs": of.get("configs").cloned().unwrap_or_else(|| json!({})),
        })
    }

    fn labels(&self) -> Value {
        json!({
            "partywall.project": self.ground.project,
            "partywall.environment": self.ground.of.name,
            "partywall.scratch": self.ground.purpose,
            "partywall.state": self.ground.state,
        })
    }

    /// What every service of the place has.
    fn settle(&self, service: &mut Map<String, Value>) {
        let theirs = &self.ground.beside.model["services"];
        let alike = theirs.get(self.ground.service).or_else(|| theirs.as_object()?.values().next());
        for key in LIMITS {
            service.remove(key);
            if let Some(value) = alike.and_then(|alike| alike.get(key)) {
                service.insert(key.to_owned(), value.clone());
            }
        }
        service.insert("labels".to_owned(), self.labels());
        service.insert("restart".to_owned(), json!("no"));
        if !service.contains_key("network_mode") {
            service.insert("networks".to_owned(), json!({"default": null}));
        }
    }

    fn service(&self, settings: &[&str]) -> Map<String, Value> {
        let theirs = &self.ground.of.model["services"][self.ground.service];
        let mut service = picked(theirs, &SERVER);
        service.insert("image".to_owned(), json!(self.ground.source.image));
        service.insert("command".to_owned(), json!(self.command(theirs.get("command"), settings)));
        service.insert("volumes".to_owned(), json!(self.mounts(theirs)));
        service.insert("stop_grace_period".to_owned(), json!("1s"));
        service.insert(
            "healthcheck".to_owned(),
            // Over TCP: while a fresh server is initialised, only its socket answers.
            json!({"test": ["CMD-SHELL", "pg_isready -q -h 127.0.0.1"], "interval": "1s", "timeout": "5s", "retries": 20000}),
        );
        self.settle(&mut service);
        service
    }

    /// The server's own words, and after them ours, which win.
    fn command(&self, theirs: Option<&Value>, settings: &[&str]) -> Vec<String> {
        let words: Vec<String> = theirs
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .map(str::to_owned)
            .collect();
        let own = words.first().is_some_and(|first| first == "postgres" || first.starts_with('-'));
        let mut command = if own { words } else { vec!["postgres".to_owned()] };
        let socket = format!("unix_socket_directories=/var/run/postgresql,{SOCKET}");
        let mut set = |setting: &str| command.extend(["-c".to_owned(), setting.to_owned()]);
        HARMLESS.iter().chain(settings).for_each(|setting| set(setting));
        set(&socket);
        if self.method() == CopyMethod::Physical {
            set(&format!("hba_file={}/partywall_hba.conf", self.ground.source.data));
        }
        command
    }

    /// Its data, our folder, and what the original mounts read-only from the host.
    fn mounts(&self, theirs: &Value) -> Vec<Value> {
        let (data, run) = (&self.ground.source.data, format!("{}/run", self.ground.folder));
        let read_only = |mount: &&Value| {
            mount["type"] == "bind" && mount["read_only"] == true && mount["target"].as_str() != Some(data)
        };
        let kept = theirs["volumes"].as_array().into_iter().flatten().filter(read_only).cloned();
        let ours = [
            json!({"type": "volume", "source": "data", "target": data}),
            json!({"type": "bind", "source": run, "target": SOCKET}),
        ];
        ours.into_iter().chain(kept).collect()
    }

    fn receiver(&self) -> Map<String, Value> {
        let run = format!("{}/run", self.ground.folder);
        let mut service = Map::new();
        for (key, value) in [
            ("image", json!(self.ground.source.image)),
            ("entrypoint", json!(["tail", "-f", "/dev/null"])),
            ("command", json!([])),
            ("user", json!("0:0")),
            ("init", json!(true)),
            ("network_mode", json!("none")),
            (
                "volumes",
                json!([
                    {"type": "volume", "source": "data", "target": self.ground.source.data},
                    {"type": "bind", "source": run, "target": SOCKET},
                ]),
            ),
        ] {
            service.insert(key.to_owned(), value);
        }
        self.settle(&mut service);
        service
    }
}

impl Plan {
    /// Earlier steps that started what this step and later ones still work with, in scratch places alone: what the plan
    /// itself removes with its network. A host that was started anew has them stopped.
    pub fn scratch_servers(&self, next: usize) -> Vec<usize> {
        let later = || self.steps.iter().skip(next).map(|step| &step.does);
        let goes = |compose_project: &str, wanted: &[String]| {
            let network = later().any(
                |does| matches!(does, Action::RemoveNetworks { project, .. } if project == compose_project),
            );
            let removed = |does: &Action| match does {
                Action::RemoveServices { project, services } => {
                    project == compose_project && wanted.iter().all(|one| services.contains(one))
                }
                _ => false,
            };
            network && later().any(removed)
        };
        let starts = |number: &usize| match &self.steps[*number].does {
            Action::StartServices { compose, services } => goes(&compose.project, services),
            Action::AwaitServices { project, services, .. } => goes(project, services),
            _ => false,
        };
        (0..next.min(self.steps.len())).filter(starts).collect()
    }
}

/// The keys of a service that are there.
pub(crate) fn picked(service: &Value, keys: &[&str]) -> Map<String, Value> {
    let there =
        |key: &&str| Some(((*key).to_owned(), service.get(*key).filter(|value| !value.is_null())?.clone()));
    keys.iter().filter_map(there).collect()
}

fn fits(ground: &Ground<'_>) -> Result<(), Box<Diagnostic>> {
    let needed = ground.source.bytes.times(1.2);
    if ground.disk_free >= needed {
        return Ok(());
    }
    Err(Box::new(
        Diagnostic::error(format!(
            "there is no room for a copy of `{}` of `{}`",
            ground.source.database, ground.of.name
        ))
        .because(format!(
            "its server holds {}, a copy and what is done with it need {needed}, and {} are free",
            ground.source.bytes, ground.disk_free
        ))
        .hint("make room where Docker keeps its volumes: `docker system df` shows what takes it"),
    ))
}
