//! What Compose complains about, at the place where it was written.

use std::path::Path;

use pw_host::compose::ComposeFailure;
use pw_model::diagnostic::{Diagnostic, nearest};
use pw_model::name::EnvironmentName;
use pw_model::source::{Place, SourceFile, find_in};
use saphyr::{LoadableYamlNode, MarkedYaml};

use super::service_files::Described;
use super::unset::{Unset, Warning, diagnostics, reference, unset};
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
    /// All Compose files that were read, also included ones.
    pub(super) sources: &'a [SourceFile],
    pub(super) env_files: &'a [SourceFile],
    pub(super) described: &'a Described,
    pub(super) name: &'a EnvironmentName,
    /// Where variables are added.
    pub(super) file: &'a str,
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
        let broken = message.contains("yaml: ").then(|| self.named(&message).find_map(broken_yaml)).flatten();
        if let Some(broken) = broken {
            return vec![broken];
        }
        let known = self.known(&message);
        // A text that is empty for want of a variable breaks whatever it stands in.
        let unset = if known.is_none() { self.unset(&warnings) } else { Vec::new() };
        if !unset.is_empty() {
            let warnings: Vec<_> =
                unset.into_iter().map(|unset| (self.name.clone(), Warning::Unset(unset))).collect();
            return diagnostics(&warnings);
        }
        let about = known.unwrap_or_else(|| self.unknown(&message));
        let said = Diagnostic::error(about.what).at(about.place);
        vec![said.because(format!("docker compose: {message}")).hint(about.hint)]
    }

    /// Variables without a value.
    pub(super) fn unset(&self, lines: &[String]) -> Vec<Unset> {
        let mut names: Vec<&str> = lines.iter().filter_map(|line| unset(line)).collect();
        names.sort_unstable();
        names.dedup();
        names.into_iter().map(|name| Unset::of(name, self.sources, self.env_files, self.file)).collect()
    }

    fn known(&self, message: &str) -> Option<About> {
        self.required_variable(message)
            .or_else(|| unknown_key(message, &self.named(message).cloned().collect::<Vec<_>>()))
            .or_else(|| self.missing_env_file(message))
    }

    /// The files that the message is about: the one that it names, else all.
    fn named(&self, message: &str) -> impl Iterator<Item = &SourceFile> {
        let is_named = |source: &&SourceFile| {
            let name = source.name.trim_start_matches("./");
            message
                .split([' ', ':', '\n', '"', '`'])
                .any(|word| word.ends_with(&format!("/{name}")) || word == name)
        };
        let any = self.sources.iter().any(|source| is_named(&source));
        self.sources.iter().filter(move |source| !any || is_named(source))
    }

    fn unknown(&self, message: &str) -> About {
        let name = self.name;
        let place = quoted_place(message, &self.named(message).cloned().collect::<Vec<_>>());
        let hint = match &place {
            Some(_) => "correct the Compose file at this place".to_owned(),
            None => {
                let files: Vec<String> = self.named(message).map(|file| format!("`{}`", file.name)).collect();
                format!("look for it in {}", files.join(", "))
            }
        };
        About { what: format!("the Compose files of environment `{name}` cannot be read"), place, hint }
    }

    /// `required variable X is missing a value: …`
    fn required_variable(&self, message: &str) -> Option<About> {
        let variable = between(message, "required variable ", " is missing a value")?;
        Some(About {
            what: format!("the variable `{variable}` of environment `{}` is not set", self.name),
            place: self.sources.iter().rev().find_map(|source| reference(source, variable)),
            hint: format!("add `{variable}=…` to `{}`", self.file),
        })
    }

    /// `env file /srv/shop/web.env not found: stat …`, named by a service.
    fn missing_env_file(&self, message: &str) -> Option<About> {
        let path = between(message, "env file ", " not found").or_else(|| {
            let (_, rest) = message.split_once("couldn't find env file: ")?;
            rest.lines().next()
        })?;
        let mut all = self.described.services.values().flatten();
        let named = all.find(|named| named.path(&named.written) == Path::new(path));
        let file =
            named.map_or_else(|| path.rsplit('/').next().unwrap_or(path), |named| named.written.as_str());
        Some(About {
            what: format!("the env file `{file}` is missing"),
            place: named.map(|named| named.place.clone()),
            hint: format!("write `{file}`, or mark it `required: false`"),
        })
    }
}

struct About {
    what: String,
    place: Option<Place>,
    hint: String,
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

/// The place of a path in the message, else of the one text in it that stands once in the files.
fn quoted_place(message: &str, sources: &[SourceFile]) -> Option<Place> {
    let flat = message.replace('[', ".").replace(']', "").replace("..", ".");
    let words = flat.split(|c: char| c.is_whitespace() || "\"'`:,()".contains(c));
    let mut paths = words.filter(|word| word.starts_with("services.") || word.split('.').count() > 2);
    let by_path = paths.find_map(|word| find_in(sources, &word.split('.').collect::<Vec<_>>()));
    by_path.or_else(|| {
        let quoted = message.split('"').skip(1).step_by(2);
        let last = message.rsplit(": ").next();
        quoted.chain(last).find_map(|text| only_place(text.trim(), sources))
    })
}

fn only_place(text: &str, sources: &[SourceFile]) -> Option<Place> {
    let lines = || sources.iter().flat_map(|source| source.text.lines());
    let once = text.len() > 2 && lines().filter(|line| line.contains(text)).count() == 1;
    sources.iter().filter(|_| once).find_map(|source| source.find_text(text))
}

pub(super) fn between<'t>(text: &'t str, before: &str, after: &str) -> Option<&'t str> {
    let (_, rest) = text.split_once(before)?;
    rest.split_once(after).map(|(found, _)| found)
}
