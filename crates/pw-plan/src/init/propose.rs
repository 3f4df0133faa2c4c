//! The text of `partywall.yaml`, with comments that a developer reads in a minute.

use std::collections::{BTreeMap, BTreeSet};

use pw_model::compose::ComposeModel;
use pw_model::config::{Class, HOLES};
use pw_model::host::HostFacts;
use pw_model::name::ProjectName;
use pw_model::role::Role;

use super::budget::Shares;
use super::front::{self, Door};
use super::hosts::{self, Found};
use super::write::{line, list, scalar};
use super::{EnvironmentGuess, FileGuess, ports, sections};

/// All that a proposal is made from.
#[derive(Debug, Clone, Copy)]
pub struct Proposal<'a> {
    pub project: &'a ProjectName,
    pub files: &'a FileGuess,
    /// What `docker compose config` made of the guessed files; an environment that it refused is missing.
    pub models: &'a BTreeMap<Class, ComposeModel>,
    /// From [`super::roles`], with the user's corrections.
    pub roles: &'a BTreeMap<String, Role>,
    pub facts: &'a HostFacts,
    /// Host names that the user chose.
    pub hosts: &'a BTreeMap<Class, String>,
    /// Holes that the wall complains of, each `service/kind`; from [`crate::wall::Rendered::holes`].
    pub holes: &'a BTreeMap<Class, BTreeSet<String>>,
    /// Where the JSON Schema lies, such as `./partywall.schema.json`.
    pub schema: &'a str,
}

/// What is decided once for all environments.
struct Decided<'a> {
    proposal: &'a Proposal<'a>,
    shares: Shares<'a>,
    doors: BTreeMap<Class, Door>,
    production_host: Found,
}

/// Writes the file. It parses, and `config::check` has nothing against it.
pub fn propose(proposal: &Proposal<'_>) -> String {
    let decided = Decided::new(proposal);
    let classes: Vec<Class> = proposal.files.environments.keys().copied().collect();
    let mut text = sections::head(proposal) + "environments:\n";
    for class in &classes {
        text += &decided.environment(*class);
    }
    let hosts: Vec<String> = classes
        .iter()
        .filter(|class| decided.doors.contains_key(class))
        .map(|class| decided.host(*class).host)
        .collect();
    text += "\n";
    if !hosts.is_empty() {
        text += &sections::proxy(proposal, &hosts);
    }
    text += &sections::databases(proposal);
    text += &sections::left_out(proposal);
    text += &sections::roles(proposal);
    text.trim_end().to_owned() + "\n"
}

impl<'a> Decided<'a> {
    fn new(proposal: &'a Proposal<'a>) -> Self {
        let production = proposal.models.get(&Class::Production);
        let doors = doors(proposal);
        let like = doors.get(&Class::Production).map(|door| door.service.clone());
        let chosen = proposal.hosts.get(&Class::Production);
        let chosen = chosen.map(|host| Found { host: host.clone(), from: "your answer".into() });
        let found = || hosts::find(production?, like.as_deref());
        let local = || Found {
            host: hosts::local(proposal.project.as_str()),
            from: "the project, as no public one was found: write yours".into(),
        };
        Self {
            proposal,
            shares: Shares::new(proposal.facts, proposal.files.environments.keys().copied(), proposal.models),
            doors,
            production_host: chosen.or_else(found).unwrap_or_else(local),
        }
    }

    fn host(&self, class: Class) -> Found {
        if class == Class::Production {
            return self.production_host.clone();
        }
        let host = self.proposal.hosts.get(&class).cloned();
        let host = host.unwrap_or_else(|| hosts::beside(class, &self.production_host.host));
        Found { host, from: String::new() }
    }

    fn environment(&self, class: Class) -> String {
        let Some(guess) = self.proposal.files.environments.get(&class) else { return String::new() };
        let mut text = format!("  {}:\n", class.as_str());
        text += &self.files(guess);
        text += &self.env_files(class, guess);
        if !guess.profiles.is_empty() {
            text +=
                &line(&format!("    profiles: {}", list(&guess.profiles)), "Compose profiles that are on");
        }
        text += &self.route(class);
        text += &match class {
            Class::Production => self.kept_ports(),
            _ => self.moved_ports(class),
        };
        text += &self.holes(class);
        text + &self.shares.line(class)
    }

    fn files(&self, guess: &EnvironmentGuess) -> String {
        let complete = guess.compose.as_ref().map_or(String::new(), |files| {
            line(&format!("    compose: {}", list(files)), "complete; no shared base")
        });
        if guess.overlays.is_empty() {
            return complete;
        }
        complete
            + &line(
                &format!("    overlays: {}", list(&guess.overlays)),
                "laid over the shared files, in order",
            )
    }

    fn env_files(&self, class: Class, guess: &EnvironmentGuess) -> String {
        let value = match guess.env_files.as_slice() {
            [] => return String::new(),
            [one] => scalar(one),
            many => list(many),
        };
        let production = self.proposal.files.environments.get(&Class::Production);
        let shared =
            class != Class::Production && production.is_some_and(|other| other.env_files == guess.env_files);
        let note = if shared {
            format!(
                "    # The same file as production's, so {0} has production's secrets. Better: copy it to\n    # `.env.{0}`, change the passwords and keys in it, and name that here.\n",
                class.as_str()
            )
        } else {
            String::new()
        };
        note + &line(&format!("    env_file: {value}"), "variables for the Compose files")
    }

    fn route(&self, class: Class) -> String {
        let Some(door) = self.doors.get(&class) else {
            return "    # No service was found that people reach by HTTP; add `routes: { SERVICE: HOST }` when there is one.\n".into();
        };
        let Found { host, from } = self.host(class);
        let target = if door.several {
            format!("{{ host: {}, port: {} }}", scalar(&host), door.port)
        } else {
            scalar(&host)
        };
        let from = if from.is_empty() { String::new() } else { format!("; name from {from}") };
        let why = format!("    # {}{from}\n", door.because);
        why + &format!("    routes: {{ {}: {target} }}\n", scalar(&door.service))
    }

    /// What the proxy cannot carry stays published as it is.
    fn kept_ports(&self) -> String {
        let Some(model) = self.proposal.models.get(&Class::Production) else { return String::new() };
        let role = |name: &str| self.proposal.roles.get(name).copied();
        let kept = ports::kept(model, role);
        if kept.is_empty() {
            return String::new();
        }
        let mut text = String::from(
            "    # Published past the proxy, which carries HTTP only; all other ports of production stay inside.\n    publish:\n",
        );
        for (service, ports) in kept {
            text += &format!("      {}: {}\n", scalar(&service), list(&ports));
        }
        text
    }

    /// What `check` will complain of, ready to be allowed by whoever wants it so.
    fn holes(&self, class: Class) -> String {
        let holes = self.proposal.holes.get(&class).filter(|holes| !holes.is_empty());
        let Some(holes) = holes else { return String::new() };
        let mut text = String::from(
            "    # `partywall check` complains of these: take them away in an overlay, or allow those that are wanted.\n",
        );
        for hole in holes {
            let kind = hole.rsplit('/').next().unwrap_or_default();
            let permits = HOLES.iter().find(|(known, _)| *known == kind).map_or("", |(_, permits)| *permits);
            text += &format!("    #   {hole}: {permits}\n");
        }
        text + &format!("    # allow: {}\n", list(holes))
    }

    fn moved_ports(&self, class: Class) -> String {
        let Some(model) = self.proposal.models.get(&class) else { return String::new() };
        let beside = self.proposal.files.environments.keys().filter(|other| **other != Class::Production);
        let first = beside.take_while(|other| **other != class).count() + 1;
        let first = u16::try_from(first).unwrap_or(1);
        let offset = ports::offset(model, self.proposal.facts, first);
        let moved = ports::moved(model, offset);
        if moved.is_empty() {
            return String::new();
        }
        let mut text = indented(&super::write::wrapped("Ports, on 127.0.0.1 only:", &moved));
        if offset != first {
            text += &line(
                &format!("    port_offset: {offset}"),
                "with less, a port would meet one that is in use",
            );
        }
        text
    }
}

/// The front door of each environment: production's where it exists.
fn doors(proposal: &Proposal<'_>) -> BTreeMap<Class, Door> {
    let role = |name: &str| proposal.roles.get(name).copied();
    let everywhere = |name: &str| proposal.models.values().all(|model| model.service(name).is_some());
    let production = proposal.models.get(&Class::Production);
    let first =
        production.and_then(|model| front::find(model, role, |name| if everywhere(name) { 10 } else { 0 }));
    let like = first.as_ref().map(|door| door.service.as_str());
    let favour = |name: &str| if like == Some(name) { 200 } else { 0 };
    let beside = proposal.models.iter().filter(|(class, _)| **class != Class::Production);
    let mut doors: BTreeMap<Class, Door> =
        beside.filter_map(|(class, model)| Some((*class, front::find(model, role, favour)?))).collect();
    // Production may say nothing of ports where another environment's files do.
    let same = || {
        doors
            .values()
            .find(|door| production.is_some_and(|model| model.service(&door.service).is_some()))
            .cloned()
    };
    let lent = || {
        same().map(|door| Door {
            several: true,
            because: format!("`{}` listens on {}", door.service, door.port),
            ..door
        })
    };
    let first = first.or_else(lent);
    doors.extend(first.map(|door| (Class::Production, door)));
    doors
}

fn indented(text: &str) -> String {
    text.lines().map(|line| format!("    {line}\n")).collect()
}
