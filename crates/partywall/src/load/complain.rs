//! What Compose complains about, at the place where it was written.

use pw_host::compose::ComposeFailure;
use pw_model::diagnostic::{Diagnostic, nearest};
use pw_model::name::EnvironmentName;
use pw_model::source::{Place, SourceFile};
use saphyr::{LoadableYamlNode, MarkedYaml};

use crate::session::Session;
use crate::stop::Stop;

/// Keys of a service, for suggestions (Compose specification, 2024).
const SERVICE_KEYS: &[&str] = &[
    "annotations",
    "attach",
    "blkio_config",
    "build",
    "cap_add",
    "cap_drop",
    "cgroup",
    "cgroup_parent",
    "command",
    "configs",
    "container_name",
    "cpu_count",
    "cpu_percent",
    "cpu_period",
    "cpu_quota",
    "cpu_shares",
    "cpus",
    "cpuset",
    "credential_spec",
    "depends_on",
    "deploy",
    "develop",
    "device_cgroup_rules",
    "devices",
    "dns",
    "dns_opt",
    "dns_search",
    "domainname",
    "entrypoint",
    "env_file",
    "environment",
    "expose",
    "extends",
    "external_links",
    "extra_hosts",
    "group_add",
    "healthcheck",
    "hostname",
    "image",
    "init",
    "ipc",
    "isolation",
    "labels",
    "links",
    "logging",
    "mac_address",
    "mem_limit",
    "mem_reservation",
    "mem_swappiness",
    "memswap_limit",
    "network_mode",
    "networks",
    "oom_kill_disable",
    "oom_score_adj",
    "pid",
    "pids_limit",
    "platform",
    "ports",
    "privileged",
    "profiles",
    "pull_policy",
    "read_only",
    "restart",
    "runtime",
    "scale",
    "secrets",
    "security_opt",
    "shm_size",
    "stdin_open",
    "stop_grace_period",
    "stop_signal",
    "storage_opt",
    "sysctls",
    "tmpfs",
    "tty",
    "ulimits",
    "user",
    "userns_mode",
    "uts",
    "volumes",
    "volumes_from",
    "working_dir",
];

/// A file that is no YAML, at the line where it breaks; Compose counts such lines wrongly.
fn broken_yaml(source: &SourceFile) -> Option<Diagnostic> {
    let error = MarkedYaml::load_from_str(&source.text).err()?;
    let marker = error.marker();
    Some(
        Diagnostic::error(format!("`{}` is not valid YAML", source.name))
            .at(Some(source.place(marker.line(), marker.col() + 1, 1)))
            .because(error.info().to_owned())
            .hint("look at the indentation, quotes and brackets on this line and the one above"),
    )
}

/// What it takes to say where in the user's files Compose's complaints belong.
pub(crate) struct Told<'a> {
    pub(crate) sources: &'a [SourceFile],
    pub(crate) session: &'a Session,
    pub(crate) name: &'a EnvironmentName,
    pub(crate) variable_files: &'a [String],
}

impl Told<'_> {
    /// Why there is no model.
    pub(crate) fn error(&self, failure: ComposeFailure) -> Stop {
        match failure {
            ComposeFailure::NotRun(failure) => Stop::Failure(failure),
            refused => Stop::Complaints(self.complaints(refused)),
        }
    }

    /// Compose's complaint with the place of what it complains about, as far as it can be found.
    pub(crate) fn complaints(&self, failure: ComposeFailure) -> Vec<Diagnostic> {
        let ComposeFailure::Refused { lines, warnings } = failure else { return Vec::new() };
        let message = lines.join("\n");
        // Compose counts the lines of broken YAML wrongly; but it alone says what is broken.
        let broken = message.contains("yaml: ").then(|| self.sources.iter().find_map(broken_yaml)).flatten();
        if let Some(broken) = broken {
            return vec![broken];
        }
        let known = known(&message, self.sources, self.session, self.name);
        // A text that is empty for want of a variable breaks whatever it stands in.
        let unset = if known.is_none() { self.warnings(&warnings) } else { Vec::new() };
        let about = known.unwrap_or_else(|| unknown(&message, self.sources, self.name));
        let said =
            Diagnostic::error(about.what).at(about.place).because(format!("docker compose: {message}"));
        if unset.is_empty() { vec![said.hint(about.hint)] } else { unset }
    }

    /// Variables that are used without a value: Compose takes them as empty, and only whispers.
    pub(crate) fn warnings(&self, lines: &[String]) -> Vec<Diagnostic> {
        warnings(lines, self.sources, self.name, self.variable_files)
    }
}

struct About {
    what: String,
    place: Option<Place>,
    hint: String,
}

fn known(message: &str, sources: &[SourceFile], session: &Session, name: &EnvironmentName) -> Option<About> {
    unset_variable(message, sources, session, name)
        .or_else(|| unknown_key(message, sources))
        .or_else(|| missing_service_file(message, sources))
}

fn unknown(message: &str, sources: &[SourceFile], name: &EnvironmentName) -> About {
    About {
        what: format!("the Compose files of environment `{name}` cannot be read"),
        place: quoted_place(message, sources),
        hint: "correct the Compose file at this place".into(),
    }
}

/// `required variable X is missing a value: …`
fn unset_variable(
    message: &str,
    sources: &[SourceFile],
    session: &Session,
    name: &EnvironmentName,
) -> Option<About> {
    let variable = between(message, "required variable ", " is missing a value")?;
    let file = session
        .config
        .environments
        .get(name)
        .and_then(|environment| environment.env_file.iter().last().map(str::to_owned));
    Some(About {
        what: format!("the variable `{variable}` of environment `{name}` is not set"),
        place: variable_place(variable, sources),
        hint: format!("add `{variable}=…` to `{}`", file.unwrap_or_else(|| ".env".into())),
    })
}

/// `services.web Additional property imagee is not allowed`, also with `validating FILE:` before it.
fn unknown_key(message: &str, sources: &[SourceFile]) -> Option<About> {
    let (before, after) = message
        .split_once(" Additional property ")
        .or_else(|| message.split_once(" additional properties "))?;
    let key = after.split([' ', ',']).next()?.trim_matches(['\'', '"']);
    let path = before.rsplit([' ', '\n']).next()?.trim_matches(['(', ')', ':']);
    let parts: Vec<&str> =
        path.split('.').filter(|part| !part.is_empty() && *part != "root").chain([key]).collect();
    let place = sources
        .iter()
        .rev()
        .find_map(|source| source.find(&parts))
        .or_else(|| sources.iter().rev().find_map(|source| source.find_text(&format!("{key}:"))));
    let known: &[&str] = if parts.len() > 2 {
        SERVICE_KEYS
    } else {
        &["services", "networks", "volumes", "secrets", "configs", "include", "name"]
    };
    let hint = match nearest(key, known.iter().copied()) {
        Some(near) => format!("did you mean `{near}`?"),
        None => "remove the key; names of your own begin with `x-`".into(),
    };
    Some(About { what: format!("Compose does not know the key `{key}`"), place, hint })
}

/// `env file /srv/shop/web.env not found: stat …`, named by a service.
fn missing_service_file(message: &str, sources: &[SourceFile]) -> Option<About> {
    let path = between(message, "env file ", " not found").or_else(|| {
        between(message, "couldn't find env file: ", "\n")
            .or_else(|| message.split_once("couldn't find env file: ").map(|(_, rest)| rest))
    })?;
    let file = path.rsplit('/').next().unwrap_or(path);
    let place = sources.iter().rev().find_map(|source| source.find_text(file));
    Some(About {
        what: format!("the env file `{file}` is missing"),
        place,
        hint: format!("write `{file}`, or mark it `required: false`"),
    })
}

fn warnings(
    lines: &[String],
    sources: &[SourceFile],
    name: &EnvironmentName,
    variable_files: &[String],
) -> Vec<Diagnostic> {
    let file = variable_files.last().map_or(".env", String::as_str);
    let unset = lines.iter().filter_map(|line| {
        let variable = unset(line)?;
        Some(
            Diagnostic::error(format!("the variable `{variable}` of environment `{name}` is not set"))
                .at(variable_place(variable, sources))
                .because("Compose would put an empty text in its place")
                .hint(format!(
                    "add `{variable}=…` to `{file}`, or write `${{{variable}:-}}` where empty is meant"
                )),
        )
    });
    let mut found: Vec<Diagnostic> = unset.collect();
    found.dedup();
    found
}

/// `The "X" variable is not set.`
pub(super) fn unset(line: &str) -> Option<&str> {
    between(line, "The \"", "\" variable is not set")
}

fn variable_place(variable: &str, sources: &[SourceFile]) -> Option<Place> {
    let find = |text: &str| sources.iter().find_map(|source| source.find_text(text));
    find(&format!("${{{variable}")).or_else(|| find(&format!("${variable}"))).or_else(|| find(variable))
}

/// The place of the longest word of the message that is a path or name in the files.
fn quoted_place(message: &str, sources: &[SourceFile]) -> Option<Place> {
    let words =
        message.split(|c: char| c.is_whitespace() || "\"'`:,()".contains(c)).filter(|word| word.len() > 2);
    let by_path = words.clone().filter(|word| word.contains('.')).find_map(|word| {
        let parts: Vec<&str> = word.split('.').collect();
        sources.iter().rev().find_map(|source| source.find_nearest(&parts))
    });
    by_path.or_else(|| {
        let quoted: Vec<&str> = message.split('"').skip(1).step_by(2).collect();
        quoted.iter().find_map(|text| sources.iter().rev().find_map(|source| source.find_text(text)))
    })
}

pub(super) fn between<'t>(text: &'t str, before: &str, after: &str) -> Option<&'t str> {
    let (_, rest) = text.split_once(before)?;
    rest.split_once(after).map(|(found, _)| found)
}
